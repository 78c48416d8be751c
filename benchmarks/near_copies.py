"""`python -m benchmarks.near_copies`: how far the search for near copies can be trusted on the images of a folder.

Some images are changed as people change them, and compared with themselves: the share that is found should be large.
Then all images are compared with each other: those that are found should be few, and are named, to be looked at.
"""

import io
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

from benchmarks.command import run
from fairnas.data.decoding import Decoding
from fairnas.data.folder_layout import read_layout
from fairnas.data.image_files import Files, decode_all, usable
from fairnas.data.likeness import SIDE, likeness_ids, thumbnails
from fairnas.data.repeats import shown_name
from fairnas.errors import ConfigError


def _encoded(image: Image.Image, form: str, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, form, quality=quality)
    return Image.open(buffer).convert("RGB")


def _resized(image: Image.Image, factor: float) -> Image.Image:
    return image.resize((round(image.width * factor), round(image.height * factor)), Image.Resampling.LANCZOS)


CHANGES: dict[str, Callable[[Image.Image], Image.Image]] = {
    "JPEG at quality 75": lambda image: _encoded(image, "JPEG", 75),
    "JPEG at quality 50": lambda image: _encoded(image, "JPEG", 50),
    "JPEG at quality 30": lambda image: _encoded(image, "JPEG", 30),
    "WebP at quality 60": lambda image: _encoded(image, "WEBP", 60),
    "twice as large": lambda image: _resized(image, 2),
    "three quarters": lambda image: _resized(image, 0.75),
    "half": lambda image: _resized(image, 0.5),
    "20 % brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.2),
    "20 % darker": lambda image: ImageEnhance.Brightness(image).enhance(0.8),
    "20 % more contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.2),
    "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
}


@dataclass(frozen=True)
class NearCopiesBenchmark:
    """Change some images of a folder and look whether they are found again; then look for near copies among all.

    For example: python -m benchmarks.near_copies --folder cifar10-jpeg --size 32
    """

    folder: Path
    """Folder of images, as in `folder:PATH`."""
    size: int = 32
    """Side in pixels to which images are decoded."""
    changed: int = 600
    """Images to change, evenly spaced over the training images."""
    json: bool = False
    """Print one JSON object and nothing else."""


def _measure(given: NearCopiesBenchmark) -> dict[str, Any]:
    if given.size < SIDE or given.changed < 1:
        raise ConfigError(f"--size is {given.size}, --changed {given.changed}; give at least {SIDE} and 1")
    layout = read_layout(given.folder)
    names = [f"split {number}" for number in range(len(layout.splits))]
    files = dict(zip(names, map(Files.of, layout.splits), strict=True))
    pixels, kept = [], {}
    for name, part in files.items():
        decoded, outcome = decode_all(part, Decoding(given.size, 3))
        sound = usable(part, outcome, layout.train.names, part)
        pixels.append(decoded[sound])
        kept[name] = part.take(sound)
    shares = _found_again(pixels[0], given)
    small = np.concatenate([thumbnails(each) for each in pixels])
    begun = time.process_time()
    ids = likeness_ids(small)
    seconds = time.process_time() - begun
    title = shown_name(kept)
    everyone = [title(name, place) for name, part in kept.items() for place in range(len(part))]
    numbers, counts = np.unique(ids, return_counts=True)
    groups = [[everyone[place] for place in np.flatnonzero(ids == number)] for number in numbers[counts > 1]]
    return {"images": len(ids), "processor_seconds": seconds, "found": shares, "near_copies": groups}


def _found_again(pixels: np.ndarray, given: NearCopiesBenchmark) -> dict[str, float]:
    count = min(given.changed, len(pixels))
    some = [Image.fromarray(pixels[place * len(pixels) // count]) for place in range(count)]
    before = thumbnails(np.stack([np.asarray(image) for image in some]))
    shares = {}
    for name, change in CHANGES.items():
        again = [change(image).resize((given.size, given.size), Image.Resampling.BILINEAR) for image in some]
        after = thumbnails(np.stack([np.asarray(image) for image in again]))
        pairs = [likeness_ids(np.stack(pair)) for pair in zip(before, after, strict=True)]
        shares[name] = sum(int(one == other) for one, other in pairs) / count
    return shares


def _show(given: NearCopiesBenchmark, result: dict[str, Any]) -> None:
    for name, share in result["found"].items():
        print(f"{name:20} {share:6.1%} found again")
    groups = result["near_copies"]
    print(
        f"{len(groups)} groups of near copies, {sum(map(len, groups))} images in all, among {result['images']:,} "
        f"({result['processor_seconds']:.1f} s of the processor beyond decoding):"
    )
    for group in groups:
        print("  " + " = ".join(group))


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print."""
    return run("near_copies", NearCopiesBenchmark, _measure, _show, arguments)


if __name__ == "__main__":
    sys.exit(main())
