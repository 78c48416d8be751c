"""`fairnas train` under torchrun: the same run, a clear end when a process is lost, going on with another number."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.process import TINY, start, start_anew
from tests.forked import Process


def torchrun(*arguments, size: int = 2) -> subprocess.Popen:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={size}", "-m", "fairnas"]
    return subprocess.Popen(
        [sys.executable, *launcher, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.fixture
def group(monkeypatch):
    """Start the two processes of a group as torchrun does, with its variables, but without its own 10 seconds."""

    def start_two(*arguments) -> list[Process]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2}
        processes = []
        for rank in range(2):
            for name, value in (shared | {"RANK": rank, "LOCAL_RANK": rank}).items():
                monkeypatch.setenv(name, str(value))
            processes.append(start(*arguments))
        return processes

    return start_two


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def rank_of(pid: int) -> int:
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return next(int(entry.removeprefix(b"RANK=")) for entry in environment if entry.startswith(b"RANK="))


def waited_for(condition, seconds: float = 90):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.05)
    raise AssertionError("waited in vain")


@pytest.mark.slow
@pytest.mark.full
def test_killed_then_two_go_on_then_the_first_is_lost_then_one_alone_goes_on(tmp_path):
    path = tmp_path / "run"
    checkpoint = path / "supernet" / "checkpoint.pt"
    command = ["train", "digits", "--out", path, *TINY, "--train.epochs", "20"]
    alone = start(*command)
    waited_for(checkpoint.exists)
    alone.kill()
    alone.communicate()
    saved = checkpoint.stat().st_mtime_ns

    group = torchrun(*command)
    waited_for(lambda: checkpoint.stat().st_mtime_ns > saved)
    group.send_signal(signal.SIGINT)
    _, err = group.communicate(timeout=60)
    assert group.returncode != 0
    assert "saving, then stopping" in err
    saved = checkpoint.stat().st_mtime_ns

    group = torchrun(*command)
    waited_for(lambda: checkpoint.stat().st_mtime_ns > saved)
    lost = min(children_of(group.pid), key=rank_of)  # it writes the files
    os.kill(lost, signal.SIGKILL)
    killed = time.monotonic()
    _, err = group.communicate(timeout=60)
    assert time.monotonic() - killed < 30
    assert group.returncode != 0
    assert "2 processes: 2 share out the paths, 1 the images of a mini-batch" in err
    assert "fairnas: another process of the group ended" in err
    assert "run the same command again to go on from the last checkpoint" in err
    assert not (path / "ledger.json").exists()

    going_on = start("train", "--run", path, "--json")
    out, err = going_on.communicate(timeout=200)
    assert going_on.returncode == 0, err
    fairness = json.loads(out)["fairness"]
    assert (fairness["strict_fair"], fairness["steps"], fairness["updates_min"]) == (True, 60, 60)
    assert (path / "metrics.jsonl").read_text().count('"stage": "train"') == 20


@pytest.mark.slow
def test_two_train_and_when_the_first_is_lost_the_other_says_so_and_keeps_the_checkpoint(group, tmp_path):
    path = tmp_path / "run"
    checkpoint = path / "supernet" / "checkpoint.pt"
    first, second = group("train", "digits", "--out", path, *TINY, "--train.epochs", "200")
    waited_for(checkpoint.exists)
    first.kill()  # it writes the files
    killed = time.monotonic()
    _, err = second.communicate(timeout=60)
    assert time.monotonic() - killed < 30
    assert second.returncode == 1
    assert "fairnas: another process of the group ended" in err
    assert "run the same command again to go on from the last checkpoint" in err
    assert checkpoint.exists()
    assert not (path / "ledger.json").exists()
    assert "2 processes: 2 share out the paths, 1 the images of a mini-batch" in first.communicate()[1]


@pytest.mark.slow
def test_what_a_group_cannot_share_is_refused_once_and_nothing_is_written(group, tmp_path):
    path = tmp_path / "run"
    options = ["--train.strategy", "uniform", "--resources.path-processes", "2"]
    both = group("train", "digits", "--out", path, *TINY, *options)
    lines = [line for process in both for line in process.communicate()[1].splitlines() if line.startswith("fairnas: ")]
    assert all(process.returncode == 2 for process in both)
    assert len(lines) == 1
    assert lines[0].startswith("fairnas: resources.path_processes is 2, but 'uniform' updates after one path at a time")
    assert not path.exists()


@pytest.mark.slow
@pytest.mark.full
def test_what_cannot_be_shared_is_refused_once_before_anything_starts(tmp_path):
    path = tmp_path / "run"
    options = ["--train.strategy", "uniform", "--resources.path-processes", "2"]
    group = torchrun("train", "digits", "--out", path, *TINY, *options)
    _, err = group.communicate(timeout=120)
    assert group.returncode != 0
    lines = [line for line in err.splitlines() if line.startswith("fairnas: ")]
    assert len(lines) == 1
    assert lines[0].startswith("fairnas: resources.path_processes is 2, but 'uniform' updates after one path at a time")
    assert not path.exists()


@pytest.mark.slow
def test_other_verbs_are_not_for_several_processes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    process = start_anew("report", "--run", "nowhere")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == "fairnas: torchrun starts several processes, and `fairnas report` works in one; start it without\n"
