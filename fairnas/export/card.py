"""Model card in Markdown: the files of a network, its accuracy, its origin, its use.

The front matter is that of the Hugging Face hub.
"""

import json
from collections.abc import Sequence

from fairnas.data.values import shown_range
from fairnas.export.facts import NOT_STATED, Aim, LatencyFacts, ModelFacts
from fairnas.export.preprocessing import Preprocessing

_SHOWN_CLASSES = 20  # classes named in the card; `config.json` has all
_WEAKEST_SHOWN = 50  # rows in the table of accuracy by class; `model.json` has all
_HUB_LICENCES = (
    "apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "cc-by-nc-4.0",
    "cc-by-nc-sa-4.0", "isc", "mpl-2.0", "unlicense",
)  # fmt: skip
"""SPDX names that the hub knows; it wants them in lower case, and `other` with a name for all others."""

_MEASURES = (
    ("test_top1", "top-1", "test", ""),
    ("test_balanced_accuracy", "balanced accuracy", "test", ""),
    ("test_top5", "top-5", "test", ""),
    ("validation_top1", "top-1", "validation", ""),
    ("validation_balanced_accuracy", "balanced accuracy", "validation", ""),
    ("one_shot_top1", "top-1", "validation", "with the supernet's weights"),
    ("one_shot_balanced_accuracy", "balanced accuracy", "validation", "with the supernet's weights"),
)
"""Measures as (key, name, split, network measured); the last is empty for the trained network."""
_FITS = {
    "crop": "Cut out the largest square in the middle and resize it to {size} x {size} pixels of 8 bits",
    "pad": "Resize the whole image until its longer side has {size} pixels of 8 bits",
    "squash": "Resize the whole image to {size} x {size} pixels of 8 bits, whatever its proportions",
}
_BARS = " Put it into the middle of a black square."
_OBJECTIVES = {"max": "as much as possible", "min": "as little as possible"}
_PROVENANCE = {
    "recipe": "recipe",
    "strategy": "supernet trained by",
    "balance": "classes balanced by",
    "measure": "accuracy measured as",
    "retraining": "trained by recipe",
    "initial": "training began with",
    "seed": "seed",
    "data": "data",
    "data_fingerprint": "fingerprint of the data",
    "fairnas": "fairnas",
}


def model_card(facts: ModelFacts) -> str:
    """Return the model card of an exported network."""
    parts = (
        _front_matter(facts.licence),
        f"# {_plain(facts.space)} {facts.text}",
        f"An image classifier of {len(facts.classes)} classes, found by weight-sharing neural architecture search "
        f"(in the manner of [FairNAS](https://arxiv.org/abs/1907.01845)), then {_trained(facts)}.",
        _table(("", ""), _about(facts)),
        "## Accuracy",
        _table(("measured", "on", "images", "accuracy", "network"), _accuracies(facts)),
        *_classes(facts),
        *_objectives(facts),
        "## Use",
        *_use(facts),
        "## Files",
        _table(("file", "what it is"), [(f"`{name}`", WHAT_FILES_ARE[name]) for name in facts.files]),
        "The folder has the layout of the Hugging Face hub: `hf upload USER/NAME .` pushes it, and so does "
        '`fairnas.export.hub.HubModel(".").push_to_hub("USER/NAME")`.',
    )
    return "\n\n".join(parts) + "\n"


def _trained(facts: ModelFacts) -> str:
    begun = facts.provenance.get("initial")
    return f"trained on from {_plain(begun)}" if begun else "trained from scratch"


WHAT_FILES_ARE = {
    "model.safetensors": "weights, genome, space, classes, preprocessing and licence: for `fairnas.load`",
    "config.json": "the same facts without the weights, for the hub",
    "model.onnx": "the network for onnxruntime and others, BN folded, any batch size",
    "model.int8.onnx": "the same in 8 bits; x86 processors without VNNI may cut off large sums, so test it there",
    "model.pt2": "the network as a `torch.export` program, BN folded, any batch size; runs without fairnas",
    "README.md": "this card",
    "model.json": "everything on this card as data, and the checksums of the files",
}


def _front_matter(licence: str) -> str:
    lines = ["library_name: fairnas", "pipeline_tag: image-classification", "metrics: [accuracy]"]
    lines += ["tags: [fairnas, neural-architecture-search, onnx]"]
    if licence.lower() in _HUB_LICENCES:
        lines += [f"license: {licence.lower()}"]
    elif licence != NOT_STATED:
        lines += ["license: other", f"license_name: {json.dumps(licence)}"]
    return "\n".join(["---", *lines, "---"])


