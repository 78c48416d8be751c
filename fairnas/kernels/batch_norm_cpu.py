"""BN with activation in training, on the CPU: calls of the machine code of `batch_norm_llvm`."""

import torch
from torch import Tensor

from fairnas.kernels.batch_norm_llvm import COEFFICIENTS, CONSTANTS, compiled
from fairnas.kernels.llvm import LANES, share_out
from fairnas.kernels.running_statistics import FEWEST_CHANNELS, RunningMoments

_ROWS_OF_A_SHARE = 1024  # rows that one thread sums; more in large tensors, so that there are at most _SHARES
_SHARES = 64
_WORK_FORWARD, _WORK_BACKWARD = 8, 16  # cost per number, in multiply-adds that take as long


def batch_constants(
    input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, running: RunningMoments | None
) -> Tensor:
    """See `batch_norm.Passes`; the rows of the table are `batch_norm_llvm.CONSTANTS`, (6, C)."""
    rows, channels = _table(input)
    weight = input.new_ones(channels) if weight is None else weight.detach().contiguous()
    bias = input.new_zeros(channels) if bias is None else bias.detach().contiguous()
    totals, rows_of_share = _totals(input)
    constants = input.new_empty(len(CONSTANTS), channels)
    code = compiled(None)
    x, sums, shares = input.data_ptr(), totals.data_ptr(), totals.shape[0]
    share_out(
        lambda first, last: code.sums(x, sums, rows, channels, rows_of_share, first, last),
        shares,
        work=input.numel() * _WORK_FORWARD,
    )
    code.constants(sums, weight.data_ptr(), bias.data_ptr(), constants.data_ptr(), rows, channels, shares, eps)
    if running is not None:
        running.mean.lerp_(constants[CONSTANTS.index("mean")], running.speed)
        running.variance.lerp_(constants[CONSTANTS.index("variance")], running.speed)
    return constants


def normalise(input: Tensor, constants: Tensor, ceiling: float | None) -> Tensor:
    """See `batch_norm.Passes`."""
    rows, channels = _table(input)
    output = torch.empty_like(input)
    run = compiled(ceiling).normalise
    addresses = [tensor.data_ptr() for tensor in (input, constants, output)]
    share_out(lambda first, last: run(*addresses, channels, first, last), rows, work=input.numel() * _WORK_FORWARD)
    return output


def normalise_in_place(input: Tensor, constants: Tensor, ceiling: float | None) -> Tensor:
    """See `batch_norm.Passes`. Not in place if blocks of channels overlap: overwritten numbers would be read again."""
    rows, channels = _table(input)
    if channels % LANES:
        return normalise(input, constants, ceiling)
    run = compiled(ceiling).normalise_in_place
    addresses = input.data_ptr(), constants.data_ptr()
    share_out(lambda first, last: run(*addresses, channels, first, last), rows, work=input.numel() * _WORK_FORWARD)
    return input


def gradient_coefficients(input: Tensor, grad: Tensor, constants: Tensor, ceiling: float | None) -> Tensor:
    """See `batch_norm.Passes`; the rows of the table are `batch_norm_llvm.COEFFICIENTS`, (4, C)."""
    rows, channels = _table(input)
    totals, rows_of_share = _totals(input)
    coefficients = input.new_empty(len(COEFFICIENTS), channels)
    code = compiled(ceiling)
    addresses = [tensor.data_ptr() for tensor in (input, grad, constants, totals)]
    share_out(
        lambda first, last: code.gradient_sums(*addresses, rows, channels, rows_of_share, first, last),
        totals.shape[0],
        work=input.numel() * _WORK_BACKWARD,
    )
    code.coefficients(totals.data_ptr(), constants.data_ptr(), coefficients.data_ptr(), rows, channels, totals.shape[0])
    return coefficients


def input_gradient(
    input: Tensor, grad: Tensor, constants: Tensor, coefficients: Tensor, ceiling: float | None
) -> Tensor:
    """See `batch_norm.Passes`."""
    rows, channels = _table(input)
    result = torch.empty_like(input)
    run = compiled(ceiling).gradient
    addresses = [tensor.data_ptr() for tensor in (input, grad, constants, coefficients, result)]
    share_out(lambda first, last: run(*addresses, channels, first, last), rows, work=input.numel() * _WORK_BACKWARD)
    return result


def _table(input: Tensor) -> tuple[int, int]:
    """Numbers of rows (pixels of all images) and of channels."""
    channels = input.shape[1]
    return input.numel() // channels, channels


def _totals(input: Tensor) -> tuple[Tensor, int]:
    """Empty tensor for the sums of each share of rows, and the number of rows per share."""
    rows, channels = _table(input)
    rows_of_share = max(_ROWS_OF_A_SHARE, -(-rows // _SHARES))
    shares, blocks = -(-rows // rows_of_share), -(-channels // FEWEST_CHANNELS)
    return input.new_empty(shares, blocks, 2, FEWEST_CHANNELS, dtype=torch.float64), rows_of_share
