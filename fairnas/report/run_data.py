"""Inputs of the report, read from a run directory. Nothing is computed here, and nothing else is read.

A part whose stage is not finished is None (or empty), even if an earlier attempt left files. An unusable file of a
finished stage is an error.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fairnas.analysis import RankingRecord
from fairnas.config import ACCURACY_WORDS, Measure, RunConfig
from fairnas.data.summary import DataSummary
from fairnas.errors import RunDirectoryError
from fairnas.export.facts import ModelFacts
from fairnas.fairness import Ledger, read_ledger
from fairnas.record import read_record
from fairnas.report.run_records import Epoch, parse_epochs, parse_versions
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
from fairnas.scores import TrainingResult
from fairnas.search import Archive, Candidate
from fairnas.search.record import SearchRecord
from fairnas.search.scoring import candidates_with_values
from fairnas.space import Genome, SearchSpace, get_space, scaled
from fairnas.space.file import from_dict
from fairnas.stage_records import NO_STUDY

T = TypeVar("T")
_MATRICES = "similarity/similarity.json"
_REMEDIES = {
    "zoo": "`fairnas zoo --json` and `fairnas zoo --latency --out FILE` make such files anew",
    "compare": "`fairnas compare` with --out makes it anew",
}
"""Remedies for files that no stage writes, by the verb that does."""


@dataclass(frozen=True)
class Inputs:
    """All data that the report shows."""

    path: Path
    config: RunConfig
    config_text: str
    space: SearchSpace
    data: DataSummary | None
    ledger: Ledger | None
    epochs: tuple[Epoch, ...]
    search: SearchRecord | None
    candidates: tuple[Candidate, ...]
    """Candidates scored without failing, in the order of scoring."""
    named: tuple[Candidate, ...]
    """Networks that the configuration names for retraining besides the selected ones; accuracy is NaN if never scored.
    """
    trained: Mapping[Genome, TrainingResult]
    """Training whose weights are exported, per genome: the one with the first seed."""
    ranking: RankingRecord | None
    files: Mapping[str, tuple[tuple[str, int], ...]]
    """Exported files per genome: (file name, octets)."""
    exported: Mapping[str, ModelFacts]
    """Measurements of the exported files, per genome."""
    versions: Mapping[str, str]
    """Versions of the packages that made the run; empty if the run has no record of them."""
    similarity: SimilaritySummary | None = None
    """Similarity of the choice blocks, if `fairnas similarity` was run."""
    curves: tuple[TrainingCurve, ...] = ()
    """Training curves of the ranking study; empty if an earlier version of fairnas trained it, which kept none."""
    table_1: MeasuredTable | None = None
    """Comparison of weight-sharing systems, if `fairnas compare` wrote it into this run."""
    table_2: TableTwo | None = None
    """Published networks, if `fairnas zoo` wrote them into this run."""
    unranked: str = ""
    """Reason why the run could have no ranking study; empty if it could."""
    linked: bool = True
    """True if the page lies where links to the exported files work."""

    @property
    def accuracy_words(self) -> str:
        """Name of the run's measure of accuracy."""
        return ACCURACY_WORDS[self.config.measure]


def read_inputs(run: RunDirectory, archive: Path | None = None) -> Inputs:
    """Read a run directory.

    Args:
        run: its directory.
        archive: copy of its archive, to be read instead of the run's own.

    Raises:
        RunDirectoryError: if a file is damaged or not as fairnas writes it; the message names the command that helps.
    """
    config = run.config
    resolved = _exists(run, "space.json")  # without it, the file that defines the space is still needed
    if not resolved and ".py" in config.space:  # a run may come from anybody, and viewing it must not execute its code
        raise RunDirectoryError(
            f"{run.path} has no space.json yet, and a report runs no Python; `fairnas train --run {run.path}` makes it"
        )
    space = from_dict(run.read_json("space.json")) if resolved else scaled(get_space(config.space), config.width)
    search = _search(run, space) if run.is_finished("search") else None
    candidates = _candidates(run, archive, search, config.measure) if search else ()
    selected = search.selected if search else ()
    named = _named(config, space, selected, candidates)
    ranking = _ranking(run, space) if run.is_finished("rank") else None
    return Inputs(
        path=run.path,
        config=config,
        config_text=(run.path / "config.toml").read_text(encoding="utf-8"),
        space=space,
        data=read_record(run, "data.json", DataSummary) if _exists(run, "data.json") else None,
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
        ranking=ranking,
        files=_files(run) if run.is_finished("export") else {},
        exported=_exported(run) if run.is_finished("export") else {},
        versions=_parsed(run, "versions.json", "train", parse_versions) if _exists(run, "versions.json") else {},
        similarity=_similarity(run),
        curves=_curves(run, ranking) if ranking else (),
        table_1=_parsed(run, TABLE_1_FILE, "compare", parse_table_1) if _exists(run, TABLE_1_FILE) else None,
        table_2=_table_2(run),
        unranked=_parsed(run, NO_STUDY, "rank", lambda plain: str(plain["reason"])) if _exists(run, NO_STUDY) else "",
    )


