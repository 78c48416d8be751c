"""Settings of the final training of the selected networks (paper 4.1 b)."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from fairnas.config.checks import above_zero, at_least, in_range, one_of
from fairnas.config.settings import Advanced, Common
from fairnas.errors import ConfigError

RetrainRecipe = Literal["supernet", "product"]
InitialWeights = Literal["scratch", "inherit"]


@dataclass(frozen=True)
class RetrainConfig:
    """Training of the selected networks for use, rather than for the ranking study."""

    recipe: Common[RetrainRecipe] = "supernet"
    """`supernet`: trained as in the ranking study, with the supernet's hyper-parameters (B.2); `product`: with the
    techniques of MnasNet (4.1 b), which the other settings control.
    """
    epochs: Common[int | None] = None
    """Passes over the training images; default: the same number as in the ranking study."""
    batch_size: Advanced[int | None] = None
    """Images per mini-batch; default: the supernet's."""
    lr: Advanced[float] = 0.016
    """Peak learning rate for mini-batches of 256 images, scaled in proportion to the batch size: 0.256 for 4096."""
    warmup_epochs: Advanced[float | None] = None
    """Epochs in which the rate rises from 0; default: 5 of 350, in proportion."""
    decay_epochs: Advanced[float | None] = None
    """Interval in epochs at which the rate is multiplied by `decay`; default: 2.4 of 350, in proportion."""
    decay: Advanced[float] = 0.97
    """Factor applied to the rate every `decay_epochs`."""
    rms_decay: Advanced[float] = 0.9
    """Decay of RMSProp's mean of squared gradients."""
    momentum: Advanced[float] = 0.9
    """RMSProp's momentum."""
    epsilon: Advanced[float] = 1e-3
    """Constant added to RMSProp's mean square inside the square root, as TensorFlow does."""
    weight_decay: Advanced[float] = 1e-5
    """L2 weight decay on every parameter except those of BN."""
    label_smoothing: Advanced[float] = 0.1
    """Share of the target that is spread evenly over all classes."""
    dropout: Advanced[float] = 0.2
    """Probability that a feature is zeroed before the classifier."""
    average: Advanced[float] = 0.9999
    """Decay of the moving average of weights and BN statistics that is evaluated and exported; 0: no average."""
    bn_momentum: Advanced[float] = 0.01
    """Share of a new mini-batch in the running BN statistics. Raised in short trainings, so that the statistics average
    over no more than a hundredth of the training, or 10 steps.
    """
    clip_norm: Advanced[float | None] = None
    """Largest norm of all gradients together; larger gradients are scaled down to it. Default: no limit."""
    mixup: Advanced[float] = 0.0
    """Alpha of the Beta distribution from which the mixing weight of two images is drawn; 0: images are not mixed."""
    cutout: Advanced[int] = 0
    """Side in pixels of the square that is blanked in every image; 0: none."""
    distillation: Advanced[float] = 0.0
    """Weight, in the loss, of the class probabilities predicted by the supernet's best network; 0: no distillation."""
    temperature: Advanced[float] = 1.0
    """Temperature of distillation: the logits of both networks are divided by it."""
    initial: Advanced[InitialWeights] = "scratch"
    """Weights at the start: random (`scratch`), or the supernet's (`inherit`)."""
    validations: Advanced[int | None] = None
    """Number of measurements of validation accuracy, evenly spread over the epochs; default: after each epoch."""

    def __post_init__(self) -> None:
        one_of("retrain.recipe", self.recipe, RetrainRecipe)
        one_of("retrain.initial", self.initial, InitialWeights)
        for name in ("epochs", "validations"):
            at_least(f"retrain.{name}", getattr(self, name), 1)
        at_least("retrain.batch_size", self.batch_size, 2)
        for name in ("lr", "decay_epochs", "decay", "epsilon", "clip_norm", "temperature"):
            above_zero(f"retrain.{name}", getattr(self, name))
        for name in ("warmup_epochs", "weight_decay", "mixup", "cutout"):
            at_least(f"retrain.{name}", getattr(self, name), 0)
        for name in ("rms_decay", "momentum", "average", "bn_momentum", "distillation"):
            in_range(f"retrain.{name}", getattr(self, name), 0, 1)
        for name in ("label_smoothing", "dropout"):
            in_range(f"retrain.{name}", getattr(self, name), 0, 0.9)
        if self.recipe == "supernet":
            self._require_nothing_of_the_product()

    def _require_nothing_of_the_product(self) -> None:
        """Raise `ConfigError` for a changed product setting under recipe 'supernet', where it would have no effect."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default and field.name != "recipe":
                raise ConfigError(
                    f"retrain.{field.name} is {value}, which retrain.recipe 'supernet' does not have; "
                    f"leave it at {field.default}, or give retrain.recipe 'product', too"
                )

    @property
    def folder(self) -> str:
        """Folder of these trainings in the run: the product recipe has its own, apart from the ranking study."""
        return "stand_alone" if self.recipe == "supernet" else "retrained"
