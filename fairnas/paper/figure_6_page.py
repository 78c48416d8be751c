"""Page of Figure 6: fronts of several searchers, and how quickly each finds its own."""

import math
import statistics
from collections.abc import Sequence

from fairnas import __version__
from fairnas.analysis import Contrast
from fairnas.paper.figure_6_plots import accuracy_range, fronts_figure, gap_figure, shares_figure
from fairnas.paper.figure_6_results import (
    DIGITS,
    GOAL,
    OURS,
    Contender,
    Duel,
    SearchComparison,
    claim_verdict,
    duels,
    operator_records,
    over_seeds,
)
from fairnas.paper.training_comparison import signed_points
from fairnas.report.format import UNKNOWN, counted, listed, percent, whole
from fairnas.report.html import Html, Section, folded, joined, listing, paragraphs, plot, table, tag
from fairnas.report.objectives import bounds_in_words, in_words
from fairnas.report.page import whole_page
from fairnas.report.reproduction_section import versions_table
from fairnas.report.verdict_section import answered
from fairnas.report.verdicts import Verdict

QUESTION = f"Does {OURS} generally outperform the others, as the paper says?"
_NARROW = {"spos_ea": "one network", "mnasnet_rl": "one trade-off"}
"""Goals of searchers that do not look for a front."""
_GOAL = f"{100 * GOAL:.0f}\u00a0%"
_EARLY = (0.25, 0.5)
"""Shares of the evaluations after which the table reports the progress."""


def render_search_comparison(comparison: SearchComparison) -> str:
    """Render the page as HTML. Equal numbers give an equal page."""
    bounds = bounds_in_words(comparison.objectives)
    lead = (
        f"{counted(len(comparison.contenders), 'searcher')}, {counted(len(comparison.seeds), 'seed')} each, "
        f"{whole(comparison.evaluations[-1])} evaluations per search ({counted(comparison.generations, 'generation')} "
        f"of {comparison.population}). Searched: {comparison.searched}"
        + (f", with {listed(bounds)}" if bounds else "")
        + "."
    )
    header = joined(
        [
            tag("p", "fairnas figure 6", classes="eyebrow"),
            tag("h1", "Searchers beside each other"),
            tag("p", lead, classes="lead"),
        ]
    )
    sections = [write(comparison) for write in (_outcome, _curves, _table, _operators, _reproduction)]
    footer = f"Written by fairnas {__version__}. Nothing here is from the paper."
    return whole_page(f"Figure 6 on {comparison.space}: fairnas", header, sections, footer)


def judged(comparison: SearchComparison) -> tuple[tuple[str, Verdict], ...]:
    """Question of the page with its verdict."""
    return ((QUESTION, claim_verdict(comparison)),)


def _outcome(comparison: SearchComparison) -> Section:
    answers = [answered(question, verdict) for question, verdict in judged(comparison)]
    best = (
        "The true front is known, because every network of the space was scored"
        if comparison.is_true
        else "The best front known is that of all searches together, and of what was scored before"
    )
    of = listed([in_words(goal) for goal in comparison.objectives])
    note = (
        f"{best}: {counted(len(comparison.best), 'network')}, hypervolume {comparison.best_volume:.4f} of "
        f"{of} (0 to 1, each scaled to what it can be). Differences are taken seed by seed; "
        "intervals are Student's, each for itself. Ahead means that the interval of the differences lies above "
        "zero."
    )
    names = {each.name for each in comparison.contenders}
    note += "".join(f" {name} looks for {goal}, not for a front." for name, goal in _NARROW.items() if name in names)
    return Section("outcome", "Outcome", joined([*answers, tag("p", note, classes="note")]))


# Plots --------------------------------------------------------------------------------------------------------


