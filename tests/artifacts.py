"""What is made once for the whole suite, by whichever of its processes needs it first, under a lock on disk."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from fairnas.atomic_files import checksum
from fairnas.stage_records import read_records, records_text


def made_once(name: str, make: Callable[[Path], None], paths: pytest.TempPathFactory) -> Path:
    """A folder that `make` has filled, once for all processes of tests; each has its own copy of it.

    A run in it is called `run`, and its report names the place of the copy.
    """
    shared = paths.getbasetemp()
    if shared.name.startswith("popen-gw"):  # of one of several processes of pytest-xdist
        shared = shared.parent
    shared = shared / "made_once" / name
    shared.mkdir(parents=True, exist_ok=True)
    with open(shared / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "made").exists():
            shutil.rmtree(shared / "folder", ignore_errors=True)
            (shared / "folder").mkdir()
            make(shared / "folder")
            (shared / "made").touch()
    own = shutil.copytree(shared / "folder", paths.mktemp(name) / "folder")
    if (own / "run" / "report.html").exists():
        _say_where_it_is(own / "run", shared / "folder" / "run")
    return own


def _say_where_it_is(run: Path, before: Path) -> None:
    report = run / "report.html"
    report.write_bytes(report.read_bytes().replace(str(before).encode(), str(run).encode()))
    records = read_records(run)
    for record in records.values():
        if "report.html" in record["files"]:
            record["files"]["report.html"] = checksum(report)
    (run / "stages.json").write_bytes(records_text(records))
