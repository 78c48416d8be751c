"""`fairnas predict MODEL IMAGE ...`: what an exported network says about images."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro
from rich.markup import escape

from fairnas.cli.output import print_json, print_table
from fairnas.cli.parsing import UsageError, parse
from fairnas.data.classfolders import shown
from fairnas.errors import DataError
from fairnas.export.predict import Classifier, Prediction, Unreadable, find_images


@dataclass(frozen=True)
class PredictVerb:
    """Classify images with an exported network: class names and probabilities.

    Images that cannot be read are named; the exit code is then 2, and the others are classified all the same.

    Examples:
        fairnas predict runs/digits/models/01234501 seven.png
        fairnas predict model.int8.onnx photos/ --top 1 --json
    """

    model: tyro.conf.Positional[Path]
    """An ONNX file, or a folder that `fairnas export` wrote."""
    images: tyro.conf.Positional[tuple[Path, ...]]
    """Image files, or folders of them."""
    top: int = 5
    """Classes to show for each image."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Sequence[str]) -> None:
    """Parse, classify, print."""
    given = parse(PredictVerb, arguments, "predict")
    if not given.images:
        raise UsageError("no image is given; give image files or folders of them")
    if given.top < 1:
        raise UsageError(f"--top is {given.top}; give 1 or more")
    classifier = Classifier(given.model)
    found = list(classifier.predict(find_images(given.images), given.top))
    good = [each for each in found if isinstance(each, Prediction)]
    bad = [each for each in found if isinstance(each, Unreadable)]
    if given.json:
        print_json(_as_plain(classifier.path, good, bad))
    elif good:
        print_table(("image", " probability", "class"), [row for each in good for row in _rows(each)])
    lines = [f"{shown(each.image)}: {each.reason}" for each in bad]
    for line in lines[:-1]:
        print(f"fairnas: {line}", file=sys.stderr)
    if lines:
        raise DataError(lines[-1])  # which prints it like the others, and sets the exit code


def _rows(prediction: Prediction) -> list[tuple[str, str, str]]:
    """One row per class; the image is named in the first."""
    pairs = zip(prediction.classes, prediction.probabilities, strict=True)
    return [
        (_printable(prediction.image) if number == 0 else "", f"{probability:.2%}", _printable(name))
        for number, (name, probability) in enumerate(pairs)
    ]


def _printable(text: str) -> str:
    """Text of a file as text for a terminal: no control codes, and no markup of rich's."""
    return escape("".join(character if character.isprintable() else "\ufffd" for character in shown(text)))


def _as_plain(model: Path, good: Sequence[Prediction], bad: Sequence[Unreadable]) -> dict[str, object]:
    return {
        "model": shown(model),
        "images": [
            {
                "image": shown(each.image),
                "classes": [
                    {"class": name, "probability": probability}
                    for name, probability in zip(each.classes, each.probabilities, strict=True)
                ],
            }
            for each in good
        ],
        "unreadable": [{"image": shown(each.image), "reason": each.reason} for each in bad],
    }
