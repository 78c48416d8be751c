"""Strategies: the paths that a supernet step trains, and how. One file each, and one line in the list."""

import functools
from pathlib import Path
from typing import Any, Literal

from fairnas.config import TrainConfig, WantedStatistics
from fairnas.errors import ConfigError, UnknownNameError
from fairnas.space import SearchSpace
from fairnas.space.file import run_python
from fairnas.train.strategies import (
    darts,
    enas,
    fbnet,
    one_shot,
    paths,
    proxyless,
    proxyless_reinforce,
    sandwich,
    single_path_nas,
    smash,
)
from fairnas.train.strategies.paths import PathStrategy
from fairnas.train.strategies.strategy import GenomeScorer, Strategy, StrategyEntry, StrategyFacts

__all__ = [
    "STRATEGIES",
    "GenomeScorer",
    "PathStrategy",
    "Strategy",
    "StrategyEntry",
    "StrategyFacts",
    "make_strategy",
    "own_file",
    "scoring_statistics",
    "strategy_entry",
    "strategy_facts",
    "unsupported_reason",
]

STRATEGIES: dict[str, StrategyEntry] = {
    **paths.ENTRIES,
    **one_shot.ENTRIES,
    **darts.ENTRIES,
    **fbnet.ENTRIES,
    **proxyless.ENTRIES,
    **proxyless_reinforce.ENTRIES,
    **enas.ENTRIES,
    **smash.ENTRIES,
    **single_path_nas.ENTRIES,
    **sandwich.ENTRIES,
}


def strategy_entry(config: TrainConfig) -> StrategyEntry:
    """Entry of the strategy in a configuration: one of the list, or a user's own as FILE.py:NAME.

    Raises:
        UnknownNameError: if the list has none of that name.
        ConfigError: if the file does not define it.
    """
    if own_file(config) is not None:
        return _from_python(config.strategy)
    if config.strategy not in STRATEGIES:
        raise UnknownNameError("strategy", config.strategy, STRATEGIES, plural="strategies")
    return STRATEGIES[config.strategy]


def own_file(config: TrainConfig) -> Path | None:
    """Python file of a user's own strategy; None for one of the list."""
    path, found, _ = config.strategy.rpartition(".py:")
    return Path(path + ".py") if found else None


@functools.lru_cache(maxsize=8)
def _from_python(text: str) -> StrategyEntry:
    path, _, name = text.rpartition(".py:")
    entry = run_python(Path(path + ".py"), "strategy", ConfigError).get(name)
    if not isinstance(entry, StrategyEntry):
        raise ConfigError(
            f"strategy file {path}.py does not define a StrategyEntry called '{name}'; see docs/strategies.md"
        )
    return entry


def make_strategy(config: TrainConfig, choices: tuple[int, ...], seed: int) -> Strategy:
    """Make the strategy of a configuration.

    Args:
        config: `strategy` and its settings.
        choices: number of choices of each layer.
        seed: of the run, for the paths that it draws.

    Raises:
        UnknownNameError: if there is no such strategy.
        ConfigError: if a setting is given that it does not use.
    """
    ours = strategy_entry(config)
    plain = TrainConfig()
    for name, entry in STRATEGIES.items():
        for option in entry.options:
            given = _setting(config, option)
            if given != _setting(plain, option) and option not in ours.options:
                raise ConfigError(
                    f"train.{option} is {given}, which means nothing to strategy '{config.strategy}'; "
                    f"leave it out, or use '{name}'"
                )
    return ours.make(choices, config, seed)


@functools.lru_cache(maxsize=64)
def strategy_facts(config: TrainConfig, choices: tuple[int, ...]) -> StrategyFacts:
    """Return the facts of the strategy in a configuration, which no seed changes. Raises as `make_strategy`."""
    return StrategyFacts.of(make_strategy(config, choices, 0))


def unsupported_reason(config: TrainConfig, space: SearchSpace) -> str | None:
    """Return the reason why the configured strategy cannot train a space, as words that follow its name.

    None if it can. Raises as `make_strategy`.
    """
    return make_strategy(config, space.choices, 0).unsupported_reason(space)


def _setting(config: TrainConfig, option: str) -> Any:
    found: Any = config
    for name in option.split("."):
        found = getattr(found, name)
    return found


def scoring_statistics(config: TrainConfig, wanted: WantedStatistics) -> Literal["running", "batch", "recalibrated"]:
    """BN statistics for scoring genomes: the requested ones, or those that fit the strategy."""
    return strategy_entry(config).statistics if wanted == "auto" else wanted
