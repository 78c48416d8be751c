"""Figure 10: the trainings of the networks of a run's ranking study, from what they left in the run directory."""

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

from fairnas.errors import RunDirectoryError
from fairnas.pipeline.searched import require_finished
from fairnas.report.figure_10 import Course, Lesson, draw_plates, findings, mean_curve, render_course
from fairnas.report.inputs import read_inputs
from fairnas.rundir import RunDirectory, write_atomically
from fairnas.versions import installed_versions


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
    require_finished(run, "rank")
    inputs = read_inputs(run)
    models = run.read_json("ranking.json")["models"]
    lessons = [_lesson(run, model) for model in sorted(models, key=lambda row: (-row["one_shot"], row["genome"]))]
    counts = dict(inputs.data.counts) if inputs.data else {}
    return Course(
        run=path.resolve().name,
        space=inputs.space.name,
        data=inputs.data.name if inputs.data else inputs.config.data.name,
        validation_images=counts.get("validation", 0),
        lessons=tuple(lessons),
        command=command,
    )


def _lesson(run: RunDirectory, model: dict[str, Any]) -> Lesson:
    losses, top1 = [], []
    for seed in range(len(model["stand_alone"])):
        name = f"stand_alone/{model['genome']}-s{seed}.json"
        result = run.read_json(name)
        if "curve" not in result or (not result["curve"] and result["status"] == "done"):
            raise RunDirectoryError(
                f"{run.path / name} holds no training curve, as it is of an earlier fairnas; delete it, and "
                f"`fairnas rank --run {run.path}` trains the network again"
            )
        rows = result["curve"]
        losses.append([(row["epoch"], row["loss"]) for row in rows if math.isfinite(row["loss"])])
        top1.append([(row["epoch"], row["validation_top1"]) for row in rows if row["validation_top1"] is not None])
    return Lesson(
        genome=model["genome"],
        one_shot=model["one_shot"],
        loss=mean_curve(losses),
        top1=mean_curve(top1),
        seeds=len(losses),
        final=model["mean"],
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
