"""Training of one network for use, with the tricks of MnasNet (paper 4.1 b) and some that the paper leaves out.

The result is the moving average of the weights at its best validation accuracy.
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
"""Number of epochs of MnasNet's training; warm-up and decay intervals are proportional to it."""
_WARMUP_EPOCHS, _STAIR_EPOCHS = 5, 2.4  # of these 350
_MOST_OF_A_BATCH, _LOOKED_BACK = 0.1, 100  # largest BN momentum; BN averages over 1/100 of the training
IMAGES_OF_THE_RATE = 256
"""Size of the mini-batch that `retrain.lr` refers to."""

Teacher = Callable[[Tensor], Tensor]
"""Function from images (B, C, S, S) to logits (B, num_classes) without a gradient."""


@dataclass(frozen=True)
class Best:
    """Weights with the best validation accuracy so far."""

    epoch: int
    accuracy: float
    weights: dict[str, Tensor]


class ProductTraining:
    """Training of one network with its moving average and its best weights."""

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
            seed: of dropout and mixup.
            teacher: gives the targets of distillation; required if, and only if, settings ask for it.
        """
        assert (teacher is not None) == (settings.distillation > 0)
        self.network, self.settings, self.config, self.seed, self.teacher = network, settings, config, seed, teacher
        self.optimizer = product_optimizer(network, settings)
        self.schedule = product_schedule(settings, config)
        self.average = MovingAverage(network, settings.average) if settings.average else None
        self.curve: list[dict[str, Any]] = []
        """Measurements after each epoch, appended by the caller."""
        self.best: Best | None = None
        self._class_weights: Tensor | None = None

    @property
    def kept(self) -> nn.Module:
        """Network whose weights would be used: the average, if there is one."""
        return self.network if self.average is None else self.average.module

    def images(self, dataset: Dataset) -> Dataset:
        """The given data set: all of its images are used."""
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
        counts = None  # images are weighted for the teacher's part as well, otherwise distillation would undo a balance
        if of_classes is not None:
            counts = mixed.share * of_classes[mixed.labels] + (1 - mixed.share) * of_classes[mixed.others]
        far = distance(logits, taught, ours.temperature, counts)
        return (1 - ours.distillation) * loss + ours.distillation * far

    def consider(self, epoch: int, accuracy: float) -> None:
        """Remember the current weights if no earlier validation accuracy was better; among equal ones, the latest."""
        if self.best is None or accuracy >= self.best.accuracy:
            weights = {name: tensor.detach().clone() for name, tensor in self.kept.state_dict().items()}
            self.best = Best(epoch, accuracy, weights)

    def extra_state(self) -> dict[str, Any]:
        """Curve, average and best weights so far."""
        best = self.best and {"epoch": self.best.epoch, "accuracy": self.best.accuracy, "weights": self.best.weights}
        return {
            "curve": self.curve,
            "average": None if self.average is None else self.average.module.state_dict(),
            "best": best,
        }

    def restore_extra(self, content: dict[str, Any]) -> None:
        """Restore curve, average and best weights."""
        self.curve = list(content["curve"])
        if self.average is not None:
            self.average.module.load_state_dict(content["average"])
        self.best = Best(**content["best"]) if content["best"] else None


def product_optimizer(network: nn.Module, settings: RetrainConfig) -> RMSProp:
    """RMSProp over all parameters, with weight decay on all except those of BN."""
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
    """Warm-up and staircase; lengths that settings leave open are proportional to MnasNet's training."""
    shorter = config.epochs / MNASNET_EPOCHS
    return WarmStaircase(
        peak=settings.lr * config.batch_size / IMAGES_OF_THE_RATE,
        warmup_epochs=_WARMUP_EPOCHS * shorter if settings.warmup_epochs is None else settings.warmup_epochs,
        stair_epochs=settings.decay_epochs or _STAIR_EPOCHS * shorter,
        factor=settings.decay,
        remedy=f"retrain.lr = {settings.lr}; try a lower rate, such as {settings.lr / 3:.2g}",
    )


def share_of_a_batch(least: float, steps: int) -> float:
    """BN momentum for a training of `steps` steps.

    MnasNet's 0.01 averages over 100 of 100,000 steps or more. Of 400 steps this would be a quarter, during which
    weights change so much that the statistics fit none of them: trained networks then scored like chance.
    """
    return max(least, min(_MOST_OF_A_BATCH, _LOOKED_BACK / steps))


def distance(logits: Tensor, taught: Tensor, temperature: float, counts: Tensor | None = None) -> Tensor:
    """Distillation loss: divergence of class probabilities from a teacher's, at a temperature (Hinton et al.).

    It is multiplied by the square of the temperature, so that gradients do not shrink with it.

    Args:
        logits: (N, classes), of the network.
        taught: (N, classes), of its teacher.
        temperature: divisor of both logits.
        counts: (N,), weight of each image; None: 1 each.

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
    """Seed torch's global generators, which dropout uses, and restore their state afterwards."""
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
    """Prepare the training of one network: new, or with the weights of a supernet's path (paper 4.1, 4.2).

    Args:
        space: resolved for the data.
        genome: one choice per layer.
        settings: the tricks: label smoothing, dropout, averages of weights, mixup, cutout, distillation.
        config: epochs, batch size, learning rate and decay.
        seed: of the initial weights, dropout and mixup.
        device: device of the training.
        inherit: supernet with the initial weights; default: new weights.
        teacher: gives the targets of distillation.

    Raises:
        GenomeError: if the genome does not fit the space.
    """
    network = build(space, genome, seed=seed, inherit=inherit, dropout=settings.dropout)
    return ProductTraining(network.to(device), settings, config, seed, teacher)
