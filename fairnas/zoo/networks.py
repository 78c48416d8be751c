"""Networks of the zoo and their construction: the rows of the paper's Table 2 in its order, then related networks."""

import dataclasses

import torch
from torch import nn

from fairnas.errors import SpaceError, UnknownNameError
from fairnas.nets import build
from fairnas.nets.blocks import materialise
from fairnas.randomness import derived_seed
from fairnas.space import get_space
from fairnas.space.blocks import require_count
from fairnas.zoo import chains
from fairnas.zoo.chains import squeezed
from fairnas.zoo.darts import DartsImageNet
from fairnas.zoo.entry import TABLE_2, Cells, ChainGenome, Printed, UnpublishedError, ZooEntry
from fairnas.zoo.nasnet import NasNetMobile

_FAIRNAS = "FairNAS (Chu et al., arXiv 1907.01845 v3)"
_FAIRNAS_SE = "FairNAS (Chu et al., arXiv 1907.01845 v5, ICCV 2021)"
_FAIRNAS_FILES = "its Figure 7; models/ of github.com/xiaomi-automl/FairNAS"
_SE_FILES = "models/timm_models.py of github.com/xiaomi-automl/FairNAS"
_MNASNET = "MnasNet (Tan et al., CVPR 2019)"
_MNASNET_FILES = "mnasnet_models.py of github.com/tensorflow/tpu"
_FBNET = "FBNet (Wu et al., CVPR 2019)"
_FBNET_FILES = "fbnet_modeldef_cls_fbnet.py of github.com/facebookresearch/mobile-vision"
_PROXYLESS = "ProxylessNAS (Cai et al., ICLR 2019)"
_PROXYLESS_FILES = "configurations that github.com/mit-han-lab/proxylessnas downloads"

_E1_KEPT = "Blocks of expansion 1 keep their first 1x1 convolution, as in FBNet's paper; the authors' code drops it."
_SE_PRINTED = "The paper prints the accuracies of squeeze ratio 1 beside the parameters of ratio 0.5, by the README."


def _genome(space: str, text: str) -> ChainGenome:
    return ChainGenome(get_space(space), text)


def _of_table_2(
    madds_millions: int, params_millions: float, latency_ms: float | None, top1: float, top5: float | None
) -> Printed:
    return Printed(TABLE_2, madds_millions, params_millions, latency_ms, top1, top5)


