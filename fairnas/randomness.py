"""Randomness as a function of (seed, purpose, position), never as hidden state.

Every random decision of a run, the paths of step 1,234 for example, comes from a generator made for it alone.
So nothing random needs to be saved: a run that goes on at step 1,234 draws what the undisturbed run drew there.
No module touches the global seeds of Python, numpy or torch.
"""

import zlib

import numpy as np


def generator(seed: int, purpose: str, *position: int) -> np.random.Generator:
    """A numpy generator for one purpose ("paths", "batches", ...) at one position (epoch, step, ...)."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode()), *position])


def derived_seed(seed: int, purpose: str, *position: int) -> int:
    """The same as an integer in [0, 2^63), to seed a `torch.Generator` or another library."""
    return int(generator(seed, purpose, *position).integers(2**63))
