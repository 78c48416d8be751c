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
    """Search; genomes that the archive knows are not scored again. Write the front and the selected networks.

    Args:
        experiment: whose supernet is searched.
        evaluator: who scores genomes; default: whom the run's resources name.

    Raises:
        ConfigError: if every network failed; the front that was found before stays.
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
        metrics_log.rewind(-1)  # also where it goes on: it begins again, and the archive answers
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
        for name, source in costs.sources.items():  # also for networks that only earlier searches asked for
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
    """Say that a search was for nothing, and let it be asked again: it need not be a file that is to be mended."""
    functions = [each for each in objectives if each.function is not None]
    for each in functions:
        if each.source:
            archive.drop(Scoring.value_setting(each.name, each.source), begun)
    reason = result.failure.partition(": ")[2]
    guilty = next((each for each in functions if reason.startswith(f"{each.name} ")), None)
    remedy = ""
    if guilty is not None and guilty.text:
        remedy = f"; mend {guilty.text}, or leave it out with `fairnas search --without {guilty.name}`"
    raise ConfigError(
        f"all {result.failed:,} networks failed that the search could ask about, so the run stays as it is; "
        f"the first: {result.failure}{remedy}"
    )


def origins(experiment: Experiment, objectives: Sequence[Objective]) -> list[str]:
    """Where each objective of a search comes from, in words: the recipe, the run's own settings, or a search's flag."""
    run, found = experiment.run, []
    before: dict[str, str] = {}
    with contextlib.suppress(RunDirectoryError):
        before = {each.text: each.origin for each in read_search(run).objectives}
    known = run.config.recipe in RECIPES  # that of folders has the usual objectives
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
    """What the scores of a search depend on, and what they are."""

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
    """`search.json`. Raises `RunDirectoryError` if it is not there, or not what fairnas writes."""
    return read_record(run, "search.json", SearchRecord)


def known_candidates(experiment: Experiment) -> tuple[Candidate, ...]:
    """Every candidate in the archive that was scored with this supernet.

    Values that depend on a file of the user's, such as latency, are those of the last search's file.
    """
    stored = read_search(experiment.run)
    with Archive(experiment.run.path / ARCHIVE, stored.setting) as archive:
        return candidates_with_values(archive, stored.sources)


def has_lost_candidates(run: RunDirectory) -> bool:
    """Whether the archive of a finished search no longer holds, unchanged, what the search left in it."""
    stored, path = read_search(run), run.path / ARCHIVE
    if not path.is_file() or path.stat().st_size == 0:
        return True
    try:
        with Archive(path, stored.setting, read_only=True) as archive:
            return archive.fingerprint(stored.archive.rows) != stored.archive
    except DamagedArchiveError:
        return True


def front_and_selected(experiment: Experiment) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
    """The front that the search found, and the networks selected from it, heaviest first."""
    stored = read_search(experiment.run)
    for each in (*stored.front, *stored.selected):
        experiment.space.validate(each.genome)
    return stored.front, stored.selected


def changed_sources(experiment: Experiment) -> tuple[str, ...]:
    """Objectives and costs whose file is not what it was when the search finished."""
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
    """Networks at equal distances in MAdds (paper 4.2), heaviest first.

    Those that no other network beats in accuracy and MAdds together come first; the rest of the front, which is
    there for few parameters alone, only fills up, at equal distances, too. Latency takes the place of MAdds where it
    has a bound: then it is what one pays with. Where accuracy or MAdds are no objectives, the first of which more is
    better, and the first of which less is, stand in for them.
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
    return select_evenly(tuple(chosen), count, cost, good)  # all of them, in order