_ROWS = (
    ZooEntry(
        "mobilenet_v2",
        "MobileNetV2",
        "MobileNetV2 (Sandler et al., CVPR 2018)",
        2018,
        "its Table 2",
        _genome("mobilenet_v2", "3" * 16),  # kernel 3 and expansion 6 everywhere
        _of_table_2(300, 3.4, 78, 72.0, 91.0),
        "3.4 M is MobileNetV2's own figure; without BN it would be 3.47 M.",
    ),
    ZooEntry(
        "nasnet_a",
        "NASNet-A",
        "NASNet (Zoph et al., CVPR 2018)",
        2018,
        "its Figure 4 and appendix: NASNet-A, 4 @ 1056; nasnet.py of github.com/osmr/imgclsmob",
        Cells(NasNetMobile, reduction=32),
        _of_table_2(564, 5.3, 183, 74.0, 91.6),
    ),
    ZooEntry(
        "mnasnet_b1",
        "MnasNet",
        "MnasNet (Tan et al., arXiv 1807.11626 v1)",
        2018,
        _MNASNET_FILES,
        chains.MNASNET_B1,
        _of_table_2(317, 4.2, 76, 74.0, 91.8),
        "Table 2 means MnasNet-B1, without squeeze-excite; no published list of layers gives 317 M and 4.2 M exactly.",
    ),
    ZooEntry(
        "mnasnet_92",
        "MnasNet-92",
        "MnasNet (Tan et al., arXiv 1807.11626 v1)",
        2018,
        "nowhere",
        None,
        _of_table_2(388, 3.9, 92, 74.79, 92.1),
        "The authors' repository has only ever had A1, B1, small and D1; other papers print 4.4 M parameters for it.",
    ),
    ZooEntry(
        "darts",
        "DARTS",
        "DARTS (Liu et al., ICLR 2019)",
        2019,
        "genotypes.py (DARTS_V2) and model.py of github.com/quark0/darts",
        Cells(DartsImageNet, reduction=32),
        _of_table_2(574, 4.7, None, 73.3, 91.3),
        "Others count 523 M to 545 M for the same cells (issue 46 of quark0/darts); first-order cells give 506 M.",
    ),
    ZooEntry(
        "fbnet_b",
        "FBNet-B",
        _FBNET,
        2019,
        "per-layer table in issue 19 of github.com/JunrQ/NAS",
        _genome("fbnet", "0340076377486704674773"),
        _of_table_2(295, 4.5, None, 74.1, None),
        f"The authors' README prints 4.8 M parameters. {_E1_KEPT}",
    ),
    ZooEntry(
        "proxyless_r",
        "Proxyless-R",
        _PROXYLESS,
        2019,
        _PROXYLESS_FILES,
        chains.PROXYLESS_R,
        _of_table_2(320, 4.0, 78, 74.6, 92.2),
    ),
    ZooEntry(
        "proxyless_gpu",
        "Proxyless GPU",
        _PROXYLESS,
        2019,
        _PROXYLESS_FILES,
        chains.PROXYLESS_GPU,
        _of_table_2(465, 7.1, 124, 75.1, None),
    ),
    ZooEntry(
        "spos",
        "Single Path One-Shot",
        "Single Path One-Shot (Guo et al., arXiv 1904.00420)",
        2019,
        "README.md of github.com/megvii-model/SinglePathOneShot",
        _genome("shufflenet_v2", "21012020202300003233"),
        _of_table_2(323, 3.5, None, 74.4, 91.0),
        "Found by block search alone: every unit is half as wide inside as its output. The authors print 92.0 % top-5.",
    ),
    ZooEntry(
        "single_path_nas",
        "Single-Path NAS",
        "Single-Path NAS (Stamoulis et al., arXiv 1904.02877)",
        2019,
        "efficientnet.py (spnasnet_100) of github.com/huggingface/pytorch-image-models",
        chains.SINGLE_PATH_NAS,
        _of_table_2(365, 4.3, 79, 74.96, 92.2),
        "The authors released no list of layers; this one is the re-implementations', and none of its variants fits.",
    ),
    ZooEntry(
        "fairnas_a",
        "FairNAS-A",
        _FAIRNAS,
        2019,
        _FAIRNAS_FILES,
        _genome("proxyless", "2023500551311335354"),
        _of_table_2(388, 4.6, 104, 75.34, 92.4),
    ),
    ZooEntry(
        "fairnas_b",
        "FairNAS-B",
        _FAIRNAS,
        2019,
        _FAIRNAS_FILES,
        _genome("proxyless", "1010312031032054534"),
        _of_table_2(345, 4.5, 90, 75.10, 92.3),
    ),
    ZooEntry(
        "fairnas_c",
        "FairNAS-C",
        _FAIRNAS,
        2019,
        _FAIRNAS_FILES,
        _genome("proxyless", "1020000003000055334"),
        _of_table_2(321, 4.4, 83, 74.69, 92.1),
    ),
)

