"""Figure 10: the trainings of the networks of a run's ranking study, from what they left in the run directory."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from fairnas.report.figure_10 import Course, draw_plates, findings, render_course
from fairnas.report.inputs import read_inputs
from fairnas.report.lessons import read_lessons
from fairnas.rundir import RunDirectory
from fairnas.versions import installed_versions
from fairnas.writing import write_atomically


def draw_figure_10(out: Path, path: Path, command: str) -> dict[str, Any]:
    """Write page, numbers, PNG and SVG, and return the numbers. Nothing is trained or scored.

    Raises:
        RunDirectoryError: if there is no run, its ranking study is not finished, or a training left no curve.
    """
    course = read_course(path, command)
    numbers = as_numbers(course)
    write_atomically(out / "figure10.json", (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(out / "figure10.html", render_course(course).encode())
    files = draw_plates(course, out)
    return numbers | {"page": str(out / "figure10.html"), "files": [str(file) for file in files]}


def read_course(path: Path, command: str) -> Course:
    """What a run directory holds of its stand-alone trainings."""
    run = RunDirectory.open(path)
    run.require_finished("rank")
    inputs = read_inputs(run)
    counts = dict(inputs.data.counts) if inputs.data else {}
    return Course(
        run=path.resolve().name,
        space=inputs.space.name,
        data=inputs.data.name if inputs.data else inputs.config.data.name,
        validation_images=counts.get("validation", 0),
        lessons=read_lessons(run, run.read_json("ranking.json")["models"]),
        command=command,
    )


def as_numbers(course: Course) -> dict[str, Any]:
    """The figure as plain data."""
    return {
        "figure": 10,
        "run": course.run,
        "space": course.space,
        "data": course.data,
        "validation_images": course.validation_images,
        "networks": [dataclasses.asdict(each) for each in course.lessons],
        "order": [
            {"epoch": epoch, "n": found.n}
            | (
                {"tau": None, "interval": None}
                if math.isnan(found.tau)
                else {"tau": found.tau, "interval": list(found.interval)}
            )
            for epoch, found in course.agreements()
        ],
        "sentences": list(findings(course)),
        "command": course.command,
        "versions": installed_versions(),
    }
