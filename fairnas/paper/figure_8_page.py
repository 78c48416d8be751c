"""Page of Figure 8: one-shot against stand-alone accuracy of the same networks, by one or two supernets.

It also has the histograms of accuracies and the supernet accuracy gap lambda of paper 4.5.
"""

import html
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fairnas import __version__
from fairnas.analysis import AccuracyGap, RankAgreement, RankingStudy, TauDifference
from fairnas.paper.plot_style import BLUE, GREY, ORANGE, PAGE, paper_style, save_plots
from fairnas.report.format import UNKNOWN, counted, decimal, interval, is_known, listed, percent, whole
from fairnas.report.html import Html, Section, folded, joined, listing, paragraphs, plot, table, tag
from fairnas.report.page import whole_page
from fairnas.report.plots import Figure, bin_edges, outline, plain_layout, six_digits
from fairnas.report.reproduction_section import versions_table
from fairnas.space import format_genome
from fairnas.versions import installed_versions

_COLOURS = (("--arm-a", BLUE, "o"), ("--arm-b", ORANGE, "s"))
_SYMBOLS = ("circle", "square")


@dataclass(frozen=True)
class SupernetResult:
    """One supernet: its scores of the study's networks, and the results from them."""

    name: str
    strategy: str
    one_shot: tuple[float, ...]
    """One-shot accuracy of each network that trained without diverging."""
    tau: RankAgreement
    gap: AccuracyGap
    sample: tuple[float, ...]
    """One-shot accuracies of many other networks."""

    @property
    def sampled_gap(self) -> float:
        """Lambda with the range of the sample, as in paper 4.5."""
        low, high = self.gap.stand_alone
        return abs(max(self.sample) - min(self.sample) - (high - low))

    @property
    def title(self) -> str:
        """Name and strategy."""
        return self.name if self.name == self.strategy else f"{self.name} ({self.strategy})"


@dataclass(frozen=True)
class RankingComparison:
    """Content of the page."""

    run: str
    space: str
    data: str
    choose: str
    images: tuple[int, int]
    """Numbers of validation images (one-shot) and test images (stand-alone)."""
    study: RankingStudy
    results: tuple[SupernetResult, ...]
    """The run's own supernet, then the other one if there is one."""
    difference: TauDifference | None
    sampled: str
    """Description of the networks in the samples."""
    command: str
    accuracy: str = "top-1"
    """Name of the run's measure of accuracy."""

    @property
    def networks(self) -> tuple[tuple[str, tuple[float, ...]], ...]:
        """Genome, and stand-alone accuracies per seed, of networks that trained without diverging."""
        finished = [model for model in self.study.models if model.mean is not None]
        return tuple((format_genome(model.genome), model.finished) for model in finished)

    @property
    def diverged(self) -> tuple[str, ...]:
        """Genomes of the networks with a training that diverged."""
        return tuple(format_genome(model.genome) for model in self.study.models if model.mean is None)


def render_ranking_comparison(comparison: RankingComparison) -> str:
    """Render the page as HTML. Equal numbers give an equal page."""
    lead = (
        f"Space {comparison.space}, data {comparison.data}. {counted(len(comparison.networks), 'network')} "
        f"({comparison.choose}), trained from scratch and scored by "
        f"{listed([result.title for result in comparison.results])}. One-shot {comparison.accuracy} on "
        f"{counted(comparison.images[0], 'validation image')}, stand-alone {comparison.accuracy} on "
        f"{counted(comparison.images[1], 'test image')}."
    )
    header = joined(
        [
            tag("p", "fairnas figure 8", classes="eyebrow"),
            tag("h1", f"One-shot against stand-alone: {comparison.run}"),
            tag("p", lead, classes="lead"),
        ]
    )
    sections = [write(comparison) for write in (_outcome, _scatter, _histograms, _reproduction)]
    footer = f"Written by fairnas {__version__}. Nothing here is from the paper."
    return whole_page(f"Figure 8 of {comparison.run}: fairnas", header, sections, footer)


