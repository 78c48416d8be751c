"""Depthwise convolution with fast gradients.

On the CPU, torch's weight gradient of a depthwise convolution is 10 to 20 times slower than the convolution itself if
the kernel is larger than 3; in a space of inverted residuals this is most of a supernet step. On a GPU, the input
gradient is slow: at kernel 7 it takes ten times as long as copying the input. These two gradients are replaced
(`depthwise_cpu`, `depthwise_gpu`); the convolution itself is torch's, bit for bit.
"""

import functools
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from fairnas.kernels.self_check import example, relative_error, self_checked

_SMALLEST_KERNEL = 5  # on the CPU; at kernel 3 torch is as fast
_FEWEST_NUMBERS_GPU = 1_000_000  # in a tensor; with fewer, the overhead of Python exceeds what is gained


class DepthwiseGradients(Protocol):
    """Operations that a device provides, for odd kernels k and padding k // 2."""

    def input_gradient(self, input: Tensor, weight: Tensor, grad: Tensor, stride: int) -> Tensor:
        """Gradient of the loss with respect to the input of a depthwise convolution.

        Args:
            input: (B, C, H, W).
            weight: (C, 1, k, k).
            grad: (B, C, P, Q), gradient of the output.
            stride: along both axes.

        Returns:
            (B, C, H, W).
        """
        ...

    def weight_gradient(self, input: Tensor, grad: Tensor, kernel: int, stride: int) -> Tensor:
        """Gradient with respect to the weight, (C, 1, k, k); arguments as above."""
        ...


class DepthwiseConv2d(nn.Conv2d):
    """`nn.Conv2d` with one group per channel; results are equal, gradients up to the last bits.

    The fast gradients are used in training with an odd square kernel, padding kernel // 2, and neither dilation nor
    bias: in float32 on the CPU, for kernels of at least 5; on a GPU with Triton also in half precision, for large
    tensors in channels_last format whose number of channels is a multiple of 8. Everything else (evaluation, export,
    autocast on the CPU, ...) uses torch's convolution. Second derivatives of the fast gradients raise a RuntimeError.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, P, Q)."""
        gradients = self._gradients_for(input)
        if gradients is None:
            return super().forward(input)
        weight = self.weight
        # torch's convolution casts under autocast, so this must as well
        if torch.is_autocast_enabled(input.device.type):
            kind = torch.get_autocast_dtype(input.device.type)
            input, weight = input.to(kind), weight.to(kind)
        return _Depthwise.apply(input, weight, self.stride[0], gradients)  # pyright: ignore[reportReturnType]

    def _gradients_for(self, input: Tensor) -> DepthwiseGradients | None:
        """Fast gradients for an input; None if torch's are to be used."""
        kernel = self.kernel_size[0]
        if (
            self.training
            and kernel > 1
            and kernel % 2 == 1
            and torch.is_grad_enabled()
            and self.weight.requires_grad
            and not torch.compiler.is_compiling()
            and self.weight.dtype == torch.float32
            and self.weight.device == input.device
            and type(input) in (Tensor, nn.Parameter)  # a subclass, such as a fake tensor, may have no memory to read
            and input.dim() == 4
            and self.groups == self.in_channels == self.out_channels == input.shape[1]
            and self.kernel_size == (kernel, kernel)
            and self.padding == (kernel // 2, kernel // 2)
            and self.padding_mode == "zeros"
            and self.dilation == (1, 1)
            and self.stride[0] == self.stride[1]
            and self.bias is None
        ):
            return gradients_of(input, kernel)
        return None


def gradients_of(input: Tensor, kernel: int) -> DepthwiseGradients | None:
    """Fast gradients of a device for an input; None if torch's are faster."""
    if input.device.type == "cpu":
        if input.dtype == torch.float32 and kernel >= _SMALLEST_KERNEL and not torch.is_autocast_enabled("cpu"):
            from fairnas.kernels import depthwise_cpu  # loads LLVM, so it is imported only for training

            return depthwise_cpu
    elif (
        input.device.type == "cuda"
        and input.numel() >= _FEWEST_NUMBERS_GPU
        and input.shape[1] % 8 == 0
        and input.is_contiguous(memory_format=torch.channels_last)
    ):
        autocast = torch.is_autocast_enabled("cuda")
        return _gradients_of_gpu(input.device, torch.get_autocast_dtype("cuda") if autocast else input.dtype)
    return None


@functools.cache
def _gradients_of_gpu(device: torch.device, dtype: torch.dtype) -> DepthwiseGradients | None:
    def load() -> DepthwiseGradients:
        from fairnas.kernels import depthwise_gpu

        return depthwise_gpu

    return self_checked("the gradient of depthwise convolutions", load, error_of, device, dtype)


def error_of(gradients: DepthwiseGradients, device: torch.device, dtype: torch.dtype) -> float:
    """Relative error of the gradients compared with float64, on small inputs; on a GPU the weight's is torch's."""
    examples = ((24, 9, 5, 1), (64, 7, 3, 2), (16, 8, 7, 2))
    return max(_error_of_example(gradients, device, dtype, *each) for each in examples)


def _error_of_example(
    gradients: DepthwiseGradients,
    device: torch.device,
    dtype: torch.dtype,
    channels: int,
    side: int,
    kernel: int,
    stride: int,
) -> float:
    after = -(-side // stride)
    x = example(2, channels, side, side, first=0, device=device, dtype=dtype)
    weight = example(channels, kernel**2, first=5000, device=device, dtype=dtype).view(channels, 1, kernel, kernel)
    grad = example(2, channels, after, after, first=9000, device=device, dtype=dtype)
    given = [each.double().requires_grad_() for each in (x, weight)]
    output = functional.conv2d(given[0], given[1], None, stride, kernel // 2, 1, channels)
    truth = torch.autograd.grad(output, given[0], grad.double())
    return relative_error([gradients.input_gradient(x, weight, grad, stride)], truth)


class _Depthwise(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, input: Tensor, weight: Tensor, stride: int, gradients: DepthwiseGradients) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.stride, ctx.gradients = stride, gradients  # pyright: ignore[reportAttributeAccessIssue]
        return functional.conv2d(input, weight, None, stride, weight.shape[-1] // 2, 1, weight.shape[0])

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        input, weight = ctx.saved_tensors
        if input.device.type != "cpu":
            grad = grad.contiguous(memory_format=torch.channels_last)
        return (
            ctx.gradients.input_gradient(input, weight, grad, ctx.stride) if ctx.needs_input_grad[0] else None,
            # always needed: `_gradients_for` checks it
            ctx.gradients.weight_gradient(input, grad, weight.shape[-1], ctx.stride),
            None,
            None,
        )
