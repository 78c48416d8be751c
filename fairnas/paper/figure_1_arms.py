"""Arms of Figure 1: strict fairness and the baselines of section 4.3.1, at equal compute and at equal epochs.

Equal compute means equally many backward passes over mini-batches of equal size.
"""

import dataclasses
from dataclasses import dataclass

from fairnas.config import RunConfig, TrainConfig
from fairnas.errors import ConfigError
from fairnas.train import strategy_facts


@dataclass(frozen=True)
class ArmPlan:
    """One way of training a supernet."""

    name: str
    """Stem of its run directories."""
    title: str
    what: str
    """Description of a step, for people."""
    train: TrainConfig
    passes_per_step: int
    backward_passes: int
    """Backward passes of the whole training."""


def require_common_settings(base: RunConfig) -> None:
    """Raise `ConfigError` if a setting is given in which the arms differ."""
    train, plain = base.train, TrainConfig()
    for key in ("strategy", "k", "lr_scale", "accumulate", "path_dropout"):
        if getattr(train, key) != getattr(plain, key):
            raise ConfigError(f"train.{key} is {getattr(train, key)}, but the arms set it; leave it out")


def plan_arms(base: RunConfig, choices: tuple[int, ...], steps_per_epoch: int) -> tuple[ArmPlan, ...]:
    """Plan the arms, strict fairness first.

    k is the number of backward passes of a strict step: m, or more if layers have different numbers of choices. So
    `uniform_k` costs as much as strict training. With the same number of epochs `uniform` costs a k-th of it; its
    second arm has k times the epochs.

    Args:
        base: common settings of all arms (`require_common_settings`).
        choices: per layer of the space.
        steps_per_epoch: steps of every arm, one mini-batch each.
    """
    train = base.train
    k = strategy_facts(train, choices).passes_per_step

    def arm(name: str, title: str, what: str, changed: TrainConfig) -> ArmPlan:
        passes = strategy_facts(changed, choices).passes_per_step
        return ArmPlan(name, title, what, changed, passes, passes * steps_per_epoch * changed.epochs)

    repeated = dataclasses.replace(train, strategy="uniform_k", k=k)
    uniform = dataclasses.replace(train, strategy="uniform")
    arms = (
        arm("strict", "SF", f"strict: {k} paths that hold every block, one update", train),
        arm("uniform_k", f"EF k={k}", f"uniform_k: one uniform path, {k} updates on one mini-batch", repeated),
        arm(
            "uniform_k_slow",
            f"EF k={k} lr/{k}",
            "the same at a lower learning rate",
            dataclasses.replace(repeated, lr_scale=1 / k),
        ),
        arm("uniform", "SPOS", "uniform: one uniform path, one update", uniform),
        arm(
            "uniform_long",
            f"SPOS {k}x epochs",
            f"the same for {k} times the epochs",
            dataclasses.replace(uniform, epochs=k * train.epochs),
        ),
    )
    assert len({each.backward_passes for each in arms if each.name != "uniform"}) == 1, "arms of unequal compute"
    return arms
