"""Running statistics of BN, as the kernels of all devices take them."""

from typing import NamedTuple

from torch import Tensor

FEWEST_CHANNELS = 16
"""With fewer, BN is torch's: they would not fill a block of channels, `llvm.LANES`."""


class RunningMoments(NamedTuple):
    """Running statistics, which move to those of a batch, the variance without bias, by a share of the way."""

    mean: Tensor
    variance: Tensor
    speed: float
