"""`python -m benchmarks.kills`: whole runs, killed at random moments of every stage, end as the undisturbed one did.

A kill is SIGKILL to the command and all its processes. Several fall into one run, which goes on after each in the same
directory; then it is left to finish and compared, file by file. Repeated with the same --out, it goes on.
"""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.command import run
from benchmarks.sameness import LEFT_OUT, differences
from benchmarks.timing import Machine
from fairnas.atomic_files import write_atomically
from fairnas.errors import ConfigError, FairnasError
from fairnas.randomness import generator

STAGES = ("start", "train", "search", "retrain", "rank", "export", "report")
SHORT = (
    "--data.train-per-class", "12", "--data.validation-per-class", "5", "--train.epochs", "2",
    "--train.batch-size", "40", "--search.population", "8", "--search.generations", "3", "--search.select", "2",
    "--stand-alone.models", "4", "--stand-alone.seeds", "2", "--stand-alone.epochs", "1",
    "--resources.processes", "2", "--resources.checkpoint-steps", "1",
)  # fmt: skip
"""Settings of a run of `digits` that is short and has every stage; it saves after every step."""
PER_RUN = 10
"""Kills that fall into one run before it is left to finish."""
_POLL_SECONDS = 0.005


class RunsDiffer(FairnasError):
    """A run that was killed did not end as the undisturbed one, or not at all."""


@dataclass(frozen=True)
class KillsBenchmark:
    """Kill runs of `digits` at random moments; compare how they end with one that was left alone.

    For example: python -m benchmarks.kills --kills 200 --out kills
    """

    out: Path
    """Folder for the runs; a new one, or that of a call before, which then goes on."""
    kills: int = 200
    """Number of kills."""
    seed: int = 0
    """Seed of the moments."""
    json: bool = False
    """Print one JSON object and nothing else."""


@dataclass
class _Record:
    """Record of the kills so far, in a file, so that this benchmark can be interrupted too."""

    path: Path
    seed: int
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of each stage of the undisturbed run."""
    kills: list[tuple[int, str]] = field(default_factory=list)
    """Number of the run, and the stage that was killed."""
    compared: list[int] = field(default_factory=list)
    """Runs that finished and were the same."""
    seconds: float = 0.0

    @staticmethod
    def open(path: Path, seed: int) -> "_Record":
        if not path.exists():
            return _Record(path, seed)
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["seed"] != seed:
            raise ConfigError(f"{path} is of --seed {found['seed']}; give that, or another --out")
        kills = [(number, stage) for number, stage in found["kills"]]
        return _Record(path, seed, found["stages"], kills, found["compared"], found["seconds"])

    def save(self) -> None:
        content = {key: value for key, value in vars(self).items() if key != "path"}
        write_atomically(self.path, json.dumps(content).encode())


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print. Returns the exit code."""
    return run("kills", KillsBenchmark, measure, show, arguments)


def show(given: KillsBenchmark, result: dict[str, Any]) -> None:
    """Print the result for people."""
    stages = ", ".join(f"{name} {result['stages'].get(name, 0)}" for name in STAGES)
    print(
        f"kills         {result['kills']} in {result['runs']} runs, seed {given.seed}\n"
        f"  by stage    {stages}\n"
        f"  differences {result['differences']} files in all runs, beside one that was left alone\n"
        f"  seconds     {result['seconds']:,.0f}\n"
        f"  machine     {Machine(**result['machine'])}"
    )


def measure(given: KillsBenchmark) -> dict[str, Any]:
    """Do it. Raises `RunsDiffer` at the first difference; the run that has it stays where it is."""
    if given.kills < 1:
        raise ConfigError(f"--kills is {given.kills}; give 1 or more")
    given.out.mkdir(parents=True, exist_ok=True)
    record = _Record.open(given.out / "kills.json", given.seed)
    undisturbed = given.out / "undisturbed" / "run"
    if not record.stages:
        record.stages = _left_alone(undisturbed)
        record.save()
    number = len(record.compared)
    while len(record.kills) < given.kills or number in {of for of, _ in record.kills}:
        begin = time.monotonic()
        done = sum(of == number for of, _ in record.kills)
        _killed_run(given, record, number, done, min(PER_RUN - done, given.kills - len(record.kills)))
        found = differences(given.out / f"{number:03d}" / "run", undisturbed)
        if found:
            raise RunsDiffer(f"{given.out / f'{number:03d}'} differs from {undisturbed} in {', '.join(found)}")
        record.compared.append(number)
        record.seconds += time.monotonic() - begin
        record.save()
        print(f"kills: {len(record.kills)}/{given.kills}, run {number} ended the same", file=sys.stderr, flush=True)
        number += 1
    return {
        "benchmark": "kills",
        "kills": len(record.kills),
        "runs": len(record.compared),
        "stages": dict(Counter(stage for _, stage in record.kills)),
        "differences": 0,
        "left_out": LEFT_OUT,
        "seconds": record.seconds,
        "machine": Machine.here().to_dict(),
    }


def _killed_run(given: KillsBenchmark, record: _Record, number: int, done: int, count: int) -> None:
    """Kill one run so often, from its first stage to its last, and let it finish."""
    path = given.out / f"{number:03d}" / "run"
    for moment in planned_moments(given.seed, number, record.stages)[done : done + count]:
        stage = _killed_at(path, moment)
        if stage is None:  # it had ended before
            return
        record.kills.append((number, stage))
        record.save()
        print(f"kills: {len(record.kills)}/{given.kills}, in '{stage}'", file=sys.stderr, flush=True)
    _finish(path)


def planned_moments(seed: int, number: int, stages: dict[str, float]) -> list[tuple[int, float]]:
    """Moments of the kills in one run: stage, and seconds after its beginning, in the order of the stages."""
    rng = generator(seed, "kills", number)
    chosen = np.sort(rng.integers(len(STAGES), size=PER_RUN))
    return [(int(stage), float(rng.uniform(0, stages[STAGES[stage]]))) for stage in chosen]


def _killed_at(path: Path, moment: tuple[int, float]) -> str | None:
    """Start the run and kill it. The stage that was killed; None if the run ended before."""
    wanted, seconds = moment
    process, log = _start(path)
    while process.poll() is None and _stage_in(log) < wanted:
        time.sleep(_POLL_SECONDS)
    until = time.monotonic() + seconds
    while process.poll() is None and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    if process.wait() == -signal.SIGKILL:
        return STAGES[_stage_in(log)]
    _require_success(process, log)
    return None


def _finish(path: Path) -> None:
    process, log = _start(path)
    process.wait()
    _require_success(process, log)


def _left_alone(path: Path) -> dict[str, float]:
    """Do the run and return the seconds of its stages."""
    process, log = _start(path)
    begun = {0: time.monotonic()}
    while process.poll() is None:
        begun.setdefault(_stage_in(log), time.monotonic())
        time.sleep(_POLL_SECONDS)
    _require_success(process, log)
    ends = [*list(begun.values())[1:], time.monotonic()]
    return {STAGES[stage]: end - at for (stage, at), end in zip(begun.items(), ends, strict=True)}


def _start(path: Path) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the command in a group of its own, which a kill reaches as a whole, telling its progress to a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    log = path.parent / "log.txt"
    command = [sys.executable, "-m", "fairnas", "run", "digits", "--out", str(path), *SHORT]
    with open(log, "wb") as file:
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=file, env=environment, start_new_session=True
        ), log


def _stage_in(log: Path) -> int:
    """Number of the stage that began last; 0 before the first."""
    return max((int(number) for number in re.findall(r"^\[(\d)/6\]", log.read_text("utf-8"), re.MULTILINE)), default=0)


def _require_success(process: subprocess.Popen[bytes], log: Path) -> None:
    if process.returncode:
        last = (log.read_text("utf-8").splitlines() or ["nothing was said"])[-1]
        raise RunsDiffer(f"a run that went on after kills ended with code {process.returncode}: {last}")


if __name__ == "__main__":
    sys.exit(main())
