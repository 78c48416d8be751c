"""Depthwise convolution whose training is fast on the CPU at kernels 5 and 7.

torch computes the weight gradient of a depthwise convolution on the CPU 10 to 20 times slower than the convolution
itself, once the kernel is larger than 3; in a space of inverted residuals that is most of a supernet step. Here this
one gradient is our own (`depthwise_kernel`); the forward pass stays torch's, to the bit.
"""

import itertools
import threading

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

_SMALLEST_KERNEL = 5  # at 3, torch is as fast
_WORK_OF_A_THREAD = (
    32_000_000  # multiply-adds, above a millisecond: with less, starting threads costs more than it brings
)


class DepthwiseConv2d(nn.Conv2d):
    """`nn.Conv2d` with as many groups as channels, the same in every result but the last bits of its gradients.

    The fast gradient serves training in float32 on the CPU, with an odd square kernel of at least 5, padding
    kernel // 2, and neither dilation nor bias. Everything else (evaluation, export, CUDA, autocast, ...) is the plain
    convolution. Second derivatives of the fast gradient don't exist; asking for them is a RuntimeError.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, P, Q)."""
        if self._is_fast_for(input):
            return _Depthwise.apply(input, self.weight, self.stride[0])  # pyright: ignore[reportReturnType]
        return super().forward(input)

    def _is_fast_for(self, input: Tensor) -> bool:
        kernel = self.kernel_size[0]
        return (
            self.training
            and kernel >= _SMALLEST_KERNEL
            and kernel % 2 == 1
            and torch.is_grad_enabled()
            and self.weight.requires_grad
            and not torch.compiler.is_compiling()
            and not torch.is_autocast_enabled("cpu")
            and all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in (input, self.weight))
            and type(input) in (Tensor, nn.Parameter)  # a subclass, such as a fake tensor, may have no memory to read
            and input.dim() == 4
            and self.groups == self.in_channels == self.out_channels == input.shape[1]
            and self.kernel_size == (kernel, kernel)
            and self.padding == (kernel // 2, kernel // 2)
            and self.padding_mode == "zeros"
            and self.dilation == (1, 1)
            and self.stride[0] == self.stride[1]
            and self.bias is None
        )


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, input: Tensor, weight: Tensor, stride: int) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.stride = stride  # pyright: ignore[reportAttributeAccessIssue]
        return functional.conv2d(input, weight, None, stride, weight.shape[-1] // 2, 1, weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        input, weight = ctx.saved_tensors
        return (
            input_gradient(input, weight, grad, ctx.stride) if ctx.needs_input_grad[0] else None,
            weight_gradient(input, grad, weight.shape[-1], ctx.stride),  # always wanted: see _is_fast_for
            None,
        )


def input_gradient(input: Tensor, weight: Tensor, grad: Tensor, stride: int) -> Tensor:
    """Gradient of a loss with respect to the input of a depthwise convolution, by torch.

    Args:
        input: (B, C, H, W).
        weight: (C, 1, k, k), k odd; the padding is k // 2.
        grad: (B, C, P, Q), of the output.
        stride: along both axes.

    Returns:
        (B, C, H, W).
    """
    channels, _, kernel, _ = weight.shape
    if stride == 1:  # the same sums as a convolution with the kernel turned around, which torch does in half the time
        return functional.conv2d(grad, weight.flip(2, 3), padding=kernel // 2, groups=channels)
    gradients = torch.ops.aten.convolution_backward(
        *(grad, input, weight, None, [stride] * 2, [kernel // 2] * 2, [1, 1], False, [0, 0], channels),
        [True, False, False],
    )
    return gradients[0]


def weight_gradient(input: Tensor, grad: Tensor, kernel: int, stride: int) -> Tensor:
    """Gradient of a loss with respect to the weight of a depthwise convolution, with padding kernel // 2.

    The same input gives the same bits, with any number of threads: they share out the channels, and no sum.

    Args:
        input: (B, C, H, W), float32 on the CPU; fastest in channels_last format.
        grad: (B, C, P, Q), of the output.
        kernel: odd.
        stride: along both axes.

    Returns:
        (C, 1, kernel, kernel).
    """
    from fairnas.nets.depthwise_kernel import compiled  # brings LLVM: only those who train pay for it
    from fairnas.nets.machine_code import LANES

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
    if rest > 0:  # the last block ends with the last channel, and repeats channels of the one before it
        result = torch.cat([result[: padded - rest], result[-rest:]])
    return result[:channels]


def _padded(tensor: Tensor, lanes: int) -> Tensor:
    """(B, H, W, C) without gaps in memory, and with zeros up to a full block of channels where there are fewer."""
    missing = lanes - tensor.shape[-1]
    return (functional.pad(tensor, (0, missing)) if missing > 0 else tensor).contiguous()


def share_out(run, blocks: int, work: int) -> None:
    """Call `run(first, last)` over all blocks, on as many threads as torch may use and the work is worth."""
    count = max(1, min(torch.get_num_threads(), blocks, work // _WORK_OF_A_THREAD))
    bounds = [blocks * index // count for index in range(count + 1)]
    mine, *others = itertools.pairwise(bounds)
    helpers = [threading.Thread(target=run, args=shares) for shares in others]
    for helper in helpers:
        helper.start()
    run(*mine)
    for helper in helpers:
        helper.join()
