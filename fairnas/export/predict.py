"""Classification of image files with an exported ONNX model, on the same pixels as in evaluation. No torch.

Model and images may come from anywhere: the model's metadata are checked, and an unreadable image gives an `Unreadable`
in its place, so that the others are not lost.
"""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from fairnas.data.class_folders import is_clutter, shown
from fairnas.data.decode import Header, quiet_pillow
from fairnas.data.formats import (
    CorruptImageError,
    by_ending,
    counted,
    is_image_name,
    is_unread_image,
    no_images,
    remedy,
    unlike_its_ending,
)
from fairnas.data.values import shown_range
from fairnas.errors import DataError, ExportError, ModelFileError
from fairnas.export.seal import digests_beside, require_intact
from fairnas.export.session import OnnxSession

ONNX = "model.onnx"
_AT_ONCE = 32  # images per run of the model, fewer if together they would have
_PIXELS = 2_000_000  # more pixels than this


@dataclass(frozen=True)
class Prediction:
    """Prediction of a model for one image."""

    image: str
    classes: tuple[str, ...]
    """Class names, the most probable first."""
    probabilities: tuple[float, ...]
    other_depth: bool = False
    """True if the file has more than 8 bits per channel and the training images did not, or the reverse.

    Then equal brightness may be another value for the model than in training.
    """
    other_format: str | None = None
    """Description of a file whose format differs from its extension, such as `.jpg files that are PNG`."""


@dataclass(frozen=True)
class Unreadable:
    """Image that cannot be classified, with the reason in one line."""

    image: str
    reason: str


