"""Figure 6: several searchers over one trained supernet, or over a benchmark's true accuracies, with the same seeds.

OUT/figure.json     the settings; a second call continues with them
OUT/archive.sqlite  every network that any of the searches scored, so that none is scored twice
OUT/searches/       NAME-sSEED.json per finished search
OUT/figure6.html    the page, and its numbers in figure6.json; written after every seed
"""

import dataclasses
import json
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnas.atomic_files import write_atomically
from fairnas.config import Measure, SearchConfig
from fairnas.errors import ConfigError, RunDirectoryError, UnknownNameError
from fairnas.paper.figure_6_page import judged, render_search_comparison
from fairnas.paper.figure_6_results import (
    Contender,
    SearchComparison,
    SeededSearch,
    duels,
    mean_share_interval,
    operator_records,
)
from fairnas.paper.output_folder import claimed
from fairnas.paper.search_targets import Searched
from fairnas.progress import Narrator
from fairnas.report.objectives import candidate_numbers
from fairnas.search import (
    SEARCHERS,
    Archive,
    Candidate,
    Measures,
    SearchResult,
    hypervolume,
    pareto_front,
    run_search,
)
from fairnas.search.mutators import OperatorCounts
from fairnas.space import SearchSpace
from fairnas.untrusted import parse_json
from fairnas.versions import installed_versions

COMPARED = ("moremnas", "nsga2", "nsga2_reinforced", "random", "mnasnet_rl")
"""The adopted variant, its backbone, and the control groups of section 4.3.2."""
_LISTED = 10_000
"""Largest number of genomes of a space for which it is checked that all its networks were scored."""
_PORTION = 2_000  # networks whose front is computed at once


@dataclass(frozen=True)
class FigureSix:
    """Settings of the figure."""

    search: SearchConfig
    """Settings shared by all searches; `searcher` is ignored."""
    searchers: tuple[str, ...]
    seeds: int
    first_seed: int
    command: str
    """Command that makes the figure."""

    def settings(self, searched: Searched) -> dict[str, Any]:
        """Settings that a single search depends on. Seeds and searchers can be added later."""
        search = dataclasses.asdict(self.search)
        for key in ("searcher", "select"):
            search.pop(key)
        sources = {**searched.costs.sources, **{o.name: o.source for o in searched.objectives if o.source}}
        plain = {"figure": 6, "space": searched.space.name, "scores": searched.setting, "search": search}
        plain["files"] = sources
        if searched.measure != "top1":
            plain["measure"] = searched.measure
        return json.loads(json.dumps(plain))

    def check(self) -> None:
        """Raise `ConfigError` or `UnknownNameError` if a setting is invalid."""
        if self.seeds < 2:
            raise ConfigError(f"--seeds is {self.seeds}; give 2 or more, because intervals need them")
        if self.first_seed < 0:
            raise ConfigError(f"--first-seed is {self.first_seed}; give 0 or more")
        for name in self.searchers:
            if name not in SEARCHERS:
                raise UnknownNameError("searcher", name, SEARCHERS)
        twice = [name for name in self.searchers if self.searchers.count(name) > 1]
        if twice or not self.searchers:
            what = f"has {twice[0]} twice" if twice else "is empty"
            raise ConfigError(f"--searchers {what}; name each searcher once")


