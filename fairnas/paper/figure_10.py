"""Figure 10: the trainings of the networks of a run's ranking study, coloured by one-shot accuracy.

Everything is read from the files of the trainings in the run directory.
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnas import __version__
from fairnas.analysis import RankAgreement, rank_agreement
from fairnas.atomic_files import write_atomically
from fairnas.paper.plot_style import PAGE, paper_style, save_plots
from fairnas.report.format import UNKNOWN, counted, decimal, is_known, percent, whole
from fairnas.report.html import Html, Section, folded, joined, listing, paragraphs, plot, table, tag
from fairnas.report.page import whole_page
from fairnas.report.reproduction_section import versions_table
from fairnas.report.run_data import read_inputs
from fairnas.report.training_curves import TrainingCurve, colour_of, curve_figure, read_training_curves, words_of
from fairnas.rundir import RunDirectory
from fairnas.versions import installed_versions


def draw_figure_10(out: Path, path: Path, command: str) -> dict[str, Any]:
    """Write page, numbers, PNG and SVG, and return the numbers. Does not train or score.

    Raises:
        RunDirectoryError: if there is no run, its ranking study is not finished, or a training left no curve.
    """
    trainings = read_study_trainings(path, command)
    numbers = as_numbers(trainings)
    write_atomically(out / "figure10.json", (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(out / "figure10.html", render_study_trainings(trainings).encode())
    files = draw_plots(trainings, out)
    return numbers | {"page": str(out / "figure10.html"), "files": [str(file) for file in files]}


@dataclass(frozen=True)
class StudyTrainings:
    """Content of the page."""

    run: str
    space: str
    data: str
    validation_images: int
    curves: tuple[TrainingCurve, ...]
    """Curves, best one-shot accuracy first."""
    command: str

    @property
    def finished(self) -> tuple[TrainingCurve, ...]:
        """Curves of trainings that did not diverge."""
        return tuple(each for each in self.curves if each.final is not None)

    def agreements(self) -> tuple[tuple[int, RankAgreement], ...]:
        """Tau between one-shot accuracy and the validation accuracy after each measured epoch."""
        curves = self.finished
        shared = set.intersection(*({epoch for epoch, _ in each.accuracy} for each in curves)) if curves else set()
        if len(curves) < 3:
            return ()
        scores = [each.one_shot for each in curves]
        return tuple(
            (epoch, rank_agreement(scores, [dict(each.accuracy)[epoch] for each in curves])) for epoch in sorted(shared)
        )


def read_study_trainings(path: Path, command: str) -> StudyTrainings:
    """Read the stand-alone trainings of a run directory."""
    run = RunDirectory.open(path)
    run.require_finished("rank")
    inputs = read_inputs(run)
    assert inputs.ranking is not None, "the study is finished"
    return StudyTrainings(
        run=path.resolve().name,
        space=inputs.space.name,
        data=inputs.data.name if inputs.data else inputs.config.data.name,
        validation_images=inputs.data.counts.get("validation", 0) if inputs.data else 0,
        curves=read_training_curves(run, inputs.ranking.study.models),
        command=command,
    )


def as_numbers(trainings: StudyTrainings) -> dict[str, Any]:
    """Figure as plain data."""
    return {
        "figure": 10,
        "run": trainings.run,
        "space": trainings.space,
        "data": trainings.data,
        "validation_images": trainings.validation_images,
        "networks": [dataclasses.asdict(each) for each in trainings.curves],
        "order": [
            {"epoch": epoch, "n": found.n}
            | (
                {"tau": None, "interval": None}
                if math.isnan(found.tau)
                else {"tau": found.tau, "interval": list(found.interval)}
            )
            for epoch, found in trainings.agreements()
        ],
        "sentences": list(findings(trainings)),
        "command": trainings.command,
        "versions": installed_versions(),
    }


def render_study_trainings(trainings: StudyTrainings) -> str:
    """Render the page as HTML. Equal numbers give an equal page."""
    seeds = max(each.seeds for each in trainings.curves)
    lead = (
        f"Space {trainings.space}, data {trainings.data}. {counted(len(trainings.curves), 'network')} trained from "
        f"scratch with {counted(seeds, 'seed')} each; curves are means over seeds. Validation accuracy is on "
        f"{counted(trainings.validation_images, 'image')}."
    )
    header = joined(
        [
            tag("p", "fairnas figure 10", classes="eyebrow"),
            tag("h1", f"Stand-alone trainings of {trainings.run}"),
            tag("p", lead, classes="lead"),
        ]
    )
    sections = [write(trainings) for write in (_outcome, _curves, _order, _reproduction)]
    footer = f"Written by fairnas {__version__}. Nothing here is from the paper."
    return whole_page(f"Figure 10 of {trainings.run}: fairnas", header, sections, footer)


def findings(trainings: StudyTrainings) -> tuple[str, ...]:
    """Agreement of the one-shot order with the trainings, in sentences with numbers."""
    said, found = [], trainings.agreements()
    if found:
        epoch, last = found[-1]
        said.append(f"After epoch {epoch}, the last, validation accuracy and one-shot accuracy agree to {_tau(last)}.")
        if len(found) > 1:
            epoch, first = found[0]
            said.append(f"After epoch {epoch}, the first that was measured, it was {_tau(first)}.")
    lost = [each.genome for each in trainings.curves if each.final is None]
    if lost:
        said.append(f"Diverged, drawn as far as they came and in no number: {', '.join(lost)}.")
    return tuple(said) or (
        "Fewer than 3 networks were trained without diverging, so no ranking can be computed (3 are needed).",
    )


def _tau(found: RankAgreement) -> str:
    if not is_known(found.tau):
        return f"tau = {UNKNOWN} (constant), n = {found.n}"
    return f"tau = {decimal(found.tau)} [{', '.join(decimal(end) for end in found.interval)}], n = {found.n}"


def _outcome(trainings: StudyTrainings) -> Section:
    return Section("outcome", "Outcome", paragraphs(findings(trainings)))


def _curves(trainings: StudyTrainings) -> Section:
    order = "Blue is the network with the best one-shot accuracy, orange the one with the worst, as in the legend."
    figures = {
        "curve-top1": ("Validation accuracy", curve_figure(trainings.curves, "top1")),
        "curve-loss": ("Mean training loss of an epoch", curve_figure(trainings.curves, "loss")),
    }
    places = [
        plot(name, f"Line plot over epochs, {counted(len(trainings.curves), 'network')}.", f"{title}. {order}")
        for name, (title, _) in figures.items()
    ]
    plots = tuple((name, figure) for name, (_, figure) in figures.items())
    return Section("curves", "Training curves", joined([joined(places), _table(trainings)]), plots)


def _table(trainings: StudyTrainings) -> Html:
    rows = [
        (
            tag("code", each.genome),
            percent(each.one_shot),
            percent(each.accuracy[-1][1]) if each.accuracy else UNKNOWN,
            percent(each.final) if each.final is not None else "diverged",
            str(each.seeds),
        )
        for each in trainings.curves
    ]
    head = ("genome", "one-shot", "last measured on validation", "test", "seeds")
    return folded("The networks as a table", table("Networks, best one-shot accuracy first", head, rows))


def _order(trainings: StudyTrainings) -> Section:
    rows = [
        (
            whole(epoch),
            decimal(found.tau),
            f"{decimal(found.interval[0])} to {decimal(found.interval[1])}" if is_known(found.tau) else UNKNOWN,
            str(found.n),
        )
        for epoch, found in trainings.agreements()
    ]
    caption = "Kendall's tau of one-shot accuracy with validation accuracy after an epoch"
    body = table(caption, ("epoch", "tau", "95 % interval", "n"), rows)
    return Section("order", "When the order shows", body)


def _reproduction(trainings: StudyTrainings) -> Section:
    body = [
        listing("The command that makes this figure", trainings.command),
        folded("Versions that wrote this page", versions_table(installed_versions())),
    ]
    return Section("reproduce", "How to reproduce this", joined(body))


def draw_plots(trainings: StudyTrainings, folder: Path) -> Sequence[Path]:
    """Draw both plots side by side, as PNG and SVG files."""
    kind = words_of(trainings.curves)
    with paper_style() as plt:
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.8), layout="constrained")
        for number, each in enumerate(trainings.curves):
            colour = colour_of(number, len(trainings.curves))
            left.plot(*_columns(each.loss), color=colour, linewidth=0.9)
            accuracy = [(epoch, 100 * value) for epoch, value in each.accuracy]
            right.plot(*_columns(accuracy), color=colour, marker="o", linewidth=0.9, label=percent(each.one_shot))
        left.set(xlabel="epoch", ylabel="training loss")
        right.set(xlabel="epoch", ylabel=f"validation {kind} (%)")
        columns = -(-len(trainings.curves) // 16)
        figure.legend(title=f"one-shot {kind}", title_fontsize=7, loc="outside right upper", ncols=columns)
        return save_plots(figure, folder, "figure10")


def _columns(curve: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [epoch for epoch, _ in curve], [value for _, value in curve]
