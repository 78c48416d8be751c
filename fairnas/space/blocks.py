"""Blocks as data: descriptions of choice blocks, without their computation.

The modules that compute them are in `nets/blocks.py`; a new kind of block has one class here and one there. A field
that has a default is stored in files only if it differs from it, so that older files and their hashes stay valid.
"""

from dataclasses import dataclass
from typing import Literal, get_args

from fairnas.errors import SpaceError

Activation = Literal["relu6", "relu", "swish"]


@dataclass(frozen=True)
class InvertedResidual:
    """1x1 expansion, k x k depthwise, 1x1 linear projection; with a shortcut if the shape stays (MobileNetV2)."""

    kernel: int
    expansion: int
    groups: int = 1
    """Groups of both 1x1 convolutions; with more than one, channels are shuffled after the first (FBNet)."""
    squeeze: float = 0.0
    """Width of squeeze-excite after the depthwise convolution, as a share of the block's input channels; 0 is none."""
    activation: Activation | None = None
    """Activation; default: that of the space."""

    def __post_init__(self) -> None:
        _check_kernel(self.kernel)
        require_count("expansion", self.expansion)
        require_count("groups", self.groups)
        if not isinstance(self.squeeze, int | float) or isinstance(self.squeeze, bool) or not 0 <= self.squeeze <= 1:
            raise SpaceError(f"squeeze is {self.squeeze!r}; give a share from 0 to 1")
        if self.activation is not None and self.activation not in get_args(Activation):
            raise SpaceError(f"activation of a block is {self.activation!r}; give {' or '.join(get_args(Activation))}")

    @property
    def label(self) -> str:
        """Short name, such as `k5e6`, `k5e1g2` or `k3e6se0.25`."""
        groups = f"g{self.groups}" if self.groups > 1 else ""
        squeeze = f"se{self.squeeze:g}" if self.squeeze else ""
        return f"k{self.kernel}e{self.expansion}{groups}{squeeze}{self.activation or ''}"

    def unsupported_reason(self, inputs: int, outputs: int, stride: int) -> str:
        """Reason that the block cannot have these numbers of channels; empty if it can."""
        if inputs % self.groups or outputs % self.groups:
            return f"{self.groups} groups need numbers of channels that are multiples of {self.groups}"
        return ""


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

    def unsupported_reason(self, inputs: int, outputs: int, stride: int) -> str:
        """See `InvertedResidual`."""
        return ""


@dataclass(frozen=True)
class ShuffleUnit:
    """Unit of ShuffleNetV2: half of the channels are passed on, the other half convolved; both branches if it shrinks.

    The main branch is The main branch is The main branch is 1x1, k x k depthwise, 1x1, half as wide inside as the
    unit's output (Single Path One-Shot).
    """

    kernel: int

    def __post_init__(self) -> None:
        _check_kernel(self.kernel)

    @property
    def label(self) -> str:
        """Short name, such as `k5 shuffle`."""
        return f"k{self.kernel} shuffle"

    def unsupported_reason(self, inputs: int, outputs: int, stride: int) -> str:
        """See `InvertedResidual`."""
        return _misfit_of_halves(inputs, outputs, stride)


@dataclass(frozen=True)
class ShuffleXception:
    """Unit of ShuffleNetV2 with three 3x3 depthwise convolutions, each followed by a 1x1 (Single Path One-Shot)."""

    @property
    def kernel(self) -> int:
        """Kernel size of each depthwise convolution."""
        return 3

    @property
    def label(self) -> str:
        """Short name."""
        return "xception shuffle"

    def unsupported_reason(self, inputs: int, outputs: int, stride: int) -> str:
        """See `InvertedResidual`."""
        return _misfit_of_halves(inputs, outputs, stride)


@dataclass(frozen=True)
class Identity:
    """Identity if the shape stays; a 1x1 convolution with BN if it changes (as in NAS-Bench-Macro)."""

    @property
    def label(self) -> str:
        """Short name."""
        return "identity"

    def unsupported_reason(self, inputs: int, outputs: int, stride: int) -> str:
        """See `InvertedResidual`."""
        return ""


Block = InvertedResidual | Separable | ShuffleUnit | ShuffleXception | Identity


MOST = 65_536
"""Largest number of channels and the like: a space in a file may ask for a network that no machine can hold."""
_WIDEST_KERNEL = 255


def require_count(what: str, value: object, most: int = MOST) -> None:
    """Raise `SpaceError` unless the value is a whole number from 1 to `most`; spaces in files may hold anything."""
    if not isinstance(value, int) or isinstance(value, bool):
        raise SpaceError(f"{what} is {value!r}; give a whole number")
    if value < 1:
        raise SpaceError(f"{what} is {value}; give 1 or more")
    if value > most:
        raise SpaceError(f"{what} is {value}; give at most {most:,}")


def _check_kernel(kernel: int) -> None:
    require_count("kernel", kernel, _WIDEST_KERNEL)
    if kernel % 2 == 0:
        raise SpaceError(f"kernel is {kernel}; give an odd number")


def _misfit_of_halves(inputs: int, outputs: int, stride: int) -> str:
    passing = inputs // 2 if stride == 1 else inputs
    if stride == 1 and inputs % 2:
        return "a shuffle unit of stride 1 halves its input; give an even number of input channels"
    if outputs <= passing:
        return f"a shuffle unit passes {passing} channels on; give more than {passing} output channels"
    return ""
