"""Table 1, measured: weight-sharing systems on one space, one data set and one budget (paper 2.1 and 2.2.3).

OUT/figure.json     the settings; a second call continues with them
OUT/profiles.json   costs of a step of each system (`step_profile.py`)
OUT/stand_alone/    the ground truth, if there is no benchmark: networks trained from scratch
OUT/SYSTEM-sSEED/   an ordinary run directory per training, with the results in `system.json`
OUT/table1.html     the page, and its numbers in table1.json; written after every seed
"""

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnas.analysis import RankAgreement, rank_agreement
from fairnas.analysis.nas_bench_macro import SPACE
from fairnas.atomic_files import checksum, write_atomically
from fairnas.config import RunConfig
from fairnas.data import Dataset, DataSummary
from fairnas.errors import ConfigError, RunDirectoryError
from fairnas.fairness import read_ledger
from fairnas.fairness.theory import TABLE_1
from fairnas.nets import cost_table
from fairnas.nets.memory import activation_table
from fairnas.paper.ground_truth import Truth
from fairnas.paper.output_folder import claimed
from fairnas.paper.step_profile import SystemProfile, profile
from fairnas.paper.supernet_runs import score_top1, trained
from fairnas.paper.table_1_page import System, SystemTraining, TableOne, render_table_1
from fairnas.paper.table_1_systems import SystemPlan, check_systems, plan_systems, system_config
from fairnas.pipeline.experiment import Experiment, pick_device
from fairnas.pipeline.prepare import prepare
from fairnas.pipeline.search_stage import known_candidates
from fairnas.pipeline.stages import run_stage
from fairnas.progress import Narrator
from fairnas.record import read_record
from fairnas.rundir import RunDirectory
from fairnas.search.candidate import is_number
from fairnas.space import Genome, SearchSpace, format_genome
from fairnas.train import strategy_facts
from fairnas.untrusted import parse_json
from fairnas.versions import installed_versions

RESULT = "system.json"
SINGLE_PATH = "uniform"
"""System that is the reference for memory and time."""


@dataclass(frozen=True)
class SystemComparison:
    """Settings of the comparison."""

    base: RunConfig
    """Common settings of all systems; its seed is the first, and its epochs are those of strict training."""
    systems: tuple[str, ...]
    seeds: int
    models: int | None
    """Number of networks of the ground truth; None: all of the benchmark."""
    truth: Path | None
    """File of NAS-Bench-Macro; None: networks are trained from scratch."""
    command: str

    def settings(self) -> dict[str, Any]:
        """Settings that the result depends on, without the systems and the number of seeds, which may grow."""
        base = {key: value for key, value in dataclasses.asdict(self.base).items() if key != "resources"}
        truth = None if self.truth is None else checksum(self.truth)
        return json.loads(json.dumps({"table": 1, "models": self.models, "truth": truth, "base": base}))


def measure_table_1(
    out: Path, given: SystemComparison, narrator: Narrator, stop: Callable[[], bool] = lambda: False
) -> dict[str, Any]:
    """Run the missing trainings, evaluate them, write the page, and return its numbers.

    Raises:
        RunDirectoryError: if `out` holds something else, or is in use.
        ConfigError: if the settings are invalid.
        KeyboardInterrupt: when `stop` returned True; everything is saved.
    """
    if given.seeds < 1:
        raise ConfigError(f"--seeds is {given.seeds}; give 1 or more")
    if given.truth is not None and given.base.space != SPACE:
        raise ConfigError(f"--truth is of space '{SPACE}', but --space is '{given.base.space}'; leave one out")
    prepared = prepare(given.base)
    opened = (prepared.space, prepared.dataset)
    check_systems(given.base, given.systems, prepared.space)
    with claimed(out, given.settings()):
        for line in prepared.training_plan():
            if not line.startswith(("train", "execution")):  # these lines differ between systems
                narrator.say(line)
        truth = Truth(given.base, opened, out / "stand_alone", given.truth, narrator, stop)
        networks = truth.networks(given.models)
        profiles = _profiles(out, given, opened, narrator)
        plans = plan_systems(given.base, given.systems, profiles, *opened)
        narrator.stage(1, 3, f"ground truth of {len(networks):,} networks", "train the systems")
        true = dict(zip(networks, truth.of(networks), strict=True))
        numbers: dict[str, Any] = {}
        # seed by seed, so that an early look compares all systems
        for done in range(given.seeds):
            seed = given.base.seed + done
            for number, plan in enumerate(plans):
                title = f"{plan.name}, seed {seed}"
                with RunDirectory.begin(_folder_of(out, plan, seed)) as run:
                    run.configure(dataclasses.replace(given.base, seed=seed, train=plan.train))
                    if _result(run, networks) is not None:
                        narrator.say(f"{title}: done before")
                        continue
                    narrator.stage(done * len(plans) + number + 1, given.seeds * len(plans), title, "")
                    own = opened if done == 0 else None  # the held-out images depend on the seed
                    _train_and_judge(Experiment(run, _SystemNarrator(narrator), stop, own), networks)
            derived = _derived(out, given, plans, done + 1, prepared.space)
            true |= dict(zip(derived, truth.of(derived), strict=True))
            table = _collect(out, given, plans, done + 1, true, profiles, prepared.space, len(networks))
            numbers = table.to_dict()
            write_atomically(out / "table1.json", (json.dumps(numbers, indent=1) + "\n").encode())
            write_atomically(out / "table1.html", render_table_1(table).encode())
    return numbers | {"page": str(out / "table1.html")}


