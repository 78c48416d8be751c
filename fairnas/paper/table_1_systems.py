"""Systems that `fairnas compare` trains: strategies by name, each with the epochs of equal compute."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fairnas.config import RunConfig, TrainConfig
from fairnas.data import Dataset
from fairnas.errors import ConfigError, UnknownNameError
from fairnas.paper.step_profile import SystemProfile
from fairnas.space import SearchSpace
from fairnas.train import STRATEGIES, strategy_facts, training_steps, unsupported_reason
from fairnas.train.supernet import parts_of

TABLE_1_SYSTEMS = (
    "smash",
    "one_shot",
    "darts",
    "fbnet",
    "proxyless",
    "uniform",
    "single_path_nas",
    "strict",
)
"""Rows of the paper's Table 1, in its order."""
BESIDE = ("uniform_k", "uniform_k_slow", "enas", "sandwich")
"""The paper's baselines (4.3.1), the system it discusses, and the later sandwich rule."""
VARIANTS = {"uniform_k_slow": "uniform_k"}
"""Names of our own for a strategy with other settings: the learning rate divided by k (4.3.1 b)."""


@dataclass(frozen=True)
class SystemPlan:
    """One system, and the length of its training."""

    name: str
    train: TrainConfig
    profile: SystemProfile
    path_images: float
    """Compute of the whole training, as expected from the profile."""

    @property
    def claims(self) -> str:
        """Row of the system in the paper's Table 1, or empty."""
        return STRATEGIES[self.train.strategy].claims if self.name in STRATEGIES else ""


def system_config(base: TrainConfig, name: str, choices: tuple[int, ...]) -> TrainConfig:
    """Training settings of a system, except its length. Raises `UnknownNameError`."""
    strategy = VARIANTS.get(name, name)
    if strategy not in STRATEGIES:
        raise UnknownNameError("strategy", name, [*STRATEGIES, *VARIANTS], plural="strategies")
    config = dataclasses.replace(base, strategy=strategy)
    if name in VARIANTS:
        passes = strategy_facts(config, choices).passes_per_step
        config = dataclasses.replace(config, lr_scale=1 / passes)
    return config


def check_systems(base: RunConfig, names: Sequence[str], space: SearchSpace) -> None:
    """Raise an error in one line if a system is unknown, named twice, or cannot train the space."""
    if len(set(names)) < len(names) or not names:
        raise ConfigError(f"--strategies are {', '.join(names) or 'none'}; give each one once, and at least one")
    plain = TrainConfig()
    for key in ("strategy", "k", "lr_scale", "accumulate", "path_dropout", "architecture"):
        if getattr(base.train, key) != getattr(plain, key):
            raise ConfigError(f"train.{key} is {getattr(base.train, key)}, but each system has its own; leave it out")
    for name in names:
        config = system_config(base.train, name, space.choices)
        reason = unsupported_reason(config, space)
        if reason:
            raise ConfigError(f"'{name}' cannot train space '{space.name}': {reason}; leave it out of --strategies")


def plan_systems(
    base: RunConfig,
    names: Sequence[str],
    profiles: Mapping[str, SystemProfile],
    space: SearchSpace,
    dataset: Dataset,
) -> tuple[SystemPlan, ...]:
    """Plan every system with the epochs that cost as much as strict training with the epochs of `base`.

    Epochs are whole, at least one, so a system with expensive epochs may differ; the table shows its compute.
    """

    def per_epoch(config: TrainConfig, profile: SystemProfile) -> float:
        strategy = strategy_facts(config, space.choices)
        own, _ = parts_of(dataset, strategy)
        return profile.paths_per_step * training_steps(own, config, strategy.batches_per_step) * config.batch_size

    budget = base.train.epochs * per_epoch(base.train, profiles["strict"])
    plans = []
    for name in names:
        config = system_config(base.train, name, space.choices)
        cost = per_epoch(config, profiles[name])
        epochs = max(1, round(budget / cost))
        plans.append(SystemPlan(name, dataclasses.replace(config, epochs=epochs), profiles[name], epochs * cost))
    return tuple(plans)


def as_plain(profile: SystemProfile) -> dict[str, Any]:
    """Plain data for JSON."""
    return dataclasses.asdict(profile)
