"""The run directory: everything one experiment produced, written so that a kill at any moment loses nothing.

    config.toml      the configuration          space.json     the search space, resolved for the data
    data.json        classes, splits, mean      versions.json  packages and device of the supernet's training
    metrics.jsonl    one line per measurement, in order
    supernet/        checkpoint.pt              ledger.json    updates per choice block
    archive.sqlite   candidates ever evaluated  search.json    the front, hypervolume, selected networks
    stand_alone/     one file per training      ranking.json   how far the supernet's order can be believed
    no_ranking.json  why there is no ranking.json, where the search found too few networks, or too few could be trained
    retrained/       as stand_alone/, but by the product recipe, for export
    models/          a folder per network       report.html    the one page to look at
    latency.json     milliseconds of every choice block on this machine, where they are asked for; latency.jsonl
    precision.json   bfloat16 against float32, where genomes are scored in it
    similarity.json  how alike the choice blocks are, if asked for; figures and a page in similarity/
    begun.json       data.root of the beginning, if the images have moved since
    dial.json        with --minutes: what was chosen, how long it was foreseen to take, what was shortened since
    stages.json      finished stages, with the checksums of what they wrote, and their lines of metrics.jsonl

Every file is written beside its name, flushed to the disk and renamed. One process at a time holds the lock.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnas.atomic_files import TEMPORARY, checksum, is_leftover, require_locks, write_atomically
from fairnas.config import RunConfig
from fairnas.configfile import differing_keys, flat_settings, from_toml, to_toml
from fairnas.errors import RunDirectoryError
from fairnas.untrusted import parse_json

SCHEMA = 1
NO_STUDY = "no_ranking.json"
"""Why a run has no ranking study, where it could have none."""
BEGUN = "begun.json"
"""Where the images lay at first, in a run whose images have moved."""
FORMER = ".former"
"""Where a stage that is done again keeps what it wrote before, until it has ended."""
_UNRECORDED = {"search": ("precision.json",)}
"""Files that stages write beside those that they are recorded with."""
LOCK = ".lock"
"""Held by the process that works on a run."""


def is_run_directory(path: str) -> bool:
    """Whether a folder holds a run, begun or finished; one that cannot be looked into counts as none."""
    names = ("config.toml", LOCK)
    return os.path.isfile(os.path.join(path, "stages.json")) or all(
        os.path.isfile(os.path.join(path, name)) for name in names
    )


def _is_beginning(file: Path) -> bool:
    """Whether a kill while a run was begun may have left this file."""
    return is_leftover(file) or file.name == LOCK


@dataclass(frozen=True)
class RunDirectory:
    """A run directory that exists and has a configuration. Make one with `create` or `open`."""

    path: Path

    @staticmethod
    def create(path: Path, config: RunConfig, fingerprint: str | None = None) -> "RunDirectory":
        """Start a run, or go on with it if the directory holds the same configuration.

        Args:
            path: of the directory.
            config: of the run. Where its images lie is written as absolute paths.
            fingerprint: of the images, which then may have moved since the run was begun.

        Raises:
            RunDirectoryError: if the directory holds another configuration (the message says which keys differ),
                other images or other files, or cannot be written.
        """
        require_locks()
        run = RunDirectory(path)
        config = dataclasses.replace(config, data=config.data.absolute())
        if (path / "config.toml").exists():
            before, data = run.config, config.data
            here = data.where(before.data)
            if data == here.absolute():  # as it was spelled, which trainings of before are known by
                config = dataclasses.replace(config, data=here)
            elif fingerprint is not None and data.kind == before.data.kind:
                before = dataclasses.replace(before, data=before.data.where(data))
            differing = differing_keys(before, config)
            if differing:
                stored, given = (dict(flat_settings(c)) for c in (before, config))
                detail = ", ".join(f"{k} is {stored.get(k)}, given {given.get(k)}" for k in differing)
                raise RunDirectoryError(
                    f"{path} holds a run of another configuration ({detail}); use another --out, or the same settings"
                )
            if run.config.data != config.data and fingerprint is not None:
                run.require_images(fingerprint)
                run.remember_root()
            if run.config != config:
                run.write_config(config)  # resources may change when a run goes on, and where its images lie
            return run
        _require_configuration(path)
        if path.exists() and (not path.is_dir() or any(not _is_beginning(file) for file in path.iterdir())):
            raise RunDirectoryError(f"{path} exists and is not a run directory; give a new or an empty directory")
        write_atomically(path / LOCK, b"")  # first, because it tells a run from a folder with a config.toml
        run.write_config(config)
        return run

    @staticmethod
    def open(path: Path) -> "RunDirectory":
        """An existing run. Raises `RunDirectoryError` if there is none at `path`."""
        require_locks()
        if not (path / "config.toml").is_file():
            _require_configuration(path)
            raise RunDirectoryError(f"{path} is not a run directory; `fairnas run RECIPE --out {path}` makes one")
        return RunDirectory(path)

    @property
    def config(self) -> RunConfig:
        """The configuration the run was started with."""
        path = self.path / "config.toml"
        try:
            text = path.read_text(encoding="utf-8")
            config = from_toml(text, source=str(path))
            if "[resources]" not in text:  # the last section, so all before it is there where it is
                raise RunDirectoryError(f"{path} is cut short; put it back (report.html shows it), or start a new run")
            return config
        except (OSError, UnicodeDecodeError) as error:
            raise RunDirectoryError(f"cannot read {path}: {error}; restore it or start a new run") from error

    def write_config(self, config: RunConfig) -> None:
        """Replace the configuration; only for settings that what is there does not depend on."""
        write_atomically(self.path / "config.toml", to_toml(config).encode())

    def require_images(self, fingerprint: str) -> None:
        """Raise `RunDirectoryError` if the run was begun with other images than those of a fingerprint."""
        if (self.path / "data.json").exists() and self.read_json("data.json")["fingerprint"] != fingerprint:
            raise RunDirectoryError(
                f"the images are not those that {self.path} was begun with; put them back, or start a new run with "
                "another --out"
            )

    def remember_root(self) -> None:
        """Write down where the images of `data.root` lay when the run was begun, before they are said to be elsewhere.

        Trainings of earlier versions are known by it. Their `name` is in `data.json` anyway.
        """
        if self.config.data.root is not None and not (self.path / BEGUN).exists():
            self.write_json(BEGUN, {"root": self.config.data.root})

    def begun_root(self) -> str | None:
        """Where the images of `data.root` lay when the run was begun."""
        return self.read_json(BEGUN)["root"] if (self.path / BEGUN).exists() else self.config.data.root

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process. Raises `RunDirectoryError` at once if another process holds it.

        The lock vanishes with its process, however that ends.
        """
        require_locks()
        import fcntl  # absent on Windows, where exported networks can be used all the same

        try:
            handle = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise RunDirectoryError(
                f"cannot write in {self.path}: {error.strerror}; make it writable, or give a copy of the run"
            ) from error
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = os.pread(handle, 32, 0).decode(errors="replace").strip() or "?"
                raise RunDirectoryError(
                    f"{self.path} is in use by process {holder}; wait for it, or give another directory"
                ) from None
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
            for leftover in self.path.rglob(f".*{TEMPORARY}"):  # of a process that was killed while it wrote
                leftover.unlink(missing_ok=True)
            shutil.rmtree(self.path / FORMER, ignore_errors=True)  # likewise
            yield
        finally:
            os.close(handle)

    def write_json(self, name: str, content: Any) -> None:
        """Write one JSON file atomically."""
        write_atomically(self.path / name, (json.dumps(content, indent=1) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Read one JSON file. Raises `RunDirectoryError` if it is absent or damaged, naming the stage to repeat."""
        path = self.path / name
        remedy = self.remedy(name)
        try:
            return parse_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunDirectoryError(f"{path} is not there yet; {remedy}") from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise RunDirectoryError(f"{path} is damaged ({error}); delete it, then {remedy}") from None

    def remedy(self, name: str) -> str:
        """The command that makes a file, in words."""
        maker = _MAKERS.get(Path(name).parts[0])
        command = f"fairnas {maker} --run {self.path}" if maker else f"fairnas run {self.config.recipe}"
        return f"`{command}` makes it" if maker else f"the `{command}` command that began {self.path} makes it"

    # Finished stages ------------------------------------------------------------------------------------------

    def finish_stage(self, stage: str, files: tuple[str, ...]) -> None:
        """Record that a stage is done and what it wrote: checksums of its files, and its measurements as they are."""
        record = {"at": time.time(), "files": {name: checksum(self.path / name) for name in files}}
        if rows := self.metrics(stage):
            record["metrics"] = rows
        stages = self._stages() | {stage: record}
        self.write_json("stages.json", {"schema": SCHEMA, "stages": stages})

    @contextlib.contextmanager
    def former_kept(self, stages: Iterable[str]) -> Iterator[None]:
        """Around work that does stages again: if it fails, what they wrote before is put back, as it was.

        If it is interrupted, files stay as they are, because the work will go on from them; a stage whose files they
        are no longer is found by their checksums. Measurements are put back in any case.
        """
        stages = [stage for stage in stages if self.is_finished(stage)]
        names = [name for stage in stages for name in (*self._stages()[stage]["files"], *_UNRECORDED.get(stage, ()))]
        kept = self._kept_aside(dict.fromkeys(names))
        try:
            yield
        except BaseException as error:
            if isinstance(error, Exception):
                for name, copy in kept.items():
                    (self.path / name).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(copy, self.path / name)
            for stage in stages:
                self.restore_metrics(stage)
            raise
        finally:
            shutil.rmtree(self.path / FORMER, ignore_errors=True)

    def _kept_aside(self, names: Iterable[str]) -> dict[str, Path]:
        """Second names of files: who writes a file anew leaves the old one under its second name."""
        folder = self.path / FORMER
        kept: dict[str, Path] = {}
        try:
            for name in names:
                if (self.path / name).is_file():
                    folder.mkdir(exist_ok=True)
                    copy = folder / str(len(kept))
                    try:
                        os.link(self.path / name, copy)
                    except OSError:  # a file system without second names
                        shutil.copy2(self.path / name, copy)
                    kept[name] = copy
        except OSError as error:
            shutil.rmtree(folder, ignore_errors=True)
            raise RunDirectoryError(
                f"cannot write {folder}: {error.strerror}; make room or permission and run it again"
            ) from error
        return kept

    def forget_stages(self, names: tuple[str, ...]) -> None:
        """Drop the records of stages that have to run again."""
        stages = {name: record for name, record in self._stages().items() if name not in names}
        self.write_json("stages.json", {"schema": SCHEMA, "stages": stages})

    def is_finished(self, stage: str) -> bool:
        """Whether a stage was recorded as done (its files may still be damaged; see `damaged_files`)."""
        return stage in self._stages()

    def require_finished(self, stage: str) -> None:
        """Raise `RunDirectoryError`, with the command that helps, unless a stage is finished and undamaged."""
        damaged = self.damaged_files(stage)
        if damaged:
            raise RunDirectoryError(
                f"{self.path / damaged[0]} is lost or damaged; `fairnas {stage} --run {self.path}` makes it again"
            )
        if not self.is_finished(stage):
            raise RunDirectoryError(
                f"{self.path} has not finished '{stage}'; run `fairnas {stage} --run {self.path}` first"
            )

    def damaged_files(self, stage: str) -> tuple[str, ...]:
        """Files of a finished stage that are gone or no longer what the stage wrote."""
        files: Mapping[str, str] = self._stages().get(stage, {"files": {}})["files"]
        return tuple(name for name, digest in files.items() if not self._holds(name, digest))

    def is_vouched_for(self, name: str) -> bool:
        """Whether a finished stage has written this file just as it is now."""
        return any(
            name in record["files"] and self._holds(name, record["files"][name]) for record in self._stages().values()
        )

    def _holds(self, name: str, digest: str) -> bool:
        """Whether a file is there and what was written."""
        try:
            return (self.path / name).is_file() and checksum(self.path / name) == digest
        except (OSError, ValueError):  # it cannot be read, or no file can have such a name
            return False

    def restore_metrics(self, stage: str) -> bool:
        """Put the measurements of a finished stage back into `metrics.jsonl`. Whether they were lost or damaged."""
        rows = self._stages().get(stage, {}).get("metrics", [])
        if json.dumps(rows) == json.dumps(self.metrics(stage)) or not rows:  # as text, where NaN equals itself
            return False
        others = [row for row in self.metrics() if row["stage"] != stage]
        self._write_metrics([*others, *rows])
        return True

    def _stages(self) -> dict[str, Any]:
        if not (self.path / "stages.json").exists():
            return {}
        content = self.read_json("stages.json")
        if not isinstance(content, dict) or content.get("schema") != SCHEMA:
            raise RunDirectoryError(
                f"{self.path} was written by another version of fairnas (schema {SCHEMA} is read here); "
                "use that version, or start a new run"
            )
        stages = content.get("stages")
        if not isinstance(stages, dict) or not all(
            isinstance(record, dict)
            and isinstance(record.get("files"), dict)
            and isinstance(record.get("metrics", []), list)
            for record in stages.values()
        ):
            raise RunDirectoryError(f"{self.path / 'stages.json'} is damaged; delete it and run the same command again")
        for name in (name for record in stages.values() for name in record["files"]):
            if "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
                raise RunDirectoryError(
                    f"{self.path / 'stages.json'} names a file outside the run, {name!r}; "
                    "delete it and run the same command again"
                )
        return stages

    # Measurements ---------------------------------------------------------------------------------------------

    def append_metrics(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Add one line to `metrics.jsonl`."""
        line = json.dumps({"stage": stage, "step": step, **values}) + "\n"
        path = self.path / "metrics.jsonl"
        try:
            with open(path, "a+b") as file:
                if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
                    file.write(b"\n")  # a line that a kill cut short must not take this one with it
                file.write(line.encode())
        except OSError as error:
            raise RunDirectoryError(f"cannot write {path}: {error.strerror}; make room and run it again") from error

    def metrics(self, stage: str | None = None) -> list[dict[str, Any]]:
        """The measurements of one stage or of all, in order. A line cut short by a kill is left out."""
        path = self.path / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        rows = []
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                rows.append(parse_json(line))
        rows = [row for row in rows if isinstance(row, dict) and isinstance(row.get("step"), int) and "stage" in row]
        return [row for row in rows if stage is None or row["stage"] == stage]

    def rewind_metrics(self, stage: str, step: int) -> None:
        """Drop a stage's measurements after `step`: they are made again when the stage goes on from there."""
        self._write_metrics([row for row in self.metrics() if row["stage"] != stage or row["step"] <= step])

    def _write_metrics(self, rows: Iterable[Mapping[str, Any]]) -> None:
        content = "".join(json.dumps(row) + "\n" for row in rows)
        write_atomically(self.path / "metrics.jsonl", content.encode())


_MAKERS = {
    "space.json": "train",
    "data.json": "train",
    "versions.json": "train",
    "supernet": "train",
    "ledger.json": "train",
    "search.json": "search",
    "archive.sqlite": "search",
    "latency.json": "latency",
    "stand_alone": "retrain",
    "retrained": "retrain",
    "ranking.json": "rank",
    NO_STUDY: "rank",
    "similarity.json": "similarity",
    "models": "export",
}


def _require_configuration(path: Path) -> None:
    """Raise `RunDirectoryError` if a directory holds a run without its configuration."""
    if (path / "stages.json").exists() or (path / "space.json").exists():
        raise RunDirectoryError(
            f"{path / 'config.toml'} is lost, which says what the run in {path} is; put it back "
            "(report.html shows its text), or start a new run in another directory"
        )
