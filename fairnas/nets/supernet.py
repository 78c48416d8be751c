"""The supernet: all choice blocks of a space with their weights; one genome selects one path (paper 2.2)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fairnas.nets.blocks import Head, make_block, make_stem, materialise
from fairnas.randomness import derived_seed
from fairnas.space import SearchSpace


class Supernet(nn.Module):
    """All networks of a space at once. `supernet(images, genome)` runs the path of one genome.

    Every choice block has its own weights and its own BN; stem and head are shared by all paths.
    """

    def __init__(self, space: SearchSpace, *, seed: int = 0) -> None:
        """Build and initialise.

        Args:
            space: what to build; its image size, channels and classes are the network's.
            seed: of the initial weights.
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
        materialise(self, torch.Generator().manual_seed(derived_seed(seed, "supernet weights")))

    def forward(self, images: Tensor, genome: Sequence[int]) -> Tensor:
        """Logits (B, num_classes) of one path, for images (B, channels, size, size)."""
        features = self.stem(images)
        for layer, choice in zip(self.layers, genome, strict=True):
            features = layer[choice](features)  # pyright: ignore[reportIndexIssue]
        return self.head(features)

    def block(self, layer: int, choice: int) -> nn.Module:
        """The module of one choice block."""
        return self.layers[layer][choice]  # pyright: ignore[reportIndexIssue]
