"""Candidates of a search, and the interfaces for their costs and scores."""

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol

from fairnas.space import Genome, format_genome, parse_genome

Measures = Mapping[str, float]


class Evaluator(Protocol):
    """Scores of genomes, such as one-shot accuracy. Expensive; called once per network."""

    def __call__(self, genomes: Sequence[Genome], /) -> Sequence[Measures]:
        """Measures of each genome, in order, such as `{"top1": 0.71, "top5": 0.9, "loss": 1.2}`.

        Accuracies are shares from 0 to 1. A measure that is not finite, or an `ArithmeticError`, means that the genome
        failed. Any other exception is a fault of the evaluator, not of a genome: it ends the search, which can be
        continued from the archive once the fault is corrected.
        """
        ...


class Costs(Protocol):
    """Costs of a genome that are known without running it. Cheap and additive over layers."""

    def __call__(self, genome: Genome, /) -> Measures:
        """Costs such as `madds`, `params` and `latency`, with the same names for every genome."""
        ...


@dataclass(frozen=True)
class Candidate:
    """Genome with its costs and, unless they miss a bound, its measures. Hashable; made by `of`.

    Attributes:
        genome: the canonical genome.
        items: costs and measures as pairs, sorted by name.
        generation: the first generation that asked for the network, from 0.
    """

    genome: Genome
    items: tuple[tuple[str, float], ...]
    generation: int

    @staticmethod
    def of(genome: Genome, measures: Measures, generation: int = 0) -> "Candidate":
        """Make a candidate from a mapping of costs and measures."""
        return Candidate(genome, tuple(sorted(plain(measures).items())), generation)

    @property
    def measures(self) -> Measures:
        """Costs and measures by name."""
        return MappingProxyType(dict(self.items))

    @property
    def failed(self) -> bool:
        """True if the network could not be scored: a measure is NaN. It never enters a front."""
        return any(math.isnan(value) for _, value in self.items)

    def value(self, name: str) -> float:
        """One cost or measure. Raises `KeyError` if the candidate does not have it."""
        for key, value in self.items:
            if key == name:
                return value
        raise KeyError(name)

    def get(self, name: str) -> float | None:
        """Return one cost or measure; None if the candidate does not have it."""
        return self.value(name) if self.has([name]) else None

    @property
    def text(self) -> str:
        """The genome's text form."""
        return format_genome(self.genome)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: genome, generation, then costs and measures by name."""
        return {"genome": self.text, "generation": self.generation, **self.measures}

    @staticmethod
    def from_dict(row: Any) -> "Candidate":
        """Inverse of `to_dict`. Raises `ValueError` for anything else; the genome is not checked against a space."""
        if not isinstance(row, dict) or not isinstance(row.get("genome"), str):
            raise ValueError("should be a network with a genome")
        measures = {key: value for key, value in row.items() if key not in ("genome", "generation")}
        wrong = [key for key, value in measures.items() if isinstance(value, bool) or not is_number(value)]
        if wrong:
            raise ValueError(f"{wrong[0]} is {str(measures[wrong[0]])[:20]!r}, not a finite number")
        generation = row.get("generation")
        if isinstance(generation, bool) or not isinstance(generation, int) or generation < 0:
            raise ValueError("should have the number of its generation")
        return Candidate.of(parse_genome(row["genome"]), measures, generation)

    def has(self, names: Iterable[str]) -> bool:
        """True if the candidate has all of these costs and measures."""
        return {key for key, _ in self.items}.issuperset(names)


def plain(measures: Measures) -> dict[str, float]:
    """Measures as Python numbers, with `math.nan` for all that are not finite, so that equal candidates are equal."""
    result: dict[str, float] = {}
    for name, value in measures.items():
        if isinstance(value, numbers.Integral) and abs(int(value)) < 2**63:  # the range of an SQLite integer column
            result[name] = int(value)
        else:
            # always the same object, because `math.nan` equals itself inside tuples, but not another NaN
            result[name] = float(value) if math.isfinite(value) else math.nan
    return result


def is_number(value: object) -> bool:
    """True for a finite real number, of Python or numpy, that fits into a float."""
    try:
        return isinstance(value, numbers.Real) and math.isfinite(value)
    except OverflowError:
        return False
