"""What the files of a run directory hold, as values, and how each is read from plain data.

Anything that is not what fairnas writes raises `KeyError`, `TypeError`, `AttributeError`, `IndexError` or
`ValueError`; whoever opened the file says which it was.
"""

import math
from dataclasses import dataclass
from typing import Any

from fairnas.config import Augmentation, Measure
from fairnas.report.objectives import ObjectiveRecord, extra_objectives, parse_objectives
from fairnas.search.mutators import OperatorCounts
from fairnas.space import SearchSpace, format_genome


@dataclass(frozen=True)
class Scored:
    """A candidate as the search knows it: genome text, one-shot top-1 (0 to 1), multiply-adds, parameters.

    `further` holds its values of the search's other objectives, in their order. `balanced_accuracy` is known where the
    run measures accuracy so (`evaluate.measure`).
    """

    genome: str
    top1: float
    madds: float
    params: float
    generation: int
    further: tuple[float | None, ...] = ()
    balanced_accuracy: float | None = None

    @property
    def accuracy(self) -> float:
        """One-shot accuracy by the run's measure."""
        return self.top1 if self.balanced_accuracy is None else self.balanced_accuracy


@dataclass(frozen=True)
class Search:
    """`search.json`. The front is sorted by multiply-adds, lightest first."""

    searcher: str
    generations: int
    evaluations: int
    distinct: int
    failed: int
    hypervolume: tuple[float, ...]
    objectives: tuple[ObjectiveRecord, ...]
    front: tuple[Scored, ...]
    selected: tuple[Scored, ...]
    operators: tuple[tuple[str, OperatorCounts], ...] = ()
    """What became of the children of each operator; none of searchers that have no operators."""
    rejected: int = 0
    """Of the distinct networks, how many missed a bound."""

    @property
    def scored(self) -> int:
        """Networks that the search asked for and that neither missed a bound nor failed."""
        return self.distinct - self.rejected - self.failed

    @property
    def bounds(self) -> tuple[tuple[str, float], ...]:
        """Name and bound of the objectives that have one."""
        return tuple((objective.name, objective.bound) for objective in self.objectives if objective.bound is not None)


@dataclass(frozen=True)
class Trained:
    """A network's training from scratch: accuracies (0 to 1) by the run's measure, None if it diverged; test images."""

    validation: float | None
    test: float | None
    test_images: int
    class_hits: tuple[int, ...] = ()
    """Test images of each class that it gets right; none in trainings of before they were counted."""
    class_images: tuple[int, ...] = ()
    """Test images of each class, where `test` counts classes (balanced accuracy); none where it counts images."""
    test_top1: float | None = None
    """Share of all test images, where `test` is not that."""


@dataclass(frozen=True)
class Exported:
    """`model.json` of an exported network: what was measured of its files. None: not measured, or no int8 file."""

    device: str
    onnx_ms: float | None
    int8_ms: float | None
    int8_top1: float | None
    """On the test images."""