class Classifier:
    """Exported ONNX model with the names of its classes."""

    def __init__(self, path: Path | str, threads: int = 1) -> None:
        """Open a model.

        Args:
            path: the ONNX file, or a folder that `fairnas export` wrote.
            threads: number of threads of the runtime, and of threads that decode images.

        Raises:
            ModelFileError: if there is no model, it is damaged or not as it was exported, or does not describe its
                input and output.
            ExportError: if onnxruntime is missing.
        """
        self.path, self._threads = find_model(Path(path)), threads
        require_intact(self.path, digests_beside(self.path, is_needed=self.path != Path(path)))
        try:
            self._session = OnnxSession(self.path, threads)
            self._labels = self._session.labels()
        except ModelFileError as error:
            raise ModelFileError(f"{shown(self.path)}: {error}") from None
        except ExportError as error:
            raise type(error)(f"{shown(self.path)}: {error}") from None
        self.classes = self._labels.classes

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """(B, num_classes), float64, for normalised images (B, C, S, S). Raises `ModelFileError`."""
        logits = self._session.run(images)
        if logits.shape != (len(images), len(self.classes)):
            raise ModelFileError(
                f"{shown(self.path)} gives outputs of shape {logits.shape} for {len(images)} images and "
                f"{len(self.classes)} class names; export the model again"
            )
        logits = logits.astype(np.float64)
        if not np.isfinite(logits).all():
            raise ModelFileError(f"{shown(self.path)} gives outputs that are not finite; export the model again")
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def predict(self, images: Sequence[Path | str], top: int = 5) -> Iterator[Prediction | Unreadable]:
        """Predict the `top` most probable classes of every image file, in the given order, a few images at a time.

        The next images are decoded while the runtime works. Raises `ModelFileError`.
        """
        at_once = max(1, min(_AT_ONCE, _PIXELS // self._labels.preprocessing.image_size**2))
        batches = [[str(each) for each in images[start : start + at_once]] for start in range(0, len(images), at_once)]
        read: list[tuple[np.ndarray, Header] | str] = []
        pool, interrupted = ThreadPoolExecutor(self._threads), False
        try:
            for some, following in itertools.pairwise([[], *batches, []]):
                with quiet_pillow():
                    reading = [pool.submit(self._read, image) for image in following]
                    pixels = [each[0] for each in read if not isinstance(each, str)]
                    rows = iter(self.probabilities(np.stack(pixels)) if pixels else ())
                    found = [
                        Unreadable(image, each)
                        if isinstance(each, str)
                        else self._named(image, each[1], next(rows), top)
                        for image, each in zip(some, read, strict=True)
                    ]
                    try:
                        read = [each.result() for each in reading]
                    except KeyboardInterrupt:
                        interrupted = True  # results that are known are still yielded
                yield from found
                if interrupted:
                    raise KeyboardInterrupt
        finally:
            pool.shutdown(cancel_futures=True)

    def other_depth_line(self, count: int, total: int) -> str:
        """Note about `count` of `total` images of another depth than the training images; empty for 0."""
        if not count:
            return ""
        are, value_range = f"{count:,} of {total:,} images", self._labels.preprocessing.value_range
        if value_range is None:
            return (
                f"{are} have more than 8 bits, those the model was trained on had 8: values 0:65535 become 256 levels, "
                "so the same brightness may become another level; save them as the training images were"
            )
        return (
            f"{are} have 8 bits, those the model was trained on had more (values {shown_range(value_range)}): they "
            "stay as they are, so the same brightness may be another level; save them as the training images were"
        )

    def _read(self, image: str) -> tuple[np.ndarray, Header] | str:
        """Input made from an image file, with its header, or the reason that it cannot be read."""
        try:
            return self._labels.preprocessing.read_with_header(image)
        except CorruptImageError as error:
            absent = not os.path.lexists(image)
            return "there is no such file" if absent else f"cannot be decoded ({error}); replace it"
        except DataError as error:
            return str(error)

    def _named(self, image: str, header: Header, row: np.ndarray, top: int) -> Prediction:
        order = np.argsort(-row, kind="stable")[:top]
        return Prediction(
            image,
            tuple(self.classes[place] for place in order),
            tuple(row[order].tolist()),
            header.deep != (self._labels.preprocessing.value_range is not None),
            unlike_its_ending(image, header.form),
        )


def find_model(path: Path) -> Path:
    """ONNX file that a path means. Raises `ModelFileError` if there is none."""
    if not path.exists():
        raise ModelFileError(f"there is no {shown(path)}; give an ONNX file or a folder that `fairnas export` wrote")
    if not path.is_dir():
        return path
    if (path / ONNX).is_file():
        return path / ONNX
    inside = sorted((path / "models").glob(f"*/{ONNX}"))
    if inside:
        names = ", ".join(shown(each.parent) for each in inside[:5])
        raise ModelFileError(f"{shown(path)} is a run with {len(inside)} exported networks; give one of them: {names}")
    raise ModelFileError(f"{shown(path)} holds no {ONNX}; give an ONNX file or a folder that `fairnas export` wrote")


class NoImagesError(DataError):
    """Folder without images."""

    def __init__(self, message: str, left_out: Mapping[str, int]) -> None:
        """Set the message and the counts.

        Args:
            message: the line.
            left_out: numbers of the files that it contains instead, by extension.
        """
        super().__init__(message)
        self.left_out = left_out


@dataclass(frozen=True)
class FoundImages:
    """Images that were given or found in folders, and what was left out there."""

    images: tuple[str, ...]
    left_out: Mapping[str, int]
    """Numbers of files that are not read, by extension, without hidden ones."""
    remedy: str = ""
    """Advice that makes the left-out images readable; empty if there are none."""

    @property
    def line(self) -> str:
        """Files that were left out, in one line; empty if there are none."""
        count = sum(self.left_out.values())
        if not count:
            return ""
        noun = "1 file was" if count == 1 else f"{count:,} files were"
        return f"{noun} left out: {counted(self.left_out)}{f'; {self.remedy}' if self.remedy else ''}"


def find_images(paths: Sequence[Path]) -> FoundImages:
    """Find images: files as given, and images in folders and their subfolders, sorted.

    Raises:
        NoImagesError: if a folder contains no images; it says what it contains instead.
        DataError: if a folder cannot be read.
    """
    found: list[str] = []
    others: list[str] = []
    links = 0
    for path in paths:
        if not path.is_dir():
            found.append(str(path))
            continue
        images, rest, linked = _inside(path)
        if not images:
            message = no_images(shown(path), rest, "give images or a folder of them")
            raise NoImagesError(message, _left_out(rest, linked))
        found += images
        others += rest
        links += linked
    unread = [name for name in others if is_unread_image(name)]
    return FoundImages(tuple(dict.fromkeys(found)), _left_out(others, links), remedy(unread) if unread else "")


def _left_out(names: Sequence[str], links: int) -> dict[str, int]:
    return {**by_ending(names), **({"linked folders": links} if links else {})}


def _inside(folder: Path) -> tuple[list[str], list[str], int]:
    """Visible images and other files in a folder and its subfolders, sorted; and the number of links to folders.

    Links to folders are not followed, because they may lead back up.
    """

    def fail(error: OSError) -> NoReturn:
        raise DataError(f"cannot read the folder {shown(error.filename)}: {error.strerror}; make it readable")

    images, others, links = list[str](), list[str](), 0
    for inner, folders, names in os.walk(folder, onerror=fail):
        folders[:] = [name for name in folders if not is_clutter(name)]
        links += sum(os.path.islink(os.path.join(inner, name)) for name in folders)
        for name in names:
            if not is_clutter(name):
                (images if is_image_name(name) else others).append(os.path.join(inner, name))
    return sorted(images), sorted(others), links