_RELATIVES = (
    ZooEntry(
        "mnasnet_a1",
        "MnasNet-A1",
        _MNASNET,
        2019,
        _MNASNET_FILES,
        chains.MNASNET_A1,
        Printed("MnasNet (CVPR 2019)", 312, 3.9, 78, 75.2, 92.5),
    ),
    ZooEntry(
        "fbnet_a",
        "FBNet-A",
        _FBNET,
        2019,
        _FBNET_FILES,
        ChainGenome(
            dataclasses.replace(get_space("fbnet"), name="fbnet_a", head_channels=1504), "8208872427657356177677"
        ),
        Printed("FBNet", 249, 4.3, None, 73.0, None),
        _E1_KEPT,
    ),
    ZooEntry(
        "fbnet_c",
        "FBNet-C",
        _FBNET,
        2019,
        _FBNET_FILES,
        _genome("fbnet", "0380076737677777677773"),
        Printed("FBNet", 375, 5.5, None, 74.9, None),
        _E1_KEPT,
    ),
    ZooEntry(
        "proxyless_cpu",
        "Proxyless-CPU",
        _PROXYLESS,
        2019,
        _PROXYLESS_FILES,
        chains.PROXYLESS_CPU,
        Printed("README of ProxylessNAS", None, None, None, 75.3, None),
    ),
    *(
        ZooEntry(
            f"fairnas_{letter}_se{'_05' if squeeze == 0.5 else ''}",
            f"FairNAS-{letter.upper()}-SE{'-0.5' if squeeze == 0.5 else ''}",
            _FAIRNAS_SE,
            2021,
            _SE_FILES,
            squeezed(f"fairnas_{letter}_se{'_05' if squeeze == 0.5 else ''}", genome, squeeze),
            printed,
            _SE_PRINTED,
        )
        for squeeze, letter, genome, printed in (
            (1.0, "a", "2023500551311335354", Printed("FairNAS v5", 392, 5.9, None, 77.5, 93.7)),
            (1.0, "b", "1010312031032054534", Printed("FairNAS v5", 349, 5.7, None, 77.2, 93.5)),
            (1.0, "c", "1020000003000055334", Printed("FairNAS v5", 325, 5.6, None, 76.7, 93.3)),
            (
                0.5,
                "a",
                "2023500551311335354",
                Printed("FairNAS v5; accuracies: README", 392, 5.9, None, 77.40, 93.65),
            ),
            (
                0.5,
                "b",
                "1010312031032054534",
                Printed("FairNAS v5; accuracies: README", 349, 5.7, None, 77.11, 93.53),
            ),
            (
                0.5,
                "c",
                "1020000003000055334",
                Printed("FairNAS v5; accuracies: README", 325, 5.6, None, 76.76, 93.32),
            ),
        )
    ),
)

NETWORKS: dict[str, ZooEntry] = {entry.name: entry for entry in (*_ROWS, *_RELATIVES)}


def create(
    name: str, num_classes: int = 1000, *, image_size: int = 224, seed: int = 0, dropout: float = 0.0
) -> nn.Module:
    """Build a published network, untrained.

    Args:
        name: one of `NETWORKS`.
        num_classes: outputs of the classifier.
        image_size: side of the images in pixels, for the network to say if it cannot take them.
        seed: of the initial weights.
        dropout: before the classifier.

    Returns:
        A network for images (B, 3, H, W); a `StandAlone`, if it is a chain.

    Raises:
        UnknownNameError: if there is no network of this name.
        UnpublishedError: if nobody but its authors knows its layers.
        SpaceError: if `num_classes` is below 1, or images of this size would vanish on the way.
    """
    architecture = published(name)
    require_size(name, image_size)
    if isinstance(architecture, ChainGenome):
        space = architecture.space.for_data(num_classes=num_classes, image_size=image_size)
        return build(space, architecture.genome, seed=seed, dropout=dropout)
    require_count(f"num_classes of network '{name}'", num_classes)
    with torch.device("meta"):
        network = architecture.make(num_classes, dropout)
    materialise(network, torch.Generator().manual_seed(derived_seed(seed, f"weights of {name}")))
    return network


def find(name: str) -> ZooEntry:
    """Entry of a network. Raises `UnknownNameError` (with the nearest name)."""
    if name not in NETWORKS:
        raise UnknownNameError("network", name, NETWORKS)
    return NETWORKS[name]


def published(name: str) -> ChainGenome | Cells:
    """Architecture of a network. Raises `UnknownNameError`, or `UnpublishedError` if there is none."""
    entry = find(name)
    if entry.architecture is None:
        raise UnpublishedError(
            f"the architecture of {entry.title} was never published, so it cannot be built; "
            f"`fairnas zoo {name}` shows what was printed"
        )
    return entry.architecture


def require_size(name: str, image_size: int) -> None:
    """Raise `SpaceError` if images of this size are too small for a network, which must be a published one."""
    require_count("the image size", image_size)
    architecture = published(name)
    reduction = architecture.reduction if isinstance(architecture, Cells) else architecture.space.reduction
    if image_size < reduction:
        raise SpaceError(
            f"network '{name}' shrinks images {reduction} times; "
            f"{image_size} pixels are too few, give {reduction} or more"
        )
