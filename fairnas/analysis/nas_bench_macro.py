"""True accuracies of NAS-Bench-Macro: every network of a space, trained from scratch by the benchmark's authors.

Su et al., CVPR 2021: 8 layers of 3 choices, CIFAR-10, three trainings per network. The file is theirs and is not part
of fairnas; users give its path.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnas.errors import DataError
from fairnas.space import Genome, get_space
from fairnas.untrusted import parse_json

SPACE = "nas_bench_macro"
"""Name of its search space."""


@dataclass(frozen=True)
class TrueNetwork:
    """Network of the benchmark. Accuracies are shares from 0 to 1, on the test images of CIFAR-10."""

    top1: float
    """Mean accuracy over the trainings."""
    trainings: tuple[float, ...]
    """Accuracy of each training; trainings differ in the seed."""
    madds: int
    params: int


def read_nas_bench_macro(path: Path) -> Mapping[Genome, TrueNetwork]:
    """Read all 6,561 genomes from the benchmark's JSON file. Genomes of equal networks have equal values.

    Raises:
        DataError: if the file is absent, not JSON, of another format, or without some of the networks.
    """
    wanted = "give the JSON file of NAS-Bench-Macro for CIFAR-10"
    try:
        rows = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot read {path} ({error.strerror}); {wanted}") from None
    except ValueError as error:  # from the JSON parser, or from text that is not UTF-8
        raise DataError(f"{path} is not JSON ({error}); {wanted}") from None
    space = get_space(SPACE)
    try:
        if not isinstance(rows, dict):
            raise TypeError("it is no object with a key per genome")
        truth = {space.parse(text): _network(row) for text, row in rows.items()}
    except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
        why = f"a network lacks {error}" if isinstance(error, KeyError) else str(error)
        raise DataError(f"{path} is JSON of another format ({why}); {wanted}") from None
    if len(truth) != space.size:
        raise DataError(f"{path} has {len(truth):,} of the {space.size:,} networks of {SPACE}; {wanted}")
    return truth


def _network(row: Any) -> TrueNetwork:
    trainings = tuple(float(value) / 100 for value in row["test_acc"])
    mean = float(row["mean_acc"]) / 100
    if not all(0 <= value <= 1 for value in (mean, *trainings)):
        raise ValueError("accuracies are not percentages")
    return TrueNetwork(mean, trainings, int(row["flops"]), int(row["params"]))
