"""Who is trained at each step, how often each choice block was, and what theory says about it. No gradients."""

from fairnas.fairness.ledger import Audit, Ledger
from fairnas.fairness.samplers import PathSampler, StrictSampler, UniformSampler
from fairnas.fairness.theory import equal_count_probability

__all__ = ["Audit", "Ledger", "PathSampler", "StrictSampler", "UniformSampler", "equal_count_probability"]
