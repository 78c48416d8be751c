"""Stage two of a run: the search over the trained supernet, and the selection from its front."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NoReturn

from fairnas.config import SearchConfig
from fairnas.errors import ConfigError, RunDirectoryError
from fairnas.pipeline.costs import MEASURED, costs_of_run, known_costs, measures_latency
from fairnas.pipeline.evaluators import evaluator_of
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.metrics_log import MetricsLog
from fairnas.pipeline.precision_check import require_ranks_of_float32
from fairnas.pipeline.scoring import evaluation_setting
from fairnas.recipes import RECIPES
from fairnas.record import read_record
from fairnas.rundir import RunDirectory
from fairnas.search import (
    ACCURACY,
    LATENCY,
    MADDS,
    PARAMS,
    Archive,
    Candidate,
    Evaluator,
    Objective,
    SearchResult,
    objectives_from,
    pareto_front,
    run_search,
    select_evenly,
)
from fairnas.search.archive import ArchiveContent, DamagedArchiveError
from fairnas.search.objectives import merit, pays_with
from fairnas.search.record import ObjectiveRecord, SearchRecord
from fairnas.search.scoring import Scoring, candidates_with_values

ARCHIVE = "archive.sqlite"


def search(experiment: Experiment, evaluator: Evaluator | None = None) -> tuple[str, ...]:
    """Search, write the front and the selected networks. Genomes in the archive are not scored again.

    Args:
        experiment: experiment with the supernet.
        evaluator: scores genomes; default: the one given by the run's resources.

    Raises:
        ConfigError: if every network failed; the earlier front is kept.
    """
    config, run = experiment.config.search, experiment.run
    setting = evaluation_setting(experiment)
    narrator = experiment.narrator
    costs, objectives = costs_of_run(experiment), objectives_from(config, experiment.config.measure)
    if evaluator is None:
        require_ranks_of_float32(experiment)
    scoring = contextlib.nullcontext(evaluator) if evaluator else evaluator_of(experiment)

    def progress(done: int, total: int, text: str) -> None:
        experiment.watch.seen(done, total)
        narrator.progress(done, total, text)

    experiment.watch.seen(0, config.generations)
    with Archive(run.path / ARCHIVE, setting) as archive, scoring as scorer, MetricsLog(run, "search") as metrics_log:
        metrics_log.rewind(-1)  # a resumed search begins again, with scores from the archive
        begun = archive.last_row()
        result = run_search(
            experiment.space,
            config,
            scorer,
            costs,
            archive,
            experiment.config.seed,
            on_progress=progress,
            stop=experiment.stop,
            objectives=objectives,
            cost_sources=costs.sources,
            on_generation=lambda generation, volume: metrics_log.record(generation, {"hypervolume": volume}),
        )
        if not result.front:
            _refuse_failure_of_all(result, objectives, archive, begun)
        for name, source in costs.sources.items():  # also for networks that only earlier searches scored
            rows = {c.genome: {name: costs(c.genome)[name]} for c in archive.candidates()}
            archive.add(rows, 0, setting=Scoring.value_setting(name, source))
        kept = archive.fingerprint()
    selected = spread_over_front(result.front, config.select, objectives)
    if result.failed:
        narrator.say(f"{result.failed:,} of {result.distinct:,} networks failed; the first: {result.failure}")
    if len(selected) < config.select:
        narrator.say(f"the front has only {len(selected)} networks; {config.select} were to be selected")
    sources = {**costs.sources, **{each.name: each.source for each in objectives if each.source}}
    record = _record(experiment, result, objectives, selected, _Origin(sources, setting, kept))
    run.write_json("search.json", record.to_dict())
    return ("search.json",)


def _refuse_failure_of_all(
    result: SearchResult, objectives: Sequence[Objective], archive: Archive, begun: int
) -> NoReturn:
    """Raise an error for a search without results.

    Failures are deleted first, so that these networks are tried again: the cause need not be in a file that changes.
    """
    functions = [each for each in objectives if each.function is not None]
    for each in functions:
        if each.source:
            archive.drop(Scoring.value_setting(each.name, each.source), begun)
    reason = result.failure.partition(": ")[2]
    guilty = next((each for each in functions if reason.startswith(f"{each.name} ")), None)
    remedy = ""
    if guilty is not None and guilty.text:
        remedy = f"; fix {guilty.text}, or leave it out with `fairnas search --without {guilty.name}`"
    raise ConfigError(
        f"all {result.failed:,} networks failed that the search could ask about, so the run stays as it is; "
        f"the first: {result.failure}{remedy}"
    )


def origins(experiment: Experiment, objectives: Sequence[Objective]) -> list[str]:
    """Origin of each objective of a search, as text: the recipe, the run's own settings, or a flag of a search."""
    run, found = experiment.run, []
    before: dict[str, str] = {}
    with contextlib.suppress(RunDirectoryError):
        before = {each.text: each.origin for each in read_search(run).objectives}
    known = run.config.recipe in RECIPES  # recipes for folders have the default objectives
    recipe = (RECIPES[run.config.recipe]().search if known else SearchConfig()).objectives
    for each in objectives:
        text = each.text or each.name
        bound = getattr(run.config.search, f"max_{each.name}", None)
        listed = text in experiment.config.search.objectives
        if listed and text in recipe:
            found.append(f"recipe '{run.config.recipe}'")
        elif listed and text not in run.config.search.objectives:
            found.append("flag of `fairnas search`")
        elif not listed and bound is None:
            found.append(f"bound given to `fairnas search` (--max-{each.name})")
        elif before.get(text, "").startswith(("flag", "bound given")):
            found.append(before[text])
        else:
            found.append("the run's own settings" if listed else f"bound in the run's own settings (max_{each.name})")
    return found


