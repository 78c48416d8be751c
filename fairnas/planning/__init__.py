"""Forecasts of a run before it starts: a timed dry run, and settings that fit into a given time."""

from fairnas.planning.plan import Plan, measure_plan

__all__ = ["Plan", "measure_plan"]
