"""Weights that contain smaller ones: the first channels of a tensor, and the centre of its kernels."""

from collections.abc import Sequence

from torch import Tensor


def inner(whole: Tensor, shape: Sequence[int]) -> Tensor:
    """View of the part of a weight, or of a BN's row, that a smaller one of `shape` uses.

    Args:
        whole: (C,), or (C', C, k, k).
        shape: same number of axes, none larger; kernel sizes are odd in both.
    """
    for axis, size in enumerate(shape):
        first = (whole.shape[axis] - size) // 2 if axis >= 2 else 0
        whole = whole.narrow(axis, first, size)
    return whole
