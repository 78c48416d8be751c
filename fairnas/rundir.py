"""The run directory: all files of one experiment, written so that a kill at any moment loses no finished work.

    config.toml      schema, configuration      space.json     the search space, resolved for the data
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
    dial.json        with --minutes: what was chosen, how long it was foreseen to take, what was shortened since
    stages.json      finished stages, with the checksums of what they wrote, and their lines of metrics.jsonl

Every file is written under a temporary name, flushed to the disk and renamed. Only the process that holds the lock
writes.
"""

import contextlib
import dataclasses
import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnas.atomic_files import TEMPORARY, checksum, is_leftover, write_atomically
from fairnas.config import RunConfig
from fairnas.configfile import differing_keys, flat_settings, from_toml, schema_of, to_file
from fairnas.directory_lock import LOCK, held, require_in_place, require_locks
from fairnas.errors import RunDirectoryError
from fairnas.former_files import forget_former, is_kept_aside, kept_aside
from fairnas.stage_records import (
    MAKERS,
    RECORDS,
    SEALED,
    changed_since,
    read_records,
    records_text,
    sealed,
    unsealed,
)
from fairnas.untrusted import parse_json

SCHEMA = 2
"""Number of the layout and of the content of all files. A run of another number is refused."""
_UNRECORDED = {"search": ("precision.json",)}
"""Files that a stage writes without recording them with the others."""
_SETTLING_S = 0.2
"""Seconds to wait for another process to record a stage that it has just finished."""


def is_run_directory(path: str) -> bool:
    """True if a folder holds a run, begun or finished; False for a folder that cannot be read."""
    if os.path.isfile(os.path.join(path, "stages.json")):
        return True
    if not os.path.isfile(os.path.join(path, LOCK)):
        return False
    with contextlib.suppress(OSError):
        return os.path.isfile(os.path.join(path, "config.toml")) or all(map(_is_beginning, Path(path).iterdir()))
    return False


def _is_beginning(file: Path) -> bool:
    """True if a kill at the beginning of a run may have left this file."""
    return is_leftover(file) or file.name == LOCK


