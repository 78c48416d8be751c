"""Ledger of a finished training, read from its run."""

from fairnas.errors import CheckpointError, RunDirectoryError
from fairnas.fairness.ledger import Ledger
from fairnas.rundir import RunDirectory

LEDGER = "ledger.json"
"""File of a run with the ledger of its supernet's training."""


def read_ledger(run: RunDirectory) -> Ledger:
    """Read the ledger of a run whose supernet is trained.

    Raises:
        RunDirectoryError: if there is none, or its counts do not match its chain; the message names the remedy.
    """
    try:
        return Ledger.of_finished_training(run.read_json(LEDGER))
    except CheckpointError as error:
        raise RunDirectoryError(f"{run.path / LEDGER}: {error}") from None