def _about(facts: ModelFacts) -> list[tuple[str, str]]:
    names = [f"`{_plain(name)}`" for name in facts.classes[:_SHOWN_CLASSES]]
    left_out = len(facts.classes) - _SHOWN_CLASSES
    more = f" and {left_out:,} more; all of them are `classes` in `config.json`" if left_out > 0 else ""
    given, images = facts.preprocessing, facts.images
    colour = "grey" if given.image_channels == 1 else "colour"
    counts = ", ".join(f"{count:,} {split}" for split, count in images.items())
    return [
        ("genome", f"`{facts.text}` in space `{_plain(facts.space)}`"),
        ("multiply-adds", f"{facts.madds / 1e6:,.3f} M for one image"),
        ("parameters", f"{facts.params / 1e6:,.4f} M"),
        *_latencies(facts.latency),
        ("input", f"{given.image_size} x {given.image_size} pixels, {colour}{_fitted(given)}"),
        ("classes, in the order of the outputs", f"{', '.join(names)}{more}"),
        *((said, f"`{_plain(facts.provenance[key])}`") for key, said in _PROVENANCE.items()
          if key in facts.provenance),
        *((("images", counts),) if counts else ()),
        *((("training images were", _plain(facts.provenance["augmentation"])),)
          if "augmentation" in facts.provenance else ()),
        ("licence of the weights", _plain(facts.licence)),
    ]  # fmt: skip


def _fitted(given: Preprocessing) -> str:
    """Unusual properties of the input, as text."""
    fit = {"crop": "", "pad": ", the whole image between black bars", "squash": ", the whole image squeezed"}[given.fit]
    ends = given.value_range
    return fit + (f", of more than 8 bits: values {shown_range((ends[0], ends[1]))}" if ends else "")


def _latencies(latency: LatencyFacts) -> list[tuple[str, str]]:
    """Rows for the models that were timed."""
    device = _plain(latency.device)
    return [
        (
            f"latency of `{name}`",
            f"{each.latency_ms:.3g} ms for one image, quartiles {each.quartiles_ms[0]:.3g} to "
            f"{each.quartiles_ms[1]:.3g} ms, on {device}",
        )
        for name, each in latency.models.items()
    ]


def _accuracies(facts: ModelFacts) -> list[tuple[str, ...]]:
    measures, images = facts.measures, facts.images
    rows = [
        (
            kind,
            split,
            f"{images[split]:,}" if split in images else "?",
            f"{measures[key]:.2%}",
            network or _trained(facts),
        )
        for key, kind, split, network in _MEASURES
        if key in measures
    ]
    for split, found in facts.int8.accuracy.items() if facts.int8 else ():
        points = f"{abs(found.lost):.2%}".removesuffix("%")
        compared = f"{points} points {'below' if found.lost > 0 else 'above'}" if found.lost else "as good as"
        of = (
            f"int8, {compared} float32: {found.only_float} images that only float32 gets right, "
            f"{found.only_int8} that only int8 does"
        )
        rows.append(("top-1", split, f"{found.images:,}", f"{found.int8_top1:.2%}", of))
        of = f"int8, where float32 has {found.float_balanced_accuracy:.2%}"
        rows.append(("balanced accuracy", split, f"{found.images:,}", f"{found.int8_balanced_accuracy:.2%}", of))
    return rows


def _classes(facts: ModelFacts) -> list[str]:
    """Table of accuracies by class, the weakest first; empty if they were not counted."""
    counts = facts.test_classes
    rows = [
        (name, images, right)
        for name, images, right in zip(facts.classes, counts.images, counts.right, strict=False)
        if images
    ]
    if not rows:
        return []
    rows.sort(key=lambda row: row[2] / row[1])
    left_out = len(rows) - _WEAKEST_SHOWN
    more = f" The other {left_out:,} are `test_classes` in `model.json`." if left_out > 0 else ""
    return [
        "## Accuracy class by class",
        "Of the test images, the weakest class first. Top-1 counts images, so large classes decide it; balanced "
        f"accuracy is the mean over the classes.{more}",
        _table(
            ("class", "images", "right", "accuracy"),
            [
                (f"`{_plain(name)}`", f"{images:,}", f"{right:,}", f"{right / images:.2%}")
                for name, images, right in rows[:_WEAKEST_SHOWN]
            ],
        ),
    ]