@dataclass(frozen=True)
class RunDirectory:
    """A run directory that exists and has a configuration. Make one with `begin` or `open`."""

    path: Path

    @staticmethod
    def create(path: Path, config: RunConfig, fingerprint: str | None = None) -> "RunDirectory":
        """Begin a run and release its lock: `begin` and `configure` in one."""
        with RunDirectory.begin(path) as run:
            run.configure(config, fingerprint)
        return run

    @staticmethod
    @contextlib.contextmanager
    def begin(path: Path) -> Iterator["RunDirectory"]:
        """Hold a directory for this process, to begin a run there with `configure`, or to resume one.

        A directory that is absent is made, and removed again if it holds no run at the end.

        Raises:
            RunDirectoryError: if the directory holds something else, is in use, or cannot be written.
        """
        require_locks()
        run = RunDirectory(path)
        run._require_nothing_else()  # before a lock file is left among somebody's files
        with held(path, is_begun=(path / "config.toml").exists):
            run._require_nothing_else()
            yield run

    def configure(self, config: RunConfig, fingerprint: str | None = None) -> None:
        """Make this the configuration of the run, or check that it already is. The run must be held by this process.

        Args:
            config: configuration of the run. Paths of images are written as absolute paths.
            fingerprint: fingerprint of the images; if given, they may have moved since the run began.

        Raises:
            RunDirectoryError: if the directory holds another configuration (the message says which keys differ) or
                other images, or cannot be written. Nothing is changed then.
        """
        config = dataclasses.replace(config, data=config.data.absolute())
        if not (self.path / "config.toml").exists():
            self._remove_leftovers()
            self.write_config(config)
            return
        self.require_schema()
        self._stages()  # refused before anything is written if it is damaged
        before, data = self.config, config.data
        if fingerprint is not None and data.kind == before.data.kind:
            before = dataclasses.replace(before, data=before.data.where(data))
        differing = differing_keys(before, config)
        if differing:
            stored, given = (dict(flat_settings(c)) for c in (before, config))
            detail = ", ".join(f"{k} is {stored.get(k)}, given {given.get(k)}" for k in differing)
            raise RunDirectoryError(
                f"{self.path} holds a run of another configuration ({detail}); use another --out, or the same settings"
            )
        if self.config.data != config.data and fingerprint is not None:
            self.require_images(fingerprint)
        self._remove_leftovers()
        if self.config != config:
            self.write_config(config)  # resources and places of images may change when a run is resumed

    def _require_nothing_else(self) -> None:
        """Raise `RunDirectoryError` if a directory holds files, but no run."""
        path = self.path
        try:
            files = list(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
        except OSError as error:
            raise RunDirectoryError(f"cannot read {path}: {error.strerror}; give another directory") from error
        if (path / "config.toml").exists():  # checked last, because another process may have begun a run meanwhile
            return
        _require_configuration(path)
        if any(not _is_beginning(file) for file in files):
            raise RunDirectoryError(f"{path} exists and is not a run directory; give a new or an empty directory")

    @staticmethod
    def open(path: Path) -> "RunDirectory":
        """Open an existing run. Raises `RunDirectoryError` if there is none at `path`."""
        require_locks()
        if not (path / "config.toml").is_file():
            _require_configuration(path)
            raise RunDirectoryError(f"{path} is not a run directory; `fairnas run RECIPE --out {path}` makes one")
        run = RunDirectory(path)
        run.require_schema()
        return run

    @property
    def config(self) -> RunConfig:
        """The configuration the run was started with."""
        text = self._config_text()
        config = from_toml(text, source=str(self.path / "config.toml"))
        if "[resources]" not in text:  # the last section of the file: if it is there, so are all before it
            raise RunDirectoryError(
                f"{self.path / 'config.toml'} is cut short; put it back (report.html shows it), or start a new run"
            )
        return config

    def _config_text(self) -> str:
        path = self.path / "config.toml"
        try:
            return path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RunDirectoryError(f"cannot read {path}: {error}; restore it or start a new run") from error

    def require_schema(self) -> None:
        """Raise `RunDirectoryError` for a run of another schema, whose files have other contents."""
        found = schema_of(self._config_text(), source=str(self.path / "config.toml"))
        if found != SCHEMA:
            which = "an earlier version of fairnas, without a schema" if found is None else f"schema {found!r}"
            raise RunDirectoryError(
                f"the run in {self.path} is of {which}, and this fairnas reads schema {SCHEMA}; use the fairnas that "
                "wrote it, or start a new run in another directory"
            )

    def write_config(self, config: RunConfig) -> None:
        """Replace the configuration, in settings that no existing file depends on.

        Raises `ConfigError`, before anything is written, if what is written could not be read back.
        """
        write_atomically(self.path / "config.toml", f"schema = {SCHEMA}\n".encode() + to_file(config))

    def require_images(self, fingerprint: str) -> None:
        """Raise `RunDirectoryError` if the run began with images of another fingerprint."""
        if (self.path / "data.json").exists() and self.read_json("data.json")["fingerprint"] != fingerprint:
            raise RunDirectoryError(
                f"the images are not those that {self.path} was begun with; put them back, or start a new run with "
                "another --out"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process. Raises `RunDirectoryError` at once if another process holds it.

        The kernel releases the lock when the process ends, even by a kill.
        """
        with held(self.path):
            self._remove_leftovers()
            yield

    def _remove_leftovers(self) -> None:
        """Remove temporary files of processes that were killed."""
        for leftover in self.path.rglob(f".*{TEMPORARY}"):
            leftover.unlink(missing_ok=True)
        forget_former(self.path)

    def write_json(self, name: str, content: Any) -> None:
        """Write one JSON file atomically; a file that no stage records carries its own checksum."""
        content = sealed(content) if name in SEALED else content
        write_atomically(self.path / name, (json.dumps(content, indent=1) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Read one JSON file, and check that it is as its stage wrote it.

        Raises:
            RunDirectoryError: if it is absent, damaged or changed; the message names the stage that makes it again.
        """
        path = self.path / name
        remedy = self.remedy(name)
        try:
            octets = path.read_bytes()
            content = parse_json(octets.decode("utf-8"))
        except FileNotFoundError:
            raise RunDirectoryError(f"{path} is not there yet; {remedy}") from None
        except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise RunDirectoryError(f"{path} is damaged ({error}); delete it, then {remedy}") from None
        if name in SEALED:
            return unsealed(path, content, f"delete it, then {remedy}")
        self._require_recorded(name, octets)
        return content

    def _require_recorded(self, name: str, octets: bytes) -> None:
        """Raise `RunDirectoryError` unless a file is as the finished stage wrote it.

        A stage that runs again writes its files before its record, and they may be read in between. They are whole; the
        former ones are kept aside until then (`former_files`).
        """
        stage = changed_since(self.path, name, octets)
        if stage is not None and not is_kept_aside(self.path, name):
            time.sleep(_SETTLING_S)
            if changed_since(self.path, name, (self.path / name).read_bytes()) is not None:
                raise RunDirectoryError(
                    f"{self.path / name} was changed or damaged since '{stage}' wrote it; "
                    f"`fairnas {stage} --run {self.path}` makes it again"
                )

    def remedy(self, name: str) -> str:
        """Return the command that makes a file, in words."""
        maker = MAKERS.get(Path(name).parts[0])
        command = f"fairnas {maker} --run {self.path}" if maker else f"fairnas run {self.config.recipe}"
        return f"`{command}` makes it" if maker else f"the `{command}` command that began {self.path} makes it"

    # Finished stages ------------------------------------------------------------------------------------------

    def finish_stage(self, stage: str, files: tuple[str, ...]) -> None:
        """Record that a stage has finished, with the checksums of its files and a copy of its measurements."""
        record = {"at": time.time(), "files": {name: checksum(self.path / name) for name in files}}
        if rows := self.metrics(stage):
            record["metrics"] = rows
        stages = self._stages() | {stage: record}
        write_atomically(self.path / RECORDS, records_text(stages))

    @contextlib.contextmanager
    def former_kept(self, stages: Iterable[str]) -> Iterator[None]:
        """Context manager around work that runs stages again: if it fails, their former files are put back.

        After an interrupt, files stay as they are, because the work will resume from them; checksums tell which stages
        no longer match their files. Measurements are put back in any case.
        """
        stages = [stage for stage in stages if self.is_finished(stage)]
        names = [name for stage in stages for name in (*self._stages()[stage]["files"], *_UNRECORDED.get(stage, ()))]
        with kept_aside(self.path, dict.fromkeys(names)) as kept:
            try:
                yield
            except BaseException as error:
                if isinstance(error, Exception):
                    kept.put_back()
                for stage in stages:
                    self.restore_metrics(stage)
                raise

    def forget_stages(self, names: tuple[str, ...]) -> None:
        """Drop the records of stages that must run again."""
        stages = {name: record for name, record in self._stages().items() if name not in names}
        write_atomically(self.path / RECORDS, records_text(stages))

    def is_finished(self, stage: str) -> bool:
        """True if a stage is recorded as done (its files may still be damaged; see `damaged_files`)."""
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
        """Files of a finished stage that are absent or no longer as the stage wrote them."""
        files: Mapping[str, str] = self._stages().get(stage, {"files": {}})["files"]
        return tuple(name for name, digest in files.items() if not self._holds(name, digest))

    def is_vouched_for(self, name: str) -> bool:
        """True if a finished stage wrote this file exactly as it is now."""
        return any(
            name in record["files"] and self._holds(name, record["files"][name]) for record in self._stages().values()
        )

    def _holds(self, name: str, digest: str) -> bool:
        """True if a file is present and has this checksum."""
        try:
            return (self.path / name).is_file() and checksum(self.path / name) == digest
        except (OSError, ValueError):  # unreadable, or a name that no file can have
            return False

    def restore_metrics(self, stage: str) -> bool:
        """Restore the measurements of a finished stage in `metrics.jsonl`. Return True if they were lost or damaged."""
        rows = self._stages().get(stage, {}).get("metrics", [])
        # compared as text, because NaN does not equal itself
        if json.dumps(rows) == json.dumps(self.metrics(stage)) or not rows:
            return False
        others = [row for row in self.metrics() if row["stage"] != stage]
        self._write_metrics([*others, *rows])
        return True

    def _stages(self) -> dict[str, Any]:
        return read_records(self.path)

    # Measurements ---------------------------------------------------------------------------------------------

    def append_metrics(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """Add one line to `metrics.jsonl`."""
        line = json.dumps({"stage": stage, "step": step, **values}) + "\n"
        path = self.path / "metrics.jsonl"
        require_in_place(path)
        try:
            with open(path, "a+b") as file:
                if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
                    file.write(b"\n")  # end a line that a kill cut short, so that this one is not appended to it
                file.write(line.encode())
        except OSError as error:
            raise RunDirectoryError(f"cannot write {path}: {error.strerror}; make room and run it again") from error

    def metrics(self, stage: str | None = None) -> list[dict[str, Any]]:
        """Return the measurements of one stage or of all, in order, without a line cut short by a kill."""
        path = self.path / "metrics.jsonl"
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.exists() else []
        rows = []
        for line in lines:
            with contextlib.suppress(json.JSONDecodeError):
                rows.append(parse_json(line))
        rows = [row for row in rows if isinstance(row, dict) and isinstance(row.get("step"), int) and "stage" in row]
        return [row for row in rows if stage is None or row["stage"] == stage]

    def recorded_metrics(self, stage: str) -> list[dict[str, Any]]:
        """Return the measurements of a stage; those of a finished one from its record, which is checked."""
        return self._stages().get(stage, {}).get("metrics") or self.metrics(stage)

    def rewind_metrics(self, stage: str, step: int) -> None:
        """Drop a stage's measurements after `step`, because it will make them again when it resumes from there."""
        self._write_metrics([row for row in self.metrics() if row["stage"] != stage or row["step"] <= step])

    def _write_metrics(self, rows: Iterable[Mapping[str, Any]]) -> None:
        content = "".join(json.dumps(row) + "\n" for row in rows)
        write_atomically(self.path / "metrics.jsonl", content.encode())


def _require_configuration(path: Path) -> None:
    """Raise `RunDirectoryError` if a directory holds a run without its configuration."""
    if (path / "stages.json").exists() or (path / "space.json").exists():
        raise RunDirectoryError(
            f"{path / 'config.toml'} is lost, which says what the run in {path} is; put it back "
            "(report.html shows its text), or start a new run in another directory"
        )