def _search(run: RunDirectory, space: SearchSpace) -> SearchRecord:
    """Read `search.json`; its networks must belong to the space and have the values that tables show."""

    def checked(search: SearchRecord) -> SearchRecord:
        for each in (*search.front, *search.selected):
            space.validate(each.genome)
            for name in _shown(run.config.measure):
                each.value(name)
        return search

    return _checked(run, "search.json", "search", checked, read_record(run, "search.json", SearchRecord))


def _shown(measure: Measure) -> tuple[str, ...]:
    """Names of the costs and measures that every network of a search has."""
    return ("top1", measure, "madds", "params")


def _ranking(run: RunDirectory, space: SearchSpace) -> RankingRecord:
    """Read `ranking.json`; its networks must belong to the space."""

    def checked(ranking: RankingRecord) -> RankingRecord:
        for each in (*ranking.study.models, *(ranking.second_choice.networks if ranking.second_choice else ())):
            space.validate(each.genome)
        if not all(model.stand_alone for model in ranking.study.models):
            raise ValueError("a network has no trainings")
        return ranking

    return _checked(run, "ranking.json", "rank", checked, read_record(run, "ranking.json", RankingRecord))


def _curves(run: RunDirectory, ranking: RankingRecord) -> tuple[TrainingCurve, ...]:
    try:
        return read_training_curves(run, ranking.study.models)
    except RunDirectoryError:
        return ()


def _similarity(run: RunDirectory) -> SimilaritySummary | None:
    if not (_exists(run, "similarity.json") and run.is_finished("train")):
        return None
    summary = _parsed(run, "similarity.json", "similarity", parse_summary)
    if not _exists(run, _MATRICES):
        return summary
    return dataclasses.replace(summary, matrices=_parsed(run, _MATRICES, "similarity", parse_matrices))


def _table_2(run: RunDirectory) -> TableTwo | None:
    """Read the published networks if they were counted for this run, with their times if measured."""
    if not _exists(run, TABLE_2_FILE):
        return None
    found = _parsed(run, TABLE_2_FILE, "zoo", parse_table_2)
    if not _exists(run, TABLE_2_TIMES):
        return found
    device, times = _parsed(run, TABLE_2_TIMES, "zoo", parse_times)
    return dataclasses.replace(found, device=device, latency_ms=times)


def _exists(run: RunDirectory, name: str) -> bool:
    return (run.path / name).exists()


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


def _candidates(run: RunDirectory, copy: Path | None, search: SearchRecord, measure: Measure) -> tuple[Candidate, ...]:
    """Candidates of the setting recorded in `search.json`; none if the archive was not kept."""
    path = copy or run.path / "archive.sqlite"
    if not path.exists():
        return ()
    with Archive(path, search.setting, read_only=True) as archive:
        original = run.path / "archive.sqlite"
        archive.require_unchanged(search.archive, original, f"`fairnas search --run {run.path}` makes it again")
        known = candidates_with_values(archive, search.sources)
    return tuple(each for each in known if not each.failed and each.has(_shown(measure)))


def _named(
    config: RunConfig, space: SearchSpace, selected: Sequence[Candidate], candidates: Sequence[Candidate]
) -> tuple[Candidate, ...]:
    known, taken = {each.genome: each for each in candidates}, {each.genome for each in selected}
    genomes = [space.parse(text) for text in config.stand_alone.genomes]
    return tuple(
        known.get(genome) or _unscored(genome, space, config.measure) for genome in genomes if genome not in taken
    )


def _unscored(genome: Genome, space: SearchSpace, measure: Measure) -> Candidate:
    from fairnas.nets import cost  # needs torch, which other reports do not have to load

    size = cost(space, genome)
    return Candidate.of(genome, {measure: math.nan, "madds": size.madds, "params": size.params})


def _trained(run: RunDirectory, networks: Sequence[Candidate]) -> dict[Genome, TrainingResult]:
    folder = run.config.retrain.folder
    names = {each.genome: f"{folder}/{each.text}-s0.json" for each in networks}
    return {genome: read_record(run, name, TrainingResult) for genome, name in names.items() if _exists(run, name)}


def _exported(run: RunDirectory) -> dict[str, ModelFacts]:
    folders = sorted(path.parent for path in (run.path / "models").glob("*/model.json"))
    return {folder.name: read_record(run, f"models/{folder.name}/model.json", ModelFacts) for folder in folders}


def _files(run: RunDirectory) -> dict[str, tuple[tuple[str, int], ...]]:
    folders = sorted(path for path in (run.path / "models").glob("*") if path.is_dir())
    return {
        folder.name: tuple((file.name, file.stat().st_size) for file in sorted(folder.iterdir()) if file.is_file())
        for folder in folders
    }
