"""Convolutions whose BN uses statistics that are computed at run time: those of a batch, or of a path.

With statistics of the batch, BN and activation use the fast passes of training (`kernels/batch_norm.py`), which also
give the statistics. With known statistics, BN is folded at run time, by multiplying the weights of the convolution.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from fairnas.kernels.batch_norm import ceiling_of, passes_for
from fairnas.kernels.running_statistics import RunningMoments


@dataclass(frozen=True, eq=False)
class Normalisation:
    """BN with known statistics: `x * scale + shift`, (C,) each."""

    scale: Tensor
    shift: Tensor


PartStatistics = Mapping[str, Normalisation]
"""Normalisations of all convolutions with BN in a module, by name (`named_modules`)."""


class NormalisedConvolution(nn.Module):
    """Convolution with its BN, and with the activation behind it if the fast passes include that.

    It keeps its weights in their dtype and computes in the dtype of its input.
    """

    def __init__(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, act: nn.Module | None) -> None:
        """Copy the weights; `act` is an activation with a ceiling, or None."""
        super().__init__()
        assert conv.padding_mode == "zeros", "a convolution of ours pads with zeros"
        assert not isinstance(conv.padding, str), "and by a number"
        self.weight = _fixed(conv.weight)
        self.bias = None if conv.bias is None else _fixed(conv.bias)
        self.norm_weight = _fixed(norm.weight) if norm.affine else None
        self.norm_bias = _fixed(norm.bias) if norm.affine else None
        self.eps = norm.eps
        self.ceiling = None if act is None else ceiling_of(act)
        assert act is None or self.ceiling is not None, "an activation without a ceiling stays by itself"
        self.shape = conv.stride, conv.padding, conv.dilation, conv.groups
        self.known: Normalisation | None = None
        """Normalisation to use; None for that of the batch."""
        self.noted: list[Normalisation] | None = None
        """List to which BN appends the normalisations that it used, or None."""
        self.eval()

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', P, Q)."""
        if self.known is None:
            return self._by_batch(self._convolved(input, self.weight, self.bias))
        scale, shift = self.known.scale, self.known.shift
        bias = shift if self.bias is None else torch.addcmul(shift, self.bias, scale)
        return self._clamped(self._convolved(input, self.weight * scale.view(-1, 1, 1, 1), bias))

    def _convolved(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        bias = None if bias is None else bias.to(input.dtype)
        return functional.conv2d(input, weight.to(input.dtype), bias, *self.shape)

    def _by_batch(self, features: Tensor) -> Tensor:
        """Apply BN and activation to features that are not used elsewhere."""
        passes = passes_for(features, self.norm_weight, self.norm_bias)
        if passes is None:
            if self.noted is not None:
                variance, mean = torch.var_mean(features.double(), dim=(0, 2, 3))  # unbiased, as in running statistics
                kind = torch.promote_types(features.dtype, torch.float32)
                self.noted.append(self._normalisation(mean.to(kind), variance.to(kind)))
            output = functional.batch_norm(
                features, None, None, self.norm_weight, self.norm_bias, training=True, eps=self.eps
            )
            return self._clamped(output)
        mean, variance = torch.zeros(2, features.shape[1], dtype=torch.float32, device=features.device)
        running = RunningMoments(mean, variance, speed=1.0)  # speed 1.0 replaces the statistics by those of the batch
        constants = passes.batch_constants(features, self.norm_weight, self.norm_bias, self.eps, running)
        if self.noted is not None:
            self.noted.append(self._normalisation(mean, variance))
        return passes.normalise_in_place(features, constants, self.ceiling)

    def _normalisation(self, mean: Tensor, variance: Tensor) -> Normalisation:
        scale = (variance + self.eps).rsqrt()
        scale = scale if self.norm_weight is None else scale * self.norm_weight
        shift = -mean * scale
        return Normalisation(scale, shift if self.norm_bias is None else shift + self.norm_bias)

    def _clamped(self, features: Tensor) -> Tensor:
        """Apply the activation to features that are not used elsewhere."""
        return features if self.ceiling is None else features.clamp_(0.0, self.ceiling)


def measure(part: nn.Module, features: Tensor) -> tuple[Tensor, PartStatistics]:
    """Run a part whose BN uses the batch; return output and statistics: exact means and unbiased variances."""
    found = _convolutions(part)
    notes: dict[str, list[Normalisation]] = {name: [] for name in found}
    try:
        for name, conv in found.items():
            conv.noted = notes[name]
        output = part(features)
    finally:
        for conv in found.values():
            conv.noted = None
    assert all(len(note) == 1 for note in notes.values()), "each convolution of a part runs once"
    return output, {name: note[0] for name, note in notes.items()}


def run_with(part: nn.Module, known: PartStatistics, features: Tensor) -> Tensor:
    """Run a part with known statistics, which were measured on a part of the same structure."""
    found = _convolutions(part)
    assert found.keys() == known.keys(), "statistics of another part"
    try:
        for name, conv in found.items():
            conv.known = known[name]
        return part(features)
    finally:
        for conv in found.values():
            conv.known = None


def _convolutions(part: nn.Module) -> dict[str, NormalisedConvolution]:
    return {name: each for name, each in part.named_modules() if isinstance(each, NormalisedConvolution)}


def _fixed(weight: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach().clone(), requires_grad=False)
