"""Changes to files of a finished run as if its stage had written them so, checksums included."""

from pathlib import Path
from typing import Any

from fairnas.rundir import RunDirectory
from fairnas.stage_records import read_records


def rewrite_json(run: RunDirectory, name: str, content: Any) -> None:
    """Write a JSON file of a finished stage anew, and its checksum."""
    run.write_json(name, content)
    record_again(run, name)


def rewrite_text(path: Path, text: str) -> None:
    """Write a file in the top folder of a run, or one below, anew, and its checksum."""
    path.write_text(text, encoding="utf-8")
    folder = next(each for each in path.parents if (each / "config.toml").exists())
    record_again(RunDirectory(folder), str(path.relative_to(folder)))


def record_again(run: RunDirectory, name: str) -> None:
    """Record a file as it is now, for every finished stage that wrote it."""
    for stage, record in read_records(run.path).items():
        if name in record["files"]:
            run.finish_stage(stage, tuple(record["files"]))
