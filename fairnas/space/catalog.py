"""The search spaces that come with fairnas, by name."""

from pathlib import Path

from fairnas.errors import UnknownNameError
from fairnas.space.blocks import Identity, InvertedResidual, ShuffleUnit, ShuffleXception
from fairnas.space.chain import Stage, Stem, chain_space
from fairnas.space.file import load_space
from fairnas.space.space import SearchSpace


def _fbnet_blocks(kernel: int) -> tuple[InvertedResidual, ...]:
    """Blocks of one kernel size, in FBNet's order."""
    return (
        *(InvertedResidual(kernel, 1), InvertedResidual(kernel, 1, groups=2)),
        *(InvertedResidual(kernel, 3), InvertedResidual(kernel, 6)),
    )


MOBILENET_V2 = chain_space(
    "mobilenet_v2",
    image_size=224,
    stem=Stem(32, stride=2),
    first=16,
    stages=(Stage(24, 2, 2), Stage(32, 3, 2), Stage(64, 4, 2), Stage(96, 3), Stage(160, 3, 2), Stage(320, 1)),
    head=1280,
    source="FairNAS 4.1, space (a): MobileNetV2's widths and depth, for ranking",
)

PROXYLESS = chain_space(
    "proxyless",
    image_size=224,
    stem=Stem(32, stride=2),
    first=16,
    stages=(Stage(32, 2, 2), Stage(40, 4, 2), Stage(80, 4, 2), Stage(96, 4), Stage(192, 4, 2), Stage(320, 1)),
    head=1280,
    source="FairNAS 4.1, space (b): 19 layers, as ProxylessNAS",
)

PROXYLESS_SKIP = chain_space(
    "proxyless_skip",
    image_size=224,
    stem=Stem(32, stride=2),
    first=16,
    stages=(Stage(24, 4, 2), Stage(40, 4, 2), Stage(80, 4, 2), Stage(96, 4), Stage(192, 4, 2), Stage(320, 1)),
    skip=True,
    head=1280,
    bn_eps=1e-3,
    source="ProxylessNAS (Cai et al., ICLR 2019) as published: 21 layers, 15 of which may be skipped",
)

SHUFFLENET_V2 = chain_space(
    "shufflenet_v2",
    image_size=224,
    stem=Stem(16, stride=2),
    stages=(Stage(64, 4, 2), Stage(160, 4, 2), Stage(320, 8, 2), Stage(640, 4, 2)),
    choices=(ShuffleUnit(3), ShuffleUnit(5), ShuffleUnit(7), ShuffleXception()),
    head=1024,
    activation="relu",
    classifier_bias=False,
    source="Single Path One-Shot (Guo et al., ECCV 2020): 20 units of ShuffleNetV2",
)

FBNET = chain_space(
    "fbnet",
    image_size=224,
    stem=Stem(16, stride=2),
    stages=(
        *(Stage(16, 1), Stage(24, 4, 2), Stage(32, 4, 2), Stage(64, 4, 2)),
        *(Stage(112, 4), Stage(184, 4, 2), Stage(352, 1)),
    ),
    choices=(
        *(block for kernel in (3, 5) for block in _fbnet_blocks(kernel)),
        Identity(),  # if the shape changes, a 1x1 convolution replaces it, as in the common re-implementations
    ),
    head=1984,
    activation="relu",
    source="FBNet (Wu et al., CVPR 2019): 22 layers of 9 choices, two of them with grouped 1x1 convolutions",
)

NAS_BENCH_MACRO = chain_space(
    "nas_bench_macro",
    image_size=32,
    stem=Stem(32, stride=1),
    stages=(Stage(64, 2, 2), Stage(128, 3, 2), Stage(256, 3, 2)),
    choices=(Identity(), InvertedResidual(3, 3), InvertedResidual(5, 6)),
    head=1280,
    num_classes=10,
    activation="relu",
    source="NAS-Bench-Macro (Su et al., CVPR 2021): stand-alone accuracies of all networks are known",
)

COMPACT = chain_space(
    "compact",
    image_size=32,
    stem=Stem(16, stride=1),
    stages=(Stage(24, 3, 2), Stage(40, 4, 2), Stage(80, 4, 2), Stage(128, 1)),
    head=384,
    num_classes=10,
    source="ours: 12 layers for photographs of 32 to 96 pixels",
)

DIGITS = chain_space(
    "digits",
    image_size=8,
    image_channels=1,
    stem=Stem(8, stride=1),
    stages=(Stage(8, 3), Stage(12, 3, 2), Stage(16, 2)),
    head=64,
    num_classes=10,
    source="ours: 8 narrow layers for scikit-learn's 8x8 digits; trains in a minute on a laptop",
)

CATALOG: dict[str, SearchSpace] = {
    space.name: space
    for space in (
        *(MOBILENET_V2, PROXYLESS, PROXYLESS_SKIP, SHUFFLENET_V2, FBNET),
        *(NAS_BENCH_MACRO, COMPACT, DIGITS),
    )
}


def get_space(name: str) -> SearchSpace:
    """A space by name, from a TOML file (`space.toml`), a Python file (`space.py:NAME`) or a run's `space.json`.

    Raises `UnknownNameError` (with the nearest name) or `SpaceError` (a file that cannot be used).
    """
    if name in CATALOG:
        return CATALOG[name]
    path, _, attribute = name.partition(".py:")
    if attribute:
        return load_space(Path(path + ".py"), attribute)
    if name.endswith((".toml", ".py", ".json")):
        return load_space(Path(name))
    raise UnknownNameError("space", name, CATALOG)
