"""The arguments that verbs which only list something take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ListArguments:
    """Only how to print."""

    json: bool = False
    """Print one JSON object and nothing else."""
