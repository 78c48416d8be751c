"""Gradients of depthwise convolutions on the CPU: of the input by torch, of the weight by `depthwise_llvm`."""

import torch
from torch import Tensor
from torch.nn import functional

from fairnas.kernels.depthwise_llvm import compiled
from fairnas.kernels.llvm import LANES, share_out


def input_gradient(input: Tensor, weight: Tensor, grad: Tensor, stride: int) -> Tensor:
    """See `depthwise.DepthwiseGradients`; computed by torch."""
    channels, _, kernel, _ = weight.shape
    if stride == 1:  # equal to a convolution with the flipped kernel, which torch computes in half the time
        return functional.conv2d(grad, weight.flip(2, 3), padding=kernel // 2, groups=channels)
    gradients = torch.ops.aten.convolution_backward(
        *(grad, input, weight, None, [stride] * 2, [kernel // 2] * 2, [1, 1], False, [0, 0], channels),
        [True, False, False],
    )
    return gradients[0]


def weight_gradient(input: Tensor, grad: Tensor, kernel: int, stride: int) -> Tensor:
    """See `depthwise.DepthwiseGradients`; fastest in channels_last format.

    Equal inputs give equal bits with any number of threads, because each thread sums channels of its own.
    """
    channels = input.shape[1]
    x, g = (_padded(tensor.detach().permute(0, 2, 3, 1), LANES) for tensor in (input, grad))
    (images, height, width, padded), (_, rows, columns, _) = x.shape, g.shape
    blocks = -(-padded // LANES)
    total = input.new_empty(blocks, kernel, kernel, LANES)
    code = compiled(kernel, stride)

    def run(first: int, last: int) -> None:
        buffer = input.new_zeros(width + 2 * (kernel // 2), LANES)
        sizes = (images, height, width, padded, rows, columns)
        code.run(x.data_ptr(), g.data_ptr(), total.data_ptr(), buffer.data_ptr(), *sizes, first, last)

    share_out(run, blocks, work=g.numel() * kernel * kernel)
    result = total.permute(0, 3, 1, 2).reshape(blocks * LANES, 1, kernel, kernel)
    rest = padded % LANES
    if rest > 0:  # the last block ends with the last channel, so it repeats channels of the block before it
        result = torch.cat([result[: padded - rest], result[-rest:]])
    return result[:channels]


def _padded(tensor: Tensor, lanes: int) -> Tensor:
    """Contiguous (B, H, W, C), padded with zero channels to a full block if there are fewer."""
    missing = lanes - tensor.shape[-1]
    return (functional.pad(tensor, (0, missing)) if missing > 0 else tensor).contiguous()
