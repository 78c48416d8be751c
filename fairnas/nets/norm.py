"""BN whose training is fast and exact on the CPU, together with the activation that follows it.

In channels_last format torch's BN adds up in single precision: on 64 images of 32 x 32 its variances are off by 2e-5,
and so are its gradients. And the activation after it passes over the tensor once more, in both directions. Here
(`norm_kernel`) sums are in double precision, and the activation goes along in BN's own passes.
"""

import math

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx, once_differentiable

from fairnas.nets.depthwise import share_out

FEWEST_CHANNELS = 16
"""With fewer, BN is torch's: they would not fill a block of channels, `machine_code.LANES`."""

_FEWEST_NUMBERS = 65_536  # in a tensor; with fewer, torch takes less time than Python does here
_CEILINGS: dict[type[nn.Module], float] = {nn.ReLU: math.inf, nn.ReLU6: 6.0}
_ROWS_OF_A_SHARE = 1024  # that one thread adds up alone; more in large tensors, so that there are no more than _SHARES
_SHARES = 64
_WORK_FORWARD, _WORK_BACKWARD = 8, 16  # on each number, in multiply-adds that take as long


class BatchNorm2d(nn.BatchNorm2d):
    """`nn.BatchNorm2d`, the same in every result but the last bits, where it is closer to the truth.

    The fast way serves training in float32 on the CPU, with tensors in channels_last format that are not small.
    Everything else (evaluation, export, CUDA, autocast, ...) is the plain BN. Second derivatives of the fast way don't
    exist; asking for them is a RuntimeError.
    """

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H, W)."""
        return self._activated(input, None) if self._is_fast_for(input) else super().forward(input)

    def followed_by(self, act: nn.Module, input: Tensor) -> Tensor:
        """`act(self(input))`; one operation instead of two where that is fast, unless a hook waits for either."""
        if not self._is_fast_for(input) or type(act) not in _CEILINGS or _has_hooks(self) or _has_hooks(act):
            return act(self(input))
        return self._activated(input, _CEILINGS[type(act)])

    def _is_fast_for(self, input: Tensor) -> bool:
        return (
            self.training
            and not torch.compiler.is_compiling()
            and not torch.is_autocast_enabled("cpu")
            and input.dim() == 4
            and self.num_features == input.shape[1] >= FEWEST_CHANNELS
            and input.numel() >= max(_FEWEST_NUMBERS, 2 * input.shape[1])  # of one per channel torch complains
            and input.is_contiguous(memory_format=torch.channels_last)
            and all(
                tensor.device.type == "cpu"
                and tensor.dtype == torch.float32
                and type(tensor) in (Tensor, nn.Parameter)  # a subclass, such as a fake tensor, may have no memory
                for tensor in (input, self.weight, self.bias, self.running_mean, self.running_var)
                if tensor is not None
            )
        )

    def _activated(self, input: Tensor, ceiling: float | None) -> Tensor:
        constants = batch_constants(input, self.weight, self.bias, self.eps)
        if self.track_running_stats:
            self._track(mean=constants[0], variance=constants[5])
        return _Normalise.apply(input, self.weight, self.bias, constants, ceiling)  # pyright: ignore[reportReturnType]

    def _track(self, mean: Tensor, variance: Tensor) -> None:
        """As `nn.BatchNorm2d` does in training."""
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        share = self.momentum
        if share is None:  # the mean over all batches
            share = 0.0 if self.num_batches_tracked is None else 1 / float(self.num_batches_tracked)
        for running, new in ((self.running_mean, mean), (self.running_var, variance)):
            if running is not None:
                running.lerp_(new, share)


def _has_hooks(module: nn.Module) -> bool:
    hooks = (module._forward_pre_hooks, module._forward_hooks, module._backward_pre_hooks, module._backward_hooks)
    return any(hooks)


class _Normalise(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx,
        input: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        constants: Tensor,
        ceiling: float | None,
    ) -> Tensor:
        ctx.save_for_backward(input, constants)
        ctx.ceiling = ceiling  # pyright: ignore[reportAttributeAccessIssue]
        return normalise(input, constants, ceiling)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        input, constants = ctx.saved_tensors
        of_input, of_weight, of_bias, _, _ = ctx.needs_input_grad
        grad = grad.contiguous(memory_format=torch.channels_last)
        coefficients = gradient_coefficients(input, grad, constants, ctx.ceiling)
        return (
            input_gradient(input, grad, constants, coefficients, ctx.ceiling) if of_input else None,
            coefficients[0] if of_weight else None,
            coefficients[1] if of_bias else None,
            None,
            None,
        )


def batch_constants(input: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """What BN knows of each channel of a batch.

    Args:
        input: (B, C, H, W), float32 on the CPU, in channels_last format.
        weight: (C,), or None for ones.
        bias: (C,), or None for zeros.
        eps: added to the variance.

    Returns:
        The rows of `norm_kernel.CONSTANTS`, (6, C): among them the mean, and the variance without bias.
    """
    from fairnas.nets.norm_kernel import CONSTANTS, compiled  # brings LLVM: only those who train pay for it

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
    return constants


def normalise(input: Tensor, constants: Tensor, ceiling: float | None) -> Tensor:
    """BN with the constants of its batch, clamped to 0 to `ceiling`, or without activation for None."""
    from fairnas.nets.norm_kernel import compiled

    rows, channels = _table(input)
    output = torch.empty_like(input)
    run = compiled(ceiling).normalise
    addresses = [tensor.data_ptr() for tensor in (input, constants, output)]
    share_out(lambda first, last: run(*addresses, channels, first, last), rows, work=input.numel() * _WORK_FORWARD)
    return output


def gradient_coefficients(input: Tensor, grad: Tensor, constants: Tensor, ceiling: float | None) -> Tensor:
    """What the gradients need to know of each channel.

    Args:
        input: (B, C, H, W), as for `batch_constants`.
        grad: of the output, in the same format.
        constants: of the batch.
        ceiling: of the activation, as for `normalise`.

    Returns:
        The rows of `norm_kernel.COEFFICIENTS`, (4, C): the first two are the gradients of weight and bias.
    """
    from fairnas.nets.norm_kernel import COEFFICIENTS, compiled

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
    """Gradient of a loss with respect to the input; arguments as for `gradient_coefficients`."""
    from fairnas.nets.norm_kernel import compiled

    rows, channels = _table(input)
    result = torch.empty_like(input)
    run = compiled(ceiling).gradient
    addresses = [tensor.data_ptr() for tensor in (input, grad, constants, coefficients, result)]
    share_out(lambda first, last: run(*addresses, channels, first, last), rows, work=input.numel() * _WORK_BACKWARD)
    return result


def _table(input: Tensor) -> tuple[int, int]:
    """Rows (pixels of all images) and channels."""
    channels = input.shape[1]
    return input.numel() // channels, channels


def _totals(input: Tensor) -> tuple[Tensor, int]:
    """Room for the sums of each share of rows, and how many rows a share has."""
    rows, channels = _table(input)
    rows_of_share = max(_ROWS_OF_A_SHARE, -(-rows // _SHARES))
    shares, blocks = -(-rows // rows_of_share), -(-channels // FEWEST_CHANNELS)
    return input.new_empty(shares, blocks, 2, FEWEST_CHANNELS, dtype=torch.float64), rows_of_share
