"""What a run found, as plain data: for the table at its end, and for `--json`."""

import dataclasses
from typing import Any, get_args

from fairnas.config import Measure
from fairnas.errors import RunDirectoryError
from fairnas.fairness import LEDGER, read_ledger
from fairnas.rundir import RunDirectory
from fairnas.space import format_genome, parse_genome
from fairnas.stage_records import NO_STUDY
from fairnas.train import read_checkpoint, weights_digest


def audit(run: RunDirectory) -> dict[str, Any]:
    """The fairness verdict over the run's ledger, whose counts have to belong to the weights of its supernet.

    Raises:
        RunDirectoryError: if they do not, or a file is lost or damaged.
    """
    ledger = read_ledger(run)
    path = run.path / "supernet" / "checkpoint.pt"
    weights = weights_digest(read_checkpoint(path, "supernet")["network"])
    try:
        ledger.require_sealed(weights)
    except ValueError as error:
        raise RunDirectoryError(
            f"{run.path / LEDGER} is not the ledger of {path}: {error}; `fairnas train --run {run.path}` writes "
            "it again from the checkpoint"
        ) from None
    return dataclasses.asdict(ledger.audit()) | {"chain_records": len(ledger.chain), "weights_sha256": weights}


def summarise(run: RunDirectory) -> dict[str, Any]:
    """Everything that the run directory holds by now, in short. Keys of stages not done yet are None."""
    data = run.read_json("data.json") if (run.path / "data.json").exists() else None
    result: dict[str, Any] = {
        "run": str(run.path),
        "recipe": run.config.recipe,
        "space": run.config.space,
        "seed": run.config.seed,
        "classes": data["classes"] if data else None,
        "findings": data["findings"] if data else None,
        "fairness": audit(run) if (run.path / "ledger.json").exists() else None,
        "operators": None,
        "measure": run.config.measure,
        "units": {},
        "selected": None,
        "ranking": None,
        "no_ranking": run.read_json(NO_STUDY)["reason"] if (run.path / NO_STUDY).exists() else None,
        "latency_bound": None,
        "report": str(run.path / "report.html") if run.is_finished("report") else None,
    }
    if run.is_finished("search"):
        search = run.read_json("search.json")
        result["operators"] = search.get("operators")
        result["selected"] = [_selected(run, row) | further(search, row) for row in search["selected"]]
        result["units"] = further_objectives(search)
        result["latency_bound"] = measured_bound(run)
    if run.is_finished("rank"):
        result["ranking"] = run.read_json("ranking.json")
    return result


def further_objectives(search: dict[str, Any]) -> dict[str, str]:
    """Of a search's record, the units of its objectives beyond its accuracy, multiply-adds and parameters, by name."""
    objectives = search.get("objectives", ())
    known = (search.get("measure", "top1"), "madds", "params")
    return {each["name"]: each["unit"] for each in objectives if each["name"] not in known}


def further(search: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """A candidate's values of those objectives."""
    return {name: row.get(name) for name in further_objectives(search)}


def measured_bound(run: RunDirectory) -> float | None:
    """The bound on latency in milliseconds, where it is one on this machine's: the run measured its own table."""
    search = run.config.search
    return search.max_latency if search.latency_table is None else None


def _selected(run: RunDirectory, row: dict[str, Any]) -> dict[str, Any]:
    genome = format_genome(parse_genome(row["genome"]))
    found: dict[str, Any] = {key: row[key] for key in ("madds", "params")}
    for name in get_args(Measure):  # None: a search or training from before classes were counted
        found |= {f"one_shot_{name}": row.get(name), f"stand_alone_{name}": None}
    found |= {"class_images": None, "class_hits": None}
    if run.is_finished("retrain"):
        result = run.read_json(f"{run.config.retrain.folder}/{genome}-s0.json")
        if result["status"] == "done":
            test = result["test"]
            found |= {f"stand_alone_{name}": test.get(name) for name in get_args(Measure)}
            found |= {name: test.get(name) for name in ("class_images", "class_hits")}
    model = run.path / "models" / genome / "model.onnx"
    onnx = str(model) if run.is_finished("export") and model.exists() else None  # else it may be of weights of before
    return {"genome": genome, **found, "onnx": onnx, **exported_facts(run, genome)}


def exported_facts(run: RunDirectory, genome: str) -> dict[str, float | None]:
    """Of a network's files, what was measured: milliseconds for one image, and the test accuracy that int8 leaves."""
    found: dict[str, float | None] = {"onnx_ms": None, "int8_ms": None, "int8_top1": None}
    name = f"models/{genome}/model.json"
    if not run.is_finished("export") or not (run.path / name).exists():
        return found
    facts = run.read_json(name)
    for key, file in (("onnx_ms", "model.onnx"), ("int8_ms", "model.int8.onnx")):
        found[key] = facts.get("latency", {}).get(file, {}).get("latency_ms")
    if facts.get("int8"):
        found["int8_top1"] = facts["int8"]["accuracy"]["test"]["int8_top1"]
    return found
