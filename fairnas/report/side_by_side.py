"""The page that compares two runs: `fairnas report A B`."""

import math
import shlex
from collections.abc import Callable, Sequence

from fairnas import __version__
from fairnas.analysis.ranking import Agreement
from fairnas.analysis.study import RankingStudy
from fairnas.fairness import Audit
from fairnas.report.format import (
    COST_NAMES,
    PREDICTOR_NAMES,
    UNKNOWN,
    counted,
    decimal,
    interval,
    is_known,
    listed,
    millions,
    p_value,
    percent,
    whole,
)
from fairnas.report.html import Html, Section, folded, joined, listing, missing, paragraphs, plot, table, tag
from fairnas.report.page import whole_page
from fairnas.report.plots import FADING, Figure, linked, plain_layout, six_digits, staircase
from fairnas.report.ranking_section import no_study
from fairnas.report.run_data import Inputs
from fairnas.report.two_runs import TwoRuns, side_of
from fairnas.report.verdict_section import answer, answers, offered_table

_ARMS = ("var(--arm-a)", "var(--arm-b)")
_SYMBOLS, _DASHES = ("circle", "diamond"), ("solid", "dash")


def render_two_runs(runs: TwoRuns) -> str:
    """Render the page as HTML. Equal inputs give equal pages."""
    a, b = runs.names
    header = joined([tag("p", "fairnas report", classes="eyebrow"), tag("h1", f"{a} and {b}"), _lead(runs)])
    writers = (_verdicts, _differences, _fronts, _fairness, _ranking, _training, _networks, _reproduction)
    footer = f"Written by fairnas {__version__} from the files of the two run directories, and nothing else."
    return whole_page(
        f"{a} and {b}: fairnas report", header, [write(runs) for write in writers], footer, views="fronts"
    )


def _lead(runs: TwoRuns) -> Html:
    said = [
        f"{name}: space {run.space.name}, data {run.data.name if run.data else run.config.data.name}, strategy "
        f"{run.config.train.strategy} for {counted(run.config.train.epochs, 'epoch')}, searcher "
        f"{run.config.search.searcher}, seed {run.config.seed}."
        for name, run in zip(runs.names, runs.both, strict=True)
    ]
    return joined([tag("p", each, classes="lead") for each in (*said, *caveats(runs))])


def caveats(runs: TwoRuns) -> tuple[str, ...]:
    """Reasons why numbers of the two runs cannot be compared."""
    said = []
    if not runs.same_space:
        said.append("The search spaces differ: the same genome is another network in each of them.")
    if runs.same_data is False:
        said.append("The data differ: accuracies of the one say nothing about those of the other.")
    if not runs.same_measure:
        first, second = (run.accuracy_words for run in runs.both)
        said.append(
            f"Accuracy is {first} in {runs.names[0]} and {second} in {runs.names[1]}: numbers of the one say nothing "
            f"about those of the other. `fairnas search` with --evaluate.measure makes them the same."
        )
    if runs.same_data is None:
        said.append("A run has not opened its data yet, so it is not known whether accuracies can be compared.")
    return tuple(said)


def _beside(runs: TwoRuns, shown: Callable[[Inputs], Html]) -> Html:
    columns = [
        tag("div", tag("h4", name), shown(run), classes=f"run-{place}")
        for name, run, place in zip(runs.names, runs.both, "ab", strict=True)
    ]
    return tag("div", *columns, classes="pair")


def _verdicts(runs: TwoRuns) -> Section:
    parts = []
    for number, (question, _) in enumerate(answers(runs.first)):

        def shown(run: Inputs, number: int = number) -> Html:
            verdict = answers(run)[number][1]
            return tag("div", answer(verdict), classes=f"verdict beside {verdict.status}")

        parts += [tag("h3", question), _beside(runs, shown)]
    return Section("verdicts", "Verdicts", joined(parts))


def _differences(runs: TwoRuns) -> Section:
    settings, versions = runs.differing_settings(), runs.differing_versions()
    body = []
    if settings:
        rows = [(tag("code", key), *(tag("code", _said(value)) for value in pair)) for key, *pair in settings]
        body.append(table("Settings that differ, and that results depend on", ("setting", *runs.names), rows))
    else:
        body.append(paragraphs(["Every setting that results depend on is the same in both."]))
    if versions:
        body.append(table("Versions that differ", ("package", *runs.names), versions))
    elif all(run.versions for run in runs.both):
        body.append(paragraphs(["Both were made with the same versions of everything."]))
    return Section("differences", "What differs", joined(body))


