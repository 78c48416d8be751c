"""`python -m benchmarks.locks`: pairs of processes that begin a run in the same directory at once.

Of each pair, one has to hold the directory, alone and with its own configuration from its first look to its last; the
other has to be refused. Some of them give up before anything is written, and must then leave nothing behind. With
--folder, any file system can be tried, from one machine: what a network file system does between machines, it does not
show.
"""

import dataclasses
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.command import run
from fairnas.configfile import from_toml, to_toml
from fairnas.errors import ConfigError, FairnasError, RunDirectoryError
from fairnas.randomness import generator
from fairnas.recipes import digits
from fairnas.rundir import RunDirectory

HELD, REFUSED, GAVE_UP = "held", "refused", "gave up"
OUTCOMES = (
    HELD, REFUSED, GAVE_UP, "holds a run of the other configuration", "both hold it",
    "the configuration changed while it was held", "another error",
)  # fmt: skip
"""What becomes of a process, as its exit code less 10."""
RIGHT = ({HELD, REFUSED}, {HELD, GAVE_UP}, {REFUSED, GAVE_UP}, {GAVE_UP})
"""What may become of a pair."""
_CODE = 10
_HOLD_SECONDS = 0.002
WORKER = "import sys; from benchmarks.locks import worker; sys.exit(worker(sys.argv[1:]))"


@dataclass(frozen=True)
class LocksBenchmark:
    """Begin runs in the same directory by pairs of processes at once; see that one of each pair is refused.

    For example: python -m benchmarks.locks --pairs 2000 --real-pairs 50
    """

    pairs: int = 500
    """Of processes that are forked."""
    real_pairs: int = 20
    """Of processes that are started with a Python of their own."""
    folder: Path | None = None
    """On the file system that is tried; default: the system's temporary folder."""
    seed: int = 0
    """Of who gives up, and of what was there before."""
    json: bool = False
    """Print one JSON object and nothing else."""


class LockFailed(FairnasError):
    """Two processes held one directory, or one lost its own."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print. Returns the exit code."""
    return run("locks", LocksBenchmark, measure, show, arguments)


def show(given: LocksBenchmark, result: dict[str, Any]) -> None:
    """Print the result for people."""
    from benchmarks.timing import Machine

    found = ", ".join(f"{each['outcomes']} {each['pairs']}" for each in result["found"])
    print(
        f"locks         {given.pairs} forked pairs and {given.real_pairs} real ones, seed {given.seed}\n"
        f"  outcomes    {found}\n"
        f"  seconds     {result['seconds']:,.0f}\n"
        f"  machine     {Machine(**result['machine'])}"
    )


def measure(given: LocksBenchmark) -> dict[str, Any]:
    """Do it. Raises `LockFailed` if any pair went wrong, with how many of them did."""
    for name, number in (("pairs", given.pairs), ("real-pairs", given.real_pairs)):
        if number < 0:
            raise ConfigError(f"--{name} is {number}; give 0 or more")
    begin = time.monotonic()  # without torch, which would make forking slow
    found = Counter(forked_pairs(given.pairs, given.seed, given.folder))
    found += Counter(real_pairs(given.real_pairs, given.seed, given.folder))
    wrong = {pair: count for pair, count in found.items() if set(pair) not in RIGHT}
    if wrong:
        told = "; ".join(f"{' and '.join(pair)}: {count}" for pair, count in wrong.items())
        raise LockFailed(f"{sum(wrong.values())} of {sum(found.values())} pairs went wrong ({told})")
    seconds = time.monotonic() - begin
    from benchmarks.timing import Machine

    return {
        "benchmark": "locks",
        "found": [{"outcomes": " and ".join(pair), "pairs": count} for pair, count in found.items()],
        "seconds": seconds,
        "machine": Machine.here().to_dict(),
    }


