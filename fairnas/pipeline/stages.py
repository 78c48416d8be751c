"""Stages in order, and resuming: finished and undamaged stages are skipped."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fairnas.config import RunConfig
from fairnas.configfile import differing_keys
from fairnas.errors import RunDirectoryError, TooFewNetworksError
from fairnas.pipeline.costs import MEASURED, measured_first, require_reachable_latency
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.export_stage import export, report
from fairnas.pipeline.rank_stage import choose_models, rank, rank_if_possible
from fairnas.pipeline.retrain_stage import retrain
from fairnas.pipeline.search_stage import ARCHIVE, changed_sources, has_lost_candidates, search
from fairnas.pipeline.timetable import Shortened, Timetable, with_shortened
from fairnas.pipeline.train_stage import train
from fairnas.rundir import RunDirectory
from fairnas.stage_records import NO_STUDY


@dataclass(frozen=True)
class RunStage:
    """One stage of a run."""

    name: str
    title: str
    needs: tuple[str, ...]
    """Stages that must be finished before; if one of them is repeated, this one is as well."""
    sections: tuple[str, ...]
    """Sections of the configuration that this stage is the first to use."""
    work: Callable[[Experiment], tuple[str, ...]]
    """Function that does the stage, resuming if possible, and returns the files it wrote."""
    in_story: Callable[[Experiment], tuple[str, ...]] | None = None
    """Variant of the function for whole runs, which tolerates more."""
    check: Callable[[Experiment], object] = Experiment.require_data
    """Function that raises an error if the stage cannot be done, before anything is forgotten."""
    shares_files_with: tuple[str, ...] = ()
    """Stages some of whose files this one may write anew; if it fails, they are put back as well."""


def _check_study(experiment: Experiment) -> None:
    experiment.require_data()
    choose_models(experiment)


STAGES: tuple[RunStage, ...] = (
    RunStage("train", "train the supernet", (), ("data", "train"), train),
    RunStage("search", "search it and select networks", ("train",), ("evaluate", "search"), search),
    RunStage("retrain", "train the selected networks for use", ("search",), ("stand_alone", "retrain"), retrain),
    RunStage(
        *("rank", "train more networks and judge the ranking", ("search",), ("stand_alone",)),
        *(rank, rank_if_possible, _check_study, ("retrain",)),
    ),
    RunStage("export", "export the selected networks", ("retrain",), ("export",), export),
    RunStage("report", "write the report", (), (), report, check=lambda experiment: None),
)
_BY_NAME = {stage.name: stage for stage in STAGES}


def run_story(experiment: Experiment, timetable: Timetable | None = None) -> None:
    """Run every stage that is not finished, in order.

    Args:
        experiment: the run.
        timetable: time limit; stages are shortened to meet it.
    """
    run = experiment.run
    if not run.is_finished("train") and measured_first(experiment.config.search):
        if not (run.path / MEASURED).exists():
            experiment.narrator.stage(0, len(STAGES), "measure latency", STAGES[0].title)
        require_reachable_latency(experiment)
        if timetable is not None:
            timetable.spare("search", 60 * experiment.config.search.latency_minutes)
    discard_damaged(experiment, *_BY_NAME)
    for number, stage in enumerate(STAGES):
        if run.is_finished(stage.name) and not (stage.name == "search" and is_outdated(experiment)):
            experiment.narrator.say(f"{stage.title}: done before")
            continue
        upcoming = STAGES[number + 1].title if number + 1 < len(STAGES) else ""
        experiment.narrator.stage(number + 1, len(STAGES), stage.title, upcoming)
        if run.is_finished("report"):
            forget(run, "report")  # the report describes an earlier state
        try:
            if timetable is None:
                _do(experiment, stage, stage.in_story)
            else:
                experiment = _do_in_time(experiment, stage, timetable)
        except TooFewNetworksError as error:  # later stages do not need the study
            experiment.narrator.say(f"no ranking study: {error}")


def run_stage(experiment: Experiment, name: str) -> None:
    """Run one stage, even if it was finished before.

    All or nothing: if it succeeds, the experiment's settings become the run's, and later stages are forgotten. If it
    fails, the run's configuration, its records of stages and the files of finished stages stay unchanged.

    Raises `RunDirectoryError` if a required stage is not finished.
    """
    stage = _BY_NAME[name]
    run = experiment.run
    for needed in stage.needs:
        damaged = damaged_files(run, needed)
        if damaged:
            raise RunDirectoryError(
                f"{run.path / damaged[0]} is lost or damaged; `fairnas {needed} --run {run.path}` makes it again"
            )
        if not run.is_finished(needed):
            raise RunDirectoryError(
                f"'{name}' needs '{needed}', which {run.path} has not finished; run `fairnas {needed} --run {run.path}`"
            )
    experiment.narrator.stage(1, 1, stage.title, "")
    stage.check(experiment)
    discard_damaged(experiment, *sorted(_with_dependents(name)))
    _do(experiment, stage)


def _do(experiment: Experiment, stage: RunStage, work: Callable[[Experiment], tuple[str, ...]] | None = None) -> None:
    run = experiment.run
    with run.former_kept(sorted(_with_dependents(stage.name) | set(stage.shares_files_with))):
        files = (work or stage.work)(experiment)
    # first, so that a kill after this leaves a stage to be repeated, not the record of another result
    forget(run, stage.name)
    _settle(run, experiment.config)
    run.finish_stage(stage.name, files)


def _settle(run: RunDirectory, config: RunConfig) -> None:
    """Make settings the run's own, except its resources."""
    config = dataclasses.replace(config, resources=run.config.resources)
    if config != run.config:
        run.write_config(config)


