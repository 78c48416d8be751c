"""Figure 4: probability that uniform sampling trains all choice blocks of a layer equally often (lemma 1). No training.

Curves of the lemma, simulated points that should lie on them, and the page that shows both.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from fairnas import __version__
from fairnas.atomic_files import write_atomically
from fairnas.errors import ConfigError
from fairnas.fairness import equal_count_probability
from fairnas.fairness.theory import equal_count_asymptote
from fairnas.randomness import generator
from fairnas.report.format import counted, listed, whole, wilson_interval
from fairnas.report.html import Section, folded, joined, listing, paragraphs, plot, table, tag
from fairnas.report.page import whole_page
from fairnas.report.plots import Figure, plain_layout, six_digits
from fairnas.report.reproduction_section import versions_table
from fairnas.versions import installed_versions

BLOCKS = (2, 3, 4, 5, 6)
"""Numbers of choice blocks of a layer, m."""
LARGEST = 10_000_000
"""Largest n: the paper says that n is a million or more in most cases (2.2.2)."""
_PER_DECADE = 12  # points of the curve for every factor of ten in n
_FEWEST_HITS = 10
"""Smallest expected number of hits for a simulated point: with fewer it would be too inaccurate."""
_LARGEST_SIMULATED = 600  # largest n that is simulated; the time to simulate grows with it


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


@dataclass(frozen=True)
class Simulated:
    """Simulated point with its 95 % interval (Wilson), and the exact value by lemma 1."""

    n: int
    hits: int
    share: float
    low: float
    high: float
    exact: float

    @property
    def holds(self) -> bool:
        """True if the interval contains the exact value."""
        return self.low <= self.exact <= self.high


@dataclass(frozen=True)
class EqualCounts:
    """f(m, n) over n, for one m."""

    m: int
    n: tuple[int, ...]
    exact: tuple[float, ...]
    asymptote: tuple[float, ...]
    simulated: tuple[Simulated, ...]


def equal_counts(m: int, repetitions: int, seed: int) -> EqualCounts:
    """Curve of m blocks, and simulated points on it."""
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
    """Multiples of m up to `largest`, equally spaced on a logarithmic axis as far as possible."""
    decades = math.log10(largest / m)
    wanted = 10 ** np.linspace(0, decades, math.ceil(_PER_DECADE * decades) + 1)
    return tuple(m * number for number in dict.fromkeys(np.round(wanted).astype(int).tolist()) if m * number <= largest)


def _simulated(m: int, n: int, repetitions: int, seed: int) -> Simulated:
    hits = simulate(m, n, repetitions, generator(seed, "equal counts", m, n))
    low, high = wilson_interval(hits / repetitions, repetitions)
    return Simulated(n, hits, hits / repetitions, low, high, equal_count_probability(m, n))


def simulate(m: int, n: int, repetitions: int, rng: np.random.Generator) -> int:
    """Number of repetitions in which n uniform draws hit each of m blocks equally often."""
    draws = rng.integers(m, size=(repetitions, n), dtype=np.uint8)
    level = np.ones(repetitions, dtype=bool)
    for block in range(m - 1):  # the last block is level if all others are
        level &= np.count_nonzero(draws == block, axis=1) == n // m
    return int(level.sum())


_COLOURS = ("a", "b", "c", "d", "e")
_TABLED = (60, 600, 60_000, 600_000, 6_000_000)
"""Values of n in the table: multiples of 2 to 6."""
_DRAWN_FROM = 1e-12
"""Lower end of the logarithmic axis."""


def findings(curves: Sequence[EqualCounts]) -> tuple[str, ...]:
    """Summary of the curves, in sentences with numbers."""
    points = [point for curve in curves for point in curve.simulated]
    held = sum(point.holds for point in points)
    below = next(n for n in range(2, 1000, 2) if equal_count_probability(2, n) < 0.2)
    million = 1_000_000
    likely = [
        f"{_power(equal_count_probability(curve.m, million // curve.m * curve.m))} for m = {curve.m}"
        for curve in curves
    ]
    m = max(curve.m for curve in curves)
    ratios = [
        f"{equal_count_probability(m, n) / equal_count_asymptote(m, n):.4f} at n = {whole(n)}"
        for n in (m, 10 * m, 100 * m)
    ]
    return (
        f"f(2, n) falls below 0.2 at n = {below} and stays there.",
        f"At the largest multiple of m up to a million draws, f is {listed(likely)}.",
        f"The exact value over its asymptote, for m = {m}: {listed(ratios)}.",
        f"{held} of {counted(len(points), 'simulated point')} hold the exact value in their 95\u00a0% intervals; about "
        f"{0.95 * len(points):.0f} are to be expected.",
    )


def render_equal_counts(curves: Sequence[EqualCounts], repetitions: int, command: str) -> str:
    """Render the page as HTML."""
    lead = (
        "How likely n uniform draws hit each of the m choice blocks of a layer exactly n/m times: "
        "f(m, n) = n! / ((n/m)!^m m^n). Under strict fairness it happens always."
    )
    header = joined(
        [
            tag("p", "fairnas figure 4", classes="eyebrow"),
            tag("h1", "Uniform sampling does not level out"),
            tag("p", lead, classes="lead"),
        ]
    )
    sections = [_outcome(curves), _curves(curves, repetitions), _table(curves), _reproduction(command)]
    return whole_page("Figure 4: fairnas", header, sections, f"Written by fairnas {__version__}.")


def _outcome(curves: Sequence[EqualCounts]) -> Section:
    note = (
        "The asymptote is sqrt(m) (m / (2 pi n))^((m-1)/2). The last line of the paper's proof (b) lost a power of m "
        "on the way; its limit, zero, is right."
    )
    return Section("outcome", "Outcome", joined([paragraphs(findings(curves)), tag("p", note, classes="note")]))


def _curves(curves: Sequence[EqualCounts], repetitions: int) -> Section:
    caption = (
        f"Lines: exact values at multiples of m. Thin lines: the asymptote. Points: {whole(repetitions)} simulated "
        "trainings each, with 95\u00a0% intervals, as far as ten of them are expected to end level."
    )
    described = f"Line plot of f(m, n) over n for m = {curves[0].m} to {curves[-1].m}. The table holds values."
    places = [
        plot("linear", described, f"{caption} As in the paper, for n up to 200."),
        plot("logarithmic", f"The same with a logarithmic axis. {described}", "The same over all n."),
    ]
    plots = (("linear", _figure(curves, "linear")), ("logarithmic", _figure(curves, "log")))
    return Section("curves", "Curves", tag("div", *places, classes="pair"), plots)


def _figure(curves: Sequence[EqualCounts], scale: Literal["linear", "log"]) -> Figure:
    layout = plain_layout("n, draws", "probability of equal counts", legend=True, hovermode="closest")
    layout["xaxis"] |= {"type": "log", "dtick": 1}
    if scale == "log":
        layout["yaxis"] |= {"type": "log", "dtick": 2, "exponentformat": "power", "range": [-12, 0]}
    else:
        layout["xaxis"]["range"] = [0.2, 2.3]
        layout["yaxis"] |= {"rangemode": "tozero"}
    data: list[Figure] = []
    for curve, colour in zip(curves, _COLOURS, strict=True):
        data += _traces(curve, f"var(--arm-{colour})", points=scale)
    return {"data": data, "layout": layout}


def _traces(curve: EqualCounts, colour: str, points: Literal["linear", "log"]) -> list[Figure]:
    kept = [row for row in zip(curve.n, curve.exact, curve.asymptote, strict=True) if row[1] >= _DRAWN_FROM]
    both = {"type": "scatter", "mode": "lines", "legendgroup": f"m{curve.m}", "x": [n for n, _, _ in kept]}
    name = f"m = {curve.m}"
    exact = both | {
        "name": name,
        "y": [six_digits(value) for _, value, _ in kept],
        "line": {"color": colour, "width": 2},
        "hovertemplate": f"{name}, n = %{{x}}<br>%{{y:.4g}}<extra></extra>",
    }
    limit = both | {
        "name": f"{name}, asymptote",
        "y": [six_digits(value) for _, _, value in kept],
        "line": {"color": colour, "width": 1, "dash": "dot"},
        "hoverinfo": "skip",
        "showlegend": False,
    }
    dots = {
        "type": "scatter",
        "mode": "markers",
        "name": f"{name}, simulated",
        "legendgroup": f"m{curve.m}",
        "showlegend": False,
        "x": [point.n for point in curve.simulated],
        "y": [six_digits(point.share) for point in curve.simulated],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [six_digits(point.high - point.share) for point in curve.simulated],
            "arrayminus": [six_digits(point.share - point.low) for point in curve.simulated],
            "color": colour,
            "thickness": 1,
            "width": 3,
        },
        "marker": {"size": 6 if points == "linear" else 4, "color": colour},
        "text": [f"{point.hits} hits" for point in curve.simulated],
        "hovertemplate": f"{name}, n = %{{x}}<br>simulated %{{y:.4g}} (%{{text}})<extra></extra>",
    }
    return [exact, limit, dots]


def _table(curves: Sequence[EqualCounts]) -> Section:
    head = ("n", *(f"m = {curve.m}" for curve in curves))
    rows = [(whole(n), *(_power(equal_count_probability(curve.m, n)) for curve in curves)) for n in _TABLED]
    return Section("numbers", "Numbers", table("f(m, n), exact", head, rows))


def _power(value: float) -> str:
    """Value with three digits: `0.0154`, or 7.83 times a power of ten."""
    if value >= 0.001:
        return f"{value:.3g}"
    mantissa, exponent = f"{value:.2e}".split("e")
    superscript = str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return f"{mantissa}\u00a0\u00d7\u00a010{superscript}"


def _reproduction(command: str) -> Section:
    body = [
        listing("The command that makes this figure", command),
        folded("Versions that wrote this page", versions_table(installed_versions())),
    ]
    return Section("reproduce", "How to reproduce this", joined(body))
