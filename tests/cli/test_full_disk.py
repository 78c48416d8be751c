"""A disk that is full at every kind of write, or read-only: one line, nothing half written, and the run goes on."""

import builtins
import errno
import json
import os
import shutil
import subprocess
import sys

import pytest

from benchmarks.sameness import differences
from fairnas import atomic_files
from fairnas.pipeline import metrics_log
from fairnas.search import Archive
from tests.cli.process import SMALLEST

WRITES = (
    "config.toml", "data.json", "space.json", "events.out.tfevents", "checkpoint.pt", "metrics.jsonl", "ledger.json",
    "versions.json", "stages.json", "archive.sqlite", "search.json", "-s0.pt", ".pt.sha256", "-s0.json", "-s1.json",
    "ranking.json", "model.safetensors", "model.json", "report.html",
)  # fmt: skip
"""Part of the name of every kind of file that a run writes, in the order of their first writing."""


class HalfFull:
    """A file on a disk with room for half of what is written."""

    def __init__(self, file):
        self._file = file

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, content):
        self._file.write(content[: len(content) // 2])
        self._file.flush()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.slow
@pytest.mark.parametrize(
    "parts",
    [("checkpoint.pt", "archive.sqlite", "ranking.json"), pytest.param(WRITES, marks=pytest.mark.full)],
    ids=["three kinds", "all kinds"],
)
def test_full_at_every_kind_of_write_is_one_line_and_the_run_goes_on_as_if_nothing_had_been(
    parts, smallest_run, fairnas, tmp_path, monkeypatch
):
    path = tmp_path / "run"
    command = ("run", "digits", "--out", path, "--json", *SMALLEST)
    for part in parts:
        with monkeypatch.context() as patched:
            make_full(patched, part)
            outcome = fairnas(*command)
        assert outcome.code == 2, (part, outcome.err)
        last = outcome.err.splitlines()[-1]
        assert last.startswith(f"fairnas: cannot write {path}"), last
        assert part in last
        assert "no space left" in last.lower()
        assert "make room" in last
        assert "Traceback" not in outcome.err
        assert not list(tmp_path.rglob("*.tmp"))
    assert fairnas(*command).code == 0
    assert differences(path, smallest_run) == ()
    written = {file.name for file in path.rglob("*") if file.is_file()}
    known = (*WRITES, "model", "config.json", "README.md", ".lock")  # those of a folder are written alike
    assert [name for name in written if not any(part in name for part in known)] == []


def make_full(patched, part):
    """Until `patched` ends, the disk is full for files whose name holds a text."""

    def opened(path, mode="r", **options):
        file = builtins.open(path, mode, **options)  # noqa: SIM115 - the caller closes it
        return HalfFull(file) if part in os.path.basename(path) and mode not in ("r", "rb") else file

    for module in (atomic_files, metrics_log):
        patched.setattr(module, "open", opened, raising=False)
    if part == "archive.sqlite":
        connect = Archive._connect

        def without_room(archive, *arguments):
            database = connect(archive, *arguments)
            database.execute("PRAGMA max_page_count = 1")
            return database

        patched.setattr(Archive, "_connect", without_room)


DISK = """
import contextlib, io, json, subprocess, sys
from pathlib import Path
from fairnas.cli.main import main

disk, settings = Path(sys.argv[1]), sys.argv[2:]


def fairnas(*arguments):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(argument) for argument in arguments])
    return code, out.getvalue(), err.getvalue().splitlines()


def remount(how):
    subprocess.run(["mount", "-o", f"remount,{how}", str(disk)], check=True)


run = disk / "run"
results = {"full": fairnas("train", "digits", "--run", run, *settings)}
results["left"] = sorted(path.name for path in run.rglob("*"))
remount("size=100m")
results["room"] = fairnas("train", "digits", "--run", run, "--json", *settings)
results["ledger"] = (run / "ledger.json").read_text()
remount("ro")
results["reading"] = fairnas("audit", "--run", run, "--json")
results["writing"] = fairnas("search", "--run", run)
results["new"] = fairnas("run", "digits", "--out", disk / "other", *settings)
print(json.dumps(results))
"""


@pytest.mark.slow
@pytest.mark.full
def test_a_real_disk_that_is_full_and_then_read_only(smallest_run, tmp_path):
    """Run in a namespace of its own, where a user may mount a file system in memory, to get its real errors."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-Urm", "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a file system")
    mount = 'mount -t tmpfs -o size=900k tmpfs "$1" && exec "$0" -c "$2" "$1" "${@:3}"'
    command = ["unshare", "-Urm", "bash", "-c", mount, sys.executable, str(tmp_path), DISK, *SMALLEST]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    code, _, said = results["full"]
    assert (code, "checkpoint.pt: No space left on device; what was there before" in said[-1]) == (2, True), said
    assert not [name for name in results["left"] if name.endswith((".tmp", ".pt"))]
    assert results["room"][0] == 0
    assert results["ledger"] == (smallest_run / "ledger.json").read_text()
    assert results["reading"][0] == 0
    code, _, said = results["writing"]
    run = tmp_path / "run"
    remedy = "make it writable, or give a copy of the run"
    assert (code, said) == (2, [f"fairnas: cannot write in {run}: Read-only file system; {remedy}"])
    code, _, said = results["new"]
    assert (code, len(said)) == (2, 1)
    assert f"cannot write {tmp_path / 'other'}" in said[0]
    assert "Read-only file system" in said[0]
