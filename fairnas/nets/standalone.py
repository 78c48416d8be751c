"""Stand-alone network of one genome, to be trained from scratch or with weights inherited from the supernet."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fairnas.nets.blocks import Head, make_block, make_stem, materialise
from fairnas.nets.supernet import Supernet, batch_norms
from fairnas.randomness import derived_seed
from fairnas.space import Genome, SearchSpace


class StandAlone(nn.Module):
    """Network of one genome: the modules of the supernet's path, and no others."""

    def __init__(self, space: SearchSpace, genome: Genome, dropout: float = 0.0) -> None:
        super().__init__()
        self.space, self.genome = space, genome
        self.stem = make_stem(space)
        self.layers = nn.ModuleList(
            make_block(space.block(number, choice), space.layers[number], space.activation)
            for number, choice in enumerate(genome)
        )
        self.head = Head(space, dropout)
        for norm in batch_norms(self):
            norm.eps = space.bn_eps

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, num_classes) for images (B, channels, size, size)."""
        features = self.stem(images)
        for block in self.layers:
            features = block(features)
        return self.head(features)


def build(
    space: SearchSpace,
    genome: Sequence[int] | str,
    *,
    seed: int = 0,
    inherit: Supernet | None = None,
    dropout: float = 0.0,
) -> StandAlone:
    """Build a stand-alone network of one genome.

    Args:
        space: the genome's space; its image size, channels and classes are the network's.
        genome: tuple of choices, or text form.
        seed: of the initial weights; every genome has its own.
        inherit: copy the weights and BN statistics of this supernet's path instead; in eval mode the network then
            computes what the path computes, bit for bit.
        dropout: before the classifier.

    Raises:
        GenomeError: if the genome does not fit the space.
    """
    genome = space.parse(genome) if isinstance(genome, str) else space.validate(genome)
    with torch.device("meta"):
        network = StandAlone(space, genome, dropout)
    materialise(network, torch.Generator().manual_seed(derived_seed(seed, "stand-alone weights", *genome)))
    if inherit is not None:
        _inherit(network.stem, inherit.stem)
        _inherit(network.head, inherit.head)
        for number, choice in enumerate(genome):
            _inherit(network.layers[number], inherit.block(number, choice))
    return network


def _inherit(part: nn.Module, source: nn.Module) -> None:
    """Copy weights and statistics. If the supernet's BN has no scale and shift, the new one's stay at one and zero."""
    left_out = {
        f"{name}.{kind}"
        for name, norm in source.named_modules()
        if isinstance(norm, nn.BatchNorm2d) and not norm.affine
        for kind in ("weight", "bias")
    }
    missing, foreign = part.load_state_dict(source.state_dict(), strict=not left_out)
    assert set(missing) <= left_out, f"the supernet lacks {missing}"
    assert not foreign, f"the network has no {foreign}"
