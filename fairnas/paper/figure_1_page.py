"""Page of Figure 1: accuracy during the training of supernets, and the distribution of their models' accuracies."""

import itertools
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fairnas import __version__
from fairnas.paper.training_comparison import (
    Arm,
    ArmTraining,
    accuracy_verdict,
    audit_text,
    by_epoch,
    equal_compute,
    equal_epochs,
    fairness_verdict,
    width_verdict,
)
from fairnas.report.format import UNKNOWN, counted, decimal, interval, listed, p_value, percent, whole
from fairnas.report.html import Section, folded, joined, listing, paragraphs, plot, table, tag
from fairnas.report.page import whole_page
from fairnas.report.plots import Figure, bin_edges, outline, plain_axis, plain_layout, six_digits
from fairnas.report.reproduction_section import versions_table
from fairnas.report.verdict_section import answered
from fairnas.report.verdicts import Verdict

Abscissa = Literal["epoch", "backward_passes"]
Ordinate = Literal["mean", "std"]
COLOURS = ("a", "b", "c", "d", "e")
"""Names of an arm's colours in the style sheet: `--arm-a`, and `--arm-a-shade` around a curve."""
_DASHES = ("solid", "solid", "dash", "dot", "solid")
_AXES = {
    "epoch": "epoch",
    "backward_passes": "backward passes",
    "mean": "mean one-shot top-1 (%)",
    "std": "spread of one-shot top-1 (points)",
}
_HISTOGRAM_BINS = 120
"""Number of bins over the accuracies of all arms together, which may lie far apart."""


@dataclass(frozen=True)
class StrategyComparison:
    """Content of the page."""

    arms: tuple[Arm, ...]
    space: str
    data: str
    models: int
    """Stratified models per training."""
    followed: int
    """Random genomes whose accuracy is followed over the epochs."""
    validation_images: int
    classes: int
    command: str
    """Command that makes the figure."""
    config_text: str
    """Common settings of all arms."""
    versions: Mapping[str, str]

    @property
    def seeds(self) -> int:
        """Trainings per arm."""
        return len(self.arms[0].trainings)


def render_comparison(comparison: StrategyComparison) -> str:
    """Render the page as HTML. Equal numbers give an equal page."""
    lead = (
        f"Space {comparison.space}, data {comparison.data}. {counted(len(comparison.arms), 'way')} to train a "
        f"supernet, {counted(comparison.seeds, 'seed')} each; {whole(comparison.models)} stratified models of each "
        f"scored on {counted(comparison.validation_images, 'validation image')}."
    )
    header = joined(
        [
            tag("p", "fairnas figure 1", classes="eyebrow"),
            tag("h1", "Strict fairness and its rivals"),
            tag("p", lead, classes="lead"),
        ]
    )
    sections = [write(comparison) for write in (_outcome, _curves, _histograms, _table, _reproduction)]
    title = f"Figure 1 on {comparison.data}: fairnas"
    return whole_page(title, header, sections, f"Written by fairnas {__version__}. Nothing here is from the paper.")


def verdicts(arms: Sequence[Arm]) -> tuple[tuple[str, Verdict], ...]:
    """Questions of the page, each with its verdict."""
    return (
        ("Most accurate at equal compute?", accuracy_verdict(equal_compute(arms))),
        ("Most accurate at equal epochs?", accuracy_verdict(equal_epochs(arms))),
        ("Models closest together, at equal compute?", width_verdict(equal_compute(arms))),
        ("Which trainings were fair?", fairness_verdict(arms)),
    )


def _outcome(comparison: StrategyComparison) -> Section:
    answers = [answered(question, verdict) for question, verdict in verdicts(comparison.arms)]
    guessing = f"{counted(comparison.classes, 'class', 'classes')} reaches {percent(1 / comparison.classes)}"
    small = (
        "All arms of a seed begin with the same weights, see the same images and are scored with the same genomes; so "
        "differences are taken seed by seed. Intervals are Student's, each for itself. A winner is named only if no "
        "seed of one arm reaches into the seeds of the other and the interval does not hold zero."
        f" Guessing among {guessing}; models near that lie close together, too."
    )
    return Section("outcome", "Outcome", joined([*answers, tag("p", small, classes="note")]))


