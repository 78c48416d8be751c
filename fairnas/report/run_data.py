"""What the report reads from a run directory, as values. Nothing is computed here, and nothing else is read.

A part whose stage is not finished is None (or empty), even if an earlier attempt left files. A file of a finished
stage that cannot be used is an error.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fairnas.config import ACCURACY_WORDS, Measure, RunConfig
from fairnas.errors import RunDirectoryError
from fairnas.fairness import Ledger, read_ledger
from fairnas.report.objectives import ObjectiveRecord, extra_objectives
from fairnas.report.ranking_record import Ranking, parse_ranking
from fairnas.report.run_records import (
    Data,
    Epoch,
    Exported,
    Scored,
    Search,
    Trained,
    parse_data,
    parse_epochs,
    parse_exported,
    parse_search,
    parse_training,
    parse_versions,
)
from fairnas.report.similarity_section import SimilaritySummary, parse_matrices, parse_summary
from fairnas.report.table_records import (
    TABLE_1_FILE,
    TABLE_2_FILE,
    TABLE_2_TIMES,
    MeasuredTable,
    TableTwo,
    parse_table_1,
    parse_table_2,
    parse_times,
)
from fairnas.report.training_curves import TrainingCurve, read_training_curves
from fairnas.rundir import RunDirectory
from fairnas.search import Archive
from fairnas.search.scoring import candidates_with_values
from fairnas.space import SearchSpace, format_genome, get_space, scaled
from fairnas.space.file import from_dict
from fairnas.stage_records import NO_STUDY

T = TypeVar("T")
_MATRICES = "similarity/similarity.json"
_REMEDIES = {
    "zoo": "`fairnas zoo --json` and `fairnas zoo --latency --out FILE` make such files anew",
    "compare": "`fairnas compare` with --out makes it anew",
}
"""Of files that no stage writes; those of the others name the run."""


@dataclass(frozen=True)
class Inputs:
    """Everything the report shows."""

    path: Path
    config: RunConfig
    config_text: str
    space: SearchSpace
    data: Data | None
    ledger: Ledger | None
    epochs: tuple[Epoch, ...]
    search: Search | None
    candidates: tuple[Scored, ...]
    """All that were scored without failing, in the order of scoring."""
    named: tuple[Scored, ...]
    """Networks that the configuration names for retraining beside the selected ones; top-1 is NaN if never scored."""
    trained: Mapping[str, Trained]
    """Per genome, the training whose weights are exported: that with the first seed."""
    ranking: Ranking | None
    files: Mapping[str, tuple[tuple[str, int], ...]]
    """Per exported genome: (file name, octets)."""
    exported: Mapping[str, Exported]
    """Per exported genome, what was measured of its files."""
    versions: Mapping[str, str]
    """Of the packages that made the run; empty if the run did not keep them."""
    similarity: SimilaritySummary | None = None
    """Of the choice blocks, if somebody asked for it."""
    curves: tuple[TrainingCurve, ...] = ()
    """How the networks of the ranking study learned; empty if an earlier fairnas trained them, which kept no curves."""
    table_1: MeasuredTable | None = None
    """Weight-sharing systems beside each other, if `fairnas compare` wrote them into this run."""
    table_2: TableTwo | None = None
    """Published networks, if `fairnas zoo` wrote them into this run."""
    unranked: str = ""
    """Why there is no ranking study, where the run could have none."""
    linked: bool = True
    """Whether the exported files can be reached from where the page is."""

    @property
    def accuracy_words(self) -> str:
        """What the run's measure of accuracy is called."""
        return ACCURACY_WORDS[self.config.measure]


def read_inputs(run: RunDirectory, archive: Path | None = None) -> Inputs:
    """Read a run directory.

    Args:
        run: its directory.
        archive: a copy of its archive, where its own must not be touched.

    Raises:
        RunDirectoryError: if a file is damaged or not what fairnas writes; the message says the remedy.
    """
    config = run.config
    resolved = _exists(run, "space.json")  # else the file that the space came from is still needed
    if not resolved and ".py" in config.space:  # a run may be anybody's, and looking at it must not run its code
        raise RunDirectoryError(
            f"{run.path} has no space.json yet, and a report runs no Python; `fairnas train --run {run.path}` makes it"
        )
    space = from_dict(run.read_json("space.json")) if resolved else scaled(get_space(config.space), config.width)
    search = _made(run, "search", "search.json", lambda plain: parse_search(plain, space, config.measure))
    path = archive or run.path / "archive.sqlite"
    candidates = _candidates(run, path, search.objectives, config.measure) if search else ()
    selected = search.selected if search else ()
    named = _named(config.stand_alone.genomes, space, selected, candidates)
    return Inputs(
        path=run.path,
        config=config,
        config_text=(run.path / "config.toml").read_text(encoding="utf-8"),
        space=space,
        data=_parsed(run, "data.json", "train", parse_data) if _exists(run, "data.json") else None,
        ledger=read_ledger(run) if run.is_finished("train") else None,
        epochs=_checked(
            *(run, "metrics.jsonl", "train"),
            lambda rows: parse_epochs(rows, config.measure),
            run.recorded_metrics("train"),
        ),
        search=search,
        candidates=candidates,
        named=named,
        trained=_trained(run, (*selected, *named)) if run.is_finished("retrain") else {},
        ranking=_made(run, "rank", "ranking.json", lambda plain: parse_ranking(plain, space)),
        files=_files(run) if run.is_finished("export") else {},
        exported=_exported(run) if run.is_finished("export") else {},
        versions=_parsed(run, "versions.json", "train", parse_versions) if _exists(run, "versions.json") else {},
        similarity=_similarity(run),
        curves=_lessons(run) if run.is_finished("rank") else (),
        table_1=_parsed(run, TABLE_1_FILE, "compare", parse_table_1) if _exists(run, TABLE_1_FILE) else None,
        table_2=_table_2(run),
        unranked=_parsed(run, NO_STUDY, "rank", lambda plain: str(plain["reason"])) if _exists(run, NO_STUDY) else "",
    )