def draw_figure_6(
    out: Path, figure: FigureSix, searched: Searched, narrator: Narrator, stop: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Run the missing searches, write the page, and return its numbers.

    Raises:
        RunDirectoryError: if `out` holds something else, or is in use.
        ConfigError: if the settings are invalid, or no network meets the bounds.
        KeyboardInterrupt: when `stop` returned True; every score is in the archive.
    """
    figure.check()
    numbers: dict[str, Any] = {}
    with claimed(out, figure.settings(searched)), Archive(out / "archive.sqlite", searched.setting) as archive:
        archive.add({each.genome: _without(each.measures, searched.costs.sources) for each in searched.known}, 0)
        if searched.known:
            narrator.say(f"figure 6   {len(searched.known):,} networks were scored before")
        known = _front_of(searched.known, searched)
        # seed by seed, so that an early look compares all searchers
        for done in range(figure.seeds):
            _search_seed(out, figure, searched, done, archive, narrator, stop)
            comparison = _collect(out, figure, searched, done + 1, archive, known)
            numbers = as_numbers(comparison)
            write_atomically(out / "figure6.json", (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode())
            write_atomically(out / "figure6.html", render_search_comparison(comparison).encode())
    return numbers | {"page": str(out / "figure6.html")}


def _without(measures: Measures, sources: Mapping[str, str]) -> Measures:
    """Measures that the archive keeps under the setting: costs that depend on a file have a setting of their own."""
    return {name: value for name, value in measures.items() if name not in sources}


def _search_seed(
    out: Path,
    figure: FigureSix,
    searched: Searched,
    done: int,
    archive: Archive,
    narrator: Narrator,
    stop: Callable[[], bool],
) -> None:
    """Search with every searcher and the next seed."""
    seed = figure.first_seed + done
    missing = [
        name
        for name in figure.searchers
        if _read(_path(out, name, seed), seed, searched.space, searched.measure) is None
    ]
    if not missing:
        narrator.say(f"seed {seed}: done before")
        return
    upcoming = f"seed {seed + 1}" if done + 1 < figure.seeds else ""
    narrator.stage(done + 1, figure.seeds, f"seed {seed}: {', '.join(missing)}", upcoming)
    generations = figure.search.generations
    for number, name in enumerate(missing):

        def on_progress(finished: int, _: int, text: str, before: int = number * generations, name: str = name) -> None:
            narrator.progress(before + finished, len(missing) * generations, f"{name}, {text}")

        result = run_search(
            searched.space,
            dataclasses.replace(figure.search, searcher=name),
            searched.evaluator,
            searched.costs,
            archive,
            seed,
            on_progress=on_progress,
            stop=stop,
            objectives=searched.objectives,
            cost_sources=searched.costs.sources,
        )
        content = (json.dumps(_plain(result)) + "\n").encode()
        write_atomically(_path(out, name, seed), content)


# Files of single searches -------------------------------------------------------------------------------------


def _path(out: Path, name: str, seed: int) -> Path:
    return out / "searches" / f"{name}-s{seed}.json"


def _plain(result: SearchResult) -> dict[str, Any]:
    return {
        "evaluations": result.evaluations,
        "distinct": result.distinct,
        "failed": result.failed,
        "hypervolume": list(result.hypervolume),
        "operators": {name: dataclasses.asdict(tally) for name, tally in result.operators.items()},
        "front": [candidate.to_dict() for candidate in result.front],
    }


def _read(path: Path, seed: int, space: SearchSpace, measure: Measure) -> SeededSearch | None:
    """Read a finished search; None if it is missing or damaged, so that it is made again from the archive."""
    try:
        plain = parse_json(path.read_text(encoding="utf-8"))
        front = tuple(Candidate.from_dict(row) for row in plain["front"])
        for each in front:
            space.validate(each.genome)
        if not all(each.has(("top1", measure, "madds", "params")) for each in front):
            return None
        return SeededSearch(
            seed=seed,
            evaluations=int(plain["evaluations"]),
            distinct=int(plain["distinct"]),
            failed=int(plain["failed"]),
            hypervolume=tuple(map(float, plain["hypervolume"])),
            front=front,
            operators={name: OperatorCounts(**counts) for name, counts in plain["operators"].items()},
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


# Numbers ------------------------------------------------------------------------------------------------------


def _collect(
    out: Path,
    figure: FigureSix,
    searched: Searched,
    seeds: int,
    archive: Archive,
    known: Sequence[Candidate],
) -> SearchComparison:
    """Results of the searches with the first seeds, and the best front of them and of earlier scores."""
    contenders, fronts = [], list(known)
    for name in figure.searchers:
        searches = []
        for seed in range(figure.first_seed, figure.first_seed + seeds):
            found = _read(_path(out, name, seed), seed, searched.space, searched.measure)
            if found is None:
                raise RunDirectoryError(f"{_path(out, name, seed)} went away; run the same command again to make it")
            searches.append(found)
            fronts += found.front
        contenders.append(Contender(name, tuple(searches)))
    best = _front_of(fronts, searched)
    search = figure.search
    return SearchComparison(
        contenders=tuple(contenders),
        population=search.population,
        generations=search.generations,
        best=best,
        measure=searched.measure,
        best_volume=hypervolume(best, searched.objectives, searched.ranges),
        is_true=_all_scored(searched, archive),
        space=searched.space.name,
        searched=searched.title,
        accuracy=searched.accuracy,
        objectives=searched.objectives,
        command=figure.command,
        config_text=json.dumps(figure.settings(searched)["search"], indent=1),
        versions=installed_versions(),
    )


def _front_of(candidates: Iterable[Candidate], searched: Searched) -> tuple[Candidate, ...]:
    """Front of many candidates, in portions, because sorting all at once takes time quadratic in their number."""
    every = list(candidates)
    front: tuple[Candidate, ...] = ()
    for start in range(0, len(every), _PORTION):
        front = pareto_front([*front, *every[start : start + _PORTION]], searched.objectives)
    return front


def _all_scored(searched: Searched, archive: Archive) -> bool:
    """True if the archive has scores of all networks of the space that meet the bounds."""
    space = searched.space
    # values of functions are stored elsewhere
    if space.size > _LISTED or any(each.function for each in searched.objectives):
        return False
    networks = {space.canonical(genome) for genome in space.enumerate()}
    allowed = [each for each in networks if not searched.misses_bounds(each)]
    return len(archive.get(allowed)) == len(allowed)


def as_numbers(comparison: SearchComparison) -> dict[str, Any]:
    """Figure as plain data."""
    return {
        "figure": 6,
        "space": comparison.space,
        "searched": comparison.searched,
        "accuracy": comparison.accuracy,
        "objectives": [
            {"name": each.name, "direction": each.direction, "unit": each.unit, "bound": each.bound}
            for each in comparison.objectives
        ],
        "population": comparison.population,
        "generations": comparison.generations,
        "evaluations": list(comparison.evaluations),
        "seeds": list(comparison.seeds),
        "best": {
            "true": comparison.is_true,
            "hypervolume": comparison.best_volume,
            "front": [candidate_numbers(each, comparison.measure) for each in comparison.best],
        },
        "searchers": {each.name: _contender_numbers(comparison, each) for each in comparison.contenders},
        "duels": [dataclasses.asdict(each) | {"standing": each.standing} for each in duels(comparison)],
        "verdicts": [
            {"question": question, "answer": verdict.answer, "sentences": list(verdict.sentences)}
            for question, verdict in judged(comparison)
        ],
        "command": comparison.command,
        "versions": dict(comparison.versions),
    }


def _contender_numbers(comparison: SearchComparison, contender: Contender) -> dict[str, Any]:
    shares = [comparison.shares(search) for search in contender.searches]
    finals = comparison.finals(contender)
    when = [comparison.reached(search) for search in contender.searches]
    middle = statistics.median_high(when)
    return {
        "final": {"mean": statistics.fmean(finals), "interval": mean_share_interval(finals), "n": len(finals)},
        "mean_share": [statistics.fmean(column) for column in zip(*shares, strict=True)],
        "share_interval": [mean_share_interval(column) for column in zip(*shares, strict=True)],
        "reached": sum(map(math.isfinite, when)),
        "median_evaluations": middle if math.isfinite(middle) else None,
        "operators": [
            {
                "name": each.name,
                **dataclasses.asdict(each.tally),
                "share": each.share,
                "against_random": each.against_random and dataclasses.asdict(each.against_random),
            }
            for each in operator_records(contender)
        ],
        "searches": [
            {
                "seed": search.seed,
                "evaluations": search.evaluations,
                "distinct": search.distinct,
                "failed": search.failed,
                "hypervolume": list(search.hypervolume),
                "reached": evaluations if math.isfinite(evaluations) else None,
                "front": [candidate_numbers(each, comparison.measure) for each in search.front],
            }
            for search, evaluations in zip(contender.searches, when, strict=True)
        ],
    }