def forked_pairs(count: int, seed: int = 0, folder: Path | None = None) -> list[tuple[str, str]]:
    """Outcomes of pairs of processes forked from this one, which begin at the same moment."""
    rng, found = generator(seed, "forked pairs"), []
    from_toml(to_toml(digits()))  # what it imports is imported once for all
    for _ in range(count):
        gives_up, prepared = rng.random(2) < 0.2, int(rng.integers(3))
        with tempfile.TemporaryDirectory(prefix="fairnas-locks-", dir=folder) as place:
            path = _prepared(Path(place), prepared)
            ready, go = os.pipe()
            children = [_forked(path, number, bool(gives_up[number]), ready, go) for number in (0, 1)]
            os.close(ready)
            os.close(go)  # now they begin
            codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            found.append(_judged(path, codes))
    return found


def _forked(path: Path, number: int, gives_up: bool, ready: int, go: int) -> int:
    child = os.fork()
    if child:
        return child
    code = _CODE + len(OUTCOMES) - 1
    try:
        os.close(go)
        os.read(ready, 1)
        code = take_part(path, number, gives_up)
    finally:
        os._exit(code)


def real_pairs(count: int, seed: int = 0, folder: Path | None = None) -> list[tuple[str, str]]:
    """The same of processes with a Python of their own each."""
    rng, found = generator(seed, "real pairs"), []
    for _ in range(count):
        gives_up, prepared = rng.random(2) < 0.2, int(rng.integers(3))
        with tempfile.TemporaryDirectory(prefix="fairnas-locks-", dir=folder) as place:
            path = _prepared(Path(place), prepared)
            pair = [
                subprocess.Popen(
                    [sys.executable, "-c", WORKER, str(path), str(number), str(int(gives_up[number]))],
                    stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                )
                for number in (0, 1)
            ]  # fmt: skip
            for process in pair:
                assert process.stdout is not None
                process.stdout.readline()  # it has imported all that it needs
            for process in pair:
                assert process.stdin is not None
                process.stdin.close()
            codes = [process.wait() for process in pair]
            for process in pair:
                assert process.stdout is not None
                process.stdout.close()
            found.append(_judged(path, codes))
    return found


def worker(arguments: Sequence[str]) -> int:
    """One of a pair, in a process of its own: it begins when its standard input ends."""
    path, number, gives_up = arguments
    print("ready", flush=True)
    sys.stdin.read()
    return take_part(Path(path), int(number), gives_up == "1")


def take_part(path: Path, number: int, gives_up: bool) -> int:
    """Begin the run number 0 or 1 of a pair, look for a while whether it is one's own, and return the exit code."""
    return _CODE + OUTCOMES.index(_outcome(path, number, gives_up))


def _outcome(path: Path, number: int, gives_up: bool) -> str:
    config, inside = dataclasses.replace(digits(), seed=number), path.parent.parent / "inside"
    try:
        with RunDirectory.begin(path) as run:
            if gives_up:
                return GAVE_UP
            run.configure(config)
            if run.config != config:
                return "holds a run of the other configuration"
            try:
                os.close(os.open(inside, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
            except FileExistsError:
                return "both hold it"
            time.sleep(_HOLD_SECONDS)
            inside.unlink()
            return HELD if run.config == config else "the configuration changed while it was held"
    except RunDirectoryError:
        return REFUSED


def _prepared(place: Path, kind: int) -> Path:
    """A directory for a run, in a folder that is made with it: absent, empty, or as a kill left it that came early."""
    path = place / "folder" / "run"
    if kind:
        path.mkdir(parents=True)
    if kind == 2:
        (path / ".lock").write_text("999999999\n")
    return path


def _judged(path: Path, codes: Sequence[int]) -> tuple[str, str]:
    """What became of a pair; a directory that does not hold just what it should is an error, too."""
    names = [code - _CODE if 0 <= code - _CODE < len(OUTCOMES) else -1 for code in codes]
    first, second = sorted(OUTCOMES[name] for name in names)
    is_begun = (path / "config.toml").exists()
    files = {file.name for file in path.iterdir()} if path.exists() else set()
    if is_begun != (HELD in (first, second)) or files - {".lock", "config.toml"}:
        return first, OUTCOMES[-1]
    return first, second


if __name__ == "__main__":
    sys.exit(main())
