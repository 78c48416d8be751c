"""One archive, several processes: nothing lost, nothing twice; and a disk that is full for a while."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fairnas.config import SearchConfig
from fairnas.errors import RunDirectoryError
from fairnas.search import Archive, run_search
from tests import forked

WRITER = """
import json, sys, time
from pathlib import Path
from fairnas.search import Archive

path, number, start = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
rows = lambda n: {(a, n % 36): {"top1": (a + n) / 100, "writer": number} for a in range(number, number + 20)}
time.sleep(max(0, start - time.time()))  # all at once, the making of the file included
for batch in range(40):
    with Archive(path, "s") as archive:  # opened anew, so that opening is raced for too
        archive.add(rows(batch), batch, {(number, batch % 36): f"by {number}"})
        archive.add({(number,): {"top1": 0.5}}, batch, setting=f"own {number}")
        known = archive.get(list(rows(batch)))
        assert known.keys() == rows(batch).keys()
        found = [candidate.genome for candidate in archive.candidates()]
        assert len(found) == len(set(found))
print(json.dumps("done"))
"""

READER = """
import sys, time
from pathlib import Path
from fairnas.errors import RunDirectoryError
from fairnas.search import Archive

path, last = Path(sys.argv[1]), 0
while not path.exists():
    time.sleep(0.01)
with Archive(path, "s", read_only=True) as archive:
    while not Path(sys.argv[2]).exists():
        count = len(archive.candidates())
        assert count >= last, "what was there is gone"
        last = count
print(last)
"""


def start(code: str, *arguments) -> forked.Process:
    return forked.start("-c", code, *arguments)


@pytest.mark.full
@pytest.mark.slow
def test_four_processes_write_at_once_while_one_reads(tmp_path: Path) -> None:
    path, over = tmp_path / "archive.sqlite", tmp_path / "over"
    Archive(path, "s").close()
    reader = start(READER, path, over)
    writers = [start(WRITER, path, number, time.time() + 1.5) for number in (0, 5, 10, 12)]
    for process in writers:
        out, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
        assert json.loads(out) == "done"
    over.touch()
    out, err = reader.communicate(timeout=60)
    assert reader.returncode == 0, err
    genomes = {(a, n % 36) for n in range(40) for a in range(32)}
    with Archive(path, "s", read_only=True) as archive:
        found = archive.candidates()
        assert len(archive.candidates("own 5")) == 1
        assert set(archive.reasons().values()) == {"by 0", "by 5", "by 10", "by 12"}
    assert len(found) == len(genomes)
    assert {candidate.genome for candidate in found} == genomes
    for candidate in found:  # a row is of one writer, whole
        writer = candidate.value("writer")
        assert writer <= candidate.genome[0] < writer + 20
        assert candidate.value("top1") == (candidate.genome[0] + candidate.generation) / 100


@pytest.mark.slow
def test_the_file_is_made_once_by_whoever_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    moment = time.time() + 2.0
    writers = [start(WRITER, path, number, moment) for number in (0, 1, 2)]
    for process in writers:
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err
    with Archive(path, "s", read_only=True) as archive:
        assert len(archive) == 22 * 36


def test_a_switch_to_wal_mode_that_is_refused_without_waiting_is_tried_again(tmp_path, monkeypatch) -> None:
    """As SQLite does where several processes make the file at once."""
    pragma, refused = Archive._pragma, []

    def refuse_once(archive: Archive, text: str) -> object:
        if text.startswith("journal_mode") and not refused:
            refused.append(text)
            error = sqlite3.OperationalError("database is locked")
            error.sqlite_errorcode = sqlite3.SQLITE_BUSY
            raise error
        return pragma(archive, text)

    monkeypatch.setattr(Archive, "_pragma", refuse_once)
    with Archive(tmp_path / "archive.sqlite", "s") as archive:
        assert len(archive) == 0
    assert refused == ["journal_mode = WAL"]


def test_a_lock_longer_than_the_wait_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    Archive(path, "s").close()
    code = (
        "import sqlite3, sys; d = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "d.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    begin = time.monotonic()
    with Archive(path, "s", wait_seconds=0.3) as archive:
        with pytest.raises(RunDirectoryError, match="is in use by another process; wait for it to end") as caught:
            archive.add({(1,): {"top1": 0.1}}, 0)
        assert "\n" not in str(caught.value)
        assert 0.25 < time.monotonic() - begin < 20
        holder.communicate("")
        archive.add({(1,): {"top1": 0.1}}, 0)
        assert len(archive) == 1


# A full disk ------------------------------------------------------------------------------------------------

CONFIG = SearchConfig(population=40, generations=12)


@pytest.mark.slow
def test_a_disk_that_fills_up_costs_one_generation_and_the_search_goes_on_to_the_same_end(
    world, tmp_path: Path
) -> None:
    with Archive(tmp_path / "whole", "s") as archive:
        whole = run_search(world.space, CONFIG, world.evaluate, world.costs, archive, 0)
        stored = archive.candidates()
    world.asked.clear()
    with Archive(tmp_path / "a", "s") as archive:
        pages = archive._database.execute("PRAGMA page_count").fetchone()[0]
        archive._database.execute(f"PRAGMA max_page_count = {pages + 12}")
        with pytest.raises(RunDirectoryError, match="no space left; earlier generations are kept, make room") as caught:
            run_search(world.space, CONFIG, world.evaluate, world.costs, archive, 0)
        assert "\n" not in str(caught.value)
        kept = archive.candidates()
    assert 0 < len(kept) < len(stored)
    assert kept == stored[: len(kept)]
    lost = len(world.evaluated) - len(kept)
    assert 0 < lost <= 40
    with Archive(tmp_path / "a", "s") as archive:
        assert run_search(world.space, CONFIG, world.evaluate, world.costs, archive, 0) == whole
        assert archive.candidates() == stored
    assert len(world.evaluated) - lost == len(set(world.evaluated)) == len(stored)


LIMITED = """
import resource, signal, sys
from pathlib import Path
from fairnas.errors import RunDirectoryError
from fairnas.search import Archive

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that a write fails, as on a full disk
path = Path(sys.argv[1])
with Archive(path, "s") as archive:
    archive.add({(1,): {"top1": 0.5}}, 0)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY))
    try:
        for batch in range(100):
            archive.add({(a, b): {"top1": 0.5, "loss": 1 / 3} for a in range(36) for b in range(36)}, batch)
    except RunDirectoryError as error:
        print(error)
    print(len(archive))
"""


@pytest.mark.slow
def test_a_write_that_the_system_refuses_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "archive.sqlite"
    process = start(LIMITED, path)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    line, count = out.splitlines()
    assert str(path) in line
    assert "room" in line
    assert count == "1"
    with Archive(path, "s") as archive:
        assert len(archive) == 1
        archive.add({(2,): {"top1": 0.5}}, 1)
    assert sqlite3.connect(path).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert os.path.getsize(path) < 60_000