def _objectives(facts: ModelFacts) -> list[str]:
    rows = [
        (
            f"`{_plain(each.name)}`",
            _OBJECTIVES[each.direction] + _bound(each),
            "-" if each.value is None else _quantity(each.value, each.unit),
        )
        for each in facts.objectives
    ]
    return ["## What was searched for", _table(("objective", "wanted", "this network"), rows)] if rows else []


def _bound(aim: Aim) -> str:
    if aim.bound is None:
        return ""
    return f", {'at most' if aim.direction == 'min' else 'at least'} {_quantity(aim.bound, aim.unit)}"


def _quantity(value: float, unit: str) -> str:
    return f"{f'{value:,.0f}' if abs(value) >= 10_000 else f'{value:,.4g}'} {_plain(unit)}".strip()


def _use(facts: ModelFacts) -> list[str]:
    given = facts.preprocessing
    size, colours = given.image_size, "grey" if given.image_channels == 1 else "RGB"
    zeros = f"(1, {given.image_channels}, {size}, {size})"
    return [
        "Of image files, with class names and probabilities: `fairnas predict . IMAGE ...`. The same in Python, which "
        "needs no PyTorch:",
        _python(
            "from fairnas.export import Classifier",
            'for found in Classifier(".").predict(["image.jpg"], top=5):',
            "    print(found.image, found.classes, found.probabilities)",
        ),
        "In PyTorch:",
        _python(
            "import fairnas, torch",
            'network = fairnas.load(".")',
            'image = torch.from_numpy(network.preprocessing.read("image.jpg"))',
            "logits = network(image[None])",
            "print(network.classes[logits.argmax()])",
        ),
        "Both refuse a file that is not the one that was exported, and prepare images bit for bit as they were when "
        "the accuracies above were measured. To prepare them without fairnas:",
        "\n".join(
            [
                "1. Turn the image as its EXIF orientation says, put what is transparent on white, and convert it to "
                f"{colours}, 8 bits.{_deep(given)}",
                f"2. {_FITS[given.fit].format(size=size)}, bilinear and antialiased, as Pillow's `resize` does "
                f"(OpenCV's does not).{_BARS if given.fit == 'pad' else ''}",
                f"3. Divide by 255, subtract `{list(given.mean)}` and divide by `{list(given.std)}`, per channel"
                + (", in the order red, green, blue." if colours == "RGB" else "."),
                f"4. Pass it as float32 of shape `{zeros}`: images, channels, rows, columns; any number of images.",
            ]
        ),
        "Outputs are logits; their softmax is the probabilities. Output number i, from 0, belongs to class number i of "
        "`classes` in `config.json`, which is also in the metadata of every file. Without fairnas, "
        "first check that the files are those that were exported:",
        _python(
            "import hashlib, json, pathlib",
            'digests = json.loads(pathlib.Path("model.json").read_text())["sha256"]',
            'for name in ("model.onnx", "model.pt2"):',
            "    if hashlib.sha256(pathlib.Path(name).read_bytes()).hexdigest() != digests[name]:",
            '        raise SystemExit(f"{name} is not the file that was exported")',
        ),
        "In a single file, the last 64 characters are the SHA-256 of all bytes before them: "
        "`head -c -64 model.onnx | sha256sum`. In onnxruntime alone:",
        _python(
            "import numpy, onnxruntime",
            'session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])',
            f'(logits,) = session.run(["logits"], {{"images": numpy.zeros({zeros}, "float32")}})',
        ),
        "In PyTorch without fairnas (only for files of people you trust):",
        _python(
            "import torch",
            'network = torch.export.load("model.pt2").module()',
            f"logits = network(torch.zeros{zeros})",
        ),
    ]


def _deep(given: Preprocessing) -> str:
    """Mapping of images of more than 8 bits to 8 bits, if the network was trained on such images."""
    if given.value_range is None:
        return ""
    low, high = given.value_range
    return (
        f" Values v of images of more than 8 bits per channel become `(v - {low!r}) / {high - low!r} * 255`, "
        "limited to 0 to 255 and rounded."
    )


def _python(*lines: str) -> str:
    return "\n".join(["```python", *lines, "```"])


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Text that cannot end a table's cell, a code span or the line, because class names are names of folders."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable.replace("|", "/").replace("`", "'").replace("<", "(").replace(">", ")")
