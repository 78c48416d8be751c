"""The training loop. A supernet and a stand-alone network run through the same one (definition 1)."""

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
"""A loss that exploded or is not a number is noticed within so many steps; looking more often would stall a GPU."""

AGREEMENT_STEPS = 50
"""Processes that train together compare what they hold after so many steps, and before anything is saved."""

EXPLODED = 1e4
"""A mean loss beyond this is lost: a network that knows nothing has the logarithm of the number of classes."""


class DivergedError(FairnasError):
    """The loss is no longer a finite number, or far beyond what any network has; or weights are not finite."""


class Training(Protocol):
    """Something that is trained: its weights, its optimiser, and what one step does with a mini-batch."""

    @property
    def kind(self) -> str:
        """What is trained, such as `supernet`; a checkpoint of another kind is refused."""
        ...

    @property
    def network(self) -> nn.Module:
        """The weights."""
        ...

    @property
    def optimizer(self) -> torch.optim.Optimizer:
        """Over all of them."""
        ...

    @property
    def batches_per_step(self) -> int:
        """Mini-batches that one step takes."""
        ...

    def images(self, dataset: Dataset) -> Dataset:
        """The data set whose training images its weights learn from: the given one, or a part of it."""
        ...

    def step(self, batches: Sequence[Batch], step: int, total: int) -> Tensor:
        """Do step `step` of `total` and return the loss, a scalar on the device."""
        ...

    def extra_state(self) -> dict[str, Any]:
        """What has to be saved beside weights and optimiser."""
        ...

    def restore_extra(self, content: dict[str, Any]) -> None:
        """Take back what `extra_state` gave."""
        ...


@dataclass(frozen=True)
class LoopOptions:
    """When to save, what to tell, when to stop; no result depends on any of it."""

    checkpoint: Path | None = None
    """Where to save and from where to go on; None trains without saving."""
    identity: str = ""
    """What the checkpoint belongs to; one of another identity is refused."""
    legacy_identities: tuple[str, ...] = ()
    """Identities of the same training before a time budget made it shorter, which are accepted, too."""
    seconds: float = 30.0
    """Save after so many seconds of work."""
    steps: int | None = None
    """Also save after so many steps."""
    on_progress: Callable[[int, int, str], None] = lambda done, total, text: None
    """Called with steps done, steps in all, and a word on how it goes."""
    on_resume: Callable[[int], None] = lambda step: None
    """Called once with the step at which training begins or goes on."""
    on_epoch: Callable[[int, int, Mapping[str, float]], None] = lambda epoch, step, values: None
    """Called after each epoch with its number from 1, the step, and the measurements."""
    stop: Callable[[], bool] = lambda: False
    """Asked after every step; true saves and raises KeyboardInterrupt."""


def learning_rate(config: TrainConfig, step: int, total: int) -> float:
    """Cosine decay from `config.lr`, scaled, at step 0 to zero at step `total`."""
    return config.lr * config.lr_scale * 0.5 * (1 + math.cos(math.pi * step / total))


@dataclass(frozen=True)
class Cosine:
    """The schedule of what brings none of its own: see `learning_rate`."""

    config: TrainConfig
    setting: str = "train.lr"
    """Where users give the rate."""

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

    Momentum starts at zero for every parameter, which is what SGD's lazy start computes; torch's fused step refuses
    parameters of which some have been trained before and some not, as those of idle blocks.
    """
    optimizer = torch.optim.SGD(
        network.parameters(), lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay, fused=True
    )
    if config.momentum:
        for parameter in network.parameters():
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimizer


def training_steps(dataset: Dataset, config: TrainConfig, batches_per_step: int) -> int:
    """Steps of one epoch.

    Args:
        dataset: whose training images make an epoch.
        config: the size of a mini-batch.
        batches_per_step: mini-batches that one step takes.

    Raises:
        ConfigError: if the images don't suffice for one step.
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
    """Train to the end of the last epoch, going on from the checkpoint if there is one.

    The result depends on the arguments other than `options` only: interrupted and resumed at any checkpoint, a
    training on the CPU ends with the same weights, bit for bit.

    Args:
        training: what is trained.
        dataset: on what.
        config: how.
        seed: of the order of the images and their augmentation.
        options: when to save, what to tell, when to stop.
        group: the processes that train together; only the first reads and writes the checkpoint.

    Raises:
        DivergedError: if the loss explodes or becomes NaN, or weights do; the checkpoint is from before.
        CheckpointError: if the checkpoint cannot be read or belongs to something else.
        KeyboardInterrupt: when `options.stop` said so; everything is saved.
        LostProcessError: if another process of the group ended.
        ProcessesDisagree: if it holds other numbers; the checkpoint is from before.
    """
    group = group or Group()
    device, dataset = next(training.network.parameters()).device, training.images(dataset)
    per_epoch = training_steps(dataset, config, training.batches_per_step)
    total = config.epochs * per_epoch
    schedule = training.schedule if isinstance(training, Scheduled) else Cosine(config)
    step, loss_sum = _restore(training, options, device, group)
    options.on_resume(step)
    saved_at, saved_step = time.monotonic(), step
    seconds, steps = options.seconds, options.steps  # the group outlives this training, and must not hold on to it

    def is_due(at: int) -> bool:
        return time.monotonic() - saved_at >= seconds or bool(steps and at - saved_step >= steps)

    group.due = lambda: is_due(step + 1)  # asked during the step: what one process is to do, all do
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
            if saves:  # before the first process alone has work to do
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
    """`count` batches at a time; too few at the end are left out."""
    return zip(*[batches] * count, strict=False)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _require_finite(loss: Tensor, step: int, schedule: Schedule) -> None:
    if not abs(loss.item()) < EXPLODED:
        raise DivergedError(f"the loss is {loss.item():.4g} at step {step} with {schedule.remedy}")


def _require_finite_weights(network: nn.Module, step: int, schedule: Schedule) -> None:
    """Before they replace a good checkpoint: a step may ruin what its own loss, taken before the update, is of."""
    tensors = [tensor for tensor in network.state_dict().values() if tensor.is_floating_point()]
    if not torch.stack([torch.isfinite(tensor).all() for tensor in tensors]).all():  # one wait for a GPU, not many
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
    """Load the checkpoint, if there is one; return the step to go on at and the epoch's sum of losses so far."""
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
