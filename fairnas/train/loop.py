"""Training loop, the same for supernets and stand-alone networks (definition 1)."""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from fairnas.config import TrainConfig
from fairnas.data import Dataset, steps_per_epoch, training_batches
from fairnas.errors import CheckpointError, ConfigError, FairnasError
from fairnas.train.checkpoint import read_checkpoint, write_checkpoint
from fairnas.train.process_group import Group
from fairnas.train.schedule import Schedule, Scheduled
from fairnas.train.step import Batch

FINITE_CHECK_STEPS = 20
"""Interval of checks for a loss that exploded or is NaN; more frequent checks would stall a GPU."""

AGREEMENT_STEPS = 50
"""Interval of steps after which processes that train together compare their state; also compared before saving."""

EXPLODED = 1e4
"""Limit of the mean loss: an untrained network has the logarithm of the number of classes, far below it."""


class DivergedError(FairnasError):
    """Loss that is not finite or far too large, or weights that are not finite."""


class Training(Protocol):
    """Object of a training: its weights, its optimiser, and one step on a mini-batch."""

    @property
    def kind(self) -> str:
        """Kind, such as `supernet`; a checkpoint of another kind is refused."""
        ...

    @property
    def network(self) -> nn.Module:
        """Network with the weights."""
        ...

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Optimiser of all weights."""
        ...

    @property
    def batches_per_step(self) -> int:
        """Number of mini-batches that one step takes."""
        ...

    def images(self, dataset: Dataset) -> Dataset:
        """Data set whose training images train the weights: the given one, or a part of it."""
        ...

    def step(self, batches: Sequence[Batch], step: int, total: int) -> Tensor:
        """Do step `step` of `total` and return the loss, a scalar on the device."""
        ...

    def extra_state(self) -> dict[str, Any]:
        """State to be saved beside weights and optimiser."""
        ...

    def restore_extra(self, content: dict[str, Any]) -> None:
        """Restore the result of `extra_state`."""
        ...


@dataclass(frozen=True)
class LoopOptions:
    """Options for saving, progress and stopping; they do not affect the result."""

    checkpoint: Path | None = None
    """File to save to and to resume from; None trains without saving."""
    identity: str = ""
    """Identity of the training; a checkpoint of another identity is refused."""
    legacy_identities: tuple[str, ...] = ()
    """Identities of the same training before a time budget shortened it, which are accepted as well."""
    seconds: float = 30.0
    """Seconds of work after which to save."""
    steps: int | None = None
    """Number of steps after which to save as well."""
    on_progress: Callable[[int, int, str], None] = lambda done, total, text: None
    """Callback with steps done, total steps, and a text about the progress."""
    on_resume: Callable[[int], None] = lambda step: None
    """Callback with the step at which training begins or resumes, called once."""
    on_epoch: Callable[[int, int, Mapping[str, float]], None] = lambda epoch, step, values: None
    """Callback after each epoch with its number from 1, the step, and the measurements."""
    stop: Callable[[], bool] = lambda: False
    """Function called after every step; True saves and raises KeyboardInterrupt."""


def learning_rate(config: TrainConfig, step: int, total: int) -> float:
    """Cosine decay from the scaled `config.lr` at step 0 to zero at step `total`."""
    return config.lr * config.lr_scale * 0.5 * (1 + math.cos(math.pi * step / total))


@dataclass(frozen=True)
class Cosine:
    """Default schedule: see `learning_rate`."""

    config: TrainConfig
    setting: str = "train.lr"
    """Setting that gives the learning rate."""

    @property
    def remedy(self) -> str:
        """See `Schedule`."""
        lr = self.config.lr
        return f"{self.setting} = {lr}; try a lower rate, such as {lr / 3:.2g}, in a new run"

    def rate(self, step: int, total: int, per_epoch: int) -> float:
        """See `Schedule`."""
        return learning_rate(self.config, step, total)


def make_optimizer(network: nn.Module, config: TrainConfig) -> torch.optim.Optimizer:
    """SGD with momentum and L2 weight decay on every parameter (paper 4.1), in one fused call.

    Momentum starts at zero for every parameter, which equals SGD's lazy initialisation; torch's fused step refuses a
    mixture of parameters with and without momentum, which idle blocks would cause.
    """
    optimizer = torch.optim.SGD(
        network.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
    )
    if config.momentum:
        for parameter in network.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def training_steps(dataset: Dataset, config: TrainConfig, batches_per_step: int) -> int:
    """Number of steps of one epoch.

    Args:
        dataset: its training images make an epoch.
        config: size of a mini-batch.
        batches_per_step: number of mini-batches in a step.

    Raises:
        ConfigError: if there are not enough images for one step.
    """
    batches = steps_per_epoch(dataset, config.batch_size)
    if batches < batches_per_step:
        raise ConfigError(
            f"a step of '{config.strategy}' takes {batches_per_step} mini-batches, but {len(dataset.train):,} training "
            f"images make {batches} of {config.batch_size}; give a smaller train.batch_size"
        )
    return batches // batches_per_step


def train(
    training: Training,
    dataset: Dataset,
    config: TrainConfig,
    seed: int,
    options: LoopOptions,
    group: Group | None = None,
) -> None:
    """Train to the end of the last epoch, resuming from the checkpoint if there is one.

    The result does not depend on `options`: interrupted and resumed at any checkpoint, a training on the CPU ends with
    the same weights, bit for bit.

    Args:
        training: object of the training.
        dataset: training images.
        config: epochs, batch size, learning rate.
        seed: of the order of the images and their augmentation.
        options: saving, progress and stopping.
        group: the processes that train together; only the first reads and writes the checkpoint.

    Raises:
        DivergedError: if the loss explodes or becomes NaN, or weights do; the checkpoint is from an earlier step.
        CheckpointError: if the checkpoint cannot be read or belongs to something else.
        KeyboardInterrupt: when `options.stop` returned True; everything is saved.
        LostProcessError: if another process of the group ended.
        ProcessesDisagree: if processes hold different numbers; the checkpoint is from an earlier step.
    """
    group = group or Group()
    device, dataset = next(training.network.parameters()).device, training.images(dataset)
    per_epoch = training_steps(dataset, config, training.batches_per_step)
    total = config.epochs * per_epoch
    schedule = training.schedule if isinstance(training, Scheduled) else Cosine(config)
    step, loss_sum = _restore(training, options, device, group)
    options.on_resume(step)
    saved_at, saved_step = time.monotonic(), step
    seconds, steps = options.seconds, options.steps  # copies: the group outlives this, and must not keep `options`

    def is_due(at: int) -> bool:
        return time.monotonic() - saved_at >= seconds or bool(steps and at - saved_step >= steps)

    group.due = lambda: is_due(step + 1)  # evaluated during the step, so that all processes act when one is due
    training.network.train()
    while step < total:
        epoch, first = divmod(step, per_epoch)
        batches = training_batches(
            dataset,
            batch_size=config.batch_size,
            seed=seed,
            epoch=epoch,
            first=first * training.batches_per_step,
            balance=config.balance,
            part=(group.image_rank, group.image_processes),
            device=device,
        )
        for taken in _in_steps(batches, training.batches_per_step):
            rate = schedule.rate(step, total, per_epoch)
            _set_rate(training.optimizer, rate)
            loss = training.step(taken, step, total)
            step, loss_sum = step + 1, loss_sum + loss
            epoch_ends = step % per_epoch == 0
            stopping = group.stopping if group.size > 1 else options.stop()
            saves = stopping or step == total or (group.saving if group.size > 1 else is_due(step))
            if saves or epoch_ends or step % FINITE_CHECK_STEPS == 0:
                _require_finite(loss, step, schedule)
                options.on_progress(step, total, f"epoch {epoch + 1}/{config.epochs}, loss {loss.item():.3f}")
            if group.size > 1 and (saves or step % AGREEMENT_STEPS == 0):
                group.require_agreement(training.network, training.extra_state(), step)
            if saves:  # checked before the first process begins work of its own
                _require_finite_weights(training.network, step, schedule)
            if epoch_ends:  # measured before anything is saved, so that no kill loses the epoch's measurements
                options.on_epoch(epoch + 1, step, {"epoch": epoch + 1, "loss": loss_sum.item() / per_epoch, "lr": rate})
                training.network.train()
                loss_sum = torch.zeros_like(loss_sum)
            if saves:
                _save(training, step, loss_sum, options)
                saved_at, saved_step = time.monotonic(), step
            if stopping and step < total:
                raise KeyboardInterrupt


def _in_steps(batches: Iterator[Batch], count: int) -> Iterator[tuple[Batch, ...]]:
    """Iterate over groups of `count` batches; an incomplete group at the end is dropped."""
    return zip(*[batches] * count, strict=False)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _require_finite(loss: Tensor, step: int, schedule: Schedule) -> None:
    if not abs(loss.item()) < EXPLODED:
        raise DivergedError(f"the loss is {loss.item():.4g} at step {step} with {schedule.remedy}")


def _require_finite_weights(network: nn.Module, step: int, schedule: Schedule) -> None:
    """Raise `DivergedError` before bad weights are saved: a step's loss does not show the damage by its update."""
    tensors = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
    # a single synchronisation with the GPU
    if not torch.stack([torch.isfinite(tensor).all() for tensor in tensors]).all():
        raise DivergedError(f"weights are NaN or infinite after step {step} with {schedule.remedy}")


