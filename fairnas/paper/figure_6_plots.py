"""Plots of Figure 6 as plain data: fronts of several searchers, and how quickly each finds its own."""

import statistics
from collections.abc import Sequence

from fairnas.config import Measure
from fairnas.paper.figure_6_results import GOAL, Contender, SearchComparison, mean_share_interval
from fairnas.report.format import COST_NAMES, millions, percent
from fairnas.report.plots import Figure, plain_layout, six_digits, staircase
from fairnas.search import SEARCHERS, Candidate

_COLOURS = ("a", "b", "d", "c", "f", "e")
_SYMBOLS = ("circle-open", "square-open", "diamond-open", "triangle-up-open", "star-open", "x-thin-open")
_DASHES = ("solid", "dash", "dashdot", "longdash", "longdashdot", "dot")
_SPREAD = 3.0
"""Length of the accuracy axis below the median of the best front, as a multiple of the length above."""


def style_of(name: str) -> tuple[str, str, str]:
    """Colour, marker and dash of a searcher, equal on every page."""
    again, number = divmod(list(SEARCHERS).index(name), len(_COLOURS))
    # beyond six, colours come again with the next marker and dash
    other = (number + again) % len(_COLOURS)
    return f"var(--arm-{_COLOURS[number]})", _SYMBOLS[other], _DASHES[other]


def fronts_figure(comparison: SearchComparison, cost: str) -> Figure:
    """One staircase per searcher over that of the best front."""
    data = [_stairs(comparison.best, cost, comparison.measure) | _best_style(comparison)]
    for each in reversed(comparison.contenders):  # the first one is drawn on top
        colour, symbol, _ = style_of(each.name)
        data.append(
            _stairs(each.searches[0].front, cost, comparison.measure)
            | {
                "name": each.name,
                "mode": "lines+markers",
                "line": {"shape": "hv", "width": 1.2, "color": colour},
                "marker": {"size": 8, "symbol": symbol, "color": colour, "line": {"width": 1.5}},
                "hovertemplate": f"<b>{each.name}</b><br>%{{text}}<extra></extra>",
            }
        )
    axis = f"{comparison.accuracy} (%)"
    layout = plain_layout(f"{COST_NAMES[cost]} (M)", axis, legend=True, hovermode="closest")
    layout["legend"]["traceorder"] = "reversed"
    lowest, highest = accuracy_range(comparison)
    margin = 0.05 * (highest - lowest)
    layout["yaxis"]["range"] = [six_digits(100 * (lowest - margin)), six_digits(100 * (highest + margin))]
    return {"data": data, "layout": layout}


def accuracy_range(comparison: SearchComparison) -> tuple[float, float]:
    """Range of the accuracy axis: a few very light networks far below the others would flatten all curves."""
    fronts = [comparison.best, *(each.searches[0].front for each in comparison.contenders)]
    every = [each.value(comparison.measure) for front in fronts for each in front] or [0.0, 1.0]
    middle = statistics.median([each.value(comparison.measure) for each in comparison.best] or every)
    return max(min(every), middle - _SPREAD * (max(every) - middle)), max(every)


def _best_style(comparison: SearchComparison) -> Figure:
    return {
        "name": comparison.goal_name.removeprefix("the "),
        "mode": "lines",
        "line": {"shape": "hv", "width": 6, "color": "var(--cloud-early)"},
        "hoverinfo": "skip",
    }


def _stairs(front: Sequence[Candidate], cost: str, measure: Measure) -> Figure:
    best = {}
    for each in front:
        best.setdefault((each.value(cost), each.value(measure)), each)
    kept = [best[point] for point in staircase(list(best))]
    return {
        "type": "scatter",
        "x": [six_digits(each.value(cost) / 1e6) for each in kept],
        "y": [six_digits(100 * each.value(measure)) for each in kept],
        "text": [f"{each.text}<br>{percent(each.value(measure))}, {millions(each.value(cost))}" for each in kept],
    }


def _by_generation(comparison: SearchComparison, contender: Contender) -> list[tuple[float, ...]]:
    """Shares of all seeds, per generation."""
    return list(zip(*(comparison.shares(search) for search in contender.searches), strict=True))


def shares_figure(comparison: SearchComparison) -> Figure:
    """One line per searcher, the mean over its seeds, with the interval of the mean around it."""
    x = list(comparison.evaluations)
    data: list[Figure] = []
    for each in comparison.contenders:
        columns = _by_generation(comparison, each)
        colour, _, dash = style_of(each.name)
        means = [statistics.fmean(column) for column in columns]
        bounds = [mean_share_interval(column) or (mean, mean) for column, mean in zip(columns, means, strict=True)]
        edge = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0}, "hoverinfo": "skip"}
        edge |= {"showlegend": False, "legendgroup": each.name}
        shade = {"fill": "tonexty", "fillcolor": colour.replace(")", "-shade)")}
        data.append(edge | {"y": [six_digits(100 * low) for low, _ in bounds]})
        data.append(edge | {"y": [six_digits(100 * high) for _, high in bounds]} | shade)
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": each.name,
                "legendgroup": each.name,
                "x": x,
                "y": [six_digits(100 * mean) for mean in means],
                "line": {"color": colour, "width": 2, "dash": dash},
                "hovertemplate": f"<b>{each.name}</b>, %{{x}} evaluations<br>%{{y:.2f}} %<extra></extra>",
            }
        )
    layout = plain_layout("evaluations, at most", "hypervolume (% of the best)", legend=True, hovermode="closest")
    line = {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 100 * GOAL, "y1": 100 * GOAL}
    layout["shapes"] = [line | {"line": {"color": "var(--muted)", "width": 1, "dash": "dot"}}]
    return {"data": data, "layout": layout}


def gap_figure(comparison: SearchComparison) -> Figure:
    """Median of the missing hypervolume over evaluations, on a logarithmic axis."""
    data = []
    for each in comparison.contenders:
        gaps = [100 * (1 - statistics.median(column)) for column in _by_generation(comparison, each)]
        shown = [(n, gap) for n, gap in zip(comparison.evaluations, gaps, strict=True) if gap > 1e-9]
        colour, symbol, dash = style_of(each.name)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": each.name,
                "x": [n for n, _ in shown],
                "y": [six_digits(gap) for _, gap in shown],
                "line": {"color": colour, "width": 1.5, "dash": dash},
                "marker": {"size": 6, "symbol": symbol, "color": colour},
                "hovertemplate": f"<b>{each.name}</b>, %{{x}} evaluations<br>%{{y:.3g}} % missing<extra></extra>",
            }
        )
    layout = plain_layout("evaluations, at most", "missing hypervolume (%)", legend=True, hovermode="closest")
    ticks = [digit * 10.0**power for power in range(-6, 2) for digit in (1, 2, 5)]
    named = {"tickvals": ticks, "ticktext": [f"{tick:.6f}".rstrip("0").rstrip(".") for tick in ticks]}
    layout["yaxis"] |= {"type": "log", "tickmode": "array"} | named
    return {"data": data, "layout": layout}
