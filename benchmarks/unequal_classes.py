"""`python -m benchmarks.unequal_classes`: how often the smallest of three classes is found, by `train.balance`.

The classes are made of scikit-learn's handwritten digits: 900, 400 and 30 images to learn from, the rest for the test.
"""

import dataclasses
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch

from benchmarks.command import run
from benchmarks.timing import Machine
from fairnas.config import Balance, DataConfig, RetrainConfig, TrainConfig
from fairnas.data import Dataset, load_dataset, ordered_batches
from fairnas.data.digits import read_digits
from fairnas.data.images import ResidentImages
from fairnas.evaluate import NetworkScore, score_network
from fairnas.nets import build
from fairnas.space import SearchSpace, get_space
from fairnas.train import LoopOptions, product_training, stand_alone_training, supernet_training, train

GROUPS = {"0, 1, 4, 6, 7, 9": 900, "2, 3, 5": 400, "8": 30}
"""Digits of each class, and its training images."""
CPU = torch.device("cpu")


@dataclass(frozen=True)
class UnequalClassesBenchmark:
    """Train one network by itself, by the product recipe, and as a path of a supernet, with and without balance.

    For example: python -m benchmarks.unequal_classes --seeds 5
    """

    seeds: int = 3
    """Trainings of each kind."""
    epochs: int = 4
    """Epochs of each training."""
    json: bool = False
    """Print one JSON object and nothing else."""


def unequal_digits() -> Dataset:
    """Three classes of real handwritten digits; validation and test images are the same."""
    pixels, digits = (np.concatenate([getattr(part, name) for part in read_digits()]) for name in ("pixels", "labels"))
    rng, learned, held_out = np.random.default_rng(0), [], []
    for label, (group, count) in enumerate(GROUPS.items()):
        places = rng.permutation(np.flatnonzero(np.isin(digits, [int(each) for each in group.split(", ")])))
        rows = np.column_stack([places, np.full(len(places), label)])
        learned.append(rows[:count])
        held_out.append(rows[count:])

    def images(rows: list[np.ndarray]) -> ResidentImages:
        places, labels = rng.permutation(np.concatenate(rows)).T
        return ResidentImages(torch.from_numpy(pixels[places]), torch.from_numpy(labels.copy()), 8)

    whole = load_dataset(DataConfig("digits", augmentation="shift"), image_size=8, image_channels=1, seed=0)
    train_images, test_images = images(learned), images(held_out)
    return dataclasses.replace(
        whole, classes=tuple(GROUPS), train=train_images, validation=test_images, test=test_images
    )


def stand_alone(space: SearchSpace, data: Dataset, config: TrainConfig, seed: int) -> NetworkScore:
    """A network trained by itself, with the supernet's hyper-parameters."""
    training = stand_alone_training(space, (0,) * space.depth, config, seed, CPU)
    train(training, data, config, seed, LoopOptions())
    return tested(training.network, data)


def product(space: SearchSpace, data: Dataset, config: TrainConfig, seed: int) -> NetworkScore:
    """One trained for use: with label smoothing, dropout, mixup and an average of weights."""
    settings = RetrainConfig("product", mixup=0.2, average=0.9)
    training = product_training(space, (0,) * space.depth, settings, config, seed, CPU)
    train(training, data, config, seed, LoopOptions())
    return tested(training.kept, data)


def supernet(space: SearchSpace, data: Dataset, config: TrainConfig, seed: int) -> NetworkScore:
    """The same path of a supernet under strict fairness."""
    training = supernet_training(space, config, seed, CPU)
    train(training, data, config, seed, LoopOptions())
    return tested(build(space, (0,) * space.depth, inherit=training.network), data)


KINDS: dict[str, Callable[[SearchSpace, Dataset, TrainConfig, int], NetworkScore]] = {
    "stand-alone": stand_alone,
    "product": product,
    "supernet": supernet,
}


def tested(network: torch.nn.Module, data: Dataset) -> NetworkScore:
    """Score of a network on the test images."""
    return score_network(network, ordered_batches(data.test, data, batch_size=500, device=CPU))


def measure(given: UnequalClassesBenchmark) -> dict[str, Any]:
    """Recall of each class, top-1 and balanced accuracy, per kind of training, balance and seed."""
    torch.set_num_threads(1)
    data, space = unequal_digits(), get_space("digits").for_data(num_classes=len(GROUPS))
    rows = []
    for kind, trained in KINDS.items():
        for balance in get_args(Balance):
            config = TrainConfig(epochs=given.epochs, batch_size=40, lr=0.05, balance=balance)
            for seed in range(given.seeds):
                found = trained(space, data, config, seed)
                recall = [hits / count for hits, count in zip(found.class_hits, found.class_images, strict=True)]
                row = {"kind": kind, "balance": balance, "seed": seed, "recall": recall}
                rows.append(row | {"top1": found.top1, "balanced_accuracy": found.balanced_accuracy})
    return {
        "benchmark": "unequal_classes",
        "train_images": list(GROUPS.values()),
        "test_images": torch.bincount(data.test.labels).tolist(),
        "rows": rows,
        "settings": {"space": space.name, "epochs": given.epochs, "seeds": given.seeds},
        "machine": Machine.here().to_dict(),
    }


def show(given: UnequalClassesBenchmark, result: dict[str, Any]) -> None:
    """Print the result for people."""
    images = " / ".join(map(str, result["train_images"]))
    print(f"classes of {images} training images, {given.epochs} epochs; recall of the smallest, lowest to highest seed")
    for kind in KINDS:
        for balance in get_args(Balance):
            own = [row for row in result["rows"] if (row["kind"], row["balance"]) == (kind, balance)]
            recall = [row["recall"][-1] for row in own]
            others = statistics.fmean(row["recall"][1] for row in own)
            print(
                f"  {kind:12} {balance:9} {statistics.fmean(recall):6.1%} ({min(recall):.1%} to {max(recall):.1%}), "
                f"the second class {others:6.1%}"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse, measure, print. Returns the exit code."""
    return run("unequal_classes", UnequalClassesBenchmark, measure, show, arguments)


if __name__ == "__main__":
    sys.exit(main())
