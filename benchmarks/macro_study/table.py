"""Results of the study compared with the truth of the benchmark, from the saved files alone."""

import hashlib
import itertools
import json
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.macro_study.trainings import SPACE, read_json, write_json
from fairnas.analysis import accuracy_gap, best_agreement, rank_agreement
from fairnas.analysis.correction import fitted_weights, left_out_order
from fairnas.analysis.nas_bench_macro import TrueNetwork, read_nas_bench_macro
from fairnas.analysis.resampling import Pairs, signs_of
from fairnas.errors import DataError
from fairnas.randomness import generator
from fairnas.space import Genome, format_genome, get_space

Truth = Mapping[str, TrueNetwork]
"""The distinct networks, by genome in text form."""


def read_truth(path: Path) -> Truth:
    """Every distinct network of the benchmark."""
    space = get_space(SPACE)
    rows = read_nas_bench_macro(path)
    return {format_genome(genome): row for genome, row in sorted(rows.items()) if space.canonical(genome) == genome}


def depth_of(genome: Genome) -> int:
    """Number of inverted residuals in a network, without identities and blocks equal to them."""
    return get_space(SPACE).network_depth(genome)


def equal_depth_tau(predicted: Mapping[str, float], truth: Sequence[float]) -> float | None:
    """Tau-b among networks of equal depth: mean over depths, weighted by pairs. What is known beyond counting layers.

    Depths at which either list is constant are left out; None if that is all of them.
    """
    from scipy.stats import kendalltau

    space = get_space(SPACE)
    groups: dict[int, list[tuple[float, float]]] = {}
    for (genome, value), true in zip(predicted.items(), truth, strict=True):
        groups.setdefault(depth_of(space.parse(genome)), []).append((value, true))
    weighted, weights = 0.0, 0
    for rows in groups.values():
        values, trues = zip(*rows, strict=True)
        if len(set(values)) > 1 and len(set(trues)) > 1:
            found: Any = kendalltau(values, trues)
            pairs = len(rows) * (len(rows) - 1) // 2
            weighted, weights = weighted + pairs * float(found.statistic), weights + pairs
    return weighted / weights if weights else None


@dataclass(frozen=True)
class TruthComparison:
    """Compares predictions with the truth, and remembers what it found: the bootstrap takes seconds per list."""

    truth: Truth
    memory: Path | None = None
    """A JSON file."""

    def __call__(self, predicted: Mapping[str, float]) -> dict[str, Any]:
        """All statistics for some networks, as plain data."""
        truth = [self.truth[genome].top1 for genome in predicted]
        values = list(predicted.values())
        key = hashlib.sha256(json.dumps([values, truth]).encode()).hexdigest()[:16]
        known = (read_json(self.memory) or {}) if self.memory else {}
        if key not in known:
            known[key] = self._found(values, truth)
            if self.memory:
                write_json(self.memory, known)
        return known[key] | {"equal_depth_tau": equal_depth_tau(predicted, truth)}

    @staticmethod
    def _found(values: list[float], truth: list[float]) -> dict[str, Any]:
        # the losses of a hopeless network may be infinite; then there is no order to speak of
        finite = values if np.isfinite(values).all() else [0.0] * len(values)
        whole, best = rank_agreement(finite, truth), best_agreement(finite, truth)
        return {
            "tau": whole.tau,
            "interval": list(whole.interval),
            "n": whole.n,
            "spearman": whole.spearman,
            "pearson": best.pearson,
            "best_tau": best.best_tau,
            "best_n": best.best_n,
            "regret": {str(k): value for k, value in best.regret.items()},
        }


def yardsticks(judge: TruthComparison) -> dict[str, Any]:
    """Yardsticks that need no supernet: the benchmark's own noise, and predictors that cost nothing."""
    from scipy.stats import kendalltau

    truth, space = judge.truth, get_space(SPACE)
    trainings = np.array([row.trainings for row in truth.values()])
    pairs: list[Any] = [kendalltau(trainings[:, a], trainings[:, b]) for a, b in _pairs(trainings.shape[1])]
    others: list[Any] = [
        kendalltau(trainings[:, each], np.delete(trainings, each, axis=1).mean(axis=1))
        for each in range(trainings.shape[1])
    ]
    return {
        "networks": len(truth),
        "seed_to_seed": [float(found.statistic) for found in pairs],
        "seed_to_mean_of_others": [float(found.statistic) for found in others],
        "stand_alone_range": [float(trainings.mean(axis=1).min()), float(trainings.mean(axis=1).max())],
        "predictors": {
            "depth": judge({text: float(depth_of(space.parse(text))) for text in truth}),
            "madds": judge({text: float(row.madds) for text, row in truth.items()}),
            "params": judge({text: float(row.params) for text, row in truth.items()}),
        },
    }


def _pairs(count: int) -> list[tuple[int, int]]:
    return list(itertools.combinations(range(count), 2))