def _lessons(run: RunDirectory) -> tuple[TrainingCurve, ...]:
    models = _parsed(run, "ranking.json", "rank", lambda plain: plain["models"])

    def read(models: Any) -> tuple[TrainingCurve, ...]:
        try:
            return read_training_curves(run, models)
        except RunDirectoryError:
            return ()

    return _checked(run, "ranking.json or a training of it", "rank", read, models)


def _similarity(run: RunDirectory) -> SimilaritySummary | None:
    if not (_exists(run, "similarity.json") and run.is_finished("train")):
        return None
    summary = _parsed(run, "similarity.json", "similarity", parse_summary)
    if not _exists(run, _MATRICES):
        return summary
    return dataclasses.replace(summary, matrices=_parsed(run, _MATRICES, "similarity", parse_matrices))


def _table_2(run: RunDirectory) -> TableTwo | None:
    """The published networks, where they were counted for this run; with their times, where they were timed."""
    if not _exists(run, TABLE_2_FILE):
        return None
    found = _parsed(run, TABLE_2_FILE, "zoo", parse_table_2)
    if not _exists(run, TABLE_2_TIMES):
        return found
    device, times = _parsed(run, TABLE_2_TIMES, "zoo", parse_times)
    return dataclasses.replace(found, device=device, latency_ms=times)


def _exists(run: RunDirectory, name: str) -> bool:
    return (run.path / name).exists()


def _made(run: RunDirectory, stage: str, name: str, parse: Callable[[Any], T]) -> T | None:
    """What a file of a stage holds, or None if the stage is not finished."""
    return _parsed(run, name, stage, parse) if run.is_finished(stage) else None


def _parsed(run: RunDirectory, name: str, verb: str, parse: Callable[[Any], T]) -> T:
    return _checked(run, name, verb, parse, run.read_json(name))


def _checked(run: RunDirectory, name: str, verb: str, parse: Callable[[Any], T], plain: Any) -> T:
    try:
        return parse(plain)
    except (KeyError, TypeError, AttributeError, ValueError, IndexError, OverflowError) as error:
        why = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise RunDirectoryError(
            f"{run.path / name} is not what fairnas writes ({why}); "
            f"delete it, then {_REMEDIES.get(verb, f'`fairnas {verb} --run {run.path}` makes it anew')}"
        ) from error


def _candidates(
    run: RunDirectory, path: Path, objectives: Sequence[ObjectiveRecord], measure: Measure
) -> tuple[Scored, ...]:
    """Candidates of the setting that `search.json` belongs to; none if the archive was not kept."""
    if not path.exists():
        return ()
    stored = _parsed(
        *(run, "search.json", "search"),
        lambda plain: (plain["setting"], dict(plain.get("sources", {})), dict(plain["archive"])),
    )
    setting, sources, left = stored
    further = [objective.name for objective in extra_objectives(objectives)]
    with Archive(path, setting, read_only=True) as archive:
        if archive.fingerprint(int(left["rows"])) != left:
            raise RunDirectoryError(
                f"{run.path / 'archive.sqlite'} was changed or damaged since 'search' wrote it; "
                f"`fairnas search --run {run.path}` makes it again"
            )
        return tuple(
            Scored(
                *(format_genome(c.genome), c.value("top1"), c.value("madds"), c.value("params"), c.generation),
                tuple(c.value(name) if c.has([name]) else None for name in further),
                c.value(measure) if measure == "balanced_accuracy" else None,
            )
            for c in candidates_with_values(archive, sources)
            if not c.failed and c.has(("top1", measure, "madds", "params"))
        )


def _named(
    genomes: Sequence[str], space: SearchSpace, selected: Sequence[Scored], candidates: Sequence[Scored]
) -> tuple[Scored, ...]:
    known = {each.genome: each for each in candidates}
    taken = {each.genome for each in selected}
    return tuple(known.get(text) or _unscored(text, space) for text in genomes if text not in taken)


def _unscored(text: str, space: SearchSpace) -> Scored:
    from fairnas.nets import cost  # needs torch

    size = cost(space, space.parse(text))
    return Scored(text, math.nan, size.madds, size.params, 0)


def _trained(run: RunDirectory, networks: Sequence[Scored]) -> dict[str, Trained]:
    folder = run.config.retrain.folder
    names = {each.genome: f"{folder}/{each.genome}-s0.json" for each in networks}
    return {
        genome: _parsed(run, name, "retrain", lambda plain: parse_training(plain, run.config.measure))
        for genome, name in names.items()
        if _exists(run, name)
    }


def _exported(run: RunDirectory) -> dict[str, Exported]:
    folders = sorted(path.parent for path in (run.path / "models").glob("*/model.json"))
    return {
        folder.name: _parsed(run, f"models/{folder.name}/model.json", "export", parse_exported) for folder in folders
    }


def _files(run: RunDirectory) -> dict[str, tuple[tuple[str, int], ...]]:
    folders = sorted(path for path in (run.path / "models").glob("*") if path.is_dir())
    return {
        folder.name: tuple((file.name, file.stat().st_size) for file in sorted(folder.iterdir()) if file.is_file())
        for folder in folders
    }
