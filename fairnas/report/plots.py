"""Plots as plain data for plotly.js: pure functions from numbers to {"data", "layout"}.

Colours are names of CSS variables, `var(--front)`: the page's script replaces them by values, which differ in dark
mode. Hover texts are escaped here, because plotly.js reads them as HTML.
"""

import itertools
import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from fairnas.analysis.study import StudiedModel
from fairnas.report.format import millions, percent, wilson_interval
from fairnas.report.run_records import Epoch
from fairnas.search.candidate import Candidate
from fairnas.space import format_genome

Figure = dict[str, Any]

MOST_POINTS = 3000
"""Most points drawn per plot; more would be slow on a phone without showing anything new."""
_BINS = 40  # of a histogram, at most about this number
COSTS: tuple[Literal["madds", "params"], ...] = ("madds", "params")


def thinned(candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
    """Return every k-th candidate, with k such that at most `MOST_POINTS` are left, in the same order."""
    return tuple(candidates[:: -(-len(candidates) // MOST_POINTS)]) if candidates else ()


def staircase(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Return the (cost, accuracy) points that no other point beats in both, from the lightest to the heaviest."""
    kept: list[tuple[float, float]] = []
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or accuracy > kept[-1][1]:
            kept.append((cost, accuracy))
    return tuple(kept)


def rank_figure(
    models: Sequence[StudiedModel], validation_images: float = 0, test_images: float = 0, accuracy: str = "top-1"
) -> Figure:
    """Plot stand-alone against one-shot accuracy, mean over seeds, with bars.

    Upright bars reach from the worst seed to the best; with one seed they are 95 % intervals for `test_images`. Level
    bars are 95 % intervals for `validation_images`. If a number of images is 0, its bars are omitted.
    """
    shown = [each for each in models if each.finished]
    means = [sum(each.finished) / len(each.finished) for each in shown]
    one_shot = [_ends(each.one_shot, (each.one_shot,), validation_images) for each in shown]
    alone = [_ends(mean, each.finished, test_images) for each, mean in zip(shown, means, strict=True)]
    text = [
        f"<b>{format_genome(each.genome)}</b><br>one-shot {percent(each.one_shot)}<br>"
        f"stand-alone {', '.join(percent(value) for value in each.stand_alone)}<br>"
        f"{millions(each.madds)} multiply-adds"
        for each in shown
    ]
    trace = {
        "type": "scatter",
        "mode": "markers",
        "x": [six_digits(100 * each.one_shot) for each in shown],
        "y": [six_digits(100 * mean) for mean in means],
        "error_y": _bars(means, alone, width=4),
        "error_x": _bars([each.one_shot for each in shown], one_shot, width=0),
        "marker": {"size": 10, "color": "var(--front)", "line": outline(1)},
        "text": text,
        "hovertemplate": "%{text}<extra></extra>",
    }
    axes = f"one-shot {accuracy}, validation (%)", f"stand-alone {accuracy}, test (%)"
    layout = plain_layout(*axes, hovermode="closest")
    return {"data": [trace], "layout": layout}


def _ends(mean: float, values: Sequence[float], images: float) -> tuple[float, float]:
    """Ends of the bar at a mean of some trainings; for one training, its 95 % interval."""
    if len(values) == 1 and images:
        return wilson_interval(mean, images)
    return min(values), max(values)


def _bars(values: Sequence[float], ends: Sequence[tuple[float, float]], width: int) -> Figure:
    return {
        "type": "data",
        "symmetric": False,
        "array": [six_digits(100 * max(high - value, 0.0)) for value, (_, high) in zip(values, ends, strict=True)],
        "arrayminus": [six_digits(100 * max(value - low, 0.0)) for value, (low, _) in zip(values, ends, strict=True)],
        "color": "var(--muted)",
        "thickness": 1.2 if width else 0.6,
        "width": width,
    }


def bin_edges(values: Sequence[float], most: int = _BINS) -> tuple[float, ...]:
    """Return the edges of about `most` equal bins or fewer, each holding the same number of possible values.

    Accuracies are multiples of 1/images. Bins that ignore this make a smooth distribution look like a comb.
    """
    distinct = sorted(set(values))
    steps = [high - low for low, high in itertools.pairwise(distinct)]
    step = min(steps, default=1.0)
    slots = round((distinct[-1] - distinct[0]) / step) + 1
    per_bin = -(-slots // most)
    start, width = distinct[0] - step / 2, step * per_bin
    return tuple(start + width * number for number in range(-(-slots // per_bin) + 1))


def histogram_figure(accuracies: Sequence[float], accuracy: str = "top-1") -> Figure:
    """Histogram of one-shot accuracies (0 to 1; at least one)."""
    values = [six_digits(100 * value) for value in accuracies]  # rounded, so that equal shares compare equal
    counts, edges = np.histogram(values, bins=bin_edges(values))
    bins = list(itertools.pairwise(edges.tolist()))
    trace = {
        "type": "bar",
        "x": [six_digits((low + high) / 2) for low, high in bins],
        "width": [six_digits(high - low) for low, high in bins],
        "y": counts.tolist(),
        "text": [f"{max(low, 0):.1f} to {min(high, 100):.1f} %" for low, high in bins],
        "textposition": "none",
        "hovertemplate": "%{text}<br>%{y} candidates<extra></extra>",
        "marker": {"color": "var(--bars)", "line": outline(1)},
    }
    layout = plain_layout(f"one-shot {accuracy}, validation (%)", "candidates", hovermode="closest")
    layout["yaxis"]["rangemode"] = "tozero"
    return {"data": [trace], "layout": layout}


def training_figure(epochs: Sequence[Epoch], accuracy: str = "top-1") -> Figure:
    """Plot of loss, and of mean one-shot accuracy with its spread, over epochs."""
    x = [each.epoch for each in epochs]
    loss = {
        "type": "scatter",
        "name": "loss",
        "mode": "lines",
        "x": x,
        "y": [six_digits(each.loss) for each in epochs],
        "line": {"color": "var(--front)", "width": 2},
        "hovertemplate": "epoch %{x}<br>loss %{y:.3f}<extra></extra>",
    }
    layout = plain_layout("epoch", "training loss", hovermode="closest")
    layout["yaxis"]["rangemode"] = "tozero"
    measured = [
        (each.epoch, each.accuracy_mean, each.accuracy_std or 0.0) for each in epochs if each.accuracy_mean is not None
    ]
    if not measured:
        return {"data": [loss], "layout": layout}
    layout["yaxis"]["domain"] = [0, 0.45]
    layout["yaxis2"] = plain_axis(f"one-shot {accuracy} (%)") | {"domain": [0.55, 1], "anchor": "x"}
    edge = {"type": "scatter", "mode": "lines", "yaxis": "y2", "line": {"width": 0}, "hoverinfo": "skip"}
    at = [epoch for epoch, _, _ in measured]
    low = {**edge, "x": at, "y": [six_digits(100 * max(0.0, mean - std)) for _, mean, std in measured]}
    high = {**edge, "x": at, "y": [six_digits(100 * min(1.0, mean + std)) for _, mean, std in measured]}
    mean_line = {
        "type": "scatter",
        "name": f"one-shot {accuracy}",
        "mode": "lines",
        "yaxis": "y2",
        "x": at,
        "y": [six_digits(100 * mean) for _, mean, _ in measured],
        "text": [f"{percent(mean)} ± {100 * std:.1f}" for _, mean, std in measured],
        "line": {"color": "var(--chosen)", "width": 2},
        "hovertemplate": "epoch %{x}<br>%{text}<extra></extra>",
    }
    shade = {"fill": "tonexty", "fillcolor": "var(--shade)"}
    return {"data": [loss, low, high | shade, mean_line], "layout": layout}


def hypervolume_figure(values: Sequence[float]) -> Figure:
    """Plot of the hypervolume of the front over generations, counted from 1."""
    trace = {
        "type": "scatter",
        "mode": "lines+markers" if len(values) <= 30 else "lines",
        "x": list(range(1, len(values) + 1)),
        "y": [six_digits(value) for value in values],
        "line": {"color": "var(--front)", "width": 2},
        "marker": {"size": 5},
        "hovertemplate": "generation %{x}<br>hypervolume %{y:.4f}<extra></extra>",
    }
    return {"data": [trace], "layout": plain_layout("generation", "hypervolume (0 to 1)", hovermode="closest")}


def six_digits(value: float) -> float:
    """Round to six digits: more than a screen can show, in half the bytes."""
    return float(f"{value:.6g}")


def outline(width: float) -> Figure:
    """Thin line in the colour of the background, which separates marks and bars that touch."""
    return {"width": width, "color": "var(--surface)"}


def plain_axis(title: str) -> Figure:
    """Axis with the style of all plots."""
    return {
        "title": {"text": title, "standoff": 10, "font": {"size": 13}},
        "automargin": True,
        "gridcolor": "var(--grid)",
        "linecolor": "var(--line)",
        "zeroline": False,
        "ticks": "outside",
        "ticklen": 4,
        "tickcolor": "var(--line)",
        "nticks": 7,
    }


def plain_layout(x: str, y: str, *, legend: bool = False, **more: Any) -> Figure:
    """Layout with these axis titles and the style of all plots; `more` are layout keys of plotly."""
    return {
        "xaxis": plain_axis(x),
        "yaxis": plain_axis(y),
        "font": {"color": "var(--ink)", "size": 13},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "margin": {"l": 8, "r": 12, "t": 34 if legend else 12, "b": 8},
        "showlegend": legend,
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "bgcolor": "rgba(0,0,0,0)"},
        "hoverlabel": {
            "bgcolor": "var(--surface)",
            "bordercolor": "var(--line)",
            "font": {"color": "var(--ink)", "size": 13},
            "align": "left",
        },
        "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "var(--muted)", "activecolor": "var(--ink)"},
        **more,
    }


FADING: Figure = {"selected": {"marker": {"opacity": 1}}, "unselected": {"marker": {"opacity": 0.1}}}
"""Opacity of points in a linked plot: points that are not marked fade."""


def linked() -> Figure:
    """Layout keys of a linked plot, by which the page's script finds it."""
    return {
        "meta": {"linked": True},
        "newselection": {"line": {"color": "var(--chosen)", "width": 1.5, "dash": "dot"}},
    }


_SCALE = [[0, "var(--front)"], [0.5, "var(--surface)"], [1, "var(--chosen)"]]


def drawable(values: Sequence[float]) -> list[float | None]:
    """Round each value to six digits, with None for NaN, which JSON lacks."""
    return [None if math.isnan(value) else six_digits(value) for value in values]


def matrix_figure(values: np.ndarray, labels: Sequence[str]) -> Figure:
    """Heat map of one matrix, with its numbers."""
    names = [f"{place} {label}" for place, label in enumerate(labels)]
    trace = heat(values) | {"x": names, "y": names, "texttemplate": "%{z:.2f}"}
    layout = plain_layout("", "", hovermode="closest")
    layout["xaxis"] |= {"showgrid": False, "ticks": ""}
    layout["yaxis"] |= {"showgrid": False, "ticks": "", "autorange": "reversed"}
    return {"data": [trace], "layout": layout}


def heat(values: np.ndarray) -> Figure:
    """Heat-map trace of a matrix of cosines."""
    return {
        "type": "heatmap",
        "z": [drawable(np.round(row, 2).tolist()) for row in values],
        "zmin": -1,
        "zmax": 1,
        "colorscale": _SCALE,
        "colorbar": {"thickness": 10, "outlinewidth": 0},
        "hovertemplate": "%{z:.2f}<extra></extra>",
    }