def scored_trainings(out: Path, judge: TruthComparison) -> Iterator[dict[str, Any]]:
    """Every finished training in the study's folder with what its complete scores come to."""
    for folder, facts, complete in _finished(out):
        yield {**facts, "folder": folder, "scored": [_judged(content, facts, judge) for content in complete]}


def _finished(out: Path) -> Iterator[tuple[str, dict[str, Any], list[dict[str, Any]]]]:
    """Folder, facts and complete files of scores of every finished training."""
    for path in sorted(out.glob("*/training.json")):
        facts = read_json(path)
        assert facts is not None
        found = (read_json(file) for file in sorted(path.parent.glob("scores-*.json")))
        # files of earlier versions lack the key
        files = [{"averaged": False, **content} for content in found if content]
        for content in files:
            if content["identity"] != facts["identity"]:
                step = content["step"]
                raise DataError(f"scores after step {step} of {facts['arm']} are of another training; delete them")
        yield path.parent.name, facts, [content for content in files if len(content["scores"]) == content["wanted"]]


def _judged(content: dict[str, Any], facts: dict[str, Any], judge: TruthComparison) -> dict[str, Any]:
    scores: dict[str, dict[str, float]] = content["scores"]
    top1 = {genome: score["top1"] for genome, score in scores.items()}
    gap = accuracy_gap(list(top1.values()), [judge.truth[genome].top1 for genome in top1])
    return {
        **{key: content[key] for key in ("step", *_SCORED)},
        "path_images": facts["path_images"] * content["step"] // facts["steps"],
        "last": content["step"] == facts["steps"],
        "mean_top1": statistics.fmean(top1.values()),
        "one_shot_range": list(gap.one_shot),
        "lambda": gap.gap,
        "by_top1": judge(top1),
        "by_loss": judge({genome: -score["loss"] for genome, score in scores.items()}),
    }


_TRAINING = ("arm", "image_size", "budget", "lr")
_SCORED = ("averaged", "statistics", "images", "calibration", "wanted")
_SCORING = (*_SCORED, "path_images", "last")
"""Fields that seeds must share to be one line of the table."""


