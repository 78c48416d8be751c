"""Training one network for use, with the tricks of MnasNet (paper 4.1 b) and some that the paper leaves out.

What is kept is the moving average of the weights, as it was when its validation accuracy was best.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from fairnas.config import RetrainConfig, TrainConfig
from fairnas.data import Dataset
from fairnas.nets import StandAlone, batch_norms, build
from fairnas.nets.supernet import Supernet
from fairnas.randomness import derived_seed
from fairnas.space import Genome, SearchSpace
from fairnas.train.average import MovingAverage
from fairnas.train.executors import arithmetic, loss_of
from fairnas.train.mixture import Mixture, mixture
from fairnas.train.rmsprop import RMSProp
from fairnas.train.schedule import WarmStaircase
from fairnas.train.step import Batch
from fairnas.train.supernet import weights_for

MNASNET_EPOCHS = 350
"""Of MnasNet's own training, which the lengths of warm-up and stairs are proportions of."""
_WARMUP_EPOCHS, _STAIR_EPOCHS = 5, 2.4
_MOST_OF_A_BATCH, _LOOKED_BACK = 0.1, 100  # of BN's statistics: a mini-batch's share; 1 / share of the training
IMAGES_OF_THE_RATE = 256
"""Size of the mini-batch that `retrain.lr` is for."""

Teacher = Callable[[Tensor], Tensor]
"""Logits (B, num_classes) without a gradient, for images (B, C, S, S)."""


@dataclass(frozen=True)
class Best:
    """The weights with the best validation accuracy so far."""

    epoch: int
    accuracy: float
    weights: dict[str, Tensor]


class ProductTraining:
    """Trains one network, follows it with the moving average, and remembers the best weights."""

    kind = "product training"
    batches_per_step = 1

    def __init__(
        self,
        network: StandAlone,
        settings: RetrainConfig,
        config: TrainConfig,
        seed: int,
        teacher: Teacher | None = None,
    ) -> None:
        """Prepare a training.

        Args:
            network: on its device.
            settings: the tricks.
            config: epochs, size of mini-batches and precision.
            seed: of dropout and of what is mixed.
            teacher: whose classes a share of the loss is towards; asked for if, and only if, settings want it.
        """
        assert (teacher is not None) == (settings.distillation > 0)
        self.network, self.settings, self.config, self.seed, self.teacher = network, settings, config, seed, teacher
        self.optimizer = product_optimizer(network, settings)
        self.schedule = product_schedule(settings, config)
        self.average = MovingAverage(network, settings.average) if settings.average else None
        self.curve: list[dict[str, Any]] = []
        """Measurements after each epoch, by whoever trains."""
        self.best: Best | None = None
        self._class_weights: Tensor | None = None

    @property
    def kept(self) -> nn.Module:
        """The network whose weights would be used: the average, where there is one."""
        return self.network if self.average is None else self.average.module

    def images(self, dataset: Dataset) -> Dataset:
        """All."""
        self._class_weights = weights_for(self.config, dataset, next(self.network.parameters()).device)
        return dataset

    def step(self, batches: Sequence[Batch], step: int, total: int) -> Tensor:
        """Train on one mini-batch and return the loss."""
        ours = self.settings
        images, labels = batches[0]
        mixed = mixture(images, labels, mixup=ours.mixup, cutout=ours.cutout, seed=self.seed, step=step)
        self.optimizer.zero_grad(set_to_none=True)
        for norm in batch_norms(self.network):
            norm.momentum = share_of_a_batch(ours.bn_momentum, total)
        drawn = global_seed(derived_seed(self.seed, "dropout", step), images.device)
        with drawn, arithmetic(self.config.precision, images.device):
            logits = self.network(mixed.images)
        loss = self._loss(logits.to(torch.promote_types(logits.dtype, torch.float32)), mixed)
        loss.backward()
        if ours.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), ours.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.follow(self.network, step + 1)
        return loss.detach()

    def _loss(self, logits: Tensor, mixed: Mixture) -> Tensor:
        ours, of_classes = self.settings, self._class_weights
        loss = loss_of(logits, mixed.labels, of_classes, smoothing=ours.label_smoothing)
        if mixed.share < 1:
            rest = loss_of(logits, mixed.others, of_classes, smoothing=ours.label_smoothing)
            loss = mixed.share * loss + (1 - mixed.share) * rest
        if self.teacher is None:
            return loss
        with torch.no_grad():
            taught = self.teacher(mixed.images).to(logits.dtype)
        counts = None  # an image counts by its class for the teacher, too, or a balance would be lost to distillation
        if of_classes is not None:
            counts = mixed.share * of_classes[mixed.labels] + (1 - mixed.share) * of_classes[mixed.others]
        far = distance(logits, taught, ours.temperature, counts)
        return (1 - ours.distillation) * loss + ours.distillation * far

    def consider(self, epoch: int, accuracy: float) -> None:
        """Remember the present weights if no validation accuracy was better; of equals, the latest."""
        if self.best is None or accuracy >= self.best.accuracy:
            weights = {name: tensor.detach().clone() for name, tensor in self.kept.state_dict().items()}
            self.best = Best(epoch, accuracy, weights)

    def extra_state(self) -> dict[str, Any]:
        """The curve, the average and the best weights so far."""
        best = self.best and {"epoch": self.best.epoch, "accuracy": self.best.accuracy, "weights": self.best.weights}
        return {
            "curve": self.curve,
            "average": None if self.average is None else self.average.module.state_dict(),
            "best": best,
        }

    def restore_extra(self, content: dict[str, Any]) -> None:
        """Go on with them."""
        self.curve = list(content["curve"])
        if self.average is not None:
            self.average.module.load_state_dict(content["average"])
        self.best = Best(**content["best"]) if content["best"] else None


