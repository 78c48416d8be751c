"""Randomness as a function of (seed, purpose, position), never as hidden state.

Every random decision of a run, for example the paths of step 1,234, has a generator of its own. So no random state
needs to be saved: a run resumed at step 1,234 draws the same paths as an undisturbed run.
No module touches the global seeds of Python, numpy or torch.
"""

import zlib

import numpy as np


def generator(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """A numpy generator for one purpose ("paths", "batches", ...) at one position (epoch, step, ...)."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *position])


def derived_seed(seed: int, purpose: str, *position: int) -> int:
    """Seed as an integer in [0, 2^63), for a `torch.Generator` or another library; arguments as `generator`."""
    return int(generator(seed, purpose, *position).integers(2**63))
