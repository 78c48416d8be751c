"""The page of Figure 8: one-shot against stand-alone accuracy of the same networks, by one or two supernets.

Beside it, what paper 4.5 adds: histograms of accuracies with the supernet accuracy gap lambda.
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
from fairnas.report.figures import Figure, bin_edges, outline, plain_layout, six_digits
from fairnas.report.markup import Html, Section, folded, joined, listing, paragraphs, plot, table, tag
from fairnas.report.page import whole_page
from fairnas.report.paper import BLUE, GREY, ORANGE, PAGE, paper_style, save_plates
from fairnas.report.reproduction import versions_table
from fairnas.report.units import UNKNOWN, counted, decimal, interval, is_known, listed, percent, whole
from fairnas.versions import installed_versions

_COLOURS = (("--arm-a", BLUE, "o"), ("--arm-b", ORANGE, "s"))
_SYMBOLS = ("circle", "square")


@dataclass(frozen=True)
class Judge:
    """One supernet: its scores of the study's networks, and what came of them."""

    name: str
    strategy: str
    one_shot: tuple[float, ...]
    """Per network that trained without diverging."""
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
class Believed:
    """Everything that the page shows."""

    run: str
    space: str
    data: str
    choose: str
    images: tuple[int, int]
    """Validation images, for one-shot accuracies, and test images, for stand-alone ones."""
    study: RankingStudy
    judges: tuple[Judge, ...]
    """The run's own supernet, then the other one if there is one."""
    difference: TauDifference | None
    sampled: str
    """Which networks the samples of the judges are."""
    command: str
    accuracy: str = "top-1"
    """What the run's measure of accuracy is called."""

    @property
    def networks(self) -> tuple[tuple[str, tuple[float, ...]], ...]:
        """Genome and stand-alone accuracies per seed of those that trained without diverging."""
        finished = [model for model in self.study.models if model.mean is not None]
        return tuple((m.genome, tuple(value for value in m.stand_alone if value is not None)) for m in finished)

    @property
    def diverged(self) -> tuple[str, ...]:
        """Genomes of the networks with a training that diverged."""
        return tuple(model.genome for model in self.study.models if model.mean is None)


def render_believed(believed: Believed) -> str:
    """The page as HTML. The same numbers give the same page."""
    lead = (
        f"Space {believed.space}, data {believed.data}. {counted(len(believed.networks), 'network')} "
        f"({believed.choose}), trained from scratch and scored by "
        f"{listed([judge.title for judge in believed.judges])}. One-shot {believed.accuracy} on "
        f"{counted(believed.images[0], 'validation image')}, stand-alone {believed.accuracy} on "
        f"{counted(believed.images[1], 'test image')}."
    )
    header = joined(
        [
            tag("p", "fairnas figure 8", classes="eyebrow"),
            tag("h1", f"One-shot against stand-alone: {believed.run}"),
            tag("p", lead, classes="lead"),
        ]
    )
    sections = [write(believed) for write in (_outcome, _scatter, _histograms, _reproduction)]
    footer = f"Written by fairnas {__version__}. Nothing here is from the paper."
    return whole_page(f"Figure 8 of {believed.run}: fairnas", header, sections, footer)


def findings(believed: Believed) -> tuple[str, ...]:
    """What came out, in sentences with numbers."""
    said = [
        f"The supernet of {judge.title} orders the networks with tau = {tau_text(judge.tau)}; its one-shot accuracies "
        f"range from {interval(*map(percent, judge.gap.one_shot))}, stand-alone ones from "
        f"{interval(*map(percent, judge.gap.stand_alone))}: lambda = {decimal(judge.gap.gap, 3)}, n = {judge.gap.n}."
        for judge in believed.judges
    ]
    found = believed.difference
    if found and is_known(found.difference):
        low, high = found.interval
        first, second = (judge.name for judge in believed.judges)
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
    ceiling = believed.study.ceiling
    if ceiling:
        said.append(
            f"Noise ceiling: one training seed against another gives tau = {decimal(ceiling.tau)} "
            f"[{', '.join(decimal(end) for end in ceiling.interval)}], n = {ceiling.n}."
        )
    if believed.diverged:
        lost = counted(len(believed.diverged), "network")
        said.append(f"{lost} diverged in training and {'is' if len(believed.diverged) == 1 else 'are'} in no number: "
                    f"{', '.join(believed.diverged)}.")  # fmt: skip
    return tuple(said)


