"""Small image folders, made where they are needed."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def draw() -> Callable[..., Path]:
    """Write one image file of random pixels; any mode and format that Pillow writes."""

    def write(path: Path, *, mode: str = "RGB", size: tuple[int, int] = (16, 16), seed: int = 0, **options) -> Path:
        rng = np.random.default_rng([seed, *path.name.encode()])
        width, height = size
        channels = {"L": (), "RGB": (3,), "RGBA": (4,), "CMYK": (4,), "LA": (2,)}[mode]
        # few large patches, so that resizing and JPEG change little
        small = rng.integers(0, 256, (4, 4, *channels), dtype=np.uint8)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(small, mode=mode).resize((width, height), Image.Resampling.BICUBIC).save(path, **options)
        return path

    return write


@pytest.fixture
def make_split(draw: Callable[..., Path]) -> Callable[..., Path]:
    """Write class folders of numbered JPEG files and return the folder that holds them."""

    def write(folder: Path, classes: dict[str, int], **options) -> Path:
        for seed, (name, count) in enumerate(classes.items()):
            for number in range(count):
                draw(folder / name / f"{number:03}.jpg", seed=seed, **options)
        return folder

    return write
