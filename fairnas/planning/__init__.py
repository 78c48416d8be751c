"""What a run will take, before it starts: a dry run that is timed, and settings that fit into a given time."""

from fairnas.planning.plan import Plan, measure_plan

__all__ = ["Plan", "measure_plan"]
