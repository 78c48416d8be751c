"""BN with fast and exact training, fused with the activation that follows it.

On the CPU, in channels_last format, torch's BN sums in single precision: on 64 images of 32 x 32 its variances have an
error of 2e-5, and so have its gradients. On every device, the activation then passes over the tensor once more, forward
and backward. Here BN and activation share their passes: machine code that sums in double precision on the CPU
(`batch_norm_cpu`), and Triton on a GPU (`batch_norm_gpu`).
"""

import functools
import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from fairnas.kernels.running_statistics import FEWEST_CHANNELS, RunningMoments
from fairnas.kernels.self_check import example, relative_error, self_checked

_FEWEST_NUMBERS = 65_536  # in a tensor; with fewer, the overhead of Python exceeds what is gained
_FEWEST_NUMBERS_GPU = 1_000_000  # likewise on a GPU, without a CUDA graph
_CEILINGS: dict[type[nn.Module], float] = {nn.ReLU: math.inf, nn.ReLU6: 6.0}


class Passes(Protocol):
    """Operations that a device provides; tensors are (B, C, H, W) in channels_last format, tables (rows, C).

    `ceiling` belongs to the activation: values are clamped to [0, ceiling], or not at all if it is None.
    """

    def batch_constants(
        self, input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float, running: RunningMoments | None
    ) -> Tensor:
        """Table of constants of a batch, one column per channel. Updates the running statistics.

        Args:
            input: (B, C, H, W), to be normalised.
            weight: (C,), or None for ones.
            bias: (C,), or None for zeros.
            eps: added to the variance.
            running: running statistics, (C,) each, or None.
        """
        ...

    def normalise(self, input: Tensor, constants: Tensor, ceiling: float | None) -> Tensor:
        """Apply BN, with the constants of the batch, and the activation."""
        ...

    def normalise_in_place(self, input: Tensor, constants: Tensor, ceiling: float | None) -> Tensor:
        """Same as `normalise`, but may overwrite `input`, which must not be used afterwards."""
        ...

    def gradient_coefficients(self, input: Tensor, grad: Tensor, constants: Tensor, ceiling: float | None) -> Tensor:
        """Table of coefficients for the gradients, one column per channel; `grad` is the gradient of the output.

        The first two rows are the gradients of weight and bias.
        """
        ...

    def input_gradient(
        self, input: Tensor, grad: Tensor, constants: Tensor, coefficients: Tensor, ceiling: float | None
    ) -> Tensor:
        """Gradient of the loss with respect to the input."""
        ...


class BatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d` with equal results up to the last bits, which are more accurate here.

    The fast passes are used in training, for large tensors in channels_last format: in float32 on the CPU; on a GPU
    with Triton also in half precision under autocast, if the number of channels is a multiple of 8. Everything else
    (evaluation, export, autocast on the CPU, ...) uses torch's BN. Second derivatives of the fast passes raise a
    RuntimeError.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        passes = self._passes_for(input)
        return super().forward(input) if passes is None else self._activated(passes, input, None)

    def followed_by(self, act: nn.Module, input: Tensor) -> Tensor:
        """Compute `act(self(input))`, as one operation if that is faster and neither has a hook."""
        if type(act) not in _CEILINGS or _has_hooks(self) or _has_hooks(act):
            return act(self(input))
        passes = self._passes_for(input)
        return act(super().forward(input)) if passes is None else self._activated(passes, input, _CEILINGS[type(act)])

    def _passes_for(self, input: Tensor) -> Passes | None:
        """Fast passes for an input; None if torch's BN is to be used."""
        if self.training and input.dim() == 4 and self.num_features == input.shape[1]:
            return passes_for(input, self.weight, self.bias, self.running_mean, self.running_var)
        return None

    def _activated(self, passes: Passes, input: Tensor, ceiling: float | None) -> Tensor:
        running = self._running() if self.track_running_stats else None
        constants = passes.batch_constants(input, self.weight, self.bias, self.eps, running)
        return _Normalise.apply(input, self.weight, self.bias, constants, ceiling, passes)  # pyright: ignore[reportReturnType]

    def _running(self) -> RunningMoments | None:
        """Running statistics to update as `nn.BatchNorm2d` does in training; counts the batch."""
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:  # momentum None: cumulative mean over all batches
            share = 0.0 if self.num_batches_tracked is None else 1 / float(self.num_batches_tracked)
        if self.running_mean is None or self.running_var is None:
            return None
        return RunningMoments(self.running_mean, self.running_var, share)


def _has_hooks(module: nn.Module) -> bool:
    hooks = (module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks)
    return any(hooks)


def ceiling_of(act: nn.Module) -> float | None:
    """Upper bound of an activation that the passes can include; None for other activations."""
    return _CEILINGS.get(type(act))


def passes_for(input: Tensor, *tables: Tensor | None) -> Passes | None:
    """Fast passes for a batch that is normalised by its own statistics; None if they cannot be used.

    Args:
        input: (B, C, H, W).
        tables: parameters and statistics of BN, (C,) each.
    """
    if (
        not torch.compiler.is_compiling()
        and input.dim() == 4
        and input.shape[1] >= FEWEST_CHANNELS
        and input.numel() > input.shape[1]  # with one number per channel torch raises an error
        and input.is_contiguous(memory_format=torch.channels_last)
        and all(
            tensor.device == input.device
            and (tensor is input or (tensor.dtype == torch.float32 and tensor.is_contiguous()))
            and type(tensor) in (Tensor, nn.Parameter)  # a subclass, such as a fake tensor, may have no memory
            for tensor in (input, *tables)
            if tensor is not None
        )
    ):
        return passes_of(input)
    return None


def passes_of(input: Tensor) -> Passes | None:
    """Fast passes of a device for a tensor; None if torch's BN is faster."""
    if input.device.type == "cpu":
        if input.dtype == torch.float32 and input.numel() >= _FEWEST_NUMBERS and not torch.is_autocast_enabled("cpu"):
            from fairnas.kernels import batch_norm_cpu  # loads LLVM, so it is imported only for training

            return batch_norm_cpu
    elif input.device.type == "cuda" and input.numel() >= _FEWEST_NUMBERS_GPU and input.shape[1] % 8 == 0:
        return _passes_of_gpu(input.device, input.dtype)
    return None


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        constants: Tensor,
        ceiling: float | None,
        passes: Passes,
    ) -> Tensor:
        ctx.save_for_backward(input, constants)
        ctx.ceiling, ctx.passes = ceiling, passes  # pyright: ignore[reportAttributeAccessIssue]
        return passes.normalise(input, constants, ceiling)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        input, constants = ctx.saved_tensors
        of_input, of_weight, of_bias = ctx.needs_input_grad[:3]
        grad = grad.contiguous(memory_format=torch.channels_last)
        coefficients = ctx.passes.gradient_coefficients(input, grad, constants, ctx.ceiling)
        return (
            ctx.passes.input_gradient(input, grad, constants, coefficients, ctx.ceiling) if of_input else None,
            coefficients[0] if of_weight else None,
            coefficients[1] if of_bias else None,
            None,
            None,
            None,
        )


@functools.cache
def _passes_of_gpu(device: torch.device, dtype: torch.dtype) -> Passes | None:
    def load() -> Passes:
        from fairnas.kernels import batch_norm_gpu

        return batch_norm_gpu

    return self_checked("BN", load, error_of, device, dtype)


def error_of(passes: Passes, device: torch.device, dtype: torch.dtype) -> float:
    """Relative error of BN with activation, and of its gradients, compared with float64, on small tensors."""
    examples: tuple[tuple[tuple[int, ...], float | None], ...] = (
        ((2, 24, 9, 9), 6.0),
        ((8, 64, 8, 8), None),
        ((8, 16, 12, 12), math.inf),
    )
    return max(_error_of_example(passes, device, dtype, *each) for each in examples)


def _error_of_example(
    passes: Passes, device: torch.device, dtype: torch.dtype, shape: tuple[int, ...], ceiling: float | None
) -> float:
    channels = shape[1]
    # other numbers for each
    x, grad = (example(*shape, first=first, device=device, dtype=dtype) for first in (0, 5000))
    weight, bias = torch.linspace(0.5, 3, channels, device=device), torch.linspace(-1, 3, channels, device=device)
    statistics = [torch.full((channels,), 2.0, device=device) for _ in range(2)]
    exact = [each.double() for each in statistics]
    given = [each.double().requires_grad_() for each in (x, weight, bias)]
    output = nn.functional.batch_norm(given[0], exact[0], exact[1], given[1], given[2], training=True, momentum=0.3)
    output = output if ceiling is None else output.clamp(0.0, ceiling)
    truth = [output.detach(), *torch.autograd.grad(output, given, grad.double()), *exact]
    constants = passes.batch_constants(x, weight, bias, 1e-5, RunningMoments(statistics[0], statistics[1], 0.3))
    coefficients = passes.gradient_coefficients(x, grad, constants, ceiling)
    found = [
        passes.normalise(x, constants, ceiling),
        passes.input_gradient(x, grad, constants, coefficients, ceiling),
        *coefficients[:2],
        *statistics,
    ]
    return relative_error(found, truth)
