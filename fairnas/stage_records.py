"""`stages.json`: finished stages of a run with checksums of their files; and sealed JSON files.

A file of a finished stage must match its checksum whenever it is read. `stages.json` and the files in `SEALED`, which
no stage records, carry a checksum of their own content. docs/reliability.md lists the files that have neither.
"""

import functools
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairnas.errors import RunDirectoryError
from fairnas.untrusted import parse_json

RECORDS = "stages.json"
NO_STUDY = "no_ranking.json"
"""File with the reason why the run could have no ranking study."""
SEAL = "sha256"
"""Key of the checksum in a sealed file, which covers the rest of its content."""
SEALED = ("dial.json", "precision.json", "similarity.json", "stratified.json", "system.json", NO_STUDY)
"""Files that no stage records, and that are sealed instead."""
MAKERS = {
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
"""Verb that makes each file, by the first part of its name."""


def sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the content of a JSON file with a checksum of itself."""
    assert SEAL not in content, "a file is sealed once"
    return {**content, SEAL: _seal(content)}


def unsealed(path: Path, content: Any, remedy: str) -> dict[str, Any]:
    """Return the content of a sealed file without its checksum.

    Args:
        path: path of the file, for the message.
        content: content of the file as parsed.
        remedy: advice for a damaged file, as the second half of the message.

    Raises:
        RunDirectoryError: if it is not as it was written.
    """
    if not isinstance(content, dict):
        raise RunDirectoryError(f"{path} is not what fairnas writes; {remedy}")
    plain = {key: value for key, value in content.items() if key != SEAL}
    if content.get(SEAL) != _seal(plain):
        raise RunDirectoryError(f"{path} was changed or damaged since it was written; {remedy}")
    return plain


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def records_text(stages: Mapping[str, Any]) -> bytes:
    """Return the content of `stages.json`."""
    return (json.dumps(sealed({"stages": stages}), indent=1) + "\n").encode()


def read_records(run: Path) -> dict[str, Any]:
    """Read the records of finished stages in a run directory, by stage; empty if no stage has finished.

    Raises:
        RunDirectoryError: if `stages.json` is damaged, or names files outside the run.
    """
    path = run / RECORDS
    try:
        seen = os.stat(path)
    except FileNotFoundError:
        return {}
    return dict(_read_records(path, (seen.st_mtime_ns, seen.st_size, seen.st_ino)))


@functools.lru_cache(maxsize=8)
def _read_records(path: Path, version: tuple[int, ...]) -> Mapping[str, Any]:
    """Parse `stages.json`, once per version, because every read of another file consults it."""
    remedy = "delete it and run the same command again"
    try:
        content = parse_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RunDirectoryError(f"{path} is damaged ({error}); {remedy}") from None
    stages = content.get("stages") if isinstance(content, dict) else None
    if not isinstance(stages, dict) or not all(
        isinstance(record, dict)
        and isinstance(record.get("files"), dict)
        and isinstance(record.get("metrics", []), list)
        for record in stages.values()
    ):
        raise RunDirectoryError(f"{path} is damaged; {remedy}")
    for name in (name for record in stages.values() for name in record["files"]):
        if "\0" in name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise RunDirectoryError(f"{path} names a file outside the run, {name!r}; {remedy}")
    return unsealed(path, content, remedy)["stages"]


def changed_since(run: Path, name: str, content: bytes) -> str | None:
    """Return the finished stage that wrote other content to a file than it has now; None if the file is as recorded.

    Args:
        run: run directory.
        name: path of the file relative to it.
        content: present content of the file.
    """
    digest = hashlib.sha256(content).hexdigest()
    records = {stage: record["files"][name] for stage, record in read_records(run).items() if name in record["files"]}
    if not records or digest in records.values():
        return None
    return next(iter(records))