class _SystemNarrator:
    """Narrator of one training among many: the comparison announces it, the stage inside does not."""

    def __init__(self, narrator: Narrator) -> None:
        self.progress, self.say = narrator.progress, narrator.say

    def stage(self, number: int, total: int, title: str, upcoming: str) -> None:
        """Nothing."""


def _profiles(
    out: Path, given: SystemComparison, opened: tuple[SearchSpace, Dataset], narrator: Narrator
) -> dict[str, SystemProfile]:
    """Profiles of all systems and of strict training, measured once and stored."""
    path = out / "profiles.json"
    stored = _stored_profiles(path)
    device = pick_device(given.base.resources.device)
    wanted = dict.fromkeys(["strict", SINGLE_PATH, *given.systems])
    for number, name in enumerate(wanted):
        narrator.progress(number, len(wanted), f"a few steps of {name}")
        if name not in stored:
            config = system_config(given.base.train, name, opened[0].choices)
            stored[name] = profile(*opened, config, given.base.seed, device, given.base.resources)
            plain = {each: dataclasses.asdict(found) for each, found in stored.items()}
            write_atomically(path, (json.dumps(plain, indent=1) + "\n").encode())
    return {name: stored[name] for name in wanted}


def _stored_profiles(path: Path) -> dict[str, SystemProfile]:
    """Stored profiles; empty, so that they are measured again, if there are none or the file is damaged."""
    try:
        plain = parse_json(path.read_text(encoding="utf-8"))
        stored = {name: SystemProfile(**values) for name, values in plain.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
    good = (is_number(value) or value is None for each in stored.values() for value in dataclasses.astuple(each))
    return stored if all(good) else {}


def _folder_of(out: Path, plan: SystemPlan, seed: int) -> Path:
    return out / f"{plan.name}-s{seed}"


def _result(run: RunDirectory, genomes: Sequence[Genome]) -> dict[str, Any] | None:
    """Result of a training; None if it is missing, or not of these networks and weights."""
    try:
        found = run.read_json(RESULT)
    except RunDirectoryError:
        return None
    if found.get("status") == "diverged":
        return found
    if run.damaged_files("train") or found.get("checkpoint") != checksum(run.path / "supernet" / "checkpoint.pt"):
        return None
    return found if found.get("genomes") == [format_genome(genome) for genome in genomes] else None


def _train_and_judge(experiment: Experiment, genomes: Sequence[Genome]) -> None:
    """Train, score the networks of the truth, and derive an architecture. Divergence is a result as well."""
    run = experiment.run
    if not trained(experiment, RESULT):
        return
    top1 = score_top1(experiment, genomes)
    preferences = [experiment.strategy.preference(genome) for genome in genomes]
    own = experiment.strategy.derive(lambda asked: score_top1(experiment, asked))
    derived = _best_found(experiment) if own is None else own
    run.write_json(
        RESULT,
        {
            "status": "done",
            "checkpoint": checksum(run.path / "supernet" / "checkpoint.pt"),
            "genomes": [format_genome(genome) for genome in genomes],
            "top1": top1,
            "preferences": None if preferences[0] is None else preferences,
            "derived": format_genome(derived),
            "derived_by": "search" if own is None else "its own rule",
        },
    )


def _best_found(experiment: Experiment) -> Genome:
    """Network with the best one-shot accuracy that the run's searcher finds; among equal ones the cheapest."""
    if not experiment.run.is_finished("search"):
        run_stage(experiment, "search")
    measure = experiment.config.measure  # measure that the search optimised
    best = max(known_candidates(experiment), key=lambda c: (c.value(measure), -c.value("madds"), c.genome))
    return best.genome


def read_result(run: RunDirectory) -> dict[str, Any]:
    """Result of a finished training."""
    return run.read_json(RESULT)


def _derived(
    out: Path, given: SystemComparison, plans: Sequence[SystemPlan], seeds: int, space: SearchSpace
) -> list[Genome]:
    """Distinct architectures that the systems derived."""
    seen = range(given.base.seed, given.base.seed + seeds)
    results = [read_result(RunDirectory(_folder_of(out, plan, seed))) for plan in plans for seed in seen]
    return list(dict.fromkeys(space.parse(result["derived"]) for result in results if result["status"] == "done"))


def _collect(
    out: Path,
    given: SystemComparison,
    plans: Sequence[SystemPlan],
    seeds: int,
    true: Mapping[Genome, float | None],
    profiles: Mapping[str, SystemProfile],
    space: SearchSpace,
    networks: int,
) -> TableOne:
    systems = []
    for plan in plans:
        results = []
        for seed in range(given.base.seed, given.base.seed + seeds):
            run = RunDirectory(_folder_of(out, plan, seed))
            results.append((seed, run, read_result(run)))
        done = [each for each in results if each[2]["status"] == "done"]
        trainings = [_training(seed, run, result, plan, true, space) for seed, run, result in done]
        diverged = tuple(result["reason"] for _, _, result in results if result["status"] == "diverged")
        systems.append(_system(plan.name, plan, space, tuple(trainings), diverged))
    data = read_record(RunDirectory(_folder_of(out, plans[0], given.base.seed)), "data.json", DataSummary)
    activations = activation_table(space)
    single = SystemPlan(SINGLE_PATH, given.base.train, profiles[SINGLE_PATH], 0.0)
    return TableOne(
        systems=tuple(systems),
        single_path=_system(SINGLE_PATH, single, space, (), ()),
        space=space.name,
        choices=max(space.choices),
        whole_supernet=activations.of_all_blocks / activations.of_largest_path,
        data=data.name,
        validation_images=data.counts["validation"],
        truth="NAS-Bench-Macro" if given.truth else f"{given.base.stand_alone.seeds} trainings from scratch each",
        networks=networks,
        command=given.command,
        versions=installed_versions(),
    )


def _system(
    name: str,
    plan: SystemPlan,
    space: SearchSpace,
    trainings: tuple[SystemTraining, ...],
    diverged: tuple[str, ...],
) -> System:
    found = plan.profile
    return System(
        name=name,
        claims=next((row for row in TABLE_1 if row.method == plan.claims), None),
        epochs=plan.train.epochs,
        seconds_per_path_image=found.seconds_per_image / found.paths_per_step,
        peak=found.peak,
        peak_of_two=found.peak_of_two,
        trainings=trainings,
        diverged=diverged,
        draws_alike=strategy_facts(plan.train, space.choices).fairness != "none",
    )


def _training(
    seed: int,
    run: RunDirectory,
    result: Mapping[str, Any],
    plan: SystemPlan,
    true: Mapping[Genome, float | None],
    space: SearchSpace,
) -> SystemTraining:
    ledger = read_ledger(run)
    genomes = [space.parse(text) for text in result["genomes"]]
    known = [number for number, genome in enumerate(genomes) if true[genome] is not None]
    truth = [true[genomes[number]] for number in known]

    def against_truth(scores: Sequence[float]) -> RankAgreement:
        return rank_agreement([scores[number] for number in known], [value for value in truth if value is not None])

    derived = space.parse(result["derived"])
    table = cost_table(space)
    cheapest = [
        table.blocks[layer][choice].madds == min(cost.madds for cost in table.blocks[layer])
        for layer, choice in enumerate(derived)
    ]
    rows = run.recorded_metrics("train")
    return SystemTraining(
        seed=seed,
        audit=ledger.audit(),
        path_images=ledger.block_runs / space.depth * plan.train.batch_size,
        backward_passes=ledger.backward_passes + ledger.architecture_passes,
        unevenness=ledger.unevenness(),
        curve=tuple((row["step"] / rows[-1]["step"], row["updates_gini"], row["gradient_gini"]) for row in rows),
        tau=against_truth(result["top1"]),
        preference_tau=against_truth(result["preferences"]) if result["preferences"] else None,
        one_shot=sum(result["top1"]) / len(result["top1"]),
        derived=result["derived"],
        derived_by=result["derived_by"],
        derived_top1=true[derived],
        derived_madds=table(derived).madds,
        cheapest_share=sum(cheapest) / len(cheapest),
    )
