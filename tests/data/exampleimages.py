"""Parts of example folders: tiny images of every kind, tables, links, each with a description."""

import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from tests.data.rawfiles import png_bytes

SIDE = 16


@dataclass(frozen=True)
class Item:
    """Entry at one path of an example; several files if `count` is given: the path is then their folder."""

    write: Callable[[Path, Path], None]
    """Function that makes one file, given its path and that of the whole folder."""
    words: str = ""
    """Beside the file in the picture of the folder."""
    count: int | None = None
    ending: str = ".jpg"
    text: str = field(default="", repr=False)
    """The content of a text file, which the page shows."""


def photos(count: int | None = None, *, words: str = "", ending: str = ".jpg", **how) -> Item:
    """Pictures that all differ; `how` is `mode` and `size`."""
    return Item(lambda path, root: path.write_bytes(_encoded(_drawn(path, root, **how), ending)), words, count, ending)


def same_as(other: str) -> Item:
    """The same file once more."""
    return Item(lambda path, root: path.write_bytes((root / other).read_bytes()), f"the same file as {other}")


def like(other: str, *, words: str = "", count: int | None = None) -> Item:
    """The same picture, a little brighter and encoded once more, each time to another degree."""

    def write(path: Path, root: Path) -> None:
        with Image.open(root / other) as image:
            brighter = image.point(lambda value: min(255, value + 3 + int(path.stem) % 8))
        path.write_bytes(_encoded(brighter, ".jpg"))

    return Item(write, words or f"the picture of {other}, saved again", count)


def deep(low: int, high: int, count: int, *, hot: float = 0, words: str = "") -> Item:
    """PNG images of 16 bits with values from `low` to `high`; a share `hot` of the pixels has 65,000."""

    def write(path: Path, root: Path) -> None:
        rng = _rng(path, root)
        values = rng.integers(low, high, (SIDE, SIDE), endpoint=True).astype(np.uint16)
        values.flat[rng.permutation(values.size)[: round(hot * values.size)]] = 65_000
        path.write_bytes(png_bytes(values))

    return Item(write, words or f"PNG of 16 bits, values from {low:,} to {high:,}", count, ".png")


def cut_off() -> Item:
    """The first half of an image."""

    def write(path: Path, root: Path) -> None:
        content = _encoded(_drawn(path, root), ".jpg")
        path.write_bytes(content[: len(content) // 2])

    return Item(write, "the first half of an image")


def png_inside(count: int) -> Item:
    """PNG images that are called something else."""
    return Item(
        lambda path, root: path.write_bytes(_encoded(_drawn(path, root), ".png")), "PNG images by their content", count
    )


def table(text: str) -> Item:
    """A text file."""
    return Item(lambda path, root: path.write_text(text), text=text)


def file(words: str = "") -> Item:
    """A file whose content nobody reads."""
    return Item(lambda path, root: path.write_bytes(b"\0" * 20), words)


def files(count: int, ending: str) -> Item:
    """Files whose content nobody reads."""
    return Item(lambda path, root: path.write_bytes(b"\0" * 20), "", count, ending)


def link(target: str) -> Item:
    """A link to a folder of the example."""
    return Item(lambda path, root: path.symlink_to(root / target, target_is_directory=True), f"a link to {target}/")


def build(root: Path, tree: dict[str, Item]) -> Path:
    """Make the folder of an example."""
    for place, item in tree.items():
        names = [""] if item.count is None else [f"{number:03}{item.ending}" for number in range(item.count)]
        for name in (os.path.join(place, name).rstrip("/") for name in names):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            item.write(root / name, root)
    return root


def picture(tree: dict[str, Item]) -> str:
    """The folder as text, one line for each folder and for each file that is described by itself."""
    rows = [("PATH/", ""), *_rows(_nested(tree), "")]
    width = max(len(name) for name, _ in rows) + 3
    return "\n".join(f"{name:{width}}{words}".rstrip() for name, words in rows)


def _nested(tree: dict[str, Item]) -> dict:
    nested: dict = {}
    for place, item in tree.items():
        inner, parts = nested, [part for part in place.split("/") if part]
        for part in parts if item.count is not None else parts[:-1]:
            inner = inner.setdefault(part, {})
        inner["" if item.count is not None else parts[-1]] = item
    return nested


def _rows(nested: dict, before: str) -> list[tuple[str, str]]:
    rows = []
    entries = [(name, inner) for name, inner in nested.items() if name]
    if "" in nested and not before:
        entries = [(_span(nested[""]), nested[""]), *entries]
    for number, (name, inner) in enumerate(entries):
        last = number == len(entries) - 1
        branch = f"{before}{'└── ' if last else '├── '}"
        if isinstance(inner, Item):
            rows.append((branch + name, inner.words))
            continue
        rows.append((f"{branch}{name}/", _held(inner[""]) if "" in inner else ""))
        rows += _rows({key: value for key, value in inner.items() if key}, before + ("    " if last else "│   "))
    return rows


def _span(item: Item) -> str:
    return f"000{item.ending} ... {(item.count or 1) - 1:03}{item.ending}"


def _held(item: Item) -> str:
    noun = "images" if item.ending in (".jpg", ".png") else f"{item.ending} files"
    return f"{item.count} {noun}{f': {item.words}' if item.words else ''}"


def _rng(path: Path, root: Path) -> np.random.Generator:
    return np.random.default_rng(list(hashlib.sha256(path.relative_to(root).as_posix().encode()).digest()))


def _drawn(path: Path, root: Path, mode: str = "RGB", size: tuple[int, int] = (SIDE, SIDE)) -> Image.Image:
    channels = {"L": (), "RGB": (3,)}[mode]
    small = _rng(path, root).integers(0, 240, (4, 4, *channels), dtype=np.uint8)  # few large patches
    return Image.fromarray(small, mode=mode).resize(size, Image.Resampling.BICUBIC)


def _encoded(image: Image.Image, ending: str) -> bytes:
    content = io.BytesIO()
    image.save(content, format={".jpg": "JPEG", ".png": "PNG"}[ending])
    return content.getvalue()
