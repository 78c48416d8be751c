"""Killed at any moment, a run goes on and ends as the undisturbed one did. `benchmarks.kills` does it at length.

The clock of the killed runs goes back all the time, and each process has another date: nothing depends on either.
"""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import pytest

from benchmarks.sameness import differences
from fairnas.randomness import generator
from fairnas.rundir import RunDirectory
from tests import forked
from tests.cli.process import SMALLEST, start

PROGRAM = """
import json, os, re, signal, sys, time
from pathlib import Path
from benchmarks.sameness import differences
from fairnas.cli.main import main
from fairnas.randomness import generator

folder, kills, settings = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
log = folder / "log.txt"


def run(path):
    return main(["run", "digits", "--out", str(path), "--json", *settings])


def stage():
    return max((int(n) for n in re.findall(r"^\\[(\\d)/6\\]", log.read_text(), re.MULTILINE)), default=0)


def started(path, clock=None):
    log.write_bytes(b"")
    child = os.fork()
    if not child:
        with open(log, "ab", buffering=0) as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        if clock:
            time.time = clock
        os._exit(run(path))
    return child


def watched(child, moments):
    # Kill it at the first of the moments that come up, a stage and seconds after that began; else let it end.
    begun = {0: time.monotonic()}
    while True:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return begun, status
        now, at = time.monotonic(), stage()
        begun.setdefault(at, now)
        if any(begun.get(wanted, now + 1) + after <= now for wanted, after in moments):
            os.kill(child, signal.SIGKILL)
            return begun, os.waitpid(child, 0)[1]
        time.sleep(0.002)


assert run(folder / "warm" / "run") == 0  # everything is imported once, for all children
begun, status = watched(started(folder / "undisturbed" / "run"), [])
assert status == 0, log.read_text()
ends = [*list(begun.values())[1:], time.monotonic()]
lengths = {each: end - at for (each, at), end in zip(begun.items(), ends)}
rng = generator(0, "kills")
now, begin = time.time(), time.monotonic()


def backwards():
    # A clock that loses a day every second, within a process and from one to the next.
    return now - 86_400 * (time.monotonic() - begin)


killed = []
for wanted in range(7):
    for _ in range(kills):
        moment = wanted, rng.uniform(0, 0.6 * lengths[wanted])  # what was done before is not done again
        _, status = watched(started(folder / "killed" / "run", backwards), [moment])
        if status == signal.SIGKILL:
            killed.append(stage())
assert watched(started(folder / "killed" / "run", backwards), [])[1] == 0, log.read_text()
found = differences(folder / "killed" / "run", folder / "undisturbed" / "run")
again = differences(folder / "warm" / "run", folder / "undisturbed" / "run")
print(json.dumps({"killed": killed, "differences": found, "again": again, "lengths": lengths}))
"""


def start_and_wait_for(stage: int, path):
    """Start the run and return its process once a stage has begun."""
    process = start("run", "digits", "--out", path, "--json", *SMALLEST)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(f"[{stage}/6]"):
            return process
    raise AssertionError(process.communicate())


BACKWARDS = """
import sys, time
now, begin = float(sys.argv[1]), time.monotonic()
time.time = lambda: now - 86_400 * (time.monotonic() - begin)
from fairnas.cli.main import main
raise SystemExit(main(sys.argv[2:]))
"""


@pytest.mark.slow
def test_killed_once_in_every_stage_it_ends_as_the_undisturbed_one(smallest_run, tmp_path):
    path, rng = tmp_path / "run", generator(0, "kills")
    killed = 0
    for stage in range(1, 7):
        process = forked.start("-c", BACKWARDS, -1e6 * stage, "run", "digits", "--out", path, "--json", *SMALLEST)
        for line in process.stderr:
            if line.startswith(f"[{stage}/6]"):
                break
        time.sleep(rng.uniform(0, 0.5))
        process.kill()
        process.communicate()
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 5  # the last stage is a short one
    _, err = start("run", "digits", "--out", path, "--json", *SMALLEST).communicate()
    assert differences(path, smallest_run) == (), err
    assert not list(path.rglob("*.tmp"))


@pytest.mark.slow
@pytest.mark.full
def test_killed_in_every_stage_while_the_clock_goes_back_it_ends_as_the_undisturbed_one(tmp_path):
    command = [sys.executable, "-c", PROGRAM, str(tmp_path), "2", *SMALLEST]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["again"] == [], "two runs that nobody killed differ"
    assert result["differences"] == []
    counts = Counter(result["killed"])
    assert sum(counts.values()) >= 10
    assert len(counts) >= 6, counts
    assert not list(tmp_path.rglob("*.tmp"))


@pytest.fixture
def hangup_is_heard() -> Iterator[None]:
    """The tests may run under nohup, which processes inherit."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


@pytest.mark.slow
@pytest.mark.usefixtures("hangup_is_heard")
@pytest.mark.parametrize(
    ("stage", "number", "code", "last"),
    [
        (1, signal.SIGINT, 130, "interrupted"),
        pytest.param(4, signal.SIGINT, 130, "interrupted", marks=pytest.mark.full),
        pytest.param(1, signal.SIGHUP, 129, "the terminal was closed", marks=pytest.mark.full),
        (4, signal.SIGHUP, 129, "the terminal was closed"),
    ],
)
def test_ctrl_c_and_a_closed_terminal_save_and_tell(stage, number, code, last, smallest_run, fairnas, tmp_path):
    path = shutil.copytree(smallest_run, tmp_path / "run")
    (path / ("supernet/checkpoint.pt" if stage == 1 else "ranking.json")).unlink()
    for training in path.glob("stand_alone/*-s1.json"):
        training.unlink()
    process = start_and_wait_for(stage, path)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code, err
    assert out.count("\n") <= 1
    assert err.splitlines()[-1] == f"fairnas: {last}; run the same command again to go on"
    assert "Traceback" not in err
    verb = "train" if stage == 1 else "rank"
    if stage == 1:
        assert (path / "supernet" / "checkpoint.pt").exists()
    assert fairnas(verb, "--run", path).code == 0
    same = "ledger.json" if stage == 1 else "ranking.json"
    assert (path / same).read_bytes() == (smallest_run / same).read_bytes()


@pytest.mark.slow
def test_a_second_process_on_the_same_run_is_refused(tmp_path, fairnas):
    path = tmp_path / "run"
    holder = start("run", "digits", "--out", path, *SMALLEST)
    try:
        while not (path / "space.json").exists():  # written by who holds the run
            assert holder.poll() is None
            time.sleep(0.01)
        outcome = fairnas("run", "digits", "--out", path, *SMALLEST)
        assert outcome.code == 2
        assert outcome.err.count("\n") == 1
        assert f"{path} is in use by process {holder.pid}; wait for it, or give another directory" in outcome.err
    finally:
        holder.kill()
        holder.communicate()
    with RunDirectory.open(path).locked():
        pass  # a kill leaves no lock behind
