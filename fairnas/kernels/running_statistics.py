"""Running statistics of BN, as a type that the kernels of all devices share."""

from typing import NamedTuple

from torch import Tensor

FEWEST_CHANNELS = 16
"""Fewest channels for our own BN: fewer would not fill a block of channels, `llvm.LANES`."""


class RunningMoments(NamedTuple):
    """Running mean and unbiased variance, (C,) each, and the share by which they move towards those of a batch."""

    mean: Tensor
    variance: Tensor
    speed: float
