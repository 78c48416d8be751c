"""Matrices of cosines as plots: plain data for plotly.js, as in `figures`."""

import math
from collections.abc import Sequence

import numpy as np

from fairnas.report.figures import Figure, plain_layout, six_digits

_SCALE = [[0, "var(--front)"], [0.5, "var(--surface)"], [1, "var(--chosen)"]]


def drawable(values: Sequence[float]) -> list[float | None]:
    """Six digits of each; JSON has no NaN."""
    return [None if math.isnan(value) else six_digits(value) for value in values]


def matrix_figure(values: np.ndarray, labels: Sequence[str]) -> Figure:
    """One matrix with its numbers."""
    names = [f"{place} {label}" for place, label in enumerate(labels)]
    trace = heat(values) | {"x": names, "y": names, "texttemplate": "%{z:.2f}"}
    layout = plain_layout("", "", hovermode="closest")
    layout["xaxis"] |= {"showgrid": False, "ticks": ""}
    layout["yaxis"] |= {"showgrid": False, "ticks": "", "autorange": "reversed"}
    return {"data": [trace], "layout": layout}


def heat(values: np.ndarray) -> Figure:
    """The trace of a matrix of cosines."""
    return {
        "type": "heatmap",
        "z": [drawable(np.round(row, 2).tolist()) for row in values],
        "zmin": -1,
        "zmax": 1,
        "colorscale": _SCALE,
        "colorbar": {"thickness": 10, "outlinewidth": 0},
        "hovertemplate": "%{z:.2f}<extra></extra>",
    }