def over_seeds(trainings: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Final scores of all seeds of an arm at one budget, for every way of scoring."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for facts in trainings:
        for row in facts["scored"]:
            same = (*(facts[key] for key in _TRAINING), *(row[key] for key in _SCORING))
            groups.setdefault(same, []).append(row)
    found = []
    for same, rows in groups.items():
        known = dict(zip((*_TRAINING, *_SCORING), same, strict=True))
        found.append(
            {
                **known,
                "networks": known["wanted"],
                "seeds": len(rows),
                "tau": _spread([row["by_top1"]["tau"] for row in rows]),
                "tau_by_loss": _spread([row["by_loss"]["tau"] for row in rows]),
                "spearman": _spread([row["by_top1"]["spearman"] for row in rows]),
                "pearson": _spread([row["by_top1"]["pearson"] for row in rows]),
                # a supernet that scores all alike orders nothing
                "equal_depth_tau": _spread([row["by_top1"]["equal_depth_tau"] or 0.0 for row in rows]),
                "best_tau": _spread([row["by_top1"]["best_tau"] for row in rows]),
                "regret": {k: _spread([row["by_top1"]["regret"][k] for row in rows]) for k in _shared_counts(rows)},
                "mean_top1": _spread([row["mean_top1"] for row in rows]),
                "lambda": _spread([row["lambda"] for row in rows]),
                "one_shot_range": [
                    min(row["one_shot_range"][0] for row in rows),
                    max(row["one_shot_range"][1] for row in rows),
                ],
                "intervals": [row["by_top1"]["interval"] for row in rows],
            }
        )
    return found


def committees(out: Path, judge: TruthComparison) -> list[dict[str, Any]]:
    """Order by the mean score over all seeds of an arm, if there are several: one prediction of many supernets.

    It costs as much compute as all of them, so it is no row for comparing arms at equal compute.
    """
    groups: dict[tuple[Any, ...], list[dict[str, dict[str, float]]]] = {}
    for _, facts, complete in _finished(out):
        for content in complete:
            if content["step"] == facts["steps"]:
                shared = (content[key] for key in _SCORED)
                same = (*(facts[key] for key in _TRAINING), facts["path_images"], *shared)
                groups.setdefault(same, []).append(content["scores"])
    keys = (*_TRAINING, "path_images", *_SCORED[:-1], "networks")
    return [
        {
            **dict(zip(keys, same, strict=True)),
            "seeds": len(members),
            "by_top1": judge({genome: statistics.fmean(each[genome]["top1"] for each in members) for genome in first}),
            "by_loss": judge({genome: -statistics.fmean(each[genome]["loss"] for each in members) for genome in first}),
        }
        for same, members in groups.items()
        for first in members[:1]
        if len(members) > 1
    ]


# Corrected by a few networks that were trained --------------------------------------------------------------------

TRAINED = (13, 40)
"""Numbers of networks trained from scratch; the paper's study trains 13."""
DRAWS = 200
"""Random choices of them."""
PREDICTORS: dict[str, tuple[str, ...]] = {
    "depth, multiply-adds": ("depth", "madds"),
    "top-1": ("top1",),
    "top-1, depth": ("top1", "depth"),
    "cross-entropy": ("loss",),
    "cross-entropy, depth": ("loss", "depth"),
    "cross-entropy, depth, multiply-adds": ("loss", "depth", "madds"),
}


def corrected(scores: Mapping[str, Mapping[str, float]], truth: Truth, trained: int) -> list[dict[str, Any]]:
    """Orders by weighted sums of one-shot scores and costs, with weights fitted to a few trained networks.

    What a supernet gets wrong is largely the same for every network of a kind, such as too little credit for depth; so
    a few networks whose stand-alone accuracies are known correct the order of all others, which alone are judged.

    Args:
        scores: of one supernet.
        truth: stand-alone accuracies and costs.
        trained: networks whose accuracies the fit may see, drawn at random `DRAWS` times.

    Returns:
        Per predictor, mean, 5 % and 95 % quantile over the draws of tau-b on the networks that were not trained; the
        same of the tau that the trained ones alone give it (`verdict`), as `fairnas rank` does, which scales by their
        own spread; and of what choosing by it costs (`lost`, see `lost_by_choosing`).
        None where scores are not finite, or there are too few networks.
    """
    from scipy.stats import kendalltau

    space, names = get_space(SPACE), list(scores)
    columns = {
        "top1": [scores[name]["top1"] for name in names],
        "loss": [-scores[name]["loss"] for name in names],
        "depth": [depth_of(space.parse(name)) for name in names],
        "madds": [truth[name].madds for name in names],
    }
    accuracies, madds = (np.array([getattr(truth[name], key) for name in names]) for key in ("top1", "madds"))
    if len(names) <= 2 * trained or not all(np.isfinite(column).all() for column in columns.values()):
        return []
    scaled = {key: _standardised(np.array(column, dtype=float)) for key, column in columns.items()}
    rng = generator(0, "trained networks", trained)
    draws = [rng.permutation(len(names)) for _ in range(DRAWS)]
    found = []
    for name, keys in PREDICTORS.items():
        inputs = np.column_stack([scaled[key] for key in keys])
        taus, verdicts, lost = [], [], []
        for order in draws:
            known, others = order[:trained], order[trained:]
            weights = fitted_weights(inputs[known], accuracies[known])
            predicted = inputs[others] @ weights
            result: Any = kendalltau(predicted, accuracies[others])
            taus.append(float(result.statistic))
            lost.append(lost_by_choosing(predicted, accuracies[others], madds[others]))
            pairs = Pairs(left_out_order(inputs[known], accuracies[known]), signs_of(accuracies[known]))
            verdicts.append(float(pairs.tau(np.ones(trained))))
        row: dict[str, Any] = {"predictor": name, "trained": trained}
        for key, values in (("tau", taus), ("verdict", verdicts), ("lost", lost)):
            row |= {key: statistics.fmean(values), f"{key}_range": np.quantile(values, [0.05, 0.95]).tolist()}
        found.append(row)
    return found


BOUNDS = 20
"""Number of bounds on multiply-adds, at equal shares of the networks; the last excludes none."""


def lost_by_choosing(predicted: np.ndarray, accuracies: np.ndarray, madds: np.ndarray) -> float:
    """Accuracy lost by taking what is predicted to be best instead of what is, mean over bounds on multiply-adds."""
    lost = []
    for bound in np.quantile(madds, np.arange(1, BOUNDS + 1) / BOUNDS):
        allowed = madds <= bound
        lost.append(accuracies[allowed].max() - accuracies[allowed][predicted[allowed].argmax()])
    return statistics.fmean(lost)


def _standardised(values: np.ndarray) -> np.ndarray:
    spread = values.std()
    return (values - values.mean()) / (spread if spread else 1.0)


def corrections(out: Path, judge: TruthComparison) -> list[dict[str, Any]]:
    """`corrected`, for the complete final scores of every training."""
    return [
        {**{key: facts[key] for key in ("arm", "seed", "image_size", "path_images")}, **kept, "networks": wanted, **row}
        for _, facts, complete in _finished(out)
        for content in complete
        if content["step"] == facts["steps"]
        for kept, wanted in [({key: content[key] for key in _SCORED[:-1]}, content["wanted"])]
        for trained in TRAINED
        for row in corrected(content["scores"], judge.truth, trained)
    ]


def _shared_counts(rows: Sequence[dict[str, Any]]) -> list[str]:
    return list(rows[0]["by_top1"]["regret"])


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"mean": statistics.fmean(values), "low": min(values), "high": max(values)}
