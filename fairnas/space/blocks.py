"""Blocks as data: what a choice block is, without saying how it is computed.

The modules that compute them are in `nets/blocks.py`; a new kind of block has one class here and one there.
"""

from dataclasses import dataclass
from typing import Literal

from fairnas.errors import SpaceError

Activation = Literal["relu6", "relu"]


@dataclass(frozen=True)
class InvertedResidual:
    """1x1 expansion, k x k depthwise, 1x1 linear projection; with a shortcut where the shape stays (MobileNetV2)."""

    kernel: int
    expansion: int

    def __post_init__(self) -> None:
        _check_kernel(self.kernel)
        require_count("expansion", self.expansion)

    @property
    def label(self) -> str:
        """Short name, such as `k5e6`."""
        return f"k{self.kernel}e{self.expansion}"


@dataclass(frozen=True)
class Separable:
    """k x k depthwise, 1x1 linear projection, no expansion: the fixed first block of MobileNetV2."""

    kernel: int

    def __post_init__(self) -> None:
        _check_kernel(self.kernel)

    @property
    def label(self) -> str:
        """Short name, such as `k3 separable`."""
        return f"k{self.kernel} separable"


@dataclass(frozen=True)
class Identity:
    """Does nothing where the shape stays; a 1x1 convolution with BN where it changes (as in NAS-Bench-Macro)."""

    @property
    def label(self) -> str:
        """Short name."""
        return "identity"


Block = InvertedResidual | Separable | Identity


def require_count(what: str, value: object) -> None:
    """Raise `SpaceError` unless the value is a whole number of 1 or more; spaces in files may hold anything."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise SpaceError(f"{what} is {value!r}; give a whole number")
    if value < 1:
        raise SpaceError(f"{what} is {value}; give 1 or more")


def _check_kernel(kernel: int) -> None:
    require_count("kernel", kernel)
    if kernel % 2 == 0:
        raise SpaceError(f"kernel is {kernel}; give an odd number")
