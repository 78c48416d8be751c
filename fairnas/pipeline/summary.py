"""Results of a run as one value: for the table at its end, and as plain data for `--json`."""

import dataclasses
from dataclasses import dataclass
from typing import Any, get_args

from fairnas.analysis import RankingRecord
from fairnas.config import Measure, RunConfig
from fairnas.data import DataSummary
from fairnas.errors import RunDirectoryError
from fairnas.export import ModelFacts
from fairnas.export.facts import INT8, ONNX
from fairnas.fairness import LEDGER, Audit, read_ledger
from fairnas.record import read_record
from fairnas.rundir import RunDirectory
from fairnas.scores import NetworkScore, TrainingResult
from fairnas.search import Candidate
from fairnas.search.record import SearchRecord
from fairnas.stage_records import NO_STUDY
from fairnas.train import read_checkpoint, weights_digest


@dataclass(frozen=True)
class SelectedNetwork:
    """A selected network, with the results of later stages."""

    candidate: Candidate
    test: NetworkScore | None
    """Score of its training for use, on the test images; None if it is not trained yet or diverged."""
    onnx: str | None
    """Path of its ONNX file; None if it is not exported yet."""
    facts: ModelFacts | None
    """Facts about its exported files."""

    @property
    def onnx_ms(self) -> float | None:
        """Latency of its ONNX file for one image in milliseconds; None if not measured."""
        return self.facts.latency.of(ONNX) if self.facts else None

    @property
    def int8_ms(self) -> float | None:
        """Latency of its int8 file in milliseconds; None if not measured."""
        return self.facts.latency.of(INT8) if self.facts else None

    @property
    def int8_top1(self) -> float | None:
        """Top-1 accuracy of its int8 file on the test images; None without such a file."""
        return self.facts.int8_top1 if self.facts else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        found: dict[str, Any] = {"genome": self.candidate.text}
        found |= {key: self.candidate.value(key) for key in ("madds", "params")}
        for name in get_args(Measure):
            found[f"one_shot_{name}"] = self.candidate.get(name)
            found[f"stand_alone_{name}"] = self.test.accuracy(name) if self.test else None
        for name in ("class_images", "class_hits"):
            found[name] = list(getattr(self.test, name)) if self.test else None
        files = {"onnx": self.onnx, "onnx_ms": self.onnx_ms, "int8_ms": self.int8_ms, "int8_top1": self.int8_top1}
        return found | files


@dataclass(frozen=True)
class RunSummary:
    """Present results of a run directory. Fields are None for stages that are not finished."""

    run: str
    config: RunConfig
    data: DataSummary | None
    fairness: Audit | None
    search: SearchRecord | None
    selected: tuple[SelectedNetwork, ...]
    ranking: RankingRecord | None
    no_ranking: str | None
    """Reason why the run could have no ranking study."""
    report: str | None

    @property
    def units(self) -> dict[str, str]:
        """Units of the objectives other than accuracy, multiply-adds and parameters, by name."""
        return {each.name: each.unit for each in self.search.further_objectives} if self.search else {}

    @property
    def latency_bound(self) -> float | None:
        """Bound in milliseconds on this machine's latency, for which the run measured its own table; None for none."""
        search = self.config.search
        return search.max_latency if self.search and search.latency_table is None else None

    def to_dict(self) -> dict[str, Any]:
        """Plain data for `--json`."""
        search, data = self.search, self.data
        selected = [each.to_dict() | {name: each.candidate.get(name) for name in self.units} for each in self.selected]
        return {
            "run": self.run,
            "recipe": self.config.recipe,
            "space": self.config.space,
            "seed": self.config.seed,
            "classes": list(data.classes) if data else None,
            "findings": [finding.to_dict() for finding in data.findings] if data else None,
            "fairness": dataclasses.asdict(self.fairness) if self.fairness else None,
            "operators": search.to_dict()["operators"] if search else None,
            "measure": self.config.measure,
            "units": self.units,
            "selected": selected if search else None,
            "ranking": self.ranking.to_dict() if self.ranking else None,
            "no_ranking": self.no_ranking,
            "latency_bound": self.latency_bound,
            "report": self.report,
        }


def audit(run: RunDirectory) -> Audit:
    """Audit the run's ledger, whose counts must belong to the weights of its supernet.

    Raises:
        RunDirectoryError: if they do not, or a file is absent or damaged.
    """
    ledger = read_ledger(run)
    path = run.path / "supernet" / "checkpoint.pt"
    try:
        ledger.require_sealed(weights_digest(read_checkpoint(path, "supernet")["network"]))
    except ValueError as error:
        raise RunDirectoryError(
            f"{run.path / LEDGER} is not the ledger of {path}: {error}; `fairnas train --run {run.path}` writes "
            "it again from the checkpoint"
        ) from None
    return ledger.audit()


def summarise(run: RunDirectory) -> RunSummary:
    """Read the present results of a run directory. Raises `RunDirectoryError` for a damaged file."""
    search = read_record(run, "search.json", SearchRecord) if run.is_finished("search") else None
    return RunSummary(
        run=str(run.path),
        config=run.config,
        data=read_record(run, "data.json", DataSummary) if (run.path / "data.json").exists() else None,
        fairness=audit(run) if (run.path / "ledger.json").exists() else None,
        search=search,
        selected=tuple(_selected(run, candidate) for candidate in search.selected) if search else (),
        ranking=read_record(run, "ranking.json", RankingRecord) if run.is_finished("rank") else None,
        no_ranking=run.read_json(NO_STUDY)["reason"] if (run.path / NO_STUDY).exists() else None,
        report=str(run.path / "report.html") if run.is_finished("report") else None,
    )


def _selected(run: RunDirectory, candidate: Candidate) -> SelectedNetwork:
    test = None
    if run.is_finished("retrain"):
        test = read_record(run, f"{run.config.retrain.folder}/{candidate.text}-s0.json", TrainingResult).test
    name, model = f"models/{candidate.text}/model.json", run.path / "models" / candidate.text / ONNX
    exported = run.is_finished("export")  # otherwise the files there may be exports of former weights
    return SelectedNetwork(
        candidate=candidate,
        test=test,
        onnx=str(model) if exported and model.exists() else None,
        facts=read_record(run, name, ModelFacts) if exported and (run.path / name).exists() else None,
    )
