"""Functions that tests run in several processes at once, and the way to start them."""

import dataclasses
import os
import traceback
from dataclasses import dataclass
from pathlib import Path

import torch

from fairnas.config import DataConfig, TrainConfig
from fairnas.data import load_dataset
from fairnas.data.subsets import PartOfImages
from fairnas.pipeline.job_pool import from_one_that_has_imported
from fairnas.space import Stage, Stem, chain_space
from fairnas.train import DivergedError, LoopOptions, arranged, joined_group, make_strategy, train
from fairnas.train.supernet import SupernetTraining, new_supernet

SPACE = chain_space(
    "tiny",
    image_size=8,
    image_channels=1,
    stem=Stem(6, 1),
    stages=(Stage(6, 1), Stage(8, 2, 2)),
    head=16,
    num_classes=10,
    kernels=(3, 5),
)
CPU = torch.device("cpu")


def tiny_dataset():
    data = DataConfig("digits", validation_per_class=5, train_per_class=24, augmentation="shift")
    return load_dataset(data, image_size=8, image_channels=1, seed=0)


def uneven_dataset():
    """The same, but every second image of half of the classes is left out."""
    dataset = tiny_dataset()
    left_out = (dataset.train.labels % 2 == 0) & (torch.arange(len(dataset.train)) % 2 == 0)
    kept = torch.where(~left_out)[0].numpy()
    return dataclasses.replace(dataset, train=PartOfImages(dataset.train, kept))


def started(function, size: int, folder: Path, *arguments) -> list:
    """Run `function(rank, *arguments)` in `size` processes that can join a group; return what each returned."""
    context = from_one_that_has_imported(__name__)
    port = 20_000 + os.getpid() % 20_000 + size
    processes = [
        context.Process(target=_work, args=(function, rank, size, port, folder, arguments)) for rank in range(size)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join(500)  # of a busy machine
        assert process.exitcode == 0, (folder / f"error{processes.index(process)}.txt").read_text()
    return [torch.load(folder / f"result{rank}.pt", weights_only=False) for rank in range(size)]


def _work(function, rank, size, port, folder, arguments) -> None:
    torch.set_num_threads(1)
    names = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": size, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in names.items()})
    try:
        torch.save(function(rank, *arguments), folder / f"result{rank}.pt")
    except BaseException:
        (folder / f"error{rank}.txt").write_text(traceback.format_exc())
        os._exit(1)


def state_of(training) -> dict:
    return {
        "network": {name: value.clone() for name, value in training.network.state_dict().items()},
        "ledger": training.extra_state()["ledger"],
    }


@dataclass(frozen=True)
class Job:
    """One training of the tiny supernet."""

    config: TrainConfig
    path_processes: int | None = None
    double: bool = False
    spoiled: bool = False
    """Start the second process with a weight that is off by one bit."""
    saves: tuple[tuple[float, int | None], ...] = ((1e6, None),)
    """For each process, or for all: after how many seconds and steps it saves."""
    uneven: bool = False
    """Use classes of unequal size."""


def train_all(rank: int, jobs: list[Job]) -> list:
    """Train by every job in this process's group; return weights, statistics, ledger and losses of each."""
    dataset = tiny_dataset()
    with joined_group() as group:
        return [_trained(rank, job, uneven_dataset() if job.uneven else dataset, group) for job in jobs]


def _trained(rank: int, job: Job, dataset, group):
    config = job.config
    strategy = make_strategy(config, SPACE.choices, 0)
    group = arranged(group, strategy, config.strategy, batch_size=config.batch_size, path_processes=job.path_processes)
    supernet = new_supernet(SPACE, config, 0)
    training = SupernetTraining(supernet.double() if job.double else supernet, config, 0, group=group)
    if job.double:
        training.step = in_double(training.step)
    if job.spoiled and rank == 1:
        with torch.no_grad():
            training.network.head.classifier.weight[3, 3] += 1e-7
    losses = []
    seconds, steps = job.saves[rank % len(job.saves)]
    options = LoopOptions(seconds=seconds, steps=steps, on_epoch=lambda epoch, step, v: losses.append(v["loss"]))
    try:
        train(training, dataset, config, 0, options, group)
    except RuntimeError as error:
        return f"{type(error).__name__}: {error}"
    return {**state_of(training), "losses": losses, "shares": (group.path_processes, group.image_processes)}


def diverging(rank: int) -> str:
    """Find that the training diverged, as all processes do; return how the group's end looks from here."""
    try:
        with joined_group():
            raise DivergedError("lost")
    except (DivergedError, SystemExit) as error:
        return f"{type(error).__name__}: {error}"


def in_double(step):
    return lambda batches, number, total: step([(images.double(), labels) for images, labels in batches], number, total)
