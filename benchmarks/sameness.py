"""Comparison of two finished runs, bit for bit, except for parts that differ by nature."""

import hashlib
import json
import re
import sqlite3
import tomllib
from pathlib import Path
from typing import Any

import torch

LEFT_OUT = {
    ".lock": "the process that held the run",
    "stages.json": "when each stage ended, and checksums of files that hold times; the names of stages and files count",
    "config.toml": "the schema, and the section [resources], which no result depends on; all other sections count",
    "archive.sqlite": "the pages; all rows of all tables count, in order",
    "archive.sqlite-wal": "SQLite's own",
    "archive.sqlite-shm": "SQLite's own",
    "metrics.jsonl": "the order of the lines",
    "tensorboard/": "times and processes; the numbers are those of metrics.jsonl",
    "models/*/model.json": "measured latency, and the checksum of the card, which shows it",
    "models/*/README.md": "lines with milliseconds",
    "report.html": "milliseconds, and the path of the run in the command that repeats it",
}
"""Parts that are not compared, by file, with the reason. Every other file is compared as a whole."""


def differences(a: Path, b: Path, across_versions: bool = False) -> tuple[str, ...]:
    """Files that differ between two run directories, or that only one of them has.

    Both directories should have the same name, because the report shows it.

    Args:
        a: one run.
        b: the other.
        across_versions: whether they are of two versions of fairnas, which may hash the same settings in another way:
            then the identity of a training in its files does not count, nor do checksums of files that hold it.
    """
    left, right = contents(a), contents(b)
    if across_versions:
        for found, run in ((left, a), (right, b)):
            found |= {name: _without_identity(run / name) for name in found if _is_training(name)}
    return tuple(sorted(name for name in left.keys() | right.keys() if left.get(name) != right.get(name)))


def contents(run: Path) -> dict[str, Any]:
    """Comparable content by file: its SHA-256, or the content without the parts of `LEFT_OUT`."""
    files = sorted(path for path in run.rglob("*") if path.is_file())
    found = {str(path.relative_to(run)): _content(path, run) for path in files}
    return {name: content for name, content in found.items() if content is not None}


def _content(path: Path, run: Path) -> Any:
    if path.name in (".lock", "archive.sqlite-wal", "archive.sqlite-shm") or "tensorboard" in path.parts:
        return None
    if path.name == "stages.json":
        stages = json.loads(path.read_text(encoding="utf-8"))["stages"]
        return {name: sorted(record["files"]) for name, record in stages.items()}
    if path.name == "config.toml":
        return {
            key: value
            for key, value in tomllib.loads(path.read_text("utf-8")).items()
            if key not in ("schema", "resources")
        }
    if path.name == "archive.sqlite":
        return _tables(path)
    if path.name == "metrics.jsonl":
        return sorted(path.read_text(encoding="utf-8").splitlines())
    if path.name == "model.json":
        facts = json.loads(path.read_text(encoding="utf-8"))
        facts["sha256"].pop("README.md")
        return {key: value for key, value in facts.items() if key != "latency"}
    if path.name == "README.md":
        return [line for line in path.read_text(encoding="utf-8").splitlines() if " ms" not in line]
    content = path.read_bytes()
    if path.name == "report.html":
        content = re.sub("[\\d.]+\N{NO-BREAK SPACE}ms".encode(), b"TIME", content.replace(str(run).encode(), b"RUN"))
    return hashlib.sha256(content).hexdigest()


def _is_training(name: str) -> bool:
    return name.startswith(("stand_alone/", "retrained/")) or name.endswith(".pt")


def _without_identity(path: Path) -> Any:
    if path.suffix == ".pt":
        return _digested(torch.load(path, weights_only=True) | {"identity": ""})
    if path.suffix == ".json":
        return json.loads(path.read_text(encoding="utf-8")) | {"identity": ""}
    return None  # a checksum of a file that is compared


def _digested(content: Any) -> Any:
    """A checkpoint with hashes in place of its tensors."""
    if isinstance(content, dict):
        return {key: _digested(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_digested(value) for value in content]
    if isinstance(content, torch.Tensor):
        plain = content.contiguous().cpu().flatten().view(torch.uint8)
        return str(content.dtype), tuple(content.shape), hashlib.sha256(plain.numpy().tobytes()).hexdigest()
    return repr(content)  # in which NaN equals itself


def _tables(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: database.execute(f"SELECT * FROM {name} ORDER BY rowid").fetchall() for name in names}
    finally:
        database.close()
