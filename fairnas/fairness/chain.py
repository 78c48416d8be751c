"""Chain of a ledger: a record after each epoch ties the counts to the weights, and to the record before.

A record holds the step, the counts, a digest of the supernet's weights, a digest of the ledger's state, and a link: the
SHA-256 of all these and the previous link. So an edited number in a ledger no longer matches its record, an edited
record no longer matches its link, and weights of another training no longer match the last record. The chain contains
no secret: by computing it anew, anybody can write any numbers. It detects accidents and mix-ups; it is no signature.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_START = "fairnas ledger"
_DIGEST_LENGTH = 64  # hexadecimal digits of a SHA-256


@dataclass(frozen=True)
class ChainRecord:
    """Content of a ledger after one epoch."""

    step: int
    """Supernet steps made so far."""
    passes: tuple[int, ...]
    """Number of paths through each choice block, layer after layer."""
    updates: tuple[int, ...]
    """Number of updates with a gradient for each choice block, layer after layer."""
    weights: str
    """SHA-256 of the supernet's parameters and buffers, in hexadecimal."""
    state: str
    """SHA-256 of everything else that the ledger held, gradient norms included."""
    link: str
    """SHA-256 of the record and of the link before it."""

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return {
            "step": self.step,
            "passes": list(self.passes),
            "updates": list(self.updates),
            "weights": self.weights,
            "state": self.state,
            "link": self.link,
        }

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> "ChainRecord":
        """Inverse of `to_dict`. Raises `ValueError` for anything else."""
        passes, updates = (tuple(_count(value) for value in plain[name]) for name in ("passes", "updates"))
        weights, state, link = (_digest(plain[name]) for name in ("weights", "state", "link"))
        return ChainRecord(_count(plain["step"]), passes, updates, weights, state, link)


def next_record(
    chain: Sequence[ChainRecord], step: int, passes: np.ndarray, updates: np.ndarray, weights: str, state: str
) -> ChainRecord:
    """Return the record that follows a chain.

    Args:
        chain: the records so far.
        step: supernet steps made.
        passes: paths through each block, (blocks,) int64.
        updates: updates of each block, (blocks,) int64.
        weights: SHA-256 of the supernet's weights.
        state: SHA-256 of everything else that the ledger holds.
    """
    unlinked = ChainRecord(step, tuple(passes.tolist()), tuple(updates.tolist()), weights, state, "")
    return _linked(unlinked, chain[-1].link if chain else _START)


def require_unbroken(chain: Sequence[ChainRecord]) -> None:
    """Raise `ValueError` unless every record follows from the one before: its link, its step and its counts."""
    link, step, counts = _START, 0, None
    for number, record in enumerate(chain, start=1):
        if _linked(record, link) != record:
            raise ValueError(f"record {number} of {len(chain)} in its chain was changed, or one before it is missing")
        grown = np.array((record.passes, record.updates))
        if record.step <= step or (counts is not None and (grown.shape != counts.shape or (grown < counts).any())):
            raise ValueError(f"record {number} of {len(chain)} in its chain counts less than the one before")
        link, step, counts = record.link, record.step, grown


def state_digest(plain: Mapping[str, Any]) -> str:
    """Return the SHA-256 of plain data, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def _linked(record: ChainRecord, before: str) -> ChainRecord:
    plain = record.to_dict() | {"link": before}
    return ChainRecord(record.step, record.passes, record.updates, record.weights, record.state, state_digest(plain))


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a count")
    return value


def _digest(value: object) -> str:
    if not isinstance(value, str) or len(value) != _DIGEST_LENGTH:
        raise ValueError(f"{value!r} is not a SHA-256")
    return value
