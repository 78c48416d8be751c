"""Weights that hold smaller ones: the first channels of a tensor, and the centre of its kernels."""

from collections.abc import Sequence

from torch import Tensor


def inner(whole: Tensor, shape: Sequence[int]) -> Tensor:
    """The part of a weight, or of a BN's row, that a smaller one of `shape` uses; a view.

    Args:
        whole: (C,), or (C', C, k, k).
        shape: as many numbers, none larger; kernels of odd size, as the whole's.
    """
    for axis, size in enumerate(shape):
        first = (whole.shape[axis] - size) // 2 if axis >= 2 else 0
        whole = whole.narrow(axis, first, size)
    return whole
