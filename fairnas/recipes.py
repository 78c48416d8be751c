"""Recipes: named functions, each returning one complete configuration of a run. No torch."""

from collections.abc import Callable

from fairnas.config import (
    AugmentationPreset,
    DataConfig,
    EvaluateConfig,
    FlipSetting,
    RetrainConfig,
    RunConfig,
    SearchConfig,
    StandAloneConfig,
    TrainConfig,
)
from fairnas.errors import ConfigError, UnknownNameError


def digits() -> RunConfig:
    """The whole story in minutes on a laptop: real handwritten digits, no download, no GPU.

    Trained as long as the supernet, every network of this space reaches 97 % or so on digits, and two networks differ
    less than two trainings of one network. So stand-alone training is short and gentle, where architectures still tell.
    """
    return RunConfig(
        recipe="digits",
        space="digits",
        data=DataConfig("digits", validation_per_class=30, augmentation="shift"),
        train=TrainConfig(epochs=50, batch_size=50, lr=0.05),
        search=SearchConfig(population=40, generations=15),
        stand_alone=StandAloneConfig(epochs=8, lr=0.02, models=16, seeds=2),
    )


def cifar10() -> RunConfig:
    """CIFAR-10 on the compact space: hours on a GPU. Needs --data.root."""
    return RunConfig(
        recipe="cifar10",
        space="compact",
        data=DataConfig("cifar10", validation_per_class=500, augmentation="crop_flip"),
        train=TrainConfig(epochs=100, batch_size=128),
        search=SearchConfig(population=64, generations=50),
        evaluate=EvaluateConfig(batch_size=500),
        stand_alone=StandAloneConfig(models=13, seeds=2),
    )


def imagenet_a() -> RunConfig:
    """The paper's ranking study: space (a), 6^16, its settings to the letter (4.1). Needs --data.root."""
    return RunConfig(
        recipe="imagenet_a",
        space="mobilenet_v2",
        data=DataConfig("imagenet", image_size=224, validation_per_class=50, copies="exact", augmentation="inception"),
        train=TrainConfig(strategy="strict", epochs=150, batch_size=256, lr=0.045, momentum=0.9, weight_decay=4e-5),
        search=SearchConfig(population=64, generations=200, mutation=0.8),
        evaluate=EvaluateConfig(batch_size=500),
        stand_alone=StandAloneConfig(models=13, seeds=1),
    )


def imagenet_b() -> RunConfig:
    """The paper's search for FairNAS-A, B, C: space (b), 6^19, its settings to the letter (4.1). Needs --data.root.

    The selected networks are trained as MnasNet's released code does: 350 epochs of 1024 images, at 0.064. MnasNet's
    paper has 4096 images at 0.256, which is the same rate per image.
    """
    return RunConfig(
        recipe="imagenet_b",
        space="proxyless",
        data=DataConfig("imagenet", image_size=224, validation_per_class=50, copies="exact", augmentation="inception"),
        train=TrainConfig(strategy="strict", epochs=150, batch_size=256, lr=0.045, momentum=0.9, weight_decay=4e-5),
        search=SearchConfig(population=64, generations=200, mutation=0.8, select=3),
        evaluate=EvaluateConfig(batch_size=500),
        stand_alone=StandAloneConfig(models=13, seeds=1),
        retrain=RetrainConfig(recipe="product", epochs=350, batch_size=1024),
    )


IMAGE_SIZES = (224, 192, 160, 128, 96, 64, 48, 32, 24, 16, 8)
"""Sides of images in pixels that are chosen from."""
UNEVEN = 10
"""How many times the smallest class the largest must be for classes to be called unequal."""
_GPU_STEPS, _CPU_STEPS = 30_000, 900


def folder(
    name: str,
    *,
    images: int,
    smallest_class: int,
    largest_class: int,
    has_test: bool,
    median_side: int,
    with_gpu: bool,
    image_size: int | None = None,
    flip: FlipSetting = "auto",
) -> RunConfig:
    """Your own images, with defaults chosen from what the folder holds.

    The image size is the largest of a list that the median image fills, up to 224 pixels on a GPU and 64 without.
    The space is `compact` up to 96 pixels and `mobilenet_v2` above. Epochs aim at 30,000 supernet steps on a GPU;
    without one at 900 steps of 32 pixels, fewer of larger images. A seventh of the smallest
    class, of each class, is carved out for validation, and as much for the test where the folder brings none; where
    classes differ so much that this would be next to nothing, a seventh of each. Where the largest class is more than
    10 times the smallest, every class is drawn equally often in training, and accuracy is balanced accuracy.

    Args:
        name: `folder:PATH`.
        images: training images in the folder.
        smallest_class: images in its smallest class.
        largest_class: images in its largest class.
        has_test: whether it brings test images.
        median_side: median shorter side of its images in pixels.
        with_gpu: whether a GPU will train.
        image_size: side in pixels, where it is not to be chosen; the rest follows it.
        flip: `none` where the names of the classes say left and right, digits or letters.
    """
    limit = 224 if with_gpu else 64
    if image_size is None:
        image_size = next((size for size in IMAGE_SIZES if size <= min(median_side, limit)), 8)
    carved, most = (min(50, max(1, size // 7)) for size in (smallest_class, largest_class))
    if smallest_class <= (most if has_test else 2 * most):
        carved = most  # the smaller classes give what they can (`data.splits.Shares`)
    batch_size = 256 if images >= 100_000 else 128 if with_gpu and images >= 10_000 else 64 if images >= 2_000 else 32
    steps = _GPU_STEPS if with_gpu else max(200, int(_CPU_STEPS * min(1.0, (32 / image_size) ** 2)))
    epochs = min(150, max(3, round(steps * batch_size / max(images, 1))))
    return RunConfig(
        recipe="folder",
        space=folder_space(image_size),
        data=DataConfig(
            name,
            image_size=image_size,
            validation_per_class=carved,
            test_per_class=None if has_test else carved,
            augmentation=folder_augmentation(image_size),
            flip=flip,
        ),
        train=TrainConfig(
            epochs=epochs,
            batch_size=batch_size,
            balance="sampling" if largest_class > UNEVEN * smallest_class else "none",
        ),
        search=SearchConfig(population=64, generations=50) if with_gpu else SearchConfig(population=32, generations=10),
        evaluate=EvaluateConfig(batch_size=500 if with_gpu else 125),
        stand_alone=StandAloneConfig(models=13, seeds=2),
    )


def folder_space(image_size: int) -> str:
    """The space for photographs of so many pixels a side."""
    return "compact" if image_size <= 96 else "mobilenet_v2"


def folder_augmentation(image_size: int) -> AugmentationPreset:
    """The augmentation for photographs of so many pixels a side."""
    return "inception" if image_size > 32 else "crop_flip"


RECIPES: dict[str, Callable[[], RunConfig]] = {
    recipe.__name__: recipe for recipe in (digits, cifar10, imagenet_a, imagenet_b)
}
NAMES = (*RECIPES, "folder")
"""All recipes; `folder` is made from what a folder holds."""


def get_recipe(name: str) -> RunConfig:
    """The configuration of a recipe.

    Raises `UnknownNameError` with the nearest name, and `ConfigError` for `folder`, which needs to know the images.
    """
    if name == "folder":
        raise ConfigError("recipe 'folder' is made from images; use `fairnas run folder --data folder:PATH`")
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, NAMES)
    return RECIPES[name]()
