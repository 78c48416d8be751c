"""Comparison of two finished runs, bit for bit, except for parts that differ by nature."""

import hashlib
import json
import re
import sqlite3
import tomllib
from pathlib import Path
from typing import Any

LEFT_OUT = {
    ".lock": "the process that held the run",
    "stages.json": "when each stage ended, and checksums of files that hold times; the names of stages and files count",
    "config.toml": "the section [resources], which no result depends on; all other sections count",
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


def differences(a: Path, b: Path) -> tuple[str, ...]:
    """Files that differ between two run directories, or that only one of them has.

    Both directories should have the same name, because the report shows it.
    """
    left, right = contents(a), contents(b)
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
        return {key: value for key, value in tomllib.loads(path.read_text("utf-8")).items() if key != "resources"}
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


def _tables(path: Path) -> dict[str, list[tuple[Any, ...]]]:
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        names = [name for (name,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {name: database.execute(f"SELECT * FROM {name} ORDER BY rowid").fetchall() for name in names}
    finally:
        database.close()
