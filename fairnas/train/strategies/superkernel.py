"""Superkernels: an inverted residual that contains all others of its layer, and the decision how much of it is used."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from fairnas.space import Identity, InvertedResidual, Layer

DEPTHWISE, PROJECTION = "1.0.weight", "2.0.weight"
"""Names of two weights of an inverted residual."""


@dataclass(frozen=True)
class Grid:
    """Choices of a layer: every kernel with every expansion, and an identity if a layer may be skipped."""

    kernels: tuple[int, ...]
    expansions: tuple[int, ...]
    places: dict[tuple[int, int], int]
    """Choice with a given kernel and expansion."""
    skip: int | None

    @staticmethod
    def of(layer: Layer) -> "Grid | None":
        """Grid of a layer; None if its choices are something else."""
        places, skips, activations = {}, [], set()
        for choice, block in enumerate(layer.choices):
            if isinstance(block, Identity) and layer.keeps_shape:
                skips.append(choice)
            elif isinstance(block, InvertedResidual) and block.groups == 1 and not block.squeeze:
                places[block.kernel, block.expansion] = choice
                activations.add(block.activation)
            else:
                return None
        kernels, expansions = (
            (tuple(sorted(set(values))) for values in zip(*places, strict=True)) if places else ((), ())
        )
        whole = len(places) == len(kernels) * len(expansions) > 0 and len(places) + len(skips) == len(layer.choices)
        if not whole or len(skips) > 1 or len(activations) > 1:
            return None
        return Grid(kernels, expansions, places, skips[0] if skips else None)

    @property
    def largest(self) -> int:
        """Choice that contains all others."""
        return self.places[self.kernels[-1], self.expansions[-1]]

    @property
    def indicators(self) -> int:
        """Number of indicators: one per further kernel and expansion, and one for the layer if it may be skipped."""
        return len(self.kernels) + len(self.expansions) - 2 + (self.skip is not None)

    def decide(self, weight: Tensor, thresholds: Tensor, kept: Tensor) -> "Decision":
        """Decide by thresholds which part of a depthwise superkernel is used.

        A ring around the inner kernel opens if its norm is above its threshold; likewise a band of further channels,
        and the layer itself. An open gate is 1, with the gradient of a sigmoid.

        Args:
            weight: (C, 1, k, k), the largest kernel of the largest expansion.
            thresholds: one for each indicator.
            kept: 1, or 0 for an indicator that is forced shut.
        """
        gates = zip(thresholds.unbind(), kept.unbind(), strict=True)

        def opens(part: Tensor) -> Tensor:
            threshold, may = next(gates)
            return may * step_function(torch.linalg.vector_norm(part) - threshold)

        one, side = weight.new_ones(()), weight.shape[-1]
        pads = [(side - kernel) // 2 for kernel in self.kernels]
        squares = [nn.functional.pad(weight.new_ones(side - 2 * pad, side - 2 * pad), [pad] * 4) for pad in pads]
        kernel, rings = weight * squares[0], [one]
        for within, around in itertools.pairwise(squares):
            ring = weight * (around - within)
            rings.append(rings[-1] * opens(ring))
            kernel = kernel + rings[-1] * ring
        widths = [len(weight) * expansion // self.expansions[-1] for expansion in self.expansions]
        bands = [one]
        for first, end in itertools.pairwise(widths):
            bands.append(bands[-1] * opens(kernel[first:end]))
        there = one if self.skip is None else opens(kernel[: widths[0]])
        sizes = torch.tensor([widths[0], *(end - first for first, end in itertools.pairwise(widths))]).to(weight.device)
        channels = torch.repeat_interleave(torch.stack(bands), sizes, output_size=len(weight))
        return Decision(kernel, channels, there, self._shares(rings, bands, there))

    def _shares(self, rings: Sequence[Tensor], bands: Sequence[Tensor], there: Tensor) -> Tensor:
        """Share of each choice, (m,): 1 for the selected choice, else 0."""
        shares = {} if self.skip is None else {self.skip: 1 - there}
        for (size, kernel), (wide, expansion) in itertools.product(
            zip(_last_of(rings), self.kernels, strict=True), zip(_last_of(bands), self.expansions, strict=True)
        ):
            shares[self.places[kernel, expansion]] = there * size * wide
        return torch.stack([shares[choice] for choice in range(len(shares))])


@dataclass(frozen=True, eq=False)
class Decision:
    """Decision of thresholds about a superkernel, with gradients to them and to the weights."""

    kernel: Tensor
    """(C, 1, k, k), zero outside the open rings."""
    channels: Tensor
    """(C,): 1 if a channel is used, else 0."""
    there: Tensor
    """1, or 0 if the layer is skipped."""
    shares: Tensor
    """(m,): share of each choice."""

    def run(self, block: nn.Module, features: Tensor) -> Tensor:
        """Output of the layer; `block` has the largest superkernel."""
        projection = block.get_parameter(PROJECTION) * self.channels.reshape(1, -1, 1, 1)
        weights = {DEPTHWISE: self.kernel, PROJECTION: projection}
        added = functional_call(block, weights, (features,), {"with_shortcut": False})
        return self.there * added + features if getattr(block, "shortcut", False) else added


def step_function(x: Tensor) -> Tensor:
    """1 where x > 0, else 0, with the gradient of a sigmoid."""
    soft = torch.sigmoid(x)
    return (x > 0).to(x.dtype) + (soft - soft.detach())


def _last_of(opened: Sequence[Tensor]) -> list[Tensor]:
    """Indicator of the last open gate among gates that open one inside the other: 1, else 0."""
    return [gate - after for gate, after in zip(opened, [*opened[1:], torch.zeros_like(opened[0])], strict=True)]
