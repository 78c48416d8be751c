"""Archive of every candidate ever scored in a run, in one SQLite file, so that no network is scored twice.

One row per network and setting, in the order of scoring. A generation is one transaction, flushed to the disk. Measures
are JSON; null is a measure that is not finite, which marks a failed candidate. Reasons of failures are in a table of
their own, which files of earlier versions do not have.
"""

import contextlib
import hashlib
import json
import math
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from fairnas.errors import GenomeError, RunDirectoryError
from fairnas.search.candidate import Candidate, Measures, plain
from fairnas.space import Genome, format_genome, parse_genome
from fairnas.untrusted import parse_json

_RETRY_S = 0.02
"""Pause before WAL mode is tried again."""
SCHEMA = 1
_APPLICATION = 0x46414952  # "FAIR": distinguishes our files from other SQLite databases
_REASONS = """
CREATE TABLE IF NOT EXISTS failure (
    setting TEXT NOT NULL,
    genome TEXT NOT NULL,
    reason TEXT NOT NULL,
    UNIQUE (setting, genome)
) STRICT
"""
_TABLE = """
CREATE TABLE candidate (
    id INTEGER PRIMARY KEY,
    setting TEXT NOT NULL,
    genome TEXT NOT NULL,
    generation INTEGER NOT NULL,
    measures TEXT NOT NULL,
    UNIQUE (setting, genome)
) STRICT
"""


@dataclass(frozen=True)
class ArchiveContent:
    """Number of candidates in an archive and their checksum, to check that it is as it was written."""

    rows: int
    sha256: str


class DamagedArchiveError(RunDirectoryError):
    """Archive whose pages or rows are not what was written."""


