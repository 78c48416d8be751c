"""`python -m benchmarks.nas_bench_macro`: how well supernets order the networks of NAS-Bench-Macro (paper 4.4).

The stand-alone accuracies of all 3,969 distinct networks are known. So supernets trained by each strategy, at equal
compute and at equal epochs, can be judged on all of them, beside the noise of the truth itself and predictors that
cost nothing. The program goes on where it was stopped, and with more arms, seeds or another budget it adds what is
missing; `docs/results/ranking.md` explains how to read it.
"""

import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from benchmarks.command import run
from benchmarks.macro_study.arms import ARMS, TUNED, Data, find_arm
from benchmarks.macro_study.table import (
    TruthComparison,
    committees,
    corrections,
    over_seeds,
    read_truth,
    scored_trainings,
    yardsticks,
)
from benchmarks.macro_study.trainings import (
    Job,
    Scoring,
    mean_top1,
    read_json,
    run_scoring,
    run_training,
    write_json,
)
from benchmarks.timing import Machine
from fairnas.cli.output import print_table
from fairnas.errors import ConfigError
from fairnas.evaluate import Statistics
from fairnas.rundir import RunDirectory

TUNING_SEED = 1000
"""Not a seed of the study, so that no rate is chosen on a supernet that is judged."""


@dataclass(frozen=True)
class MacroBenchmark:
    """Train supernets of NAS-Bench-Macro in several ways and compare their order of all networks with the truth.

    For example: python -m benchmarks.nas_bench_macro --truth nas-bench-macro_cifar10.json --root DIR --out runs/macro
    """

    truth: Path
    """The JSON file of NAS-Bench-Macro with the accuracies on CIFAR-10."""
    out: Path
    """Folder of the study; what it holds is not done again."""
    root: str | None = None
    """Folder of CIFAR-10: the binary version, or train/CLASS/ and test/CLASS/."""
    data: str = "cifar10"
    """The images: cifar10, digits (for a trial), or folder:PATH."""
    arms: tuple[str, ...] = ("strict", "uniform", "uniform_equal_epochs", "ef", "ef_third")
    """Arms to compare, the most important first."""
    seeds: int = 2
    """Supernets per arm."""
    budget: int = 288_000
    """Path-images of a training: images times backward passes."""
    image_size: int = 32
    """Side of the images in pixels; 16 costs a quarter of the multiply-adds."""
    tune_budget: int = 19_200
    """The same for each training that finds a learning rate."""
    rates: tuple[float, ...] = (0.03, 0.1, 0.3)
    """Learning rates that every strategy tries."""
    statistics: tuple[Statistics, ...] = ("batch", "running", "recalibrated")
    """BN statistics to score by; the first one also in the course of training."""
    points: tuple[float, ...] = (0.25, 0.5, 1.0)
    """Shares of a training after which it is scored."""
    networks: int | None = None
    """Networks to score in the end; default: all 3,969 distinct ones."""
    curve_networks: int = 300
    """Networks to score in the course of training; 0: none."""
    images: int = 200
    """Validation images to score on."""
    calibration: int = 200
    """Training images that recalibrated BN statistics are taken from."""
    averaged: bool = False
    """Score, at the end, also the mean weights of the snapshots after 0.7 of a training or later (see --points)."""
    train_per_class: int = 4500
    """Training images per class at most."""
    validation_per_class: int = 500
    """Images per class held out of the training images."""
    processes: int = 2
    """Supernets side by side."""
    threads: int = 1
    """Threads of each process."""
    device: str = "cpu"
    """cpu or cuda."""
    table: bool = False
    """Train nothing; print what there is."""
    json: bool = False
    """Print one JSON object and nothing else."""


@dataclass(frozen=True)
class Task:
    """A supernet, and how it is to be scored."""

    job: Job
    final: tuple[Scoring, ...] = ()
    """Scorings at the end of the training."""
    course: tuple[Scoring, ...] = ()
    """Scorings at the points before."""

    def run(self) -> None:
        """Do what is missing."""
        facts = run_training(self.job, tell)
        if facts["status"] == "diverged":
            tell(f"{self.job.folder.name} diverged: {facts['reason']}")
            return
        for step in facts["points"]:
            for scoring in self.final if step == facts["steps"] else self.course:
                run_scoring(self.job, step, scoring, tell)


def tell(text: str) -> None:
    """A line on standard error, with the time."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def begin(threads: int) -> None:
    """Set up a process."""
    import torch

    torch.set_num_threads(threads)


def data_of(given: MacroBenchmark) -> Data:
    return Data(given.data, given.root, given.train_per_class, given.validation_per_class, given.image_size)


def in_processes(given: MacroBenchmark, tasks: Sequence[Task]) -> None:
    """Do all tasks, in order, several side by side; with one process, in this one."""
    if given.processes == 1:
        begin(given.threads)
        for task in tasks:
            task.run()
        return
    with ProcessPoolExecutor(given.processes, get_context("spawn"), begin, (given.threads,)) as pool:
        futures = [pool.submit(task.run) for task in tasks]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def tuned_rates(given: MacroBenchmark) -> dict[str, float]:
    """The learning rate of each strategy that the arms need; every one is found with the same small budget.

    By mean one-shot accuracy on validation images: the benchmark's accuracies have no part in the choice.
    """
    path = given.out / f"learning_rates-{given.image_size}px.json"
    known = read_json(path) or {}
    arms = [find_arm(name) for name in given.arms]
    wanted = [name for name in TUNED if name not in known and any(arm.rate_of == name for arm in arms)]
    owner = {strategy: next(name for name, arm in ARMS.items() if arm.strategy == strategy) for strategy in wanted}

    def job(strategy: str, rate: float) -> Job:
        out = given.out / "tuning" / f"lr-{rate:g}"
        return Job(out, data_of(given), owner[strategy], TUNING_SEED, given.tune_budget, rate, device=given.device)

    if wanted:
        in_processes(given, [Task(job(strategy, rate)) for rate in given.rates for strategy in wanted])
    for strategy in wanted:
        tried = {f"{rate:g}": mean_top1(job(strategy, rate)) for rate in given.rates}
        finite = {rate: value for rate, value in tried.items() if value is not None}
        if not finite:
            raise ConfigError(f"every learning rate of '{strategy}' diverged ({', '.join(tried)}); give lower --rates")
        best = max(finite, key=lambda rate: finite[rate])
        known[strategy] = {"lr": float(best), "tried": tried, "path_images": given.tune_budget}
        tell(f"learning rate of {strategy}: {best} of {tried}")
    if wanted:
        write_json(path, known)
    return {strategy: entry["lr"] for strategy, entry in known.items()}


def tasks_of(given: MacroBenchmark, rates: dict[str, float]) -> Iterator[Task]:
    """All trainings and their first scores, then the scores by other statistics."""

    def scoring(bn: Statistics, networks: int | None) -> Scoring:
        return Scoring(bn, networks, given.images, given.calibration)

    course = (scoring(given.statistics[0], given.curve_networks),)
    for place, bn in enumerate(given.statistics):
        for seed in range(given.seeds):
            for name in given.arms:
                rate = rates[find_arm(name).rate_of]
                job = Job(given.out, data_of(given), name, seed, given.budget, rate, given.points, given.device)
                last = scoring(bn, given.networks)
                final = (last, dataclasses.replace(last, averaged=True)) if given.averaged else (last,)
                yield Task(job, final, course if place == 0 else ())


def measure(given: MacroBenchmark) -> dict[str, Any]:
    """Do what is missing; then everything that the folder holds. Raises `FairnasError` for wrong input."""
    truth = read_truth(given.truth)
    if not given.statistics or not given.points or given.points[-1] != 1 or sorted(given.points) != list(given.points):
        raise ConfigError(f"--points {given.points} must rise to 1, and --statistics name one or more")
    for name in given.arms:
        find_arm(name)
    given.out.mkdir(parents=True, exist_ok=True)
    if not given.table:
        with RunDirectory(given.out).locked():
            rates = tuned_rates(given)
            in_processes(given, list(tasks_of(given, rates)))
    judge = TruthComparison(truth, given.out / "agreement.json")
    trainings = list(scored_trainings(given.out, judge))
    return {
        "benchmark": "nas_bench_macro",
        "yardsticks": yardsticks(judge),
        "learning_rates": read_json(given.out / f"learning_rates-{given.image_size}px.json") or {},
        "trainings": trainings,
        "arms": over_seeds(trainings),
        "committees": committees(given.out, judge),
        "corrections": corrections(given.out, judge),
        "machine": Machine.here().to_dict(),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print. Returns the exit code."""
    return run("nas_bench_macro", MacroBenchmark, measure, show, arguments)


