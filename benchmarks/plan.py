"""`python -m benchmarks.plan [RECIPE] [flags of fairnas run]`: what `fairnas plan` foresees beside what then happens.

Plans a run, does it in a temporary folder, and prints both stage by stage. Each happens in a process of its own, as a
user would do it. The true times are those between the stages' records in the run directory.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.timing import Machine
from fairnas.cli.output import print_json, print_table

USAGE = """usage: python -m benchmarks.plan [RECIPE] [--json] [flags of fairnas run]

Plan a run, do it, and compare stage by stage. RECIPE is digits unless given, which takes some minutes.

For example: python -m benchmarks.plan digits --train.epochs 10
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, plan, run, print. Returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if "--help" in given or "-h" in given:
        print(USAGE, end="")
        return 0
    as_json = "--json" in given
    given = [argument for argument in given if argument != "--json"]
    if not given or given[0].startswith("-"):
        given.insert(0, "digits")
    try:
        result = measure(given)
    except subprocess.CalledProcessError as error:
        return error.returncode  # the command has said why
    if as_json:
        print_json(result)
        return 0
    rows = [
        [row["stage"], f"{row['foreseen_s']:.1f}", f"{row['true_s']:.1f}", f"{row['ratio']:.2f}"]
        for row in (*result["stages"], {"stage": "in all", **result["whole"]})
    ]
    print_table(("stage", " foreseen s", " true s", " foreseen / true"), rows)
    print(f"planned in {result['planning_s']:.0f} s on {Machine(**result['machine'])}")
    return 0


def measure(arguments: Sequence[str]) -> dict[str, Any]:
    """Plan and run. Raises `CalledProcessError` if either fails, after its own words on standard error."""
    begin = time.monotonic()
    plan = _fairnas("plan", *arguments)
    planning = time.monotonic() - begin
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        _fairnas("run", *arguments, "--out", str(run))
        records = json.loads((run / "stages.json").read_text(encoding="utf-8"))["stages"]
        before = (run / "config.toml").stat().st_mtime  # the first file of a run
        disk = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    stages = []
    for stage in plan["stages"]:
        after = records[stage["name"]]["at"]
        stages.append({"stage": stage["name"], **_beside(stage["seconds"], after - before)})
        before = after
    return {
        "benchmark": "plan",
        "arguments": list(arguments),
        "stages": stages,
        "whole": _beside(plan["seconds"], sum(row["true_s"] for row in stages)),
        "disk": {"foreseen": plan["disk"], "in_the_end": disk},
        "planning_s": planning,
        "machine": Machine.here().to_dict(),
    }


def _beside(foreseen: float, true: float) -> dict[str, float]:
    return {"foreseen_s": foreseen, "true_s": true, "ratio": foreseen / true}


def _fairnas(*arguments: str) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "fairnas", *arguments, "--json"], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