def _said(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "none"
    return "none" if value is None or value == "" else str(value)


_MARKING = tag(
    "div",
    tag(
        "p", "Drag a box over networks in one plot to mark them in both.", attributes='id="fronts-marked" role="status"'
    ),
    tag("ul", attributes='id="fronts-found" aria-label="Marked networks"', classes="found"),
    tag("button", "Show all", attributes='type="button" id="fronts-all" disabled'),
    classes="marking by-mouse",  # touch devices scroll instead
)


def _fronts(runs: TwoRuns) -> Section:
    name, title = "fronts", "Fronts"
    lacking = [missing("search result", "search", run.path) for run in runs.both if not run.search]
    if lacking:
        return Section(name, title, paragraphs(lacking))
    places = [
        plot(
            f"fronts-{cost}",
            f"Both fronts, one-shot accuracy over {words}; the tables below hold them.",
            f"Networks of both fronts over {words}; the lines lead along those that no other of the same run beats in "
            "this plot's two quantities.",
        )
        for cost, words in COST_NAMES.items()
    ]
    plots = tuple((f"fronts-{cost}", _front_figure(runs, cost)) for cost in COST_NAMES)
    body = [tag("div", *places, classes="pair"), _MARKING, paragraphs([*caveats(runs), *front_sentences(runs)])]
    return Section(name, title, joined(body), plots)


def front_sentences(runs: TwoRuns) -> tuple[str, ...]:
    """Compare the two fronts in sentences."""
    volumes, beaten = runs.volumes(), runs.beaten()
    if not runs.same_measure:
        return ("The fronts are of two measures of accuracy, so they are not compared.",)
    if volumes is None or beaten is None:
        return ("A front is empty, so there is nothing to compare.",)
    a, b = runs.names
    sizes = [len(run.search.front) for run in runs.both if run.search]
    sentences = [
        f"Hypervolume of accuracy, multiply-adds and parameters: {a} {decimal(volumes[0], 4)}, {b} "
        f"{decimal(volumes[1], 4)}. The reference is the same for both: accuracy 0, and the largest multiply-adds and "
        "parameters of either run; so these are not the numbers of the runs' own reports."
    ]
    if runs.same_data is not False:
        sentences.append(
            f"Of {a}'s {counted(sizes[0], 'network')} {beaten[0]} are beaten by one of {b} that is as good in all "
            f"three and better in one; of {b}'s {counted(sizes[1], 'network')} {beaten[1]} by one of {a}. "
            "One-shot accuracies are each supernet's own judgement, and one run each says nothing about chance."
        )
    return tuple(sentences)


def _front_figure(runs: TwoRuns, cost: str) -> Figure:
    data: list[Figure] = []
    for place, (name, run, colour, symbol) in enumerate(zip(runs.names, runs.both, _ARMS, _SYMBOLS, strict=True)):
        front = run.search.front if run.search else ()
        x, y = [each.value(cost) / 1e6 for each in front], [100 * each.value(run.config.measure) for each in front]
        stairs = staircase(list(zip(x, y, strict=True)))
        shared = {"type": "scatter", "name": name, "legendgroup": name}
        line = {"mode": "lines", "line": {"shape": "hv", "width": 1.5, "color": colour}, "showlegend": False}
        line |= {"x": [six_digits(each) for each, _ in stairs], "y": [six_digits(each) for _, each in stairs]}
        marks = {"mode": "markers", "marker": {"size": 8, "symbol": symbol, "color": colour}}
        marks |= {"x": [six_digits(each) for each in x], "y": [six_digits(each) for each in y]}
        marks["text"] = [
            f"<b>{each.text}</b><br>one-shot {percent(each.value(run.config.measure))}<br>{millions(each.value(cost))}"
            for each in front
        ]
        marks |= FADING | {"customdata": [f"{place} {each.text}" for each in front]}  # the genome may be on both fronts
        told = {"hovertemplate": "%{text}<extra>%{fullData.name}</extra>"}
        data += [shared | line | {"hoverinfo": "skip"}, shared | marks | told]
    axes = f"{COST_NAMES[cost]} (M)", f"one-shot {_words(runs)}, validation (%)"
    layout = plain_layout(*axes, legend=True, hovermode="closest")
    return {"data": data, "layout": layout | linked()}


def _words(runs: TwoRuns) -> str:
    """Name of accuracy on axes that show both runs."""
    return runs.first.accuracy_words if runs.same_measure else "accuracy"


def _fairness(runs: TwoRuns) -> Section:
    audits = [run.ledger.audit() if run.ledger else None for run in runs.both]
    kinds: Sequence[tuple[str, Callable[[Audit], str]]] = (
        ("strategy", lambda audit: audit.strategy),
        ("supernet steps", lambda audit: whole(audit.steps)),
        ("backward passes", lambda audit: whole(audit.backward_passes)),
        ("updates of a block, least", lambda audit: whole(audit.updates_min)),
        ("updates of a block, most", lambda audit: whole(audit.updates_max)),
        ("single paths (definition 1)", lambda audit: "yes" if audit.single_paths else "no"),
        ("strictly fair (definition 3)", lambda audit: "yes" if audit.strict_fair else "no"),
        ("fair in expectation (definition 2)", lambda audit: "yes" if audit.expectation_fair else "no"),
        ("p of that test", lambda audit: p_value(audit.p_value).removeprefix("= ")),
    )
    rows = [(name, *(shown(audit) if audit else UNKNOWN for audit in audits)) for name, shown in kinds]
    return Section("fairness", "Fairness", table("Both ledgers", ("", *runs.names), rows))


def _ranking(runs: TwoRuns) -> Section:
    name, title = "ranking", "Ranking"
    lacking = [no_study(run) for run in runs.both if not run.ranking]
    if len(lacking) == 2:
        return Section(name, title, paragraphs(lacking))
    studies = [run.ranking.study if run.ranking else None for run in runs.both]

    def row(what: str, shown: Callable[[RankingStudy], str]) -> Sequence[str]:
        return (what, *(shown(study) if study else UNKNOWN for study in studies))

    predictors = dict.fromkeys(each for study in studies if study for each in study.predictors)
    rows = [
        row("networks", lambda study: whole(study.tau.n)),
        row("tau of one-shot accuracy", lambda study: _tau(study.tau)),
        row("noise ceiling", lambda study: _tau(study.ceiling) if study.ceiling else "not known, one seed"),
        *(
            row(
                f"tau of {PREDICTOR_NAMES.get(each, each)}",
                lambda study, each=each: _tau(study.predictors.get(each)),
            )
            for each in predictors
        ),
        row("supernet accuracy gap lambda", lambda study: decimal(study.gap.gap, 3)),
    ]
    numbers = table("Both ranking studies; in brackets 95\u00a0% intervals", ("", *runs.names), rows)
    return Section(name, title, joined([numbers, paragraphs([*tau_sentences(runs), *lacking])]))


def _tau(value: Agreement | None) -> str:
    if value is None or not is_known(value.tau):
        return UNKNOWN
    low, high = value.interval
    known = is_known(low) and is_known(high)
    return decimal(value.tau) + (f" ({interval(decimal(low), decimal(high))})" if known else "")


def tau_sentences(runs: TwoRuns) -> tuple[str, ...]:
    """Compare how well the supernets order networks, as far as the studies show."""
    gap = runs.tau_gap()
    if gap is None:
        return ()
    a, b = runs.names
    known = all(math.isfinite(each) for each in gap.interval)
    limits = f" (95\u00a0% interval {interval(*map(decimal, gap.interval))})" if known else " (no interval)"
    where = (
        f"On the {gap.n} networks that both studies have, against their stand-alone accuracies of both runs,"
        if gap.n
        else "The studies have too few networks in common, so each tau is of its own networks:"
    )
    verdict = {
        "first": f"{a}'s supernet orders better",
        "second": f"{b}'s supernet orders better",
        "open": "the interval holds 0, so this does not tell which of them orders better",
    }[side_of(gap)]
    return (f"{where} tau of {a} minus tau of {b} is {decimal(gap.difference)}{limits}: {verdict}.",)


def _training(runs: TwoRuns) -> Section:
    name, title = "training", "Supernet training"
    lacking = [missing("training curve", "train", run.path) for run in runs.both if not run.epochs]
    if len(lacking) == 2:
        return Section(name, title, paragraphs(lacking))
    kinds = {"loss": "training loss", "top1": f"mean one-shot {_words(runs)} (%)"}
    plots, places = [], []
    for kind, axis in kinds.items():
        data = [_curve(*each, kind) for each in zip(runs.names, runs.both, _ARMS, _DASHES, strict=True)]
        if any(trace["x"] for trace in data):
            layout = plain_layout("epoch", axis, legend=True, hovermode="closest")
            plots.append((f"both-{kind}", {"data": data, "layout": layout}))
            places.append(plot(f"both-{kind}", f"Both supernets: {axis} over epochs.", f"Both supernets: {axis}."))
    return Section(name, title, joined([tag("div", *places, classes="pair"), paragraphs(lacking)]), tuple(plots))


def _curve(name: str, run: Inputs, colour: str, dash: str, kind: str) -> Figure:
    points = [(each.epoch, each.loss if kind == "loss" else each.accuracy_mean) for each in run.epochs]
    known = [(epoch, value * (1 if kind == "loss" else 100)) for epoch, value in points if value is not None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": [epoch for epoch, _ in known],
        "y": [six_digits(value) for _, value in known],
        "line": {"color": colour, "width": 2, "dash": dash},
        "hovertemplate": "epoch %{x}: %{y:.4g}<extra>%{fullData.name}</extra>",
    }


def _networks(runs: TwoRuns) -> Section:
    parts = []
    for name, run in zip(runs.names, runs.both, strict=True):
        shown = offered_table(run) or paragraphs([missing("selection", "search", run.path)])
        parts += [tag("h3", name), shown]
    return Section("networks", "Networks to take", joined(parts))


def _reproduction(runs: TwoRuns) -> Section:
    paths = [shlex.quote(str(run.path)) for run in runs.both]
    own = [f"`fairnas report {path}`" for path in paths]
    body = [
        listing("The command that makes this page", f"fairnas report {' '.join(paths)}"),
        paragraphs([f"Their own reports, which say how to make each again: {listed(own)}."]),
    ]
    for name, run in zip(runs.names, runs.both, strict=True):
        body.append(folded(f"Configuration of {name}", listing(f"Configuration of {name}", run.config_text)))
    return Section("reproduce", "How to reproduce this", joined(body))