def findings(comparison: RankingComparison) -> tuple[str, ...]:
    """Results, in sentences with numbers."""
    said = [
        f"The supernet of {result.title} orders the networks with tau = {tau_text(result.tau)}; its one-shot "
        f"accuracies range from {interval(*map(percent, result.gap.one_shot))}, stand-alone ones from "
        f"{interval(*map(percent, result.gap.stand_alone))}: lambda = {decimal(result.gap.gap, 3)}, n = {result.gap.n}."
        for result in comparison.results
    ]
    found = comparison.difference
    if found and is_known(found.difference):
        low, high = found.interval
        first, second = (result.name for result in comparison.results)
        text = (
            f"Tau of {first} less tau of {second}, on the same networks: {decimal(found.difference)} [{decimal(low)}, "
        )
        text += f"{decimal(high)}], n = {found.n}. "
        if found.certain:
            text += f"{first if found.difference > 0 else second} orders them better."
        elif found.models_needed:
            text += f"They cannot be told apart; about {found.models_needed:,} networks would, at this difference."
        else:
            text += "They cannot be told apart."
        said.append(text)
    elif found:
        said.append("Their taus cannot be compared: a list of accuracies is constant.")
    ceiling = comparison.study.ceiling
    if ceiling:
        said.append(
            f"Noise ceiling: one training seed against another gives tau = {decimal(ceiling.tau)} "
            f"[{', '.join(decimal(end) for end in ceiling.interval)}], n = {ceiling.n}."
        )
    if comparison.diverged:
        lost = counted(len(comparison.diverged), "network")
        said.append(f"{lost} diverged in training and {'is' if len(comparison.diverged) == 1 else 'are'} in no number: "
                    f"{', '.join(comparison.diverged)}.")  # fmt: skip
    return tuple(said)


def tau_text(found: RankAgreement) -> str:
    """Tau with interval and n, short enough for a legend."""
    if not is_known(found.tau):
        return f"{UNKNOWN} (constant), n = {found.n}"
    return f"{decimal(found.tau)} [{', '.join(decimal(end) for end in found.interval)}], n = {found.n}"


def _outcome(comparison: RankingComparison) -> Section:
    return Section("outcome", "Outcome", paragraphs(findings(comparison)))


def _scatter(comparison: RankingComparison) -> Section:
    places, plots = [], []
    for number, result in enumerate(comparison.results):
        name = f"judge-{number}"
        caption = (
            f"{result.title}: tau = {tau_text(result.tau)}. Marks are means over seeds, bars reach from the worst seed "
            "to the best."
        )
        description = f"Scatter plot of stand-alone over one-shot accuracy, {counted(len(result.one_shot), 'network')}."
        places.append(plot(name, description, caption))
        plots.append((name, scatter_figure(comparison, number)))
    body = joined([tag("div", *places, classes="pair") if len(places) > 1 else places[0], _networks_table(comparison)])
    return Section("scatter", "The same networks, one-shot and stand-alone", body, tuple(plots))


def scatter_figure(comparison: RankingComparison, number: int) -> Figure:
    """Stand-alone over one-shot accuracy by one supernet; all supernets have the same stand-alone axis."""
    result = comparison.results[number]
    means = [sum(values) / len(values) for _, values in comparison.networks]
    rows = list(zip(comparison.networks, means, result.one_shot, strict=True))
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": f"{result.title}: tau = {tau_text(result.tau)}",
        "x": [six_digits(100 * score) for _, _, score in rows],
        "y": [six_digits(100 * mean) for _, mean, _ in rows],
        "error_y": {
            "type": "data",
            "symmetric": False,
            "array": [six_digits(100 * (max(values) - mean)) for (_, values), mean, _ in rows],
            "arrayminus": [six_digits(100 * (mean - min(values))) for (_, values), mean, _ in rows],
            "color": "var(--muted)",
            "thickness": 1.2,
            "width": 4,
        },
        "marker": {
            "size": 10,
            "symbol": _SYMBOLS[number],
            "color": f"var({_COLOURS[number][0]})",
            "line": outline(1),
        },
        "text": [
            f"<b>{html.escape(genome)}</b><br>one-shot {percent(score)}<br>stand-alone {percent(mean)}"
            for (genome, _), mean, score in rows
        ],
        "hovertemplate": "%{text}<extra></extra>",
    }
    layout = plain_layout(
        f"one-shot {comparison.accuracy}, validation (%)", f"stand-alone {comparison.accuracy}, test (%)", legend=True
    )
    every = [100 * value for _, values in comparison.networks for value in values]
    margin = 0.06 * (max(every) - min(every)) or 1.0
    layout["yaxis"]["range"] = [six_digits(min(every) - margin), six_digits(max(every) + margin)]
    return {"data": [trace], "layout": layout | {"hovermode": "closest"}}