def tau_text(found: RankAgreement) -> str:
    """Tau with interval and n, short enough for a legend."""
    if not is_known(found.tau):
        return f"{UNKNOWN} (constant), n = {found.n}"
    return f"{decimal(found.tau)} [{', '.join(decimal(end) for end in found.interval)}], n = {found.n}"


def _outcome(believed: Believed) -> Section:
    return Section("outcome", "Outcome", paragraphs(findings(believed)))


def _scatter(believed: Believed) -> Section:
    places, plots = [], []
    for number, judge in enumerate(believed.judges):
        name = f"judge-{number}"
        caption = (
            f"{judge.title}: tau = {tau_text(judge.tau)}. Marks are means over seeds, bars reach from the worst seed "
            "to the best."
        )
        description = f"Scatter plot of stand-alone over one-shot accuracy, {counted(len(judge.one_shot), 'network')}."
        places.append(plot(name, description, caption))
        plots.append((name, scatter_figure(believed, number)))
    body = joined([tag("div", *places, classes="pair") if len(places) > 1 else places[0], _networks_table(believed)])
    return Section("scatter", "The same networks, one-shot and stand-alone", body, tuple(plots))


def scatter_figure(believed: Believed, number: int) -> Figure:
    """Stand-alone over one-shot accuracy by one supernet; all judges have the same axis of stand-alone accuracy."""
    judge = believed.judges[number]
    means = [sum(values) / len(values) for _, values in believed.networks]
    rows = list(zip(believed.networks, means, judge.one_shot, strict=True))
    trace = {
        "type": "scatter",
        "mode": "markers",
        "name": f"{judge.title}: tau = {tau_text(judge.tau)}",
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
        f"one-shot {believed.accuracy}, validation (%)", f"stand-alone {believed.accuracy}, test (%)", legend=True
    )
    every = [100 * value for _, values in believed.networks for value in values]
    margin = 0.06 * (max(every) - min(every)) or 1.0
    layout["yaxis"]["range"] = [six_digits(min(every) - margin), six_digits(max(every) + margin)]
    return {"data": [trace], "layout": layout | {"hovermode": "closest"}}


def _networks_table(believed: Believed) -> Html:
    head = ("genome", *(f"one-shot by {judge.name}" for judge in believed.judges), "stand-alone, mean", "per seed")
    scores = list(zip(*(judge.one_shot for judge in believed.judges), strict=True))
    rows = [
        (
            tag("code", genome),
            *(percent(score) for score in ours),
            percent(sum(values) / len(values)),
            ", ".join(percent(value) for value in values),
        )
        for (genome, values), ours in sorted(
            zip(believed.networks, scores, strict=True), key=lambda row: (-row[1][0], row[0][0])
        )
    ]
    return folded("The networks as a table", table("Networks, best one-shot accuracy first", head, rows))


def _histograms(believed: Believed) -> Section:
    alone = [value for _, values in believed.networks for value in values]
    places, plots = [], []
    for number, judge in enumerate(believed.judges):
        if not judge.sample:
            continue
        name = f"gap-{number}"
        caption = (
            f"{judge.title}: one-shot accuracies of {counted(len(judge.sample), 'network')} ({believed.sampled}), from "
            f"{interval(percent(min(judge.sample)), percent(max(judge.sample)))}, and the stand-alone trainings of the "
            f"study (n = {len(alone)}). On the {counted(judge.gap.n, 'network')} of the study, lambda = "
            f"{decimal(judge.gap.gap, 3)}; with the range of all these one-shot accuracies instead, "
            f"{decimal(judge.sampled_gap, 3)}."
        )
        places.append(plot(name, "Histogram of accuracies, described below.", caption))
        plots.append((name, gap_figure(judge, alone, _COLOURS[number][0], believed.accuracy)))
    if not places:
        said = f"There is no sample of one-shot accuracies: {believed.sampled}."
        return Section("gap", "Supernet accuracy gap", joined([paragraphs([said]), _gap_table(believed)]))
    body = [tag("div", *places, classes="pair") if len(places) > 1 else places[0], _gap_table(believed)]
    return Section("gap", "Supernet accuracy gap", joined(body), tuple(plots))