class Archive:
    """Candidates of one evaluation setting. A context manager. Several processes may write at the same time.

    Args:
        path: the file, created if missing; its folder must exist.
        setting: everything that scores depend on beyond the genome, as one string: supernet weights, data, mode. Scores
            of other settings are in the same file; methods with an argument `setting` can read them.
        read_only: for reports: nothing is created or changed, and the folder may be read-only.
        wait_seconds: longest time to wait for another process that is writing.

    Raises:
        RunDirectoryError: if the file is damaged, no archive, of another schema, in use, or not writable.
    """

    def __init__(self, path: Path, setting: str, *, read_only: bool = False, wait_seconds: float = 30.0) -> None:
        self._path, self._setting = path, setting
        if sqlite3.sqlite_version_info < (3, 37):  # the first version with STRICT tables
            raise RunDirectoryError(
                f"this Python has SQLite {sqlite3.sqlite_version}; the archive needs 3.37 or newer, use a newer Python"
            )
        with self._explained():
            self._database = self._connect(read_only, wait_seconds)
        try:
            with self._explained():
                if not read_only:
                    self._prepare(wait_seconds)
                self._check()
        except BaseException:
            self._database.close()
            raise

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file. Everything that was added is on the disk already."""
        self._database.close()

    def get(self, genomes: Sequence[Genome], setting: str | None = None) -> dict[Genome, Measures]:
        """Measures of those genomes that were scored before."""
        texts = json.dumps([format_genome(genome) for genome in genomes])
        with self._explained():
            rows = self._database.execute(
                "SELECT genome, measures FROM candidate "
                "WHERE setting = ? AND genome IN (SELECT value FROM json_each(?))",
                (setting or self._setting, texts),
            )
            found = {parse_genome(genome): _read(measures) for genome, measures in rows}
        return {genome: found[genome] for genome in genomes if genome in found}

    def add(
        self,
        rows: Mapping[Genome, Measures],
        generation: int,
        reasons: Mapping[Genome, str] | None = None,
        setting: str | None = None,
    ) -> None:
        """Store the measures of newly scored genomes, all or none. Known genomes are not changed.

        Args:
            rows: measures by genome.
            generation: generation that asked for them.
            reasons: reasons of failed genomes among them, in a line each.
            setting: their setting, if not the archive's own.
        """
        setting = setting or self._setting
        values = [(setting, format_genome(genome), generation, _write(measures)) for genome, measures in rows.items()]
        lines = [(setting, format_genome(genome), reason) for genome, reason in (reasons or {}).items()]
        with self._explained(), self._transaction():
            self._database.executemany(
                "INSERT INTO candidate (setting, genome, generation, measures) VALUES (?, ?, ?, ?) "
                "ON CONFLICT DO NOTHING",
                values,
            )
            if lines:
                self._database.execute(_REASONS)
                self._database.executemany("INSERT INTO failure VALUES (?, ?, ?) ON CONFLICT DO NOTHING", lines)

    def last_row(self) -> int:
        """Number of the row that was added last, in any setting; 0 if there is none."""
        with self._explained():
            return self._database.execute("SELECT max(id) FROM candidate").fetchone()[0] or 0

    def drop(self, setting: str, after: int) -> None:
        """Delete everything added to a setting after a row, including failures, so that it can be tried again."""
        with self._explained(), self._transaction():
            found = "SELECT genome FROM candidate WHERE setting = ? AND id > ?"
            if "failure" in self._tables():
                query = f"DELETE FROM failure WHERE setting = ? AND genome IN ({found})"
                self._database.execute(query, (setting, setting, after))
            self._database.execute("DELETE FROM candidate WHERE setting = ? AND id > ?", (setting, after))

    def reasons(self, setting: str | None = None) -> dict[Genome, str]:
        """Reasons of failed genomes, as far as they were recorded."""
        with self._explained():
            if "failure" not in self._tables():
                return {}
            query = "SELECT genome, reason FROM failure WHERE setting = ?"
            return {
                parse_genome(genome): reason for genome, reason in self._database.execute(query, self._key(setting))
            }

    def candidates(self, setting: str | None = None) -> tuple[Candidate, ...]:
        """All candidates of a setting, in the order of scoring."""
        with self._explained():
            rows = self._database.execute(
                "SELECT genome, measures, generation FROM candidate WHERE setting = ? ORDER BY id", self._key(setting)
            )
            return tuple(Candidate.of(parse_genome(g), _read(measures), number) for g, measures, number in rows)

    def fingerprint(self, count: int | None = None) -> ArchiveContent:
        """Checksum of the setting's candidates, or of the first `count` of them.

        Rows of scores are only appended, so later rows do not change it.
        """
        with self._explained():
            query = "SELECT genome, generation, measures FROM candidate WHERE setting = ? ORDER BY id LIMIT ?"
            rows = self._database.execute(query, (self._setting, -1 if count is None else count)).fetchall()
        return ArchiveContent(len(rows), hashlib.sha256(json.dumps(rows).encode()).hexdigest())

    def require_unchanged(self, left: ArchiveContent, path: Path, remedy: str) -> None:
        """Raise `RunDirectoryError` unless the archive still holds what a search left in it.

        Args:
            left: what the search left.
            path: name of the file in the message.
            remedy: what to do, after a semicolon.
        """
        if self.fingerprint(left.rows) != left:
            raise RunDirectoryError(f"{path} was changed or damaged since 'search' wrote it; {remedy}")

    def __len__(self) -> int:
        with self._explained():
            query = "SELECT count(*) FROM candidate WHERE setting = ?"
            return self._database.execute(query, (self._setting,)).fetchone()[0]

    def _key(self, setting: str | None) -> tuple[str]:
        return (setting or self._setting,)

    # The file ---------------------------------------------------------------------------------------------

    def _connect(self, read_only: bool, wait_seconds: float) -> sqlite3.Connection:
        if read_only and not self._path.is_file():
            raise RunDirectoryError(f"there is no archive {self._path}; `fairnas search` makes it")
        uri = self._path.absolute().as_uri() + ("?mode=ro" if read_only else "?mode=rwc")
        database = sqlite3.connect(uri, uri=True, timeout=wait_seconds, isolation_level=None)
        log = self._path.with_name(self._path.name + "-wal")
        if read_only and not (log.exists() and log.stat().st_size):
            try:
                database.execute("PRAGMA schema_version")
            except sqlite3.Error as error:
                database.close()
                if not _is(error, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                    raise
                # Reading in WAL mode creates two files beside the archive. In a folder where that is forbidden, no
                # other process can be writing, so SQLite may use the file as it is.
                return sqlite3.connect(f"{uri}&immutable=1", uri=True, isolation_level=None)
        return database

    def _prepare(self, wait_seconds: float) -> None:
        """Create the table in a new file; leave any other file unchanged."""
        if self._pragma("application_id") or self._tables():
            return
        self._write_ahead(wait_seconds)
        with self._transaction():
            if not self._tables():  # otherwise another process was faster
                self._database.execute(_TABLE)
                self._pragma(f"application_id = {_APPLICATION}")
                self._pragma(f"user_version = {SCHEMA}")

    def _write_ahead(self, wait_seconds: float) -> None:
        """Switch a new file to WAL mode.

        If several processes switch at once, each holds a lock that the others need. SQLite then refuses all but one
        without waiting, whatever its timeout. So this waits.
        """
        end = time.monotonic() + wait_seconds
        while True:
            try:
                self._pragma("journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if not _is(error, sqlite3.SQLITE_BUSY) or time.monotonic() > end:
                    raise
                time.sleep(_RETRY_S)

    def _check(self) -> None:
        if self._pragma("application_id") != _APPLICATION:
            raise RunDirectoryError(
                f"{self._path} is not an archive of fairnas; move it away, or give another directory"
            )
        version = self._pragma("user_version")
        if version != SCHEMA:
            age = "newer" if version > SCHEMA else "older"
            raise RunDirectoryError(
                f"{self._path} has schema {version}, this fairnas reads {SCHEMA}; "
                f"use the {age} fairnas that wrote it, or start a new run"
            )
        # checked before any query on the tables, because foreign checks and triggers would run
        if self._foreign_schema() or self._pragma("quick_check") != "ok":
            raise self._damaged("its pages or tables are not what was written")
        self._pragma("synchronous = FULL")  # a generation costs minutes, a flush milliseconds

    def _foreign_schema(self) -> bool:
        """True if the file has foreign tables, or triggers, views and indices, which could compute anything."""
        rows = self._database.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL")
        found = {name: _statement(sql) for name, sql in rows if not str(name).startswith("sqlite_")}
        allowed = {"candidate": _statement(_TABLE), "failure": _statement(_REASONS)}
        return "candidate" not in found or not found.items() <= allowed.items()

    def _pragma(self, text: str) -> Any:
        row = self._database.execute(f"PRAGMA {text}").fetchone()
        return row[0] if row else None

    def _tables(self) -> list[str]:
        return [name for (name,) in self._database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._database.execute("COMMIT")
        except BaseException:
            if self._database.in_transaction:  # a full disk may already have rolled it back
                self._database.execute("ROLLBACK")
            raise

    def _damaged(self, why: str) -> DamagedArchiveError:
        return DamagedArchiveError(
            f"{self._path} is damaged ({why}); restore it, or delete it and search again from the start"
        )

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn SQLite's errors that are not our fault into one line with a remedy."""
        try:
            yield
        except (json.JSONDecodeError, GenomeError, TypeError, UnicodeDecodeError) as error:
            raise self._damaged(str(error)) from error
        except sqlite3.Error as error:
            # SQLITE_ERROR, TOOBIG and MISMATCH mean foreign tables or values, because our statements are correct
            foreign = (sqlite3.SQLITE_ERROR, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_CONSTRAINT)
            if _is(error, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, *foreign) or "decode" in str(error):
                raise self._damaged(str(error)) from error
            if _is(error, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise RunDirectoryError(f"{self._path} is in use by another process; wait for it to end") from error
            if _is(error, sqlite3.SQLITE_FULL):
                raise RunDirectoryError(
                    f"cannot write {self._path}: no space left; earlier generations are kept, "
                    "make room and run the same command again"
                ) from error
            if _is(
                error,
                sqlite3.SQLITE_CANTOPEN,
                sqlite3.SQLITE_READONLY,
                sqlite3.SQLITE_IOERR,
                sqlite3.SQLITE_PERM,
            ):
                raise RunDirectoryError(
                    f"cannot use {self._path}: {error}; check that its folder exists and may be written, "
                    "and that the disk has room"
                ) from error
            raise


def _is(error: sqlite3.Error, *codes: int) -> bool:
    """True for one of SQLite's primary result codes, the low byte of an extended one."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in codes  # the low byte; the rest is an extended code


def _statement(sql: object) -> str:
    """Statement in the form in which SQLite stores it."""
    return " ".join(str(sql).replace("IF NOT EXISTS ", "").split())


def _write(measures: Measures) -> str:
    return json.dumps({name: None if math.isnan(value) else value for name, value in plain(measures).items()})


def _read(text: str) -> Measures:
    content = parse_json(text)
    if not isinstance(content, dict) or not all(isinstance(v, int | float | None) for v in content.values()):
        raise json.JSONDecodeError("these are no measures", text, 0)
    return {name: math.nan if value is None else value for name, value in content.items()}
