"""What a run found, as plain data: for the table at its end, and for `--json`."""

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any

from fairnas.fairness import Ledger
from fairnas.rundir import RunDirectory, write_atomically
from fairnas.search import Archive
from fairnas.space import format_genome, parse_genome


def audit(run: RunDirectory) -> dict[str, Any]:
    """The fairness verdict over the run's ledger."""
    return dataclasses.asdict(Ledger.from_dict(run.read_json("ledger.json")).audit())


def summarise(run: RunDirectory) -> dict[str, Any]:
    """Everything that the run directory holds by now, in short. Keys of stages not done yet are None."""
    result: dict[str, Any] = {
        "run": str(run.path),
        "recipe": run.config.recipe,
        "space": run.config.space,
        "seed": run.config.seed,
        "fairness": audit(run) if (run.path / "ledger.json").exists() else None,
        "operators": None,
        "selected": None,
        "ranking": None,
        "report": str(run.path / "report.html") if run.is_finished("report") else None,
    }
    if run.is_finished("search"):
        search = run.read_json("search.json")
        result["operators"] = search.get("operators")
        result["selected"] = [_selected(run, row) for row in search["selected"]]
    if run.is_finished("rank"):
        study = run.read_json("ranking.json")
        result["ranking"] = {key: study[key] for key in ("tau", "ceiling", "predictors", "gap", "advice", "diverged")}
    return result


def _selected(run: RunDirectory, row: dict[str, Any]) -> dict[str, Any]:
    genome = format_genome(parse_genome(row["genome"]))
    found = {key: row[key] for key in ("madds", "params")} | {
        "one_shot_top1": row["top1"],
        "stand_alone_top1": None,
    }
    if run.is_finished("retrain"):
        result = run.read_json(f"stand_alone/{genome}-s0.json")
        found["stand_alone_top1"] = result["test"]["top1"] if result["status"] == "done" else None
    model = run.path / "models" / genome / "model.onnx"
    return {"genome": genome, **found, "onnx": str(model) if model.exists() else None}


def write_candidates(run: RunDirectory, path: Path) -> int:
    """Write every candidate that this supernet scored as CSV, in the order of scoring; return how many there are.

    Columns are `genome`, `generation`, then costs and measures by name. Raises `RunDirectoryError` for a run without a
    search, or a file that cannot be written.
    """
    setting = run.read_json("search.json")["setting"]
    with Archive(run.path / "archive.sqlite", setting, read_only=True) as archive:
        candidates = archive.candidates()
    names = sorted({name for candidate in candidates for name, _ in candidate.items})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["genome", "generation", *names])
    for candidate in candidates:
        measures = candidate.measures
        row = [format_genome(candidate.genome), candidate.generation, *(measures.get(name, "") for name in names)]
        table.writerow(row)
    write_atomically(path, text.getvalue().encode())
    return len(candidates)
