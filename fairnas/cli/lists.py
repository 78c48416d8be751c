"""Arguments of verbs that only list something."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ListArguments:
    """Choice of the output format."""

    json: bool = False
    """Print one JSON object and nothing else."""
