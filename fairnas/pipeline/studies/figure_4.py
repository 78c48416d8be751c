"""Figure 4: how likely uniform sampling trains all choice blocks of a layer equally often (lemma 1). No training."""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from fairnas.errors import ConfigError
from fairnas.fairness import equal_count_probability
from fairnas.fairness.theory import equal_count_asymptote
from fairnas.randomness import generator
from fairnas.report.figure_4 import EqualCounts, Simulated, findings, render_equal_counts
from fairnas.report.units import share_interval
from fairnas.writing import write_atomically

BLOCKS = (2, 3, 4, 5, 6)
"""m, choice blocks of a layer."""
LARGEST = 10_000_000
"""Of n: the paper says that n is a million or more in most cases (2.2.2)."""
_PER_DECADE = 12
_FEWEST_HITS = 10
"""Points are simulated as long as so many repetitions are expected to hit: fewer say little."""
_LARGEST_SIMULATED = 600


def draw_figure_4(out: Path, repetitions: int, seed: int, command: str) -> dict[str, Any]:
    """Compute the curves, simulate points on them, write the page and its numbers, and return these.

    Raises `ConfigError` if there is nothing to simulate.
    """
    if repetitions < 100:
        raise ConfigError(f"--repetitions is {repetitions}; give 100 or more")
    curves = tuple(equal_counts(m, repetitions, seed) for m in BLOCKS)
    numbers = {
        "figure": 4,
        "repetitions": repetitions,
        "seed": seed,
        "sentences": list(findings(curves)),
        "curves": [asdict(curve) for curve in curves],
        "command": command,
    }
    write_atomically(out / "figure4.json", (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(out / "figure4.html", render_equal_counts(curves, repetitions, command).encode())
    return numbers | {"page": str(out / "figure4.html")}


def equal_counts(m: int, repetitions: int, seed: int) -> EqualCounts:
    """The curve of m blocks, and points on it."""
    n = multiples(m, LARGEST)
    return EqualCounts(
        m=m,
        n=n,
        exact=tuple(equal_count_probability(m, each) for each in n),
        asymptote=tuple(equal_count_asymptote(m, each) for each in n),
        simulated=tuple(
            _simulated(m, each, repetitions, seed)
            for each in multiples(m, _LARGEST_SIMULATED)
            if equal_count_probability(m, each) * repetitions >= _FEWEST_HITS
        ),
    )


def multiples(m: int, largest: int) -> tuple[int, ...]:
    """Multiples of m up to `largest`, equally far apart on a logarithmic axis as far as there are enough."""
    decades = math.log10(largest / m)
    wanted = 10 ** np.linspace(0, decades, math.ceil(_PER_DECADE * decades) + 1)
    return tuple(m * number for number in dict.fromkeys(np.round(wanted).astype(int).tolist()) if m * number <= largest)


def _simulated(m: int, n: int, repetitions: int, seed: int) -> Simulated:
    hits = simulate(m, n, repetitions, generator(seed, "equal counts", m, n))
    low, high = share_interval(hits / repetitions, repetitions)
    return Simulated(n, hits, hits / repetitions, low, high, equal_count_probability(m, n))


def simulate(m: int, n: int, repetitions: int, rng: np.random.Generator) -> int:
    """How many of so many repetitions of n uniform draws hit each of m blocks equally often."""
    draws = rng.integers(m, size=(repetitions, n), dtype=np.uint8)
    level = np.ones(repetitions, dtype=bool)
    for block in range(m - 1):  # the last is level if all others are
        level &= np.count_nonzero(draws == block, axis=1) == n // m
    return int(level.sum())