def _save(training: Training, step: int, loss_sum: Tensor, options: LoopOptions) -> None:
    if options.checkpoint is not None:
        content = {
            "identity": options.identity,
            "step": step,
            "loss_sum": loss_sum,
            "network": training.network.state_dict(),
            "optimizer": training.optimizer.state_dict(),
            "extra": training.extra_state(),
        }
        write_checkpoint(options.checkpoint, training.kind, content)


def _restore(training: Training, options: LoopOptions, device: torch.device, group: Group) -> tuple[int, Tensor]:
    """Load the checkpoint, if there is one; return the step to resume at and the epoch's sum of losses so far."""
    content = None
    if group.is_first and options.checkpoint is not None and options.checkpoint.exists():
        content = read_checkpoint(options.checkpoint, training.kind)
        if content.get("identity") not in (options.identity, *options.legacy_identities):
            raise CheckpointError(
                f"the checkpoint {options.checkpoint} belongs to another configuration; "
                "delete it, or use another directory"
            )
    content = group.from_first(content)
    if content is None:
        return 0, torch.zeros((), dtype=torch.float64, device=device)
    try:
        training.network.load_state_dict(content["network"])
        training.optimizer.load_state_dict(content["optimizer"])
        training.restore_extra(content["extra"])
        return int(content["step"]), content["loss_sum"].to(device)
    except (RuntimeError, ValueError, KeyError, AttributeError) as error:
        reason = str(error).splitlines()[0]
        raise CheckpointError(
            f"the checkpoint {options.checkpoint} does not fit ({reason}); delete it to train again"
        ) from None
