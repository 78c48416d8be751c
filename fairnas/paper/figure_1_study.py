"""Figure 1: supernets trained in several ways, followed over the epochs, and stratified models of each.

OUT/figure.json     the settings; a second call continues with them
OUT/ARM-sSEED/      an ordinary run directory per training, with `stratified.json` for the scores
OUT/figure1.html    the page, and its numbers in figure1.json; written after every seed
"""

import dataclasses
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnas.atomic_files import write_atomically
from fairnas.config import RunConfig
from fairnas.configfile import to_toml
from fairnas.data import Dataset, DataSummary
from fairnas.errors import ConfigError
from fairnas.fairness import read_ledger
from fairnas.paper.figure_1_arms import ArmPlan, plan_arms, require_common_settings
from fairnas.paper.figure_1_page import StrategyComparison, render_comparison, verdicts
from fairnas.paper.output_folder import claimed
from fairnas.paper.supernet_runs import is_done, read_scores, stratified_genomes, train_and_score
from fairnas.paper.training_comparison import (
    Arm,
    ArmTraining,
    CurvePoint,
    Measure,
    equal_compute,
    equal_epochs,
    pairings,
)
from fairnas.pipeline.experiment import Experiment, open_data
from fairnas.pipeline.prepare import prepare
from fairnas.pipeline.train_stage import CURVE_GENOMES
from fairnas.progress import Narrator
from fairnas.record import read_record
from fairnas.rundir import RunDirectory
from fairnas.space import Genome, SearchSpace
from fairnas.train import training_steps
from fairnas.versions import installed_versions


@dataclass(frozen=True)
class FigureOne:
    """Settings of the figure."""

    base: RunConfig
    """Common settings of all arms; its seed is the first."""
    seeds: int
    models: int
    command: str
    """Command that makes the figure."""

    def settings(self) -> dict[str, Any]:
        """Settings that the result depends on, as plain data."""
        base = {key: value for key, value in dataclasses.asdict(self.base).items() if key != "resources"}
        return json.loads(json.dumps({"figure": 1, "seeds": self.seeds, "models": self.models, "base": base}))


class _ArmNarrator:
    """Narrator of one training among many: the figure announces it, the stage inside does not."""

    def __init__(self, narrator: Narrator) -> None:
        self._narrator = narrator
        self.progress, self.say = narrator.progress, narrator.say

    def stage(self, number: int, total: int, title: str, upcoming: str) -> None:
        """Nothing."""