def show(given: MacroBenchmark, result: dict[str, Any]) -> None:
    """Print the result for people."""
    found = result["yardsticks"]
    print(f"{found['networks']:,} distinct networks; tau between two trainings of the truth: ", end="")
    print(", ".join(f"{tau:.3f}" for tau in found["seed_to_seed"]), end="; of one with the mean of the others: ")
    print(", ".join(f"{tau:.3f}" for tau in found["seed_to_mean_of_others"]))
    rows = []
    for name, row in found["predictors"].items():
        low, high = row["interval"]
        rows.append(
            [
                name,
                f"{row['tau']:.3f} [{low:.3f}, {high:.3f}]",
                "-" if row["equal_depth_tau"] is None else f"{row['equal_depth_tau']:.3f}",
                *_numbers(row),
                _regret(row["regret"].values()),
            ]
        )
    columns = (
        "predictor",
        " tau-b",
        " equal depth",
        " Spearman",
        " Pearson",
        " tau, best 10 %",
        " regret of top 1/10/100",
    )
    print_table(columns, rows)
    for strategy, entry in result["learning_rates"].items():
        tried = ", ".join(f"{rate}: {'-' if top1 is None else f'{top1:.1%}'}" for rate, top1 in entry["tried"].items())
        print(f"learning rate of {strategy}: {entry['lr']:g} (mean one-shot top-1 by rate: {tried})")
    final = [row for row in result["arms"] if row["last"] and row["networks"] == found["networks"]]
    _show_arms("In the end, all networks", final)
    _show_arms(
        "Samples of networks, and in the course of training", [row for row in result["arms"] if row not in final]
    )
    _show_committees(result["committees"])
    _show_corrections(result["corrections"])


def _show_corrections(found: Sequence[dict[str, Any]]) -> None:
    rows = [
        [
            f"{name_of(row)} {row['image_size']}px, seed {row['seed']}",
            f"{row['path_images']:,}",
            row["statistics"],
            f"{row['networks']} x {row['images']}",
            str(row["trained"]),
            row["predictor"],
            f"{row['tau']:.3f} ({row['tau_range'][0]:.3f} to {row['tau_range'][1]:.3f})",
            f"{row['verdict']:.3f} ({row['verdict_range'][0]:.3f} to {row['verdict_range'][1]:.3f})",
            f"{100 * row['lost']:.2f} ({100 * row['lost_range'][0]:.2f} to {100 * row['lost_range'][1]:.2f})",
        ]
        for row in found
    ]
    columns = (
        "arm",
        " path-images",
        "BN",
        " networks x images",
        " trained",
        "predictor",
        " tau-b of the others",
        " the trained say",
        " points lost by choosing under a bound",
    )
    if rows:
        print_table(columns, rows, "Weights fitted to a few networks trained from scratch; 5 to 95 % of 200 draws")


def _show_committees(found: Sequence[dict[str, Any]]) -> None:
    rows = []
    for row in found:
        cells = [name_of(row), f"{row['image_size']}px", f"{row['seeds']} x {row['path_images']:,}", row["statistics"]]
        for key in ("by_top1", "by_loss"):
            low, high = row[key]["interval"]
            cells.append(f"{row[key]['tau']:.3f} [{low:.3f}, {high:.3f}]")
        equal_depth = row["by_loss"]["equal_depth_tau"]
        known = "-" if equal_depth is None else f"{equal_depth:.3f}"
        rows.append([*cells, known, _regret(row["by_loss"]["regret"].values()), str(row["networks"])])
    columns = ("arm", " images", " path-images", "BN", " tau-b", " by loss", " equal depth", " regret 1/10/100", " n")
    if rows:
        print_table(columns, rows, "Mean scores of several supernets; the last columns by loss")


def name_of(row: dict[str, Any]) -> str:
    """Arm and weights of a line."""
    return f"{row['arm']}, mean weights" if row["averaged"] else row["arm"]


def _numbers(row: dict[str, Any]) -> list[str]:
    return [f"{row[key]:.3f}" for key in ("spearman", "pearson", "best_tau")]


def _regret(values: Any) -> str:
    return " / ".join(f"{100 * value:.2f}" for value in values)


def _show_arms(title: str, arms: Sequence[dict[str, Any]]) -> None:
    rows = []
    for row in sorted(
        arms, key=lambda row: (row["image_size"], name_of(row), row["budget"], row["statistics"], row["path_images"])
    ):
        tau, low, high = (row["tau"][key] for key in ("mean", "low", "high"))
        spread = "" if row["seeds"] == 1 else f" ({low:.3f} to {high:.3f})"
        rows.append(
            [
                name_of(row) if row["image_size"] == 32 else f"{name_of(row)} {row['image_size']}px",
                f"{row['path_images']:,}",
                row["statistics"],
                f"{row['networks']} / {row['seeds']}",
                f"{tau:.3f}{spread}",
                f"{row['tau_by_loss']['mean']:.3f}",
                *(f"{row[key]['mean']:.3f}" for key in ("equal_depth_tau", "best_tau")),
                _regret(entry["mean"] for entry in row["regret"].values()),
                f"{row['mean_top1']['mean']:.1%}",
                " - ".join(f"{100 * value:.1f}" for value in row["one_shot_range"]),
            ]
        )
    columns = (
        "arm",
        " path-images",
        "BN",
        " n / seeds",
        " tau-b",
        " by loss",
        " equal depth",
        " best 10 %",
    )
    if rows:
        print_table((*columns, " regret 1/10/100", " top-1", " from - to"), rows, title)


if __name__ == "__main__":
    sys.exit(main())
