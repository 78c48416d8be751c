"""Lines of the plan about classes of unequal size: their balancing, and the meaning of accuracy."""

from collections.abc import Iterator

import numpy as np
import torch

from fairnas.config import RunConfig
from fairnas.data import Dataset, Images
from fairnas.recipes import UNEVEN

_FEW = 10
"""Number of images of a class below which one more correct image changes its accuracy by a tenth or more."""


def balance_lines(config: RunConfig, dataset: Dataset) -> tuple[str, ...]:
    """Lines of the plan; none if classes are alike and nothing is balanced."""
    sizes = _sizes(dataset.train, dataset)
    low, high = int(sizes.argmin()), int(sizes.argmax())
    uneven = sizes[high] > UNEVEN * sizes[low]
    if config.train.balance == "none" and config.measure == "top1" and not uneven:
        return ()
    return tuple(_lines(config, dataset, sizes, uneven))


def _lines(config: RunConfig, dataset: Dataset, sizes: np.ndarray, uneven: bool) -> Iterator[str]:
    low, high = int(sizes.argmin()), int(sizes.argmax())
    names = dataset.classes
    told = (
        f"'{names[high]}' has {sizes[high]:,} images to learn from, '{names[low]}' {sizes[low]:,}"
        if sizes[high] > sizes[low]
        else "all have equally many images to learn from"
    )
    ratio = sizes[high] / max(1, sizes[low])
    yield {
        "none": f"balance    none: every image is drawn once in an epoch; {told}",
        "sampling": f"balance    sampling: every class is drawn equally often in an epoch; {told}",
        "weights": f"balance    weights: an image of '{names[low]}' counts {ratio:.3g} times one of "
        f"'{names[high]}'; {told}",
    }[config.train.balance]
    if config.measure == "top1":
        yield "measure    top-1, the share of all images that are right"
        if uneven:
            yield (
                "note       top-1 counts images, so small classes hardly count; --train.balance sampling trains and "
                "measures class by class, and --evaluate.measure balanced_accuracy only measures so"
            )
        return
    yield "measure    balanced accuracy, the mean over the classes of the share of each that is right"
    for split, images in (("validation", dataset.validation), ("test", dataset.test)):
        counts = _sizes(images, dataset)
        least = int(counts.argmin())
        if counts[least] == 0:
            yield f"note       '{names[least]}' has no {split} images, so balanced accuracy leaves it out there"
        elif counts[least] < _FEW:
            many = f"{counts[least]} {split} image{'s' if counts[least] > 1 else ''}"
            share = 1 / (counts[least] * (counts > 0).sum())
            yield (
                f"note       '{names[least]}' has only {many}: each is {share:.1%} of the balanced accuracy, so take "
                "small differences for chance"
            )


def _sizes(images: Images, dataset: Dataset) -> np.ndarray:
    """Number of images of each class."""
    return torch.bincount(images.labels, minlength=len(dataset.classes)).numpy()