def _curves(comparison: SearchComparison) -> Section:
    names = listed([each.name for each in comparison.contenders])
    seeds = len(comparison.seeds)
    band = "; shades are 95\u00a0% intervals of the mean" if seeds > 1 else ""
    goal = comparison.goal_name
    panels = {
        "fronts": (
            f"Line plot of {comparison.accuracy} over multiply-adds: the front of one search each of {names}.",
            f"Fronts of the searches with seed {comparison.seeds[0]}, the first, in accuracy and multiply-adds alone: "
            f"networks that no other of the same search beats in both. The wide line is {goal}.{_cut(comparison)}",
        ),
        "hypervolume": (
            f"Line plot of hypervolume over evaluations for {names}. The table holds values.",
            f"Hypervolume in per cent of that of {goal}: means over {counted(seeds, 'seed')}{band}. "
            f"The dotted line is {_GOAL}.",
        ),
        "gap": (
            f"Line plot of the missing hypervolume over evaluations, logarithmic, for {names}.",
            f"What is missing to the hypervolume of {goal}, in per cent of it, on a logarithmic axis: medians over "
            f"{counted(seeds, 'seed')}. A line ends where the median seed misses nothing.",
        ),
        "params": (
            f"Line plot of {comparison.accuracy} over parameters: the front of one search each of {names}.",
            "The fronts of the same searches in accuracy and parameters alone.",
        ),
    }
    places = [plot(name, description, caption) for name, (description, caption) in panels.items()]
    plots = (
        ("fronts", fronts_figure(comparison, "madds")),
        ("hypervolume", shares_figure(comparison)),
        ("gap", gap_figure(comparison)),
        ("params", fronts_figure(comparison, "params")),
    )
    pairs = [tag("div", *places[:2], classes="pair"), tag("div", places[3], places[2], classes="pair")]
    return Section("curves", "Fronts, and the way there", joined(pairs), plots)


def _cut(comparison: SearchComparison) -> str:
    lowest, _ = accuracy_range(comparison)
    below = sum(each.value(comparison.measure) < lowest for each in comparison.best)
    said = f" {counted(below, 'network')} of it with less than {percent(lowest)} are below the plot."
    return said if below else ""


# Tables -------------------------------------------------------------------------------------------------------


def _table(comparison: SearchComparison) -> Section:
    steps = sorted({max(0, round(part * comparison.generations) - 1) for part in _EARLY})
    early = [n for n in steps if n < comparison.generations - 1]
    head = (
        "searcher",
        "evaluations",
        "networks",
        *(f"after {whole(comparison.evaluations[n])}" for n in early),
        "in the end (95\u00a0% interval)",
        f"seeds that reached {_GOAL}",
        "evaluations to it",
    )
    rows = [
        (
            each.name,
            _span([search.evaluations for search in each.searches]),
            _span([search.distinct for search in each.searches]),
            *(_mean([comparison.shares(search)[n] for search in each.searches]) for n in early),
            over_seeds(comparison.finals(each)).replace(" ", "\u00a0"),
            *_reached(comparison, each),
        )
        for each in comparison.contenders
    ]
    caption = (
        f"Hypervolume in per cent of that of {comparison.goal_name}, means over "
        f"{counted(len(comparison.seeds), 'seed')} with 95\u00a0% intervals. Evaluations to {_GOAL}: median over all "
        "seeds, those counted as never that did not reach it; in brackets the middle half of the seeds. Networks: "
        "different ones among the evaluations."
    )
    parts = [table(caption, head, rows)]
    against = duels(comparison)
    if against:
        title = (
            f"{OURS} minus each of the others, the same seeds: hypervolume in points, with 95\u00a0% intervals; whole "
            f"search: the mean over all generations; sooner and later: who reached {_GOAL} first"
        )
        columns = ("against", "in the end", "over the whole search", "n", "sooner", "later", "verdict, in the end")
        parts.append(table(title, columns, [_duel_row(duel) for duel in against]))
    each_seed = [
        (
            f"{each.name}, seed {search.seed}",
            whole(search.evaluations),
            whole(search.distinct),
            whole(search.failed),
            whole(len(search.front)),
            f"{search.hypervolume[-1]:.4f}",
            f"{100 * comparison.shares(search)[-1]:.{DIGITS}f}",
            whole(comparison.reached(search)),
        )
        for each in comparison.contenders
        for search in each.searches
    ]
    columns = ("search", "evaluations", "networks", "failed", "on its front", "hypervolume", "per cent of the best")
    every = table("Every search", (*columns, f"evaluations to {_GOAL}"), each_seed)
    parts.append(folded(f"Every search ({whole(len(each_seed))})", every))
    return Section("numbers", "Numbers", joined(parts))


