"""Figure 11: the evolution of the search of a run, from its archive and `search.json`. Nothing is scored."""

import dataclasses
import json
from pathlib import Path
from typing import Any

from fairnas.errors import RunDirectoryError
from fairnas.report.figure_11 import Evolution, findings, milestones_as_numbers, render_evolution
from fairnas.report.inputs import read_inputs
from fairnas.rundir import RunDirectory
from fairnas.search.mutators import Tally
from fairnas.versions import installed_versions
from fairnas.writing import write_atomically


def draw_figure_11(out: Path, path: Path, command: str) -> dict[str, Any]:
    """Write the page and its numbers, and return these.

    Raises:
        RunDirectoryError: if there is no run, its search is not finished, or its archive was not kept.
    """
    evolution = read_evolution(path, command)
    numbers = as_numbers(evolution)
    write_atomically(out / "figure11.json", (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(out / "figure11.html", render_evolution(evolution).encode())
    return numbers | {"page": str(out / "figure11.html")}


def read_evolution(path: Path, command: str) -> Evolution:
    """What a run directory holds of its search."""
    run = RunDirectory.open(path)
    run.require_finished("search")
    inputs = read_inputs(run)
    assert inputs.search is not None, "the search is finished"
    if not inputs.candidates:
        raise RunDirectoryError(
            f"{path / 'archive.sqlite'} holds no network of this search; `fairnas search --run {path}` makes it again"
        )
    plain = run.read_json("search.json")
    counts = dict(inputs.data.counts) if inputs.data else {}
    return Evolution(
        run=path.resolve().name,
        data=inputs.data.name if inputs.data else inputs.config.data.name,
        space=inputs.space.name,
        validation_images=counts.get("validation", 0),
        search=inputs.search,
        candidates=inputs.candidates,
        operators={name: Tally(**counts) for name, counts in plain.get("operators", {}).items()},
        command=command,
    )


def as_numbers(evolution: Evolution) -> dict[str, Any]:
    """The figure as plain data."""
    search = evolution.search
    return {
        "figure": 11,
        "run": evolution.run,
        "space": evolution.space,
        "data": evolution.data,
        "validation_images": evolution.validation_images,
        "searcher": search.searcher,
        "generations": search.generations,
        "evaluations": search.evaluations,
        "distinct": search.distinct,
        "networks": len(evolution.candidates),
        "hypervolume": list(search.hypervolume),
        "milestones": list(milestones_as_numbers(evolution)),
        "operators": {name: dataclasses.asdict(tally) for name, tally in evolution.operators.items()},
        "candidates": [dataclasses.asdict(each) for each in evolution.candidates],
        "sentences": list(findings(evolution)),
        "command": evolution.command,
        "versions": installed_versions(),
    }