def draw_figure_1(
    out: Path, figure: FigureOne, narrator: Narrator, stop: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Train what is missing, score it, write the page, and return its numbers.

    Raises:
        RunDirectoryError: if `out` holds something else, or is in use.
        ConfigError: if the settings are invalid.
        KeyboardInterrupt: when `stop` returned True; everything is saved.
    """
    if figure.seeds < 1:
        raise ConfigError(f"--seeds is {figure.seeds}; give 1 or more")
    require_common_settings(figure.base)
    prepared = prepare(figure.base)
    arms = plan_arms(figure.base, prepared.space.choices, training_steps(prepared.dataset, figure.base.train, 1))
    genomes = stratified_genomes(prepared.space, figure.models)
    with claimed(out, figure.settings()):
        for line in prepared.training_plan():
            if not line.startswith(("train", "execution")):  # these lines differ between arms
                narrator.say(line)
        narrator.say(
            f"figure 1   {len(arms)} arms x {figure.seeds} seeds: {', '.join(arm.title for arm in arms)}; "
            f"{len(genomes):,} stratified models each"
        )
        opened = (prepared.space, prepared.dataset)
        numbers: dict[str, Any] = {}
        # seed by seed, so that an early look compares all arms
        for done in range(figure.seeds):
            _train_seed(out, figure, arms, done, genomes, narrator, stop, opened if done == 0 else None)
            comparison = collect(out, figure, arms, done + 1)
            numbers = as_numbers(comparison)
            write_atomically(out / "figure1.json", (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode())
            write_atomically(out / "figure1.html", render_comparison(comparison).encode())
    return numbers | {"page": str(out / "figure1.html")}


def _train_seed(
    out: Path,
    figure: FigureOne,
    arms: Sequence[ArmPlan],
    done: int,
    genomes: Sequence[Genome],
    narrator: Narrator,
    stop: Callable[[], bool],
    opened: tuple[SearchSpace, Dataset] | None,
) -> None:
    """Train and score every arm with the next seed."""
    seed = figure.base.seed + done
    titles = [f"{arm.title}, seed {seed}" for arm in arms]
    last = "" if done + 1 == figure.seeds else f"{arms[0].title}, seed {seed + 1}"
    for number, (arm, title, upcoming) in enumerate(zip(arms, titles, [*titles[1:], last], strict=True)):
        config = dataclasses.replace(figure.base, seed=seed, train=arm.train)
        with RunDirectory.begin(out / f"{arm.name}-s{seed}") as run:
            run.configure(config)
            if is_done(run, len(genomes)):
                narrator.say(f"{title}: done before")
                continue
            narrator.stage(done * len(arms) + number + 1, figure.seeds * len(arms), title, upcoming)
            opened = opened or open_data(config)
            train_and_score(Experiment(run, _ArmNarrator(narrator), stop, opened), genomes)


# Numbers ------------------------------------------------------------------------------------------------------


def collect(out: Path, figure: FigureOne, arms: Sequence[ArmPlan], seeds: int) -> StrategyComparison:
    """Read the results of the trainings with the first seeds."""
    numbers = range(figure.base.seed, figure.base.seed + seeds)
    found = tuple(
        Arm(
            name=arm.name,
            title=arm.title,
            what=arm.what,
            epochs=arm.train.epochs,
            learning_rate=arm.train.lr * arm.train.lr_scale,
            backward_passes=arm.backward_passes,
            trainings=tuple(_training(out / f"{arm.name}-s{seed}", arm, seed) for seed in numbers),
        )
        for arm in arms
    )
    data = read_record(RunDirectory(out / f"{arms[0].name}-s{numbers[0]}"), "data.json", DataSummary)
    return StrategyComparison(
        arms=found,
        space=figure.base.space,
        data=data.name,
        models=figure.models,
        followed=CURVE_GENOMES,
        validation_images=data.counts["validation"],
        classes=len(data.classes),
        command=figure.command,
        config_text=to_toml(figure.base),
        versions=installed_versions(),
    )


def _training(path: Path, arm: ArmPlan, seed: int) -> ArmTraining:
    run = RunDirectory(path)
    scores = read_scores(run)
    curve = tuple(
        CurvePoint(
            row["epoch"],
            row["step"] * arm.passes_per_step,
            row["one_shot_top1_mean"],
            row["one_shot_top1_std"],
        )
        for row in run.recorded_metrics("train")
    )
    if scores["status"] == "diverged":
        return ArmTraining(seed, path.name, curve, None, (), scores["reason"])
    audit = read_ledger(run).audit()
    assert audit.backward_passes == arm.backward_passes, f"{path} did not take the compute that was planned"
    return ArmTraining(seed, path.name, curve, audit, tuple(scores["top1"]))


def as_numbers(comparison: StrategyComparison) -> dict[str, Any]:
    """Figure as plain data."""
    arms = comparison.arms
    measures: dict[str, Measure] = {"mean": lambda t: t.mean, "std": lambda t: t.std, "delta": lambda t: t.width}
    groups = {"equal_compute": equal_compute(arms), "equal_epochs": equal_epochs(arms)}
    return {
        "figure": 1,
        "space": comparison.space,
        "data": comparison.data,
        "models": comparison.models,
        "validation_images": comparison.validation_images,
        "arms": [_arm_numbers(arm, measures) for arm in arms],
        "differences": {
            group: {
                name: {each.second: each.contrast and _contrast(each.contrast) for each in pairings(members, measure)}
                for name, measure in measures.items()
            }
            for group, members in groups.items()
        },
        "verdicts": [
            {"question": question, "answer": verdict.answer, "sentences": list(verdict.sentences)}
            for question, verdict in verdicts(arms)
        ],
        "command": comparison.command,
        "versions": dict(comparison.versions),
    }


def _contrast(contrast: Any) -> dict[str, Any]:
    return dataclasses.asdict(contrast) | {"certain": contrast.certain}


def _arm_numbers(arm: Arm, measures: Mapping[str, Measure]) -> dict[str, Any]:
    return {
        "name": arm.name,
        "title": arm.title,
        "epochs": arm.epochs,
        "learning_rate": arm.learning_rate,
        "backward_passes": arm.backward_passes,
        **{name: _over_seeds(arm.known(measure)) for name, measure in measures.items()},
        "trainings": [
            {
                "seed": training.seed,
                "run": training.folder,
                "diverged": training.diverged or None,
                **{name: measure(training) for name, measure in measures.items()},
                "min": min(training.top1, default=None),
                "max": max(training.top1, default=None),
                "fairness": training.audit and dataclasses.asdict(training.audit),
                "curve": [dataclasses.asdict(point) for point in training.curve],
            }
            for training in arm.trainings
        ],
    }


def _over_seeds(values: Sequence[float]) -> dict[str, Any]:
    return {
        "mean": statistics.fmean(values) if values else None,
        "std_over_seeds": statistics.stdev(values) if len(values) > 1 else None,
        "n": len(values),
    }