def _networks_table(comparison: RankingComparison) -> Html:
    head = ("genome", *(f"one-shot by {result.name}" for result in comparison.results), "stand-alone, mean", "per seed")
    scores = list(zip(*(result.one_shot for result in comparison.results), strict=True))
    rows = [
        (
            tag("code", genome),
            *(percent(score) for score in ours),
            percent(sum(values) / len(values)),
            ", ".join(percent(value) for value in values),
        )
        for (genome, values), ours in sorted(
            zip(comparison.networks, scores, strict=True), key=lambda row: (-row[1][0], row[0][0])
        )
    ]
    return folded("The networks as a table", table("Networks, best one-shot accuracy first", head, rows))


def _histograms(comparison: RankingComparison) -> Section:
    alone = [value for _, values in comparison.networks for value in values]
    places, plots = [], []
    for number, result in enumerate(comparison.results):
        if not result.sample:
            continue
        name = f"gap-{number}"
        caption = (
            f"{result.title}: one-shot accuracies of {counted(len(result.sample), 'network')} "
            f"({comparison.sampled}), from {interval(percent(min(result.sample)), percent(max(result.sample)))}, "
            f"and the stand-alone trainings of the study (n = {len(alone)}). On the "
            f"{counted(result.gap.n, 'network')} of the study, lambda = {decimal(result.gap.gap, 3)}; with the "
            f"range of all these one-shot accuracies instead, {decimal(result.sampled_gap, 3)}."
        )
        places.append(plot(name, "Histogram of accuracies, described below.", caption))
        plots.append((name, gap_figure(result, alone, _COLOURS[number][0], comparison.accuracy)))
    if not places:
        said = f"There is no sample of one-shot accuracies: {comparison.sampled}."
        return Section("gap", "Supernet accuracy gap", joined([paragraphs([said]), _gap_table(comparison)]))
    body = [tag("div", *places, classes="pair") if len(places) > 1 else places[0], _gap_table(comparison)]
    return Section("gap", "Supernet accuracy gap", joined(body), tuple(plots))


def gap_figure(result: SupernetResult, alone: Sequence[float], colour: str, accuracy: str = "top-1") -> Figure:
    """Histograms of one-shot and of stand-alone accuracies, each with its own bins."""
    data = []
    for name, values, shade in (("one-shot", result.sample, colour), ("stand-alone", alone, "--muted")):
        centres, widths, shares = histogram(values)
        data.append(
            {
                "type": "bar",
                "name": f"{name}, n = {len(values):,}",
                "x": centres,
                "width": widths,
                "y": shares,
                "opacity": 0.75,
                "marker": {"color": f"var({shade})", "line": outline(0.5)},
                "hovertemplate": "%{x:.1f} %: %{y:.3g} % of the networks<extra></extra>",
            }
        )
    layout = plain_layout(f"{accuracy} (%)", "share per point of accuracy (%)", legend=True, hovermode="closest")
    layout["yaxis"]["rangemode"] = "tozero"
    return {"data": data, "layout": layout | {"barmode": "overlay"}}


