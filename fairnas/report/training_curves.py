"""Training curves of the networks of a ranking study, coloured by one-shot accuracy (Figure 10)."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from fairnas.analysis.study import StudiedModel
from fairnas.config import ACCURACY_WORDS, Measure
from fairnas.errors import RunDirectoryError
from fairnas.record import read_record
from fairnas.report.format import counted, percent
from fairnas.report.html import Section, plot, tag
from fairnas.report.plots import Figure, plain_layout, six_digits
from fairnas.rundir import RunDirectory
from fairnas.scores import TrainingResult
from fairnas.space import format_genome

_BEST, _WORST = (11, 102, 194), (240, 140, 60)
"""Colours (red, green, blue) of the networks with the best and the worst one-shot accuracy."""


@dataclass(frozen=True)
class TrainingCurve:
    """Curves of one network, mean over its seeds. Epochs count from 1."""

    genome: str
    one_shot: float
    loss: tuple[tuple[int, float], ...]
    """Pairs of epoch and mean training loss in it."""
    top1: tuple[tuple[int, float], ...]
    """Pairs of epoch and validation accuracy after it, where it was measured."""
    seeds: int
    final: float | None
    """Test accuracy by the run's measure, as for `one_shot`; None if a training diverged."""
    balanced_accuracy: tuple[tuple[int, float], ...] = ()
    """The same for balanced accuracy, if it is the run's measure."""

    @property
    def accuracy(self) -> tuple[tuple[int, float], ...]:
        """Pairs of epoch and validation accuracy by the run's measure."""
        return self.balanced_accuracy or self.top1


def read_training_curves(run: RunDirectory, models: Sequence[StudiedModel]) -> tuple[TrainingCurve, ...]:
    """Read the trainings of a finished study, best one-shot accuracy first.

    Args:
        run: run with the study.
        models: networks of the study.

    Raises:
        RunDirectoryError: if a training has no curve.
    """
    ordered = sorted(models, key=lambda model: (-model.one_shot, model.genome))
    return tuple(_lesson(run, model) for model in ordered)


def _lesson(run: RunDirectory, model: StudiedModel) -> TrainingCurve:
    losses, top1, balanced, genome = [], [], [], format_genome(model.genome)
    for seed in range(len(model.stand_alone)):
        name = f"stand_alone/{genome}-s{seed}.json"
        result = read_record(run, name, TrainingResult)
        if not result.curve and result.status == "done":
            raise RunDirectoryError(
                f"{run.path / name} holds no training curve, because an earlier fairnas wrote it; delete it, and "
                f"`fairnas rank --run {run.path}` trains the network again"
            )
        losses.append([(each.epoch, each.loss) for each in result.curve if math.isfinite(each.loss)])
        top1.append(_measured(result, "top1"))
        if run.config.measure == "balanced_accuracy":
            balanced.append(_measured(result, "balanced_accuracy"))
    return TrainingCurve(
        genome=genome,
        one_shot=model.one_shot,
        loss=mean_curve(losses),
        top1=mean_curve(top1),
        seeds=len(losses),
        final=model.mean,
        balanced_accuracy=mean_curve(balanced) if balanced else (),
    )


def _measured(result: TrainingResult, measure: Measure) -> list[tuple[int, float]]:
    """Pairs of epoch and validation accuracy, where it was measured."""
    known = [(each.epoch, each.validation(measure)) for each in result.curve]
    return [(epoch, accuracy) for epoch, accuracy in known if accuracy is not None]


def mean_curve(curves: Sequence[Sequence[tuple[int, float]]]) -> tuple[tuple[int, float], ...]:
    """Mean over trainings, at epochs where all of them have a value."""
    if not curves:
        raise ValueError("a network has no trainings")
    shared = set.intersection(*({epoch for epoch, _ in curve} for curve in curves))
    known = [dict(curve) for curve in curves]
    return tuple((epoch, statistics.fmean(curve[epoch] for curve in known)) for epoch in sorted(shared))


def curve_figure(curves: Sequence[TrainingCurve], what: str) -> Figure:
    """Plot a line per network, of its `loss` or, as `top1`, of its accuracy by the run's measure."""
    kind = words_of(curves)
    data: list[Figure] = []
    for number, each in enumerate(curves):
        curve, scale = (each.accuracy, 100) if what == "top1" else (each.loss, 1)
        data.append(
            {
                "type": "scatter",
                "mode": "lines+markers" if what == "top1" else "lines",
                "name": percent(each.one_shot),
                "x": [epoch for epoch, _ in curve],
                "y": [six_digits(scale * value) for _, value in curve],
                "line": {"width": 1.6, "color": colour_of(number, len(curves))},
                "marker": {"size": 5},
                "hovertemplate": f"<b>{each.genome}</b>, one-shot {percent(each.one_shot)}<br>"
                "epoch %{x}: %{y:.4g}<extra></extra>",
            }
        )
    title = f"stand-alone {kind}, validation (%)" if what == "top1" else "training loss"
    layout = plain_layout("epoch", title, hovermode="closest")
    return {"data": data, "layout": layout | {"showlegend": True, "legend": {"title": {"text": f"one-shot {kind}"}}}}


def words_of(curves: Sequence[TrainingCurve]) -> str:
    """Name of the accuracy in the curves."""
    return ACCURACY_WORDS["balanced_accuracy" if any(each.balanced_accuracy for each in curves) else "top1"]


def colour_of(number: int, count: int) -> str:
    """Colour of the network at a position in the one-shot order, best first."""
    share = number / max(count - 1, 1)
    mixed = (round(best + share * (worst - best)) for best, worst in zip(_BEST, _WORST, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def curves_section(curves: Sequence[TrainingCurve]) -> Section:
    """Build the section of a run's report: both curves of every network."""
    seeds = max(each.seeds for each in curves)
    caption = (
        f"{counted(len(curves), 'network')} of the ranking study, trained from scratch, means over "
        f"{counted(seeds, 'seed')}. Blue is the one with the best one-shot accuracy, orange the one with the worst: "
        "where the supernet orders networks as training does, blue ends"
    )
    plots = [(f"curve-{what}", curve_figure(curves, what)) for what in ("top1", "loss")]
    titles = (("Validation accuracy", "above"), ("Mean training loss of an epoch", "below"))
    places = [
        plot(name, f"Line plot over epochs, {counted(len(curves), 'network')}.", f"{title}. {caption} {side} orange.")
        for (name, _), (title, side) in zip(plots, titles, strict=True)
    ]
    return Section("curves", "Stand-alone trainings", tag("div", *places, classes="pair"), tuple(plots))