def _do_in_time(experiment: Experiment, stage: RunStage, timetable: Timetable) -> Experiment:
    """Do a stage, shortened if it would end too late; returns the experiment for the next stage."""
    begun = timetable.clock()
    if (shortened := timetable.before(stage.name, experiment.config)) is not None:
        _shorten(experiment, timetable, shortened)
    while True:
        watch = timetable.watch(stage.name, experiment.run.config)
        experiment = experiment.watched(watch)
        try:
            _do(experiment, stage, stage.in_story)
        except KeyboardInterrupt:
            if experiment.is_stopped() or watch.shortened is None:
                raise
            _shorten(experiment, timetable, watch.shortened)
        else:
            timetable.finished(stage.name, timetable.clock() - begun)
            return experiment


def _shorten(experiment: Experiment, timetable: Timetable, shortened: Shortened) -> None:
    """Change the run's configuration, and record the change."""
    run = experiment.run
    experiment.narrator.say(shortened.line())
    record = run.read_json("dial.json")  # first, because a training needs it to find its original identity
    rows = [*record.get("shortened", []), dataclasses.asdict(shortened)]
    run.write_json("dial.json", record | {"shortened": rows})
    run.write_config(with_shortened(run.config, shortened))
    timetable.shorten(shortened)


def damaged_files(run: RunDirectory, name: str) -> tuple[str, ...]:
    """Files of a finished stage that are missing or changed."""
    damaged = run.damaged_files(name)
    if name == "search" and run.is_finished(name) and not damaged and has_lost_candidates(run):
        return (ARCHIVE,)  # it may grow, so it is checked by its rows
    return damaged


def discard_damaged(experiment: Experiment, *names: str) -> None:
    """Report damaged files of finished stages, and forget these stages so that they are repeated.

    All stages are checked before any is forgotten, because forgetting deletes the checksums.
    """
    run, say = experiment.run, experiment.narrator.say
    found = {name: damaged for name in names if (damaged := damaged_files(run, name))}
    for name in names:
        if run.restore_metrics(name):
            say(f"metrics.jsonl lost or damaged; the lines of '{name}' are put back from stages.json")
    for name, damaged in found.items():
        say(f"{', '.join(damaged)} lost or damaged; doing '{name}' again")
        for file in damaged:
            if not run.is_vouched_for(file):  # by another stage that shares it and has made it again
                _put_away(run.path / file)
    for name in found:
        forget(run, name)


def _put_away(path: Path) -> None:
    """Remove a damaged file; but keep an archive aside, because it may hold scores of other searches."""
    if path.name != ARCHIVE:
        path.unlink(missing_ok=True)
        return
    for end in ("", "-wal", "-shm"):
        part = path.with_name(path.name + end)
        if part.exists():
            part.replace(path.with_name(f"{path.name}.damaged{end}"))


def is_outdated(experiment: Experiment) -> bool:
    """True if a file behind the objectives of a finished search has changed, so that the search is repeated."""
    changed = changed_sources(experiment)
    if changed:
        experiment.narrator.say(f"the file behind {' and '.join(changed)} changed; doing 'search' again")
    return bool(changed)


def forget(run: RunDirectory, name: str) -> None:
    """Delete the records of a stage and of all stages that depend on it."""
    stale = _with_dependents(name)
    if "rank" in stale:
        (run.path / NO_STUDY).unlink(missing_ok=True)
    if any(run.is_finished(each) for each in stale):
        run.forget_stages(tuple(sorted(stale)))


def _with_dependents(name: str) -> set[str]:
    found = {name, "report"}
    for stage in STAGES:
        if found & set(stage.needs):
            found.add(stage.name)
    return found


def require_changeable(run: RunDirectory, config: RunConfig, stage: str) -> None:
    """Raise `RunDirectoryError` if repeating a stage with other settings changes what other stages depend on.

    Args:
        run: run directory with its settings.
        config: new settings.
        stage: stage to be repeated with them.
    """
    allowed = _BY_NAME[stage].sections
    foreign = [key for key in differing_keys(run.config, config) if key.split(".")[0] not in allowed]
    if stage == "train" and run.is_finished("train"):
        foreign = list(differing_keys(run.config, config))
    if foreign:
        raise RunDirectoryError(
            f"{', '.join(foreign)} cannot be changed by `fairnas {stage}` in {run.path}; start a new run for that"
        )