def _curves(comparison: StrategyComparison) -> Section:
    arms, followed = comparison.arms, comparison.followed
    colours = dict(zip((arm.name for arm in arms), range(len(arms)), strict=True))
    spread = "shades reach from the lowest seed to the highest" if comparison.seeds > 1 else "one seed"
    panels: tuple[tuple[str, str, Sequence[Arm], Abscissa, Ordinate], ...] = (
        ("epochs", "Over epochs, the arms with equally many", equal_epochs(arms), "epoch", "mean"),
        ("passes", "Over backward passes, all arms", arms, "backward_passes", "mean"),
        ("spread", "Standard deviation over the models, over backward passes", arms, "backward_passes", "std"),
    )
    places, plots = [], []
    for name, caption, shown, at, value in panels:
        description = f"Line plot: {caption}; {listed([arm.title for arm in shown])}. The table holds the final values."
        places.append(plot(name, description, f"{caption}; {spread}."))
        plots.append((name, _curves_figure(shown, colours, at, value)))
    intro = (
        f"Mean one-shot top-1 over {followed} random genomes, the same for all arms of a seed, on validation images "
        "after every epoch. The learning rate of every arm falls to zero at its own end."
    )
    pair = tag("div", *places[:2], classes="pair")
    return Section("curves", "Accuracy while training", joined([paragraphs([intro]), pair, places[2]]), tuple(plots))


def _curves_figure(arms: Sequence[Arm], colours: Mapping[str, int], at: Abscissa, value: Ordinate) -> Figure:
    """One line per arm, the mean over its seeds, shaded from the lowest seed to the highest."""
    data: list[Figure] = []
    for arm in arms:
        points = by_epoch(arm)
        number = colours[arm.name]
        x = [getattr(seeds[0], at) for seeds in points]
        rows = [[100 * getattr(point, value) for point in seeds] for seeds in points]
        edge = {"type": "scatter", "mode": "lines", "x": x, "line": {"width": 0}, "hoverinfo": "skip"}
        edge |= {"showlegend": False, "legendgroup": arm.name}
        shade = {"fill": "tonexty", "fillcolor": f"var(--arm-{COLOURS[number]}-shade)"}
        data.append(edge | {"y": [six_digits(min(row)) for row in rows]})
        data.append(edge | {"y": [six_digits(max(row)) for row in rows]} | shade)
        data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": arm.title,
                "legendgroup": arm.name,
                "x": x,
                "y": [six_digits(statistics.fmean(row)) for row in rows],
                "text": [f"{min(row):.1f} to {max(row):.1f}" for row in rows],
                "line": {"color": f"var(--arm-{COLOURS[number]})", "width": 2, "dash": _DASHES[number]},
                "hovertemplate": f"<b>{arm.title}</b><br>%{{y:.1f}} (seeds %{{text}})<extra></extra>",
            }
        )
    return {"data": data, "layout": plain_layout(_AXES[at], _AXES[value], legend=True, hovermode="closest")}


def _histograms(comparison: StrategyComparison) -> Section:
    arms = [arm for arm in comparison.arms if any(training.top1 for training in arm.trainings)]
    caption = (
        f"{whole(comparison.models)} stratified models of each supernet, all seeds together: every choice block is on "
        "equally many of them. Bins are the same in all rows; heights are not, they are shares of the arm's tallest."
    )
    title = "Accuracies of the trained models"
    if not arms:
        return Section("histograms", title, paragraphs(["Every training diverged."]))
    description = f"Histograms of one-shot top-1, a row for each of {listed([arm.title for arm in arms])}."
    colours = {arm.name: number for number, arm in enumerate(comparison.arms)}
    figure = _histogram_figure(arms, colours)
    return Section("histograms", title, plot("histograms", description, caption), (("histograms", figure),))