def gap_figure(judge: Judge, alone: Sequence[float], colour: str, accuracy: str = "top-1") -> Figure:
    """Shares of one-shot and of stand-alone accuracies, in bins of their own."""
    data = []
    for name, values, shade in (("one-shot", judge.sample, colour), ("stand-alone", alone, "--muted")):
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
    """Middles and widths of bins in points of accuracy, and per cent of all values per point in each."""
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


def _gap_table(believed: Believed) -> Html:
    rows = [
        (
            judge.title,
            interval(*map(percent, judge.gap.one_shot)),
            interval(*map(percent, judge.gap.stand_alone)),
            decimal(judge.gap.gap, 3),
            whole(judge.gap.n),
        )
        for judge in believed.judges
    ]
    return table("Ranges over the networks of the study", ("supernet", "one-shot", "stand-alone", "lambda", "n"), rows)


def _reproduction(believed: Believed) -> Section:
    body = [
        listing("The command that makes this figure", believed.command),
        folded("Versions that wrote this page", versions_table(installed_versions())),
    ]
    return Section("reproduce", "How to reproduce this", joined(body))


def draw_plates(believed: Believed, folder: Path) -> list[Path]:
    """The scatter plots, and the histograms, as PNG and SVG files."""
    with paper_style() as plt:
        count = len(believed.judges)
        figure, row = plt.subplots(
            1, count, figsize=(PAGE * count / 2, 2.6), sharey=True, squeeze=False, layout="constrained"
        )
        for number, axes in enumerate(row[0]):
            _draw_scatter(axes, believed, number)
        row[0][0].set_ylabel(f"stand-alone {believed.accuracy}, test (%)")
        files = save_plates(figure, folder, "figure8")
        sampled = [(number, judge) for number, judge in enumerate(believed.judges) if judge.sample]
        if sampled:
            figure, row = plt.subplots(
                1, len(sampled), figsize=(PAGE * len(sampled) / 2, 2.2), squeeze=False, layout="constrained"
            )
            for axes, (number, judge) in zip(row[0], sampled, strict=True):
                _draw_histogram(axes, believed, number, judge)
            row[0][0].set_ylabel("share per point (%)")
            files += save_plates(figure, folder, "figure8-gap")
    return files


def _draw_scatter(axes: Any, believed: Believed, number: int) -> None:
    _, colour, marker = _COLOURS[number]
    judge = believed.judges[number]
    means = [sum(values) / len(values) for _, values in believed.networks]
    reach = [
        [100 * (mean - min(values)) for (_, values), mean in zip(believed.networks, means, strict=True)],
        [100 * (max(values) - mean) for (_, values), mean in zip(believed.networks, means, strict=True)],
    ]
    axes.errorbar(
        [100 * score for score in judge.one_shot],
        [100 * mean for mean in means],
        yerr=np.maximum(reach, 0),  # means of equal seeds may differ from them in the last digit
        fmt=marker,
        color=colour,
        ecolor=GREY,
        elinewidth=0.6,
        capsize=1.5,
        label=f"{judge.title}\n$\\tau$ = {tau_text(judge.tau)}",
    )
    axes.set_xlabel(f"one-shot {believed.accuracy}, validation (%)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))


def _draw_histogram(axes: Any, believed: Believed, number: int, judge: Judge) -> None:
    alone = [value for _, values in believed.networks for value in values]
    for name, values, colour in (("one-shot", judge.sample, _COLOURS[number][1]), ("stand-alone", alone, GREY)):
        centres, widths, shares = histogram(values)
        axes.bar(centres, shares, widths, color=colour, alpha=0.7, label=f"{name}, n = {len(values):,}")
    axes.set_xlabel(f"{believed.accuracy} (%)")
    title = f"{judge.title}\n$\\lambda$ = {decimal(judge.gap.gap, 3)} on n = {judge.gap.n}"
    axes.legend(title=title, title_fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