@dataclass(frozen=True)
class Data:
    """`data.json`: what was trained on."""

    name: str
    classes: tuple[str, ...]
    image_size: int
    image_channels: int
    counts: tuple[tuple[str, int], ...]
    augmentation: Augmentation
    fingerprint: str
    notes: tuple[str, ...]
    class_counts: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Images of each class, split by split; none in runs of before they were written."""
    fit: str = "crop"
    """How images became squares."""
    value_range: tuple[float, float] | None = None
    """Values that became black and white, of images of more than 8 bits."""

    @property
    def tested(self) -> tuple[tuple[str, int], ...]:
        """Every class with its number of test images, in the order of the classes; none if that is not known."""
        counts = dict(self.class_counts).get("test", ())
        return tuple(zip(self.classes, counts, strict=True)) if sum(counts) else ()


@dataclass(frozen=True)
class Epoch:
    """One epoch of supernet training; accuracies (0 to 1, the run's measure) are absent if they were not measured."""

    epoch: int
    loss: float
    accuracy_mean: float | None
    accuracy_std: float | None


def parse_data(plain: Any) -> Data:
    """Read `data.json`."""
    return Data(
        name=str(plain["name"]),
        classes=tuple(str(name) for name in plain["classes"]),
        image_size=int(plain["image_size"]),
        image_channels=int(plain["image_channels"]),
        counts=tuple((str(split), int(count)) for split, count in plain["counts"].items()),
        augmentation=_augmentation(plain["augmentation"]),
        fingerprint=str(plain["fingerprint"]),
        notes=tuple(str(finding["message"]) for finding in plain["findings"]),
        class_counts=tuple(
            (str(split), _class_counts(counts, len(plain["classes"])))
            for split, counts in plain.get("class_counts", {}).items()
        ),
        fit=str(plain.get("fit", "crop")),
        value_range=_range(plain.get("value_range")),
    )


def _range(plain: Any) -> tuple[float, float] | None:
    if plain is None:
        return None
    low, high = (finite(value) for value in plain)
    return low, high


def _augmentation(plain: Any) -> Augmentation:
    crop, flip, rotate = (str(plain[key]) for key in ("crop", "flip", "rotate"))
    return Augmentation(crop, flip, rotate, finite(plain["colour"]))  # pyright: ignore[reportArgumentType]


def _class_counts(plain: Any, classes: int) -> tuple[int, ...]:
    counts = tuple(int(count) for count in plain)
    if len(counts) != classes or min(counts) < 0:
        raise ValueError(f"{len(counts)} counts of {classes} classes, or one below 0")
    return counts


def parse_epochs(rows: Any, measure: Measure = "top1") -> tuple[Epoch, ...]:
    """Read the training rows of `metrics.jsonl`."""
    return tuple(
        Epoch(
            epoch=int(row["epoch"]),
            loss=float(row["loss"]),
            accuracy_mean=number(row.get(f"one_shot_{measure}_mean")),
            accuracy_std=number(row.get(f"one_shot_{measure}_std")),
        )
        for row in rows
    )


def parse_search(plain: Any, space: SearchSpace, measure: Measure = "top1") -> Search:
    """Read `search.json`; genomes must fit the space."""
    objectives = parse_objectives(plain)

    def rows(key: str) -> tuple[Scored, ...]:
        return tuple(_scored(row, space, objectives, measure) for row in plain[key])

    return Search(
        searcher=str(plain["searcher"]),
        generations=int(plain["generations"]),
        evaluations=int(plain["evaluations"]),
        distinct=int(plain["distinct"]),
        failed=int(plain["failed"]),
        hypervolume=tuple(finite(value) for value in plain["hypervolume"]),
        objectives=objectives,
        front=rows("front"),
        selected=rows("selected"),
        operators=tuple((str(name), _tally(counts)) for name, counts in plain.get("operators", {}).items()),
        rejected=int(plain.get("rejected", 0)),
    )


def _tally(counts: Any) -> OperatorCounts:
    return OperatorCounts(**{str(name): int(count) for name, count in counts.items()})


def _scored(row: Any, space: SearchSpace, objectives: tuple[ObjectiveRecord, ...], measure: Measure) -> Scored:
    genome = format_genome(space.parse(row["genome"]))
    further = tuple(number(row.get(objective.name)) for objective in extra_objectives(objectives))
    top1, madds, params = finite(row["top1"]), finite(row["madds"]), finite(row["params"])
    balanced = finite(row[measure]) if measure == "balanced_accuracy" else None
    return Scored(genome, top1, madds, params, int(row["generation"]), further, balanced)


def parse_training(plain: Any, measure: Measure = "top1") -> Trained:
    """Read one file of `stand_alone/`."""
    if plain["status"] == "diverged":
        return Trained(None, None, 0)
    if plain["status"] != "done":
        raise ValueError(f"status is {plain['status']!r}, not 'done' or 'diverged'")
    validation, test = plain["validation"], plain["test"]
    hits = tuple(int(count) for count in test.get("class_hits", ()))
    found = float(validation[measure]), float(test[measure]), int(test["images"]), hits
    if measure == "top1":
        return Trained(*found)
    of_classes = tuple(int(count) for count in test["class_images"])
    if len(of_classes) != len(hits) or not any(of_classes):
        raise ValueError(f"{len(hits)} counts of {len(of_classes)} classes, or no images")
    return Trained(*found, of_classes, float(test["top1"]))


def parse_exported(plain: Any) -> Exported:
    """Read a network's `model.json`; of an earlier version, it has no latency and knows no int8."""
    latency, int8 = plain.get("latency", {}), plain.get("int8")
    onnx_ms, int8_ms = (number(latency.get(name, {}).get("latency_ms")) for name in ("model.onnx", "model.int8.onnx"))
    top1 = float(int8["accuracy"]["test"]["int8_top1"]) if int8 else None
    return Exported(str(latency.get("device", "")), onnx_ms, int8_ms, top1)


def parse_versions(plain: Any) -> dict[str, str]:
    """Read `versions.json`: a version per package."""
    return {str(name): str(version) for name, version in plain.items()}


def number(value: Any) -> float | None:
    """A finite number, or None: JSON has null or NaN for what could not be measured."""
    return float(value) if value is not None and math.isfinite(value) else None


def finite(value: Any) -> float:
    """A finite number. Raises `ValueError` for any other, and `TypeError` for what is none."""
    found = float(value)
    if not math.isfinite(found):
        raise ValueError(f"{value} is not a finite number")
    return found
