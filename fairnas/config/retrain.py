"""How the selected networks are trained for use (paper 4.1 b)."""

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
    """Training of the selected networks for use, rather than for their ranking."""

    recipe: Common[RetrainRecipe] = "supernet"
    """`supernet`: as the networks of the ranking study, with the supernet's hyper-parameters (B.2); `product`: with the
    tricks of MnasNet (4.1 b), which the other settings are for."""
    epochs: Common[int | None] = None
    """Passes over the training images; default: as many as the networks of the ranking study have."""
    batch_size: Advanced[int | None] = None
    """Images per mini-batch; default: the supernet's."""
    lr: Advanced[float] = 0.016
    """Highest learning rate for mini-batches of 256 images; in proportion for others, so 0.256 for 4096."""
    warmup_epochs: Advanced[float | None] = None
    """Epochs in which the rate rises from 0; default: 5 of 350, in proportion."""
    decay_epochs: Advanced[float | None] = None
    """Epochs after which the rate falls by `decay`, again and again; default: 2.4 of 350, in proportion."""
    decay: Advanced[float] = 0.97
    """Factor on the rate every `decay_epochs`."""
    rms_decay: Advanced[float] = 0.9
    """RMSProp's memory of squared gradients."""
    momentum: Advanced[float] = 0.9
    """RMSProp's momentum."""
    epsilon: Advanced[float] = 1e-3
    """Added to RMSProp's mean square, inside the root, as TensorFlow does."""
    weight_decay: Advanced[float] = 1e-5
    """L2 weight decay on every parameter but those of BN."""
    label_smoothing: Advanced[float] = 0.1
    """Share of the target that is spread evenly over all classes."""
    dropout: Advanced[float] = 0.2
    """Chance that a feature is left out before the classifier."""
    average: Advanced[float] = 0.9999
    """Decay of the moving average of weights and BN statistics that is evaluated and exported; 0: no average."""
    bn_momentum: Advanced[float] = 0.01
    """Share of a new mini-batch in the running BN statistics, at least: they never look back over more than a hundredth
    of a training, or 10 steps."""
    clip_norm: Advanced[float | None] = None
    """Largest norm of all gradients together; longer ones are scaled down. Default: no limit."""
    mixup: Advanced[float] = 0.0
    """Alpha of the Beta distribution by which images are mixed in pairs; 0: not mixed."""
    cutout: Advanced[int] = 0
    """Side in pixels of the square that is blanked in every image; 0: none."""
    distillation: Advanced[float] = 0.0
    """Share of the loss that is towards the classes that the supernet's best network sees; 0: none."""
    temperature: Advanced[float] = 1.0
    """Of distillation: both networks' logits are divided by it."""
    initial: Advanced[InitialWeights] = "scratch"
    """`inherit` begins with the supernet's weights."""
    validations: Advanced[int | None] = None
    """How often validation accuracy is measured, evenly over the epochs; default: after each."""

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
        """A setting that would change nothing is a mistake."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default and field.name != "recipe":
                raise ConfigError(
                    f"retrain.{field.name} is {value}, which retrain.recipe 'supernet' does not have; "
                    f"leave it at {field.default}, or give retrain.recipe 'product', too"
                )

    @property
    def folder(self) -> str:
        """Where a run keeps these trainings: those of the product recipe apart from those of the ranking study."""
        return "stand_alone" if self.recipe == "supernet" else "retrained"
