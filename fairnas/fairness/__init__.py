"""Paths to train at each step, counts of trainings per choice block, and the theory about them. No gradients."""

from fairnas.fairness.ledger import Audit, Ledger, count_passes
from fairnas.fairness.samplers import PathDropout, PathSampler, StrictSampler, UniformSampler
from fairnas.fairness.stored import LEDGER, read_ledger
from fairnas.fairness.theory import equal_count_probability

__all__ = [
    "LEDGER",
    "Audit",
    "Ledger",
    "PathDropout",
    "PathSampler",
    "StrictSampler",
    "UniformSampler",
    "count_passes",
    "equal_count_probability",
    "read_ledger",
]