def product_optimizer(network: nn.Module, settings: RetrainConfig) -> RMSProp:
    """RMSProp over all parameters, with weight decay on those that are not of BN."""
    normalising = {id(parameter) for norm in batch_norms(network) for parameter in norm.parameters()}
    parameters = list(network.parameters())
    decayed = [parameter for parameter in parameters if id(parameter) not in normalising]
    spared = [parameter for parameter in parameters if id(parameter) in normalising]
    groups = [
        {"params": decayed, "weight_decay": settings.weight_decay},
        {"params": spared, "weight_decay": 0.0},
    ]
    return RMSProp(groups, settings.lr, decay=settings.rms_decay, momentum=settings.momentum, epsilon=settings.epsilon)


def product_schedule(settings: RetrainConfig, config: TrainConfig) -> WarmStaircase:
    """Warm-up and stairs; where settings leave their lengths open, in proportion to MnasNet's training."""
    shorter = config.epochs / MNASNET_EPOCHS
    return WarmStaircase(
        peak=settings.lr * config.batch_size / IMAGES_OF_THE_RATE,
        warmup_epochs=_WARMUP_EPOCHS * shorter if settings.warmup_epochs is None else settings.warmup_epochs,
        stair_epochs=settings.decay_epochs or _STAIR_EPOCHS * shorter,
        factor=settings.decay,
        remedy=f"retrain.lr = {settings.lr}; try a lower rate, such as {settings.lr / 3:.2g}",
    )


def share_of_a_batch(least: float, steps: int) -> float:
    """Share of a mini-batch in BN's statistics during a training of so many steps.

    MnasNet's 0.01 looks back over 100 of 100,000 steps and more. Of 400 steps these would be a quarter, in which
    weights change so much that the statistics fit none of them: networks that had learned then scored like chance.
    """
    return max(least, min(_MOST_OF_A_BATCH, _LOOKED_BACK / steps))


def distance(logits: Tensor, taught: Tensor, temperature: float, counts: Tensor | None = None) -> Tensor:
    """How far a network's classes are from those that it is taught, both at a temperature (Hinton et al.).

    Multiplied by the square of the temperature, so that gradients don't shrink with it.

    Args:
        logits: (N, classes), of the network.
        taught: (N, classes), of its teacher.
        temperature: what both are divided by.
        counts: (N,), how much each image counts; None: 1 each.

    Returns:
        Kullback-Leibler divergence in nats, mean over the images, a scalar.
    """
    ours, theirs = (functional.log_softmax(each / temperature, dim=1) for each in (logits, taught))
    if counts is None:
        return temperature**2 * functional.kl_div(ours, theirs, reduction="batchmean", log_target=True)
    of_images = functional.kl_div(ours, theirs, reduction="none", log_target=True).sum(1)
    return temperature**2 * (of_images * counts).mean()


@contextlib.contextmanager
def global_seed(seed: int, device: torch.device) -> Iterator[None]:
    """Torch's global generators, which dropout draws from, begin at a seed while this lasts; then all is as before."""
    with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            torch.cuda.manual_seed(seed)
        yield


def product_training(
    space: SearchSpace,
    genome: Genome,
    settings: RetrainConfig,
    config: TrainConfig,
    seed: int,
    device: torch.device,
    *,
    inherit: Supernet | None = None,
    teacher: Teacher | None = None,
) -> ProductTraining:
    """A network of one genome, ready for `train`: new, or with the weights of a supernet's path (paper 4.1, 4.2).

    Args:
        space: resolved for the data.
        genome: one choice per layer.
        settings: the tricks: label smoothing, dropout, averages of weights, mixup, cutout, distillation.
        config: epochs, batch size, learning rate and decay.
        seed: of the initial weights and of dropout and mixing.
        device: where it is trained.
        inherit: the supernet whose weights it begins with; default: new ones.
        teacher: whose classes it learns beside the labels.

    Raises:
        GenomeError: if the genome is none of the space.
    """
    network = build(space, genome, seed=seed, inherit=inherit, dropout=settings.dropout)
    return ProductTraining(network.to(device), settings, config, seed, teacher)