@dataclass(frozen=True)
class _Origin:
    """Sources that the scores of a search depend on, and the archive that holds them."""

    sources: dict[str, str]
    setting: str
    archive: ArchiveContent


def _record(
    experiment: Experiment,
    result: SearchResult,
    objectives: Sequence[Objective],
    selected: tuple[Candidate, ...],
    origin: _Origin,
) -> SearchRecord:
    config, bounds = experiment.config.search, {MADDS.name: None, PARAMS.name: None}
    return SearchRecord(
        searcher=config.searcher,
        measure=experiment.config.measure,
        population=config.population,
        generations=result.generations,
        evaluations=result.evaluations,
        distinct=result.distinct,
        rejected=result.rejected,
        failed=result.failed,
        failure=result.failure,
        operators=dict(result.operators),
        hypervolume=result.hypervolume,
        reference=result.reference,
        objectives=_objective_records(experiment, objectives, result),
        bounds=bounds | {each.name: each.bound for each in objectives if each.bound is not None},
        front=result.front,
        selected=selected,
        **vars(origin),
    )


def _objective_records(
    experiment: Experiment, objectives: Sequence[Objective], result: SearchResult
) -> tuple[ObjectiveRecord, ...]:
    return tuple(
        ObjectiveRecord(
            name=each.name,
            text=each.text or each.name,
            direction=each.direction,
            unit=each.unit,
            bound=each.bound,
            range=result.ranges.get(each.name),
            range_is_estimated=each.name in result.estimated,
            origin=origin,
        )
        for each, origin in zip(objectives, origins(experiment, objectives), strict=True)
    )


def read_search(run: RunDirectory) -> SearchRecord:
    """Read `search.json`. Raises `RunDirectoryError` if it is absent or not as fairnas writes it."""
    return read_record(run, "search.json", SearchRecord)


def known_candidates(experiment: Experiment) -> tuple[Candidate, ...]:
    """All candidates in the archive that were scored with this supernet.

    Values that depend on a user's file, such as latency, are those of the file of the latest search.
    """
    stored = read_search(experiment.run)
    with Archive(experiment.run.path / ARCHIVE, stored.setting) as archive:
        return candidates_with_values(archive, stored.sources)


def has_lost_candidates(run: RunDirectory) -> bool:
    """True if the archive no longer contains, unchanged, the scores of a finished search."""
    stored, path = read_search(run), run.path / ARCHIVE
    if not path.is_file() or path.stat().st_size == 0:
        return True
    try:
        with Archive(path, stored.setting, read_only=True) as archive:
            return archive.fingerprint(stored.archive.rows) != stored.archive
    except DamagedArchiveError:
        return True


def front_and_selected(experiment: Experiment) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
    """Front that the search found, and the networks selected from it, heaviest first."""
    stored = read_search(experiment.run)
    for each in (*stored.front, *stored.selected):
        experiment.space.validate(each.genome)
    return stored.front, stored.selected


def changed_sources(experiment: Experiment) -> tuple[str, ...]:
    """Objectives and costs whose file has changed since the search finished."""
    config = experiment.config.search
    stored = read_search(experiment.run).sources
    lost = measures_latency(config) and not (experiment.run.path / MEASURED).exists()
    now = {} if lost else dict(known_costs(experiment).sources)
    objectives = objectives_from(config, experiment.config.measure)
    now |= {each.name: each.source for each in objectives if each.source}
    return tuple(name for name in {**stored, **now} if stored.get(name) != now.get(name))


def spread_over_front(
    front: Sequence[Candidate], count: int, objectives: Sequence[Objective] = (ACCURACY, MADDS)
) -> tuple[Candidate, ...]:
    """Select networks at equal distances in MAdds (paper 4.2), heaviest first.

    Networks that no other beats in both accuracy and MAdds come first; the rest of the front, which is there only for
    few parameters, fills up missing places, also at equal distances. If latency is bounded, it replaces MAdds. If
    accuracy or MAdds are no objectives, the first objective to maximise, and the first to minimise, replace them.
    """
    by_name = {each.name: each for each in objectives}
    good = by_name.get(merit(objectives), ACCURACY)
    fewer = [each for each in objectives if pays_with(each)]
    cost = MADDS if MADDS.name in by_name or not fewer else fewer[0]
    if LATENCY.name in by_name and by_name[LATENCY.name].bound is not None:
        cost = LATENCY
    best = pareto_front(front, (good, cost))
    if len(best) >= count:
        return select_evenly(best, count, cost, good)
    others = [each for each in front if each not in best]
    chosen = {*best, *select_evenly(others, min(count - len(best), len(others)), cost, good)}
    return select_evenly(tuple(chosen), count, cost, good)  # takes all of them, in order
