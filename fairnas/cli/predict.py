"""`fairnas predict MODEL IMAGE ...`: classes of images by an exported network."""

import contextlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from rich.cells import cell_len, set_cell_size

from fairnas.cli.output import print_json
from fairnas.cli.parsing import UsageError, parse
from fairnas.data.class_folders import shown
from fairnas.data.image_files import disguise_line
from fairnas.errors import DataError
from fairnas.export.predict import Classifier, NoImagesError, Prediction, Unreadable, find_images
from fairnas.export.timing import all_threads


@dataclass(frozen=True)
class PredictVerb:
    """Classify images with an exported network; prints class names and probabilities while it works.

    Images that cannot be read are named at the end and make the exit code 2; all others are classified. Other files in
    folders are skipped and counted by extension; if no image is left, the exit code is 2.

    Examples:
        fairnas predict runs/digits/models/01234501 seven.png
        fairnas predict model.int8.onnx photos/ --top 1 --json
        fairnas predict model.onnx photos/ --json-lines
    """

    model: tyro.conf.Positional[Path]
    """An ONNX file, or a folder that `fairnas export` wrote."""
    images: tyro.conf.Positional[tuple[Path, ...]]
    """Image files, or folders of them."""
    top: int = 5
    """Classes to show for each image."""
    threads: int | None = None
    """Threads of onnxruntime, and of image decoding; default: one per core."""
    json: bool = False
    """Print one JSON object and nothing else, after the last image."""
    json_lines: bool = False
    """Print one line of JSON per image and nothing else, in batches."""


def main(arguments: Sequence[str]) -> None:
    """Parse, classify, print."""
    given = parse(PredictVerb, arguments, "predict")
    if not given.images:
        raise UsageError("no image is given; give image files or folders of them")
    for flag, number in (("--top", given.top), ("--threads", given.threads)):
        if number is not None and number < 1:
            raise UsageError(f"{flag} is {number}; give 1 or more")
    if given.json and given.json_lines:
        raise UsageError("--json prints one object, --json-lines one for each image; give one of them")
    classifier = Classifier(given.model, given.threads or all_threads())
    try:
        found = find_images(given.images)
    except NoImagesError as error:
        if given.json:
            _print_json(classifier, [], [], error.left_out)
        raise
    images = found.images
    table, good, bad = _Table(images), list[Prediction](), list[Unreadable]()
    try:
        with _progress(len(images), is_needed=given.json or not sys.stdout.isatty()) as tell:
            for each in classifier.predict(images, given.top):
                good.append(each) if isinstance(each, Prediction) else bad.append(each)
                tell(len(good) + len(bad))
                if given.json_lines:
                    print(json.dumps(_as_plain(each)), flush=True)
                elif isinstance(each, Prediction) and not given.json:
                    table.print(each)
    except KeyboardInterrupt:
        _print_lines(bad)
        kept = "but are not printed (--json-lines prints each at once)" if given.json else "and are printed"
        raise KeyboardInterrupt(
            f"{len(good) + len(bad):,} of {len(images):,} images were done {kept}; "
            "the same command begins with the first again"
        ) from None
    if given.json:
        _print_json(classifier, good, bad, found.left_out)
    _print_lines(bad[:-1])
    other_depth = classifier.other_depth_line(_other_depth(good), len(images))
    for line in (found.line, other_depth, disguise_line(_other_formats(good))):
        if line:
            print(f"fairnas: {line}", file=sys.stderr)
    if bad:
        raise DataError(_line(bad[-1]))  # printed like the others, and sets the exit code


@contextlib.contextmanager
def _progress(images: int, is_needed: bool) -> Iterator[Callable[[int], None]]:
    """Progress bar for output that shows no rows: on standard error, if that is a terminal."""
    if not is_needed or not sys.stderr.isatty():
        yield lambda done: None
        return
    from fairnas.cli.progress import narrated

    with narrated() as narrator:
        narrator.stage(1, 1, "classify images", "")
        yield lambda done: narrator.progress(done, images, f"{done:,} of {images:,}")


class _Table:
    """Table printed row by row; the width of its first column must be known before."""

    def __init__(self, images: Sequence[str]) -> None:
        self._width = max(cell_len(_printable(name)) for name in ("image", *images))
        self._head = True

    def print(self, prediction: Prediction) -> None:
        """Print one row per class, with the image's name in the first."""
        if self._head:
            self._row("image", "probability", "class")
            self._head = False
        image = _printable(prediction.image)
        for name, probability in zip(prediction.classes, prediction.probabilities, strict=True):
            self._row(image, f"{probability:.2%}", _printable(name))
            image = ""

    def _row(self, image: str, probability: str, name: str) -> None:
        print(f" {set_cell_size(image, self._width)}   {probability:>11}   {name}", flush=True)


def _printable(text: str) -> str:
    """Return the text of a file without control codes, for a terminal."""
    return "".join(character if character.isprintable() else "\ufffd" for character in shown(text))


def _print_lines(bad: Sequence[Unreadable]) -> None:
    for each in bad:
        print(f"fairnas: {_line(each)}", file=sys.stderr)


def _line(each: Unreadable) -> str:
    return f"{shown(each.image)}: {each.reason}"


def _print_json(
    classifier: Classifier, good: Sequence[Prediction], bad: Sequence[Unreadable], left_out: Mapping[str, int]
) -> None:
    print_json(
        {
            "model": shown(classifier.path),
            "images": [_as_plain(each) for each in good],
            "unreadable": [_as_plain(each) for each in bad],
            "left_out": dict(left_out),
            "other_depth": _other_depth(good),
            "other_format": dict(_other_formats(good)),
        }
    )


def _other_depth(good: Sequence[Prediction]) -> int:
    """Number of images whose bit depth differs from the training images'."""
    return sum(each.other_depth for each in good)


def _other_formats(good: Sequence[Prediction]) -> Counter[str]:
    """Numbers of images whose format differs from their extension, by format."""
    return Counter(each.other_format for each in good if each.other_format)


def _as_plain(each: Prediction | Unreadable) -> dict[str, Any]:
    if isinstance(each, Unreadable):
        return {"image": shown(each.image), "reason": each.reason}
    pairs = zip(each.classes, each.probabilities, strict=True)
    return {
        "image": shown(each.image),
        "classes": [{"class": name, "probability": probability} for name, probability in pairs],
        "other_depth": each.other_depth,
        "other_format": each.other_format,
    }