def histogram(accuracies: Sequence[float]) -> tuple[list[float], list[float], list[float]]:
    """Centres and widths of bins in points of accuracy, and per cent of all values per point in each bin."""
    values = [six_digits(100 * value) for value in accuracies]
    counts, edges = np.histogram(values, bins=bin_edges(values))
    pairs = list(itertools.pairwise(edges.tolist()))
    widths = [high - low for low, high in pairs]
    shares = [100 * count / len(values) / width for count, width in zip(counts.tolist(), widths, strict=True)]
    return (
        [six_digits((low + high) / 2) for low, high in pairs],
        [six_digits(width) for width in widths],
        [six_digits(share) for share in shares],
    )


def _gap_table(comparison: RankingComparison) -> Html:
    rows = [
        (
            result.title,
            interval(*map(percent, result.gap.one_shot)),
            interval(*map(percent, result.gap.stand_alone)),
            decimal(result.gap.gap, 3),
            whole(result.gap.n),
        )
        for result in comparison.results
    ]
    return table("Ranges over the networks of the study", ("supernet", "one-shot", "stand-alone", "lambda", "n"), rows)


def _reproduction(comparison: RankingComparison) -> Section:
    body = [
        listing("The command that makes this figure", comparison.command),
        folded("Versions that wrote this page", versions_table(installed_versions())),
    ]
    return Section("reproduce", "How to reproduce this", joined(body))


def draw_plots(comparison: RankingComparison, folder: Path) -> list[Path]:
    """Draw the scatter plots and the histograms, as PNG and SVG files."""
    with paper_style() as plt:
        count = len(comparison.results)
        figure, row = plt.subplots(
            1, count, figsize=(PAGE * count / 2, 2.6), sharey=True, squeeze=False, layout="constrained"
        )
        for number, axes in enumerate(row[0]):
            _draw_scatter(axes, comparison, number)
        row[0][0].set_ylabel(f"stand-alone {comparison.accuracy}, test (%)")
        files = save_plots(figure, folder, "figure8")
        sampled = [(number, result) for number, result in enumerate(comparison.results) if result.sample]
        if sampled:
            figure, row = plt.subplots(
                1, len(sampled), figsize=(PAGE * len(sampled) / 2, 2.2), squeeze=False, layout="constrained"
            )
            for axes, (number, result) in zip(row[0], sampled, strict=True):
                _draw_histogram(axes, comparison, number, result)
            row[0][0].set_ylabel("share per point (%)")
            files += save_plots(figure, folder, "figure8-gap")
    return files


def _draw_scatter(axes: Any, comparison: RankingComparison, number: int) -> None:
    _, colour, marker = _COLOURS[number]
    result = comparison.results[number]
    means = [sum(values) / len(values) for _, values in comparison.networks]
    reach = [
        [100 * (mean - min(values)) for (_, values), mean in zip(comparison.networks, means, strict=True)],
        [100 * (max(values) - mean) for (_, values), mean in zip(comparison.networks, means, strict=True)],
    ]
    axes.errorbar(
        [100 * score for score in result.one_shot],
        [100 * mean for mean in means],
        yerr=np.maximum(reach, 0),  # the mean of equal seeds may differ from them in the last digit
        fmt=marker,
        color=colour,
        ecolor=GREY,
        elinewidth=0.6,
        capsize=1.5,
        label=f"{result.title}\n$\\tau$ = {tau_text(result.tau)}",
    )
    axes.set_xlabel(f"one-shot {comparison.accuracy}, validation (%)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _draw_histogram(axes: Any, comparison: RankingComparison, number: int, result: SupernetResult) -> None:
    alone = [value for _, values in comparison.networks for value in values]
    for name, values, colour in (("one-shot", result.sample, _COLOURS[number][1]), ("stand-alone", alone, GREY)):
        centres, widths, shares = histogram(values)
        axes.bar(centres, shares, widths, color=colour, alpha=0.7, label=f"{name}, n = {len(values):,}")
    axes.set_xlabel(f"{comparison.accuracy} (%)")
    title = f"{result.title}\n$\\lambda$ = {decimal(result.gap.gap, 3)} on n = {result.gap.n}"
    axes.legend(title=title, title_fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
