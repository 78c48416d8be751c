"""What the report reads from a run directory, as values. Nothing is computed here, and nothing else is read.

A part whose stage is not finished is None (or empty), even if an earlier attempt left files. A file of a finished
stage that cannot be used is an error.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from fairnas.config import RunConfig
from fairnas.errors import RunDirectoryError
from fairnas.fairness import Ledger
from fairnas.report.lessons import Lesson, read_lessons
from fairnas.report.records import (
    Data,
    Epoch,
    Exported,
    Ranking,
    Scored,
    Search,
    Trained,
    parse_data,
    parse_epochs,
    parse_exported,
    parse_ranking,
    parse_search,
    parse_training,
    parse_versions,
)
from fairnas.report.similarity import SimilaritySummary, parse_summary
from fairnas.rundir import RunDirectory
from fairnas.search import Archive
from fairnas.space import SearchSpace, format_genome, get_space, scaled
from fairnas.space.file import from_dict

T = TypeVar("T")


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
    lessons: tuple[Lesson, ...] = ()
    """How the networks of the ranking study learned; empty if an earlier fairnas trained them, which kept no curves."""
    linked: bool = True
    """Whether the exported files can be reached from where the page is."""


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
    space = from_dict(run.read_json("space.json")) if resolved else scaled(get_space(config.space), config.width)
    search = _made(run, "search", "search.json", lambda plain: parse_search(plain, space))
    candidates = _candidates(run, archive or run.path / "archive.sqlite") if search else ()
    selected = search.selected if search else ()
    named = _named(config.stand_alone.genomes, space, selected, candidates)
    return Inputs(
        path=run.path,
        config=config,
        config_text=(run.path / "config.toml").read_text(encoding="utf-8"),
        space=space,
        data=_parsed(run, "data.json", "train", parse_data) if _exists(run, "data.json") else None,
        ledger=_made(run, "train", "ledger.json", Ledger.from_dict),
        epochs=_checked(run, "metrics.jsonl", "train", parse_epochs, run.metrics("train")),
        search=search,
        candidates=candidates,
        named=named,
        trained=_trained(run, (*selected, *named)) if run.is_finished("retrain") else {},
        ranking=_made(run, "rank", "ranking.json", lambda plain: parse_ranking(plain, space)),
        files=_files(run) if run.is_finished("export") else {},
        exported=_exported(run) if run.is_finished("export") else {},
        versions=_parsed(run, "versions.json", "train", parse_versions) if _exists(run, "versions.json") else {},
        similarity=_similarity(run),
        lessons=_lessons(run) if run.is_finished("rank") else (),
    )


def _lessons(run: RunDirectory) -> tuple[Lesson, ...]:
    models = _parsed(run, "ranking.json", "rank", lambda plain: plain["models"])
    try:
        return read_lessons(run, models)
    except RunDirectoryError:
        return ()


def _similarity(run: RunDirectory) -> SimilaritySummary | None:
    if not (_exists(run, "similarity.json") and run.is_finished("train")):
        return None
    return _parsed(run, "similarity.json", "similarity", parse_summary)


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
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        why = f"lacks {error}" if isinstance(error, KeyError) else str(error)
        raise RunDirectoryError(
            f"{run.path / name} is not what fairnas writes ({why}); "
            f"delete it, then `fairnas {verb} --run {run.path}` makes it anew"
        ) from error


def _candidates(run: RunDirectory, path: Path) -> tuple[Scored, ...]:
    """Candidates of the setting that `search.json` belongs to; none if the archive was not kept."""
    if not path.exists():
        return ()
    setting = _parsed(run, "search.json", "search", lambda plain: plain["setting"])
    with Archive(path, setting, read_only=True) as archive:
        return tuple(
            Scored(format_genome(c.genome), c.value("top1"), c.value("madds"), c.value("params"), c.generation)
            for c in archive.candidates()
            if not c.failed and c.has(("top1", "madds", "params"))
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
        genome: _parsed(run, name, "retrain", parse_training) for genome, name in names.items() if _exists(run, name)
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
