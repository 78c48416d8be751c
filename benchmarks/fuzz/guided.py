"""`python -m benchmarks.fuzz.guided --seconds 60`: the same readers, with input led by what of our code it reaches.

atheris (libFuzzer) counts the branches of `fairnas` that an input takes, and keeps those that take new ones to bend
them further. Half of the bends are the reader's own, which know its format, and half are libFuzzer's bytes. So it gets
where bending valid examples once does not: wounds on wounds. Each reader has a process, because libFuzzer ends its own.
"""

import importlib.util
import json
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import tyro

if TYPE_CHECKING:
    from benchmarks.fuzz.attempt import Target

FINDINGS = "findings.jsonl"
_LONGEST = 1 << 16  # bytes of an input: longer ones only cost time


@dataclass(frozen=True)
class GuidedCommand:
    """Give readers input that is led by coverage. Needs atheris."""

    seconds: int = 60
    """For each reader."""
    targets: tuple[str, ...] = ()
    """Some readers only; default: those written in Python throughout, where coverage can lead."""
    seed: int = 1
    """Seed of libFuzzer; not 0."""
    out: Path = Path("fuzz-findings")
    """Folder for findings, which `python -m benchmarks.fuzz --again` accepts."""
    json: bool = False
    """Print one JSON object and nothing else."""


DEFAULT = (
    *("genome", "genomes file", "configuration TOML", "space TOML", "space JSON", "checkpoint", "archive", "ledger"),
    *("stages.json", "latency table", "latency records", "figure.json", "zoo latencies", "scores of an arm"),
    *("profiles of systems", "searches of Figure 6", "safetensors", "model.json of an export"),
    "request to the live page",
)


def try_guided(name: str, given: GuidedCommand) -> dict[str, Any]:
    """Let libFuzzer lead one reader for a while, in a process of its own.

    Returns:
        `inputs`, `branches` that the valid examples reach and `reached` in the end, `findings`, and `kept`.

    Raises `RuntimeError` with what libFuzzer said if it did not end by itself.
    """
    with tempfile.TemporaryDirectory(prefix="fairnas-guided-") as folder:
        # spawned: modules have to be imported anew, with their branches counted
        process = multiprocessing.get_context("spawn").Process(target=_lead, args=(name, given, Path(folder)))
        process.start()
        process.join()
        said = (Path(folder) / "said").read_text(errors="replace")
        findings = Path(folder) / FINDINGS
        kept = [json.loads(line) for line in findings.read_text().splitlines()] if findings.exists() else []
    counts = re.findall(r"^#(\d+)\s+(\w+)\s+cov: (\d+)", said, re.MULTILINE)
    begun = [int(covered) for _, event, covered in counts if event == "INITED"]
    if not begun or process.exitcode != 0:
        raise RuntimeError(f"{name}: libFuzzer ended with {process.exitcode}: {said[-2000:]}")
    inputs, _, reached = counts[-1]
    return {
        "inputs": int(inputs),
        "branches": begun[0],
        "reached": int(reached),
        "findings": len(kept),
        "kept": kept,
    }


def _lead(name: str, given: GuidedCommand, folder: Path) -> None:
    """Run libFuzzer in the reader's process; does not return."""
    import atheris

    said = os.open(folder / "said", os.O_WRONLY | os.O_CREAT)
    os.dup2(said, 1), os.dup2(said, 2)
    with atheris.instrument_imports(include=["fairnas"]):
        from benchmarks.fuzz.attempt import attempt
        from benchmarks.fuzz.targets import TARGETS
    target, known = TARGETS[name], set[str]()
    (folder / "examples").mkdir()
    for number, example in enumerate(target.valid()):
        (folder / "examples" / str(number)).write_bytes(example)
        attempt(target, folder / "warm", example, 60)  # imports, which are no reader's

    def once(content: bytes) -> None:
        look_at(target, content, folder, given, known)

    def bent(content: bytes, longest: int, seed: int) -> bytes:
        rng = Random(seed)
        if rng.random() < 0.5:
            return atheris.Mutate(content, longest)
        return _bent(target, rng, content)[:longest]

    options = [f"-max_total_time={given.seconds}", f"-seed={given.seed}", f"-max_len={_LONGEST}", "-timeout=0"]
    options += ["-rss_limit_mb=0", "-print_final_stats=0"]
    atheris.Setup([name, *options, str(folder / "examples")], once, custom_mutator=bent)
    atheris.Fuzz()


def look_at(target: "Target", content: bytes, folder: Path, given: GuidedCommand, known: set[str]) -> None:
    """Give one input to a reader; a finding of a kind that is not known yet is kept and noted in `folder`."""
    from benchmarks.fuzz.__main__ import kept_finding, kind_of
    from benchmarks.fuzz.attempt import attempt

    place = folder / "given"
    place.mkdir()
    finding = attempt(target, place, content).finding
    shutil.rmtree(place)
    if finding and kind_of(finding) not in known:
        known.add(kind_of(finding))
        line = kept_finding(given.out, target, given.seed, len(known), content, finding)
        with (folder / FINDINGS).open("a") as file:
            file.write(json.dumps(line) + "\n")


def _bent(target: "Target", rng: Random, content: bytes) -> bytes:
    """Change the content by the reader's own rule; if it no longer has its format, change a valid example instead."""
    try:
        return target.bend(rng, content)
    except Exception:  # whatever a format's own reader says
        return target.bend(rng, rng.choice(target.valid()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, try, print."""
    # not above: readers' processes import this file, and fairnas must be imported there with its branches counted
    from benchmarks.fuzz.targets import TARGETS
    from fairnas.cli.output import print_json, print_table

    given = tyro.cli(
        GuidedCommand, args=arguments, prog="python -m benchmarks.fuzz.guided", config=(tyro.conf.FlagCreatePairsOff,)
    )
    unknown = [name for name in given.targets if name not in TARGETS]
    if unknown or importlib.util.find_spec("atheris") is None:
        why = (
            f"unknown target {unknown[0]!r} (targets: {', '.join(TARGETS)})" if unknown else "atheris is not installed"
        )
        print(f"benchmarks.fuzz.guided: {why}", file=sys.stderr)
        return 2
    results: dict[str, dict[str, Any]] = {}
    for name in given.targets or DEFAULT:
        results[name] = try_guided(name, given)
        print(f"{name}: {results[name]['inputs']:,} inputs", file=sys.stderr, flush=True)
        for line in results[name]["kept"]:
            print(f"  {line}", file=sys.stderr, flush=True)
    if given.json:
        print_json({"seed": given.seed, "seconds": given.seconds, "targets": results})
    else:
        rows = [
            (name, f"{found['inputs']:,}", f"{found['branches']:,}", f"{found['reached']:,}", str(found["findings"]))
            for name, found in results.items()
        ]
        print_table(("reader", "  inputs", "branches of valid ones", " reached", "findings"), rows)
    return 1 if any(found["findings"] for found in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
