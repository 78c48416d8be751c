"""The page of Figure 10: how the networks of a ranking study were trained, coloured by their one-shot accuracy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fairnas import __version__
from fairnas.analysis import RankAgreement, rank_agreement
from fairnas.report.lessons import Lesson, colour_of, curve_figure, words_of
from fairnas.report.markup import Html, Section, folded, joined, listing, paragraphs, plot, table, tag
from fairnas.report.page import whole_page
from fairnas.report.paper import PAGE, paper_style, save_plates
from fairnas.report.reproduction import versions_table
from fairnas.report.units import UNKNOWN, counted, decimal, is_known, percent, whole
from fairnas.versions import installed_versions


@dataclass(frozen=True)
class Course:
    """Everything that the page shows."""

    run: str
    space: str
    data: str
    validation_images: int
    lessons: tuple[Lesson, ...]
    """Best one-shot accuracy first."""
    command: str

    @property
    def finished(self) -> tuple[Lesson, ...]:
        """Those that did not diverge."""
        return tuple(each for each in self.lessons if each.final is not None)

    def agreements(self) -> tuple[tuple[int, RankAgreement], ...]:
        """Tau of one-shot accuracy with the validation accuracy after each measured epoch."""
        lessons = self.finished
        shared = set.intersection(*({epoch for epoch, _ in each.accuracy} for each in lessons)) if lessons else set()
        if len(lessons) < 3:
            return ()
        scores = [each.one_shot for each in lessons]
        return tuple(
            (epoch, rank_agreement(scores, [dict(each.accuracy)[epoch] for each in lessons]))
            for epoch in sorted(shared)
        )


def render_course(course: Course) -> str:
    """The page as HTML. The same numbers give the same page."""
    seeds = max(each.seeds for each in course.lessons)
    lead = (
        f"Space {course.space}, data {course.data}. {counted(len(course.lessons), 'network')} trained from scratch "
        f"with {counted(seeds, 'seed')} each; curves are means over seeds. Validation accuracy is on "
        f"{counted(course.validation_images, 'image')}."
    )
    header = joined(
        [
            tag("p", "fairnas figure 10", classes="eyebrow"),
            tag("h1", f"Stand-alone trainings of {course.run}"),
            tag("p", lead, classes="lead"),
        ]
    )
    sections = [write(course) for write in (_outcome, _curves, _order, _reproduction)]
    footer = f"Written by fairnas {__version__}. Nothing here is from the paper."
    return whole_page(f"Figure 10 of {course.run}: fairnas", header, sections, footer)


def findings(course: Course) -> tuple[str, ...]:
    """Whether the one-shot order shows in the trainings, in sentences with numbers."""
    said, found = [], course.agreements()
    if found:
        epoch, last = found[-1]
        said.append(f"After epoch {epoch}, the last, validation accuracy and one-shot accuracy agree to {_tau(last)}.")
        if len(found) > 1:
            epoch, first = found[0]
            said.append(f"After epoch {epoch}, the first that was measured, it was {_tau(first)}.")
    lost = [each.genome for each in course.lessons if each.final is None]
    if lost:
        said.append(f"Diverged, drawn as far as they came and in no number: {', '.join(lost)}.")
    return tuple(said) or ("Fewer than 3 networks were trained without diverging, so there is no order to speak of.",)


def _tau(found: RankAgreement) -> str:
    if not is_known(found.tau):
        return f"tau = {UNKNOWN} (constant), n = {found.n}"
    return f"tau = {decimal(found.tau)} [{', '.join(decimal(end) for end in found.interval)}], n = {found.n}"


def _outcome(course: Course) -> Section:
    return Section("outcome", "Outcome", paragraphs(findings(course)))


def _curves(course: Course) -> Section:
    order = "Blue is the network with the best one-shot accuracy, orange the one with the worst, as in the legend."
    figures = {
        "curve-top1": ("Validation accuracy", curve_figure(course.lessons, "top1")),
        "curve-loss": ("Mean training loss of an epoch", curve_figure(course.lessons, "loss")),
    }
    places = [
        plot(name, f"Line plot over epochs, {counted(len(course.lessons), 'network')}.", f"{title}. {order}")
        for name, (title, _) in figures.items()
    ]
    plots = tuple((name, figure) for name, (_, figure) in figures.items())
    return Section("curves", "Training curves", joined([joined(places), _table(course)]), plots)


def _table(course: Course) -> Html:
    rows = [
        (
            tag("code", each.genome),
            percent(each.one_shot),
            percent(each.accuracy[-1][1]) if each.accuracy else UNKNOWN,
            percent(each.final) if each.final is not None else "diverged",
            str(each.seeds),
        )
        for each in course.lessons
    ]
    head = ("genome", "one-shot", "last measured on validation", "test", "seeds")
    return folded("The networks as a table", table("Networks, best one-shot accuracy first", head, rows))


def _order(course: Course) -> Section:
    rows = [
        (
            whole(epoch),
            decimal(found.tau),
            f"{decimal(found.interval[0])} to {decimal(found.interval[1])}" if is_known(found.tau) else UNKNOWN,
            str(found.n),
        )
        for epoch, found in course.agreements()
    ]
    caption = "Kendall's tau of one-shot accuracy with validation accuracy after an epoch"
    body = table(caption, ("epoch", "tau", "95 % interval", "n"), rows)
    return Section("order", "When the order shows", body)


def _reproduction(course: Course) -> Section:
    body = [
        listing("The command that makes this figure", course.command),
        folded("Versions that wrote this page", versions_table(installed_versions())),
    ]
    return Section("reproduce", "How to reproduce this", joined(body))


def draw_plates(course: Course, folder: Path) -> Sequence[Path]:
    """Both plots side by side, as PNG and SVG files."""
    kind = words_of(course.lessons)
    with paper_style() as plt:
        figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.8), layout="constrained")
        for number, each in enumerate(course.lessons):
            colour = colour_of(number, len(course.lessons))
            left.plot(*_columns(each.loss), color=colour, linewidth=0.9)
            accuracy = [(epoch, 100 * value) for epoch, value in each.accuracy]
            right.plot(*_columns(accuracy), color=colour, marker="o", linewidth=0.9, label=percent(each.one_shot))
        left.set(xlabel="epoch", ylabel="training loss")
        right.set(xlabel="epoch", ylabel=f"validation {kind} (%)")
        columns = -(-len(course.lessons) // 16)
        figure.legend(title=f"one-shot {kind}", title_fontsize=7, loc="outside right upper", ncols=columns)
        return save_plates(figure, folder, "figure10")


def _columns(curve: Sequence[tuple[int, float]]) -> tuple[list[int], list[float]]:
    return [epoch for epoch, _ in curve], [value for _, value in curve]
