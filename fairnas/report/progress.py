"""Progress of a run, and whether its page is out of date: judged by sizes and times of files, which is cheap.

Nothing here writes into a run directory or takes its lock, so watching cannot disturb a run.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnas.atomic_files import temporary_folder
from fairnas.errors import FairnasError, RunDirectoryError
from fairnas.report.format import counted
from fairnas.rundir import RunDirectory
from fairnas.stage_records import NO_STUDY

STAGES = ("train", "search", "retrain", "rank", "export", "report")
"""Stages in their order."""

_ARCHIVE = ("archive.sqlite", "archive.sqlite-wal")
_FILES = (
    *("config.toml", "space.json", "data.json", "versions.json", "metrics.jsonl", "ledger.json", "search.json"),
    *("latency.json", "ranking.json", NO_STUDY, "similarity.json", "stages.json", *_ARCHIVE),
    *("similarity/similarity.json", "table1/table1.json", "table2.json", "table2-latency.json"),
)
_FOLDERS = ("stand_alone", "retrained", "models")
_COPIES = 3  # attempts to copy an archive while it is written


@dataclass(frozen=True)
class State:
    """Progress of a run."""

    version: str
    """Hash that changes whenever a file changes that the page is made from."""
    stage: str
    """First stage that is not finished; empty if all are, or if it is unknown."""
    done: bool
    where: str
    """Stage and progress in it, in words."""
    changed: float
    """Time of the last change of any of these files, in seconds since 1970; 0 if there are none."""

    def line(self, now: float) -> str:
        """Return progress and time since the last change, in words."""
        return f"{self.where}; last change {_duration(now - self.changed)} ago" if self.changed else self.where

    def to_dict(self, now: float) -> dict[str, Any]:
        """Return the state as the page asks for it."""
        return {"version": self.version, "stage": self.stage, "done": self.done, "line": self.line(now)}


def read_state(run: RunDirectory, known: State | None = None) -> State:
    """Read the state of a run; return `known` if no file has changed since.

    Never raises: parts that cannot be read are left out.
    """
    stamps = _stamps(run.path)
    version = hashlib.sha256(repr(stamps).encode()).hexdigest()[:16]
    if known is not None and known.version == version:
        return known
    changed = max((stamp[3] for stamp in stamps), default=0) / 1e9
    try:
        done = {name for name in STAGES if run.is_finished(name)}
        if (run.path / NO_STUDY).exists():
            done.add("rank")  # the study was given up, so the stage is over
        stage = next((name for name in STAGES if name not in done), "")
        where = f"{stage}{_progress(run, stage)}" if stage else "finished"
    except (FairnasError, OSError, ValueError, TypeError, KeyError, AttributeError):  # a file is just being replaced
        return State(version, "", False, "stage not known", changed)
    return State(version, stage, not stage, where, changed)


def _stamps(path: Path) -> list[tuple[str, int, int, int]]:
    """Name, inode, size and modification time of every file that the page is made from."""
    names = [path / name for name in _FILES]
    for folder in _FOLDERS:
        names += sorted(file for file in (path / folder).rglob("*") if not file.name.startswith("."))
    stamps = []
    for name in names:
        with contextlib.suppress(OSError):  # absent, or removed since it was listed
            status = name.stat()
            stamps.append((str(name.relative_to(path)), status.st_ino, status.st_size, status.st_mtime_ns))
    return stamps


def _progress(run: RunDirectory, stage: str) -> str:
    """Progress within a stage, in words, if its files show it."""
    config = run.config
    if stage in ("train", "search"):
        rows = run.metrics(stage)
        if not rows:
            return ""
        if stage == "train":
            return f", epoch {rows[-1]['epoch']} of {config.train.epochs}"
        return f", generation {rows[-1]['step'] + 1} of {config.search.generations}"
    if stage in ("retrain", "rank"):
        folder = config.retrain.folder if stage == "retrain" else "stand_alone"
        count = len(list((run.path / folder).glob("*-s*.json")))
        return f", {counted(count, 'training')} in {folder}/" if count else ""
    return ""


def _duration(seconds: float) -> str:
    """Format a duration in the largest unit of which it has at least two."""
    for unit, length in (("days", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"


@contextlib.contextmanager
def archive_copy(run: RunDirectory) -> Iterator[Path]:
    """Make a copy of the run's archive outside the run; the copy is absent if the run has none.

    SQLite cannot read an archive in WAL mode without locking it and making two files beside it. A copy is consistent if
    neither file changed while it was taken.

    Raises:
        RunDirectoryError: if the files keep changing, or there is no room for the copy.
    """
    with temporary_folder("fairnas-watch-") as folder:
        for _ in range(_COPIES):
            before = _copied(run.path, folder)
            if before == _identities(run.path):
                yield folder / _ARCHIVE[0]
                return
        raise RunDirectoryError(f"{run.path / _ARCHIVE[0]} is being written; wait a moment")


def _copied(source: Path, folder: Path) -> list[tuple[int, int, int] | None]:
    """Copy the files that exist, and return their identities before the copy."""
    before = _identities(source)
    for name in _ARCHIVE:
        (folder / name).unlink(missing_ok=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.copyfile(source / name, folder / name)
    return before


def _identities(path: Path) -> list[tuple[int, int, int] | None]:
    return [_identity(path / name) for name in _ARCHIVE]


def _identity(path: Path) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns
