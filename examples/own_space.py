"""A search space of your own in Python: 6 layers of 4 choice blocks (docs/tutorial-space.md)."""

from fairnas.space import Stage, Stem, chain_space

space = chain_space(
    "mine",
    image_size=8,
    image_channels=1,
    num_classes=10,
    stem=Stem(channels=16, stride=1),
    stages=(Stage(24, layers=2), Stage(40, layers=4, stride=2)),
    kernels=(3, 5),
    expansions=(3, 6),
    head=256,
)