def _histogram_figure(arms: Sequence[Arm], colours: Mapping[str, int]) -> Figure:
    """One row of bars per arm over a common axis."""
    pooled = [[six_digits(100 * value) for t in arm.trainings for value in t.top1] for arm in arms]
    edges = bin_edges([value for values in pooled for value in values], _HISTOGRAM_BINS)
    bins = list(itertools.pairwise(edges))
    layout = plain_layout("one-shot top-1, validation (%)", "", hovermode="closest")
    height = 1 / len(arms)
    data, names = [], []
    for row, (arm, values) in enumerate(zip(arms, pooled, strict=True)):
        counts, _ = np.histogram(values, bins=edges)
        axis = "y" if row == 0 else f"y{row + 1}"
        top = 1 - row * height
        rows = plain_axis("") | {"domain": [top - 0.9 * height, top - 0.26 * height], "showticklabels": False}
        layout["yaxis" + axis[1:]] = rows | {"ticks": "", "showgrid": False, "rangemode": "tozero"}
        colour = f"var(--arm-{COLOURS[colours[arm.name]]})"
        data.append(
            {
                "type": "bar",
                "name": arm.title,
                "xaxis": "x",
                "yaxis": axis,
                "x": [six_digits((low + high) / 2) for low, high in bins],
                "width": [six_digits(high - low) for low, high in bins],
                "y": counts.tolist(),
                "text": [f"{max(low, 0):.1f} to {min(high, 100):.1f} %" for low, high in bins],
                "textposition": "none",
                "hovertemplate": f"<b>{arm.title}</b><br>%{{text}}<br>%{{y}} models<extra></extra>",
                "marker": {"color": colour, "line": outline(0)},
            }
        )
        place = {"xref": "paper", "yref": "paper", "x": 0, "y": top, "xanchor": "left", "yanchor": "top"}
        names.append(place | {"text": f"<b>{arm.title}</b>", "showarrow": False, "font": {"color": colour}})
    layout["xaxis"]["anchor"] = "free"
    layout["xaxis"]["position"] = 0
    return {"data": data, "layout": layout | {"annotations": names, "bargap": 0}}


def _table(comparison: StrategyComparison) -> Section:
    arms = comparison.arms
    head = ("arm", "what it does", "epochs", "initial lr", "backward passes", "mean top-1", "spread of models", "delta")
    rows = [
        (
            arm.title,
            arm.what,
            whole(arm.epochs),
            f"{arm.learning_rate:.3g}",
            whole(arm.backward_passes),
            _over_seeds(arm.known(lambda training: training.mean), percent),
            _over_seeds(arm.known(lambda training: training.std), percent),
            _over_seeds(arm.known(lambda training: training.width), percent),
        )
        for arm in arms
    ]
    caption = (
        "Per arm: means over seeds, with the standard deviation over seeds. Spread: standard deviation over models. "
        "Delta: from the worst model to the best. Backward passes are counted by the ledger."
    )
    each = [_training_row(arm, training) for arm in arms for training in arm.trainings]
    every = ("training", "mean", "spread", "range", "delta", "updates per block", "fairness", "variance ratio", "p")
    small = "Per training; the variance ratio is 1 for one uniform path per pass and 0 under strict fairness"
    body = joined([table(caption, head, rows), table(small, every, each)])
    return Section("numbers", "Numbers", body)


def _over_seeds(values: Sequence[float], write: Callable[[float], str]) -> str:
    if not values:
        return UNKNOWN
    mean = write(statistics.fmean(values))
    spread = f"\u00a0±\u00a0{100 * statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean}{spread}, n\u00a0=\u00a0{len(values)}"


def _training_row(arm: Arm, training: ArmTraining) -> tuple[str, ...]:
    name, audit = f"{arm.title}, seed {training.seed}", training.audit
    if not training.top1 or audit is None:
        return (name, f"diverged: {training.diverged}", *[UNKNOWN] * 7)
    return (
        name,
        percent(training.mean),
        percent(training.std),
        interval(percent(min(training.top1)), percent(max(training.top1))),
        percent(training.width),
        f"{whole(audit.updates_min)} to {whole(audit.updates_max)}",
        audit_text(audit),
        decimal(audit.variance_ratio, 3),
        p_value(audit.p_value).removeprefix("= "),
    )


def _reproduction(comparison: StrategyComparison) -> Section:
    folders = [training.folder for arm in comparison.arms for training in arm.trainings]
    body = [
        listing("The command that makes this figure", comparison.command),
        paragraphs(
            [
                f"Every training is an ordinary run directory beside this page: {folders[0]} to {folders[-1]}. "
                "`fairnas audit --run` shows the ledger of any of them; `stratified.json` holds its scores."
            ]
        ),
        paragraphs(["The arms differ in strategy, k, learning rate and epochs, as in the table; they share this."]),
        folded("Configuration", listing("Configuration", comparison.config_text)),
        folded("Versions that wrote this page", versions_table(comparison.versions)),
    ]
    return Section("reproduce", "How to reproduce this", joined(body))
