"""Process groups started by torchrun, and the division of work among their processes."""

import contextlib
import dataclasses
import datetime
import math
import os
from collections.abc import Callable, Iterator
from typing import TypeVar

import torch

from fairnas.errors import ConfigError, FairnasError, ProcessesDisagree
from fairnas.train.loop import DivergedError
from fairnas.train.process_group import Group
from fairnas.train.strategies import Strategy, StrategyFacts

T = TypeVar("T")

PATIENCE = datetime.timedelta(hours=12)
"""Timeout of communication. The first process scores networks and writes files while the others wait for its next step;
a lost process is noticed by its closed connections, not by this timeout.
"""


def started_processes() -> int:
    """Number of processes that torchrun started, including this one; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def joined_group() -> Iterator[Group]:
    """Group of this process during the work: gloo on the CPU, NCCL between GPUs, one GPU each.

    Errors that all processes find in the training (`DivergedError`, `ProcessesDisagree`) are raised in the first
    process; the others exit with 2.
    """
    if started_processes() == 1:
        yield Group()
        return
    import torch.distributed as dist

    with_gpu = torch.cuda.is_available()
    if with_gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    dist.init_process_group("cpu:gloo,cuda:nccl" if with_gpu else "gloo", timeout=PATIENCE)
    try:
        yield Group(dist.get_rank(), dist.get_world_size())
    except (DivergedError, ProcessesDisagree) as error:
        if dist.get_rank() == 0:
            raise
        raise SystemExit(2) from error
    finally:
        dist.destroy_process_group()


def require_own_gpu(device: torch.device) -> None:
    """Raise an error if more processes than GPUs were started on this machine for a training on GPUs.

    A launcher may show each process a GPU of its own as the only one (`CUDA_VISIBLE_DEVICES`).

    Args:
        device: the chosen device.

    Raises:
        ConfigError: with the number of processes that can be started.
    """
    place, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    shown = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    if device.type == "cuda" and place >= gpus and not (gpus == 1 and shown):
        here = os.environ.get("LOCAL_WORLD_SIZE", str(place + 1))
        raise ConfigError(
            f"{here} processes were started on a machine with {gpus} GPU{'s' if gpus > 1 else ''}, and each needs its "
            f"own; give torchrun --nproc-per-node={gpus}, or set resources.device to 'cpu'"
        )


def in_all_processes(group: Group, work: Callable[[], T]) -> T:
    """Run work that may find a mistake in every process. If it does, all end, and the first reports it.

    Raises:
        FairnasError: in the first process, or in the only one: the mistake. The other processes exit with 2.
    """
    result, error = None, None
    try:
        result = work()
    except FairnasError as mistake:
        error = mistake
    if group.size > 1:
        found = group.gather(None if error is None else str(error))
        if any(found) and not group.is_first:
            raise SystemExit(2)
        if error is None and any(found):
            rank = next(rank for rank, text in enumerate(found) if text)
            error = ConfigError(f"process {rank}: {found[rank]}")
    if error is not None:
        raise error
    return result  # pyright: ignore[reportReturnType]


def arranged(
    group: Group, strategy: Strategy | StrategyFacts, name: str, *, batch_size: int, path_processes: int | None = None
) -> Group:
    """Divide the group into processes that share paths and teams that share images.

    Args:
        group: the processes.
        strategy: the training strategy.
        name: name of the strategy.
        batch_size: images of a mini-batch.
        path_processes: number of processes that share the paths of a step; default: the largest that divides both.

    Raises:
        ConfigError: if there is not enough work, or it cannot be divided evenly.
    """
    if (path_processes or 1) > 1 and strategy.passes_per_update == 1:
        raise ConfigError(
            f"resources.path_processes is {path_processes}, but '{name}' updates after one path at a time; "
            "leave it out: the processes then share out the images"
        )
    if group.size == 1:
        return group
    if not strategy.many_processes:
        raise ConfigError(
            f"'{name}' trains in one process, and {group.size} were started; start one, or use strategy 'strict'"
        )
    paths = strategy.passes_per_update
    count = math.gcd(group.size, paths) if path_processes is None else path_processes
    if count > paths:
        raise ConfigError(
            f"resources.path_processes is {count}, but a step of '{name}' has {paths} paths; give {paths} or fewer"
        )
    if group.size % count:
        raise ConfigError(
            f"resources.path_processes is {count}, which does not divide the {group.size} processes; "
            f"start {count} processes, or a multiple"
        )
    teams = group.size // count
    if batch_size % teams or batch_size // teams < 2:
        raise ConfigError(
            f"{group.size} processes share a mini-batch of {batch_size} images in {teams} parts, which must be equal "
            "and of 2 images or more; change train.batch_size, or the number of processes"
        )
    return dataclasses.replace(group, path_processes=count)
