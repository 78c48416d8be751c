"""The space of space.toml in Python, where a choice block may be anything: --space docs/examples/space.py."""

from fairnas.space import Stage, Stem, chain_space

space = chain_space(
    "mine",
    image_size=32,
    stem=Stem(channels=16, stride=1),
    stages=(Stage(24, layers=2, stride=2), Stage(40, layers=4, stride=2)),
    kernels=(3, 5),
    expansions=(3, 6),
    head=256,
)
