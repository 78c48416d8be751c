"""Depthwise convolution whose gradients are fast.

torch computes the weight gradient of a depthwise convolution on the CPU 10 to 20 times slower than the convolution
itself, once the kernel is larger than 3; in a space of inverted residuals that is most of a supernet step. On a GPU it
is the gradient of the input that takes long: ten times a copy of it at kernel 7. These gradients are our own here
(`depthwise_cpu`, `depthwise_gpu`); the convolution stays torch's, to the bit.
"""

import functools
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable
from torch.nn import functional

from fairnas.kernels.self_check import example, relative_error, self_checked

_SMALLEST_KERNEL = 5  # on the CPU; at 3, torch is as fast
_FEWEST_NUMBERS_GPU = 1_000_000  # in a tensor; with fewer, torch takes less time than Python does here


class DepthwiseGradients(Protocol):
    """What a device must be able to do, for kernels k that are odd and padding k // 2."""

    def input_gradient(self, input: Tensor, weight: Tensor, grad: Tensor, stride: int) -> Tensor:
        """Gradient of a loss with respect to the input of a depthwise convolution.

        Args:
            input: (B, C, H, W).
            weight: (C, 1, k, k).
            grad: (B, C, P, Q), of the output.
            stride: along both axes.

        Returns:
            (B, C, H, W).
        """
        ...

    def weight_gradient(self, input: Tensor, grad: Tensor, kernel: int, stride: int) -> Tensor:
        """The same with respect to its weight, (C, 1, k, k)."""
        ...


class DepthwiseConv2d(nn.Conv2d):
    """`nn.Conv2d` with as many groups as channels, the same in every result but the last bits of its gradients.

    The fast gradients serve training with an odd square kernel, padding kernel // 2, and neither dilation nor bias: in
    float32 on the CPU, with kernels of at least 5; on a GPU with Triton also in half precision, with large tensors in
    channels_last format whose channels come in eights. Everything else (evaluation, export, autocast on the CPU, ...)
    is the plain convolution. Second derivatives of the fast gradients don't exist; asking for them is a RuntimeError.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, P, Q)."""
        gradients = self._gradients_for(input)
        if gradients is None:
            return super().forward(input)
        weight = self.weight
        if torch.is_autocast_enabled(input.device.type):  # torch's own convolution does the same
            kind = torch.get_autocast_dtype(input.device.type)
            input, weight = input.to(kind), weight.to(kind)
        return _Depthwise.apply(input, weight, self.stride[0], gradients)  # pyright: ignore[reportReturnType]

    def _gradients_for(self, input: Tensor) -> DepthwiseGradients | None:
        """None where the plain convolution is to be used."""
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
    """Our own gradients for an input, where they are faster than torch's; else None."""
    if input.device.type == "cpu":
        if input.dtype == torch.float32 and kernel >= _SMALLEST_KERNEL and not torch.is_autocast_enabled("cpu"):
            from fairnas.kernels import depthwise_cpu  # brings LLVM: only those who train pay for it

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
    """How far gradients of small inputs are from those of float64; that of the weight is torch's on a GPU."""
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
            ctx.gradients.weight_gradient(input, grad, weight.shape[-1], ctx.stride),  # always wanted: `_gradients_for`
            None,
            None,
        )