def _mean(shares: Sequence[float]) -> str:
    return f"{100 * statistics.fmean(shares):.{DIGITS}f}"


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return whole(low) if low == high else f"{whole(low)}\u00a0to\u00a0{whole(high)}"


def _reached(comparison: SearchComparison, contender: Contender) -> tuple[str, str]:
    when = sorted(comparison.reached(search) for search in contender.searches)
    count = f"{sum(map(math.isfinite, when))} of {len(when)}"
    middle = statistics.median_high(when)
    if not math.isfinite(middle):
        return count, UNKNOWN
    low, high = when[len(when) // 4], when[-(len(when) // 4) - 1]
    upper = whole(high) if math.isfinite(high) else "never"
    return count, f"{whole(middle)} ({whole(low)} to {upper})".replace(" ", "\u00a0")


def _duel_row(duel: Duel) -> tuple[str, ...]:
    words = {"open": "cannot be told apart", "ahead": "ahead, seeds overlap"}
    verdict = words.get(duel.standing, duel.standing)
    n = duel.final.n
    between = (_points(each, DIGITS) for each in (duel.final, duel.whole))
    return (duel.rival, *between, whole(n), f"{duel.sooner} of {n}", f"{duel.later} of {n}", verdict)


def _points(found: Contrast | None, digits: int = 1) -> str:
    """Difference of shares with its interval, in points."""
    if found is None:
        return UNKNOWN
    difference = signed_points(found.difference, digits)
    if found.interval is None:
        return difference
    low, high = (signed_points(bound, digits) for bound in found.interval)
    return f"{difference} ({low} to {high})".replace(" ", "\u00a0")


def _operators(comparison: SearchComparison) -> Section:
    intro = (
        "Who made the children of the searches that have operators, and what became of them: how many were in the "
        "population of the next generation, and how many on its first front. crossover: by crossover alone; none: "
        "neither crossed nor mutated."
    )
    tables = [operator_table(each) for each in comparison.contenders if operator_records(each)]
    if not tables:
        return Section("operators", "Operators", paragraphs(["None of these searchers has operators."]))
    return Section("operators", "Operators", joined([paragraphs([intro]), *tables]))


def operator_table(contender: Contender) -> Html:
    """Table of the results of a searcher's operators, over all its seeds."""
    seeds = len(contender.searches)
    compared = seeds > 1 and any(each.against_random for each in operator_records(contender))
    head = ("operator", "children", "share", "lived on", "on the first front")
    extra = ("lived on, minus random mutation (points, 95\u00a0% interval)",) if compared else ()
    rows = [
        (
            each.name,
            whole(each.tally.children),
            percent(each.share),
            percent(each.survival),
            percent(each.tally.on_front / each.tally.children),
            *((_points(each.against_random),) if compared else ()),
        )
        for each in operator_records(contender)
    ]
    return table(f"{contender.name}, {counted(seeds, 'seed')} together", (*head, *extra), rows)


def _reproduction(comparison: SearchComparison) -> Section:
    body = [
        listing("The command that makes this figure", comparison.command),
        paragraphs(
            [
                "`searches/` beside this page holds a file per search, `archive.sqlite` the score of every network; "
                "repeating the command continues both."
            ]
        ),
        folded("Settings of the searches", listing("Settings of the searches", comparison.config_text)),
        folded("Versions that wrote this page", versions_table(comparison.versions)),
    ]
    return Section("reproduce", "How to reproduce this", joined(body))
