"""`python -m benchmarks.fuzz --inputs 100000 --seed 0`: hostile input for every reader, a process per reader.

Exit code 1 if there are findings. Each is in the folder `--out`: the input, and beside it what was wrong with it.
`--again FILE` gives such an input to its reader once more, with the traceback.
"""

import json
import multiprocessing
import re
import resource
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.fuzz.attempt import SECONDS, Target, attempt, input_of
from benchmarks.fuzz.targets import TARGETS
from fairnas.cli.output import print_json, print_table

_ROOM = 6 << 30  # bytes of address space beyond what the libraries have taken


@dataclass(frozen=True)
class FuzzCommand:
    """Give hostile input to every reader of fairnas."""

    inputs: int = 100_000
    """Over all readers together."""
    seed: int = 0
    """Inputs are a function of it, of the reader and of their number."""
    target: str | None = None
    """One reader only."""
    out: Path = Path("fuzz-findings")
    """Folder for findings."""
    again: Path | None = None
    """A finding to try again."""
    json: bool = False
    """Print one JSON object and nothing else."""
    jobs: int = 1
    """Readers tried at the same time."""


def inputs_of(target: Target, total: int) -> int:
    """Number of inputs for one reader, according to its share, at least one."""
    return max(1, round(total * target.share / sum(each.share for each in TARGETS.values())))


def try_target(target: Target, count: int, seed: int, out: Path, mark: Path | None = None) -> dict[str, Any]:
    """Give a reader its valid examples and `count` bent ones.

    Args:
        target: the reader.
        count: of bent inputs.
        seed: of the inputs.
        out: where findings are written.
        mark: a file that always holds the number of the input being tried, to be read after a crash.
    """
    began, examples, findings = time.monotonic(), target.valid(), list[str]()
    accepted, kinds = 0, Counter[str]()
    with tempfile.TemporaryDirectory(prefix="fairnas-fuzz-") as scratch:
        folder = Path(scratch) / "given"
        for number in range(-len(examples), count):
            content = examples[number] if number < 0 else input_of(target, examples, seed, number)
            if mark is not None:
                mark.write_text(str(number))
            folder.mkdir()
            # the first ones also wait for imports, which are no reader's
            outcome = attempt(target, folder, content, SECONDS if number >= 0 else 60)
            shutil.rmtree(folder)
            accepted += outcome.accepted and number >= 0
            finding = outcome.finding or ("" if outcome.accepted or number >= 0 else "a valid example is refused")
            if finding:
                kind = kind_of(finding)
                kinds[kind] += 1
                if kinds[kind] == 1:
                    findings.append(kept_finding(out, target, seed, number, content, finding))
    seconds = time.monotonic() - began
    return {
        "inputs": count,
        "accepted": accepted,
        "findings": sum(kinds.values()),
        "seconds": seconds,
        "kept": findings,
    }


def kind_of(finding: str) -> str:
    """A finding without its numbers and what it quotes: of each kind, one is kept."""
    return re.sub(r"[\d,]+", "#", finding.partition("'")[0])[:80]


def kept_finding(out: Path, target: Target, seed: int, number: int, content: bytes, finding: str) -> str:
    """Write an input and what is wrong with it, for `--again`; return both in one line."""
    out.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"\W+", "-", target.name) + f"-{seed}-{number}"
    (out / f"{name}.input").write_bytes(content)
    (out / f"{name}.json").write_text(json.dumps({"target": target.name, "finding": finding}, indent=1) + "\n")
    return f"{name}: {finding}"


class _Trial:
    """A reader being tried in a process of its own, which a crash or a full memory ends alone; that is a finding."""

    def __init__(self, target: Target, given: FuzzCommand, folder: Path) -> None:
        self._target, self._given = target, given
        self._count = inputs_of(target, given.inputs) if given.target is None else given.inputs
        name = str(abs(hash(target.name)))
        self._mark, self._result = folder / f"{name}.mark", folder / f"{name}.json"
        # forked, because importing torch for every reader would take longer than many of the readers do
        self.process = multiprocessing.get_context("fork").Process(target=self._try)
        self.process.start()

    def _try(self) -> None:
        self._target.valid()
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (taken + _ROOM, taken + _ROOM))
        found = try_target(self._target, self._count, self._given.seed, self._given.out, self._mark)
        self._result.write_text(json.dumps(found))

    def result(self) -> dict[str, Any]:
        """Result of the inputs tried, once the process has ended."""
        if self._result.exists():
            return json.loads(self._result.read_text())
        number, seed = int(self._mark.read_text()), self._given.seed
        examples = self._target.valid()
        content = input_of(self._target, examples, seed, number) if number >= 0 else examples[number]
        finding = f"the process ended with {self.process.exitcode}"
        kept = kept_finding(self._given.out, self._target, seed, number, content, finding)
        return {"inputs": number, "accepted": 0, "findings": 1, "seconds": 0.0, "kept": [kept]}


def _tried(given: FuzzCommand) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every reader's result, `--jobs` of them at a time, in the order in which they end."""
    waiting = [name for name in TARGETS if given.target in (None, name)]
    running: dict[str, _Trial] = {}
    with tempfile.TemporaryDirectory(prefix="fairnas-fuzz-") as folder:
        while waiting or running:
            while waiting and len(running) < given.jobs:
                name = waiting.pop(0)
                running[name] = _Trial(TARGETS[name], given, Path(folder))
            time.sleep(0.02)
            for name in [name for name, trial in running.items() if not trial.process.is_alive()]:
                yield name, running.pop(name).result()


def _again(path: Path) -> int:
    target = TARGETS[json.loads(path.with_suffix(".json").read_text())["target"]]
    with tempfile.TemporaryDirectory() as folder:
        target.read(Path(folder), path.with_suffix(".input").read_bytes())
    print("accepted")
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Parse, try, print."""
    given = tyro.cli(
        FuzzCommand, args=arguments, prog="python -m benchmarks.fuzz", config=(tyro.conf.FlagCreatePairsOff,)
    )
    if given.again is not None:
        return _again(given.again)
    if given.target is not None and given.target not in TARGETS:
        print(f"benchmarks.fuzz: unknown target {given.target!r} (targets: {', '.join(TARGETS)})", file=sys.stderr)
        return 2
    results: dict[str, dict[str, Any]] = {}
    for name, result in _tried(given):
        results[name] = result
        print(f"{name}: {result['inputs']:,} inputs, {result['seconds']:.0f} s", file=sys.stderr, flush=True)
        for line in result["kept"]:
            print(f"  {line}", file=sys.stderr, flush=True)
    results = {name: results[name] for name in TARGETS if name in results}
    total = {key: sum(each[key] for each in results.values()) for key in ("inputs", "accepted", "findings", "seconds")}
    if given.json:
        print_json({"seed": given.seed, "limit_seconds": SECONDS, "targets": results, "total": total})
    else:
        rows = [_row(name, result) for name, result in (*results.items(), ("all", total))]
        print_table(("reader", "  inputs", "accepted", " refused", "findings", "seconds"), rows)
    return 1 if total["findings"] else 0


def _row(name: str, result: dict[str, Any]) -> tuple[str, ...]:
    refused = result["inputs"] - result["accepted"] - result["findings"]
    return (
        name,
        f"{result['inputs']:,}",
        f"{result['accepted']:,}",
        f"{max(0, refused):,}",
        str(result["findings"]),
        f"{result['seconds']:.0f}",
    )


if __name__ == "__main__":
    sys.exit(main())
