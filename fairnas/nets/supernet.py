"""Supernet: all choice blocks of a space with their weights; a genome selects a path (paper 2.2)."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from fairnas.nets.blocks import Chain, Head, make_block, make_stem, materialise
from fairnas.randomness import derived_seed
from fairnas.space import SearchSpace


class Supernet(nn.Module):
    """All networks of a space at once. `supernet(images, genome)` runs the path of one genome.

    Every choice block has its own weights and its own BN; stem and head are shared by all paths.
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0, bn_affine: bool = True, bn_momentum: float = 0.1) -> None:
        """Build and initialise.

        Args:
            space: what to build; its image size, channels and classes are the network's.
            seed: of the initial weights.
            bn_affine: True if BN has a learned scale and shift.
            bn_momentum: share of a new mini-batch in the running statistics of BN.
        """
        super().__init__()
        self.space = space
        with torch.device("meta"):
            self.stem = make_stem(space)
            self.layers = nn.ModuleList(
                nn.ModuleList(make_block(block, layer, space.activation) for block in layer.choices)
                for layer in space.layers
            )
            self.head = Head(space)
        for norm in batch_norms(self):
            norm.momentum = bn_momentum
            norm.eps = space.bn_eps
            if not bn_affine:
                norm.affine = False
                norm.register_parameter("weight", None)
                norm.register_parameter("bias", None)
        materialise(self, torch.Generator().manual_seed(derived_seed(seed, "supernet weights")))

    def forward(self, images: Tensor, genome: Sequence[int]) -> Tensor:
        """Logits (B, num_classes) of one path, for images (B, channels, size, size)."""
        return self.after_stem(self.stem(images), genome)

    def after_stem(self, features: Tensor, genome: Sequence[int]) -> Tensor:
        """Logits of a path from the stem's output, which all paths of a mini-batch share."""
        for layer, choice in zip(self.layers, genome, strict=True):
            features = layer[choice](features)  # pyright: ignore[reportIndexIssue]
        return self.head(features)

    def weighted(self, images: Tensor, weights: Sequence[Mapping[int, Tensor]]) -> Tensor:
        """Logits of a network whose layers are weighted sums of whole blocks, shortcuts included, as DARTS trains it.

        Args:
            images: (B, channels, size, size).
            weights: per layer, a scalar for each choice in the graph, at least one.
        """
        features = self.stem(images)
        for number, layer in enumerate(weights):
            parts = [weight * self.block(number, choice)(features) for choice, weight in layer.items()]
            features = sum(parts[1:], parts[0])
        return self.head(features)

    def mixture(self, images: Tensor, active: Sequence[Sequence[int]]) -> Tensor:
        """Logits with several blocks of a layer in the graph, as One-Shot trains them.

        A layer's output is the sum of what its active blocks add to their input, plus that input once where any of
        them has a shortcut. With one active block per layer it is the path of that genome.

        Args:
            images: (B, channels, size, size).
            active: per layer, the choices in the graph, at least one.
        """
        features = self.stem(images)
        for number, choices in enumerate(active):
            assert choices, f"no active block in layer {number}"
            blocks = [self.block(number, choice) for choice in choices]
            added = [_without_shortcut(block, features) for block in blocks]
            parts = [part for part in added if part is not None]
            if any(has_shortcut(block) for block in blocks):
                parts.append(features)
            features = sum(parts[1:], parts[0])
        return self.head(features)

    def block(self, layer: int, choice: int) -> nn.Module:
        """The module of one choice block."""
        return self.layers[layer][choice]  # pyright: ignore[reportIndexIssue]


def batch_norms(module: nn.Module) -> list[nn.BatchNorm2d]:
    """Every BN in a module, in order."""
    return [part for part in module.modules() if isinstance(part, nn.BatchNorm2d)]


def has_shortcut(block: nn.Module) -> bool:
    """True if a block's output is its input plus something; an identity's is the input alone."""
    return isinstance(block, nn.Identity) or (isinstance(block, Chain) and block.shortcut)


def _without_shortcut(block: nn.Module, features: Tensor) -> Tensor | None:
    """Output of a block without its shortcut; None for an identity, which is only a shortcut."""
    if isinstance(block, nn.Identity):
        return None
    return block(features, with_shortcut=False) if isinstance(block, Chain) else block(features)
