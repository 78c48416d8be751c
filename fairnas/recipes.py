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
    """All stages in minutes on a laptop: real handwritten digits, no download, no GPU.

    Trained as long as the supernet, every network of this space reaches about 97 % on digits, and two networks differ
    less than two trainings of one network. So stand-alone training is short with a low learning rate, where
    architectures still differ.
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
    """The paper's ranking study: space (a), 6^16, with exactly its settings (4.1). Needs --data.root."""
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
    """The paper's search for FairNAS-A, B, C: space (b), 6^19, with exactly its settings (4.1). Needs --data.root.

    The selected networks are trained as in MnasNet's released code: 350 epochs with batches of 1024 images, at 0.064.
    MnasNet's paper has 4096 images at 0.256, which is the same rate per image.
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
"""Possible image sizes, in pixels."""
UNEVEN = 10
"""Ratio of the largest to the smallest class above which classes count as unequal."""
_GPU_STEPS, _CPU_STEPS = 30_000, 900  # supernet steps to aim at; on a CPU fewer for images above 32 pixels


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
    """Configuration for your own images, with defaults chosen for the folder.

    The image size is the largest of a list that the median image fills, up to 224 pixels on a GPU and 64 without. The
    space is `compact` up to 96 pixels and `mobilenet_v2` above. Epochs aim at 30,000 supernet steps on a GPU, or at 900
    steps for 32 pixels without one, and fewer for larger images. For validation, each class gives as many images as a
    seventh of the smallest class; the same for testing if the folder has no test images. If classes are so unequal that
    this would be almost nothing, each gives a seventh of its own. If the largest class is more than 10 times the
    smallest, training draws every class equally often, and accuracy is balanced accuracy.

    Args:
        name: `folder:PATH`.
        images: training images in the folder.
        smallest_class: images in its smallest class.
        largest_class: images in its largest class.
        has_test: True if it contains test images.
        median_side: median shorter side of its images in pixels.
        with_gpu: True if a GPU will train.
        image_size: side in pixels, if it is given; other settings depend on it.
        flip: `none` if names of classes mean left and right, digits or letters.
    """
    limit = 224 if with_gpu else 64  # pixels; on a CPU, more would leave hardly any steps
    if image_size is None:
        image_size = next((size for size in IMAGE_SIZES if size <= min(median_side, limit)), 8)
    carved, most = (min(50, max(1, size // 7)) for size in (smallest_class, largest_class))
    if smallest_class <= (most if has_test else 2 * most):
        carved = most  # smaller classes give what they can (`data.splits.Shares`)
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
    """Space for photographs of a given side in pixels."""
    return "compact" if image_size <= 96 else "mobilenet_v2"


def folder_augmentation(image_size: int) -> AugmentationPreset:
    """Augmentation for photographs of a given side in pixels."""
    return "inception" if image_size > 32 else "crop_flip"


RECIPES: dict[str, Callable[[], RunConfig]] = {
    recipe.__name__: recipe for recipe in (digits, cifar10, imagenet_a, imagenet_b)
}
NAMES = (*RECIPES, "folder")
"""Names of all recipes; `folder` is made from the content of a folder."""


def get_recipe(name: str) -> RunConfig:
    """Configuration of a recipe.

    Raises `UnknownNameError` with the nearest name, and `ConfigError` for `folder`, which depends on the images.
    """
    if name == "folder":
        raise ConfigError("recipe 'folder' is made from images; use `fairnas run folder --data folder:PATH`")
    if name not in RECIPES:
        raise UnknownNameError("recipe", name, NAMES)
    return RECIPES[name]()
