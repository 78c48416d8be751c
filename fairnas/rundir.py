"""The run directory: everything one experiment produced, written so that a kill at any moment loses nothing.

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

Every file is written beside its name, flushed to the disk and renamed. One process at a time holds the lock, and
only that one writes.
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
"""Files that stages write beside those that they are recorded with."""
_SETTLING_S = 0.2
"""Seconds in which another process that has just finished a stage writes its record."""


def is_run_directory(path: str) -> bool:
    """Whether a folder holds a run, just begun or finished; one that cannot be looked into counts as none."""
    if os.path.isfile(os.path.join(path, "stages.json")):
        return True
    if not os.path.isfile(os.path.join(path, LOCK)):
        return False
    with contextlib.suppress(OSError):
        return os.path.isfile(os.path.join(path, "config.toml")) or all(map(_is_beginning, Path(path).iterdir()))
    return False


def _is_beginning(file: Path) -> bool:
    """Whether a kill while a run was begun may have left this file."""
    return is_leftover(file) or file.name == LOCK


@dataclass(frozen=True)
class RunDirectory:
    """A run directory that exists and has a configuration. Make one with `begin` or `open`."""

    path: Path

    @staticmethod
    def create(path: Path, config: RunConfig, fingerprint: str | None = None) -> "RunDirectory":
        """Begin a run and let go of it: `begin` and `configure` in one."""
        with RunDirectory.begin(path) as run:
            run.configure(config, fingerprint)
        return run

    @staticmethod
    @contextlib.contextmanager
    def begin(path: Path) -> Iterator["RunDirectory"]:
        """Hold a directory for this process, to begin a run there with `configure`, or to go on with one.

        It is made where there is none. If it holds no run in the end, what was made is removed again.

        Raises:
            RunDirectoryError: if the directory holds something else, is in use, or cannot be written.
        """
        require_locks()
        run = RunDirectory(path)
        run._require_nothing_else()  # before a lock is left among somebody's files
        with held(path, is_begun=(path / "config.toml").exists):
            run._require_nothing_else()
            yield run

    def configure(self, config: RunConfig, fingerprint: str | None = None) -> None:
        """Make a configuration that of the run, or make sure that it is. This process has to hold the run.

        Args:
            config: of the run. Where its images lie is written as absolute paths.
            fingerprint: of the images, which then may have moved since the run was begun.

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
            self.write_config(config)  # resources may change when a run goes on, and where its images lie

    def _require_nothing_else(self) -> None:
        """Raise `RunDirectoryError` if a directory holds files, but no run."""
        path = self.path
        try:
            files = list(path.iterdir()) if path.is_dir() else [path] if path.exists() else []
        except OSError as error:
            raise RunDirectoryError(f"cannot read {path}: {error.strerror}; give another directory") from error
        if (path / "config.toml").exists():  # looked for last: another process may have begun a run by now
            return
        _require_configuration(path)
        if any(not _is_beginning(file) for file in files):
            raise RunDirectoryError(f"{path} exists and is not a run directory; give a new or an empty directory")

    @staticmethod
    def open(path: Path) -> "RunDirectory":
        """An existing run. Raises `RunDirectoryError` if there is none at `path`."""
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
        if "[resources]" not in text:  # the last section, so all before it is there where it is
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
        """Raise `RunDirectoryError` for a run that another version of fairnas wrote, whose files have other content."""
        found = schema_of(self._config_text(), source=str(self.path / "config.toml"))
        if found != SCHEMA:
            which = "an earlier version of fairnas, without a schema" if found is None else f"schema {found!r}"
            raise RunDirectoryError(
                f"the run in {self.path} is of {which}, and this fairnas reads schema {SCHEMA}; use the fairnas that "
                "wrote it, or start a new run in another directory"
            )

    def write_config(self, config: RunConfig) -> None:
        """Replace the configuration; only for settings that what is there does not depend on.

        Raises `ConfigError`, before anything is written, if what is written could not be read back.
        """
        write_atomically(self.path / "config.toml", f"schema = {SCHEMA}\n".encode() + to_file(config))

    def require_images(self, fingerprint: str) -> None:
        """Raise `RunDirectoryError` if the run was begun with other images than those of a fingerprint."""
        if (self.path / "data.json").exists() and self.read_json("data.json")["fingerprint"] != fingerprint:
            raise RunDirectoryError(
                f"the images are not those that {self.path} was begun with; put them back, or start a new run with "
                "another --out"
            )

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process. Raises `RunDirectoryError` at once if another process holds it.

        The lock vanishes with its process, however that ends.
        """
        with held(self.path):
            self._remove_leftovers()
            yield

    def _remove_leftovers(self) -> None:
        """Remove what processes left that were killed."""
        for leftover in self.path.rglob(f".*{TEMPORARY}"):
            leftover.unlink(missing_ok=True)
        forget_former(self.path)

    def write_json(self, name: str, content: Any) -> None:
        """Write one JSON file atomically; of a file that no stage records, the content with its own checksum."""
        content = sealed(content) if name in SEALED else content
        write_atomically(self.path / name, (json.dumps(content, indent=1) + "\n").encode())

    def read_json(self, name: str) -> Any:
        """Read one JSON file, which has to be what its stage wrote.

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
        """Raise `RunDirectoryError` unless a file is what the stage that has finished wrote.

        A stage that is done again writes its files before its record. Its own process reads them then, and so may
        another; they are whole, and the old ones are kept aside meanwhile (`former_files`).
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
        """The command that makes a file, in words."""
        maker = MAKERS.get(Path(name).parts[0])
        command = f"fairnas {maker} --run {self.path}" if maker else f"fairnas run {self.config.recipe}"
        return f"`{command}` makes it" if maker else f"the `{command}` command that began {self.path} makes it"

    # Finished stages ------------------------------------------------------------------------------------------

    def finish_stage(self, stage: str, files: tuple[str, ...]) -> None:
        """Record that a stage is done and what it wrote: checksums of its files, and its measurements as they are."""
        record = {"at": time.time(), "files": {name: checksum(self.path / name) for name in files}}
        if rows := self.metrics(stage):
            record["metrics"] = rows
        stages = self._stages() | {stage: record}
        write_atomically(self.path / RECORDS, records_text(stages))

    @contextlib.contextmanager
    def former_kept(self, stages: Iterable[str]) -> Iterator[None]:
        """Around work that does stages again: if it fails, what they wrote before is put back, as it was.

        If it is interrupted, files stay as they are, because the work will go on from them; a stage whose files they
        are no longer is found by their checksums. Measurements are put back in any case.
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
        """Drop the records of stages that have to run again."""
        stages = {name: record for name, record in self._stages().items() if name not in names}
        write_atomically(self.path / RECORDS, records_text(stages))

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

    def recorded_metrics(self, stage: str) -> list[dict[str, Any]]:
        """The measurements of a stage; of a finished one from its record, which is checked, not from the file."""
        return self._stages().get(stage, {}).get("metrics") or self.metrics(stage)

    def rewind_metrics(self, stage: str, step: int) -> None:
        """Drop a stage's measurements after `step`: they are made again when the stage goes on from there."""
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
