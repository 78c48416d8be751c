"""Stage two: how genomes are scored, proposed and selected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from fairnas.config.checks import above_zero, at_least, in_range, one_of
from fairnas.config.quantities import parse_milliseconds, parse_quantity
from fairnas.config.settings import Advanced, Common, Flag, Short
from fairnas.config.training import Precision
from fairnas.errors import ConfigError

WantedStatistics = Literal["auto", "running", "batch", "recalibrated"]
Calibration = Literal["shared", "own"]
Measure = Literal["top1", "balanced_accuracy"]
WantedMeasure = Literal["auto", "top1", "balanced_accuracy"]
ACCURACY_WORDS: Mapping[Measure, str] = {"top1": "top-1", "balanced_accuracy": "balanced accuracy"}
"""Measures of accuracy as people call them."""


def are_unequal(class_images: Sequence[int]) -> bool:
    """Whether classes with so many images each differ so much that the two measures tell different things."""
    met = [count for count in class_images if count]
    return bool(met) and max(met) > 1.5 * min(met)


@dataclass(frozen=True)
class EvaluateConfig:
    """How genomes are scored by the supernet (paper 3.2), and what accuracy means in the whole run."""

    measure: Common[WantedMeasure] = "auto"
    """What networks are searched, selected, kept and ranked by: `top1`, the share of all images that are right, or
    `balanced_accuracy`, the mean over the classes of the share of each. `auto`: the latter with a `train.balance`."""
    bn: Common[WantedStatistics] = "auto"
    """BN statistics: `running` (the paper's), those of each `batch`, `recalibrated` for every path on training images
    (as SPOS does), or what the training strategy was made for."""
    calibration: Advanced[Calibration] = "shared"
    """Images that `recalibrated` statistics are taken from: the same for all genomes (`shared`, many times faster), or
    for each genome a random draw of its `own` (as SPOS does)."""
    calibration_images: Advanced[int] = 1000
    """Training images that `recalibrated` statistics are taken from, all in one batch."""
    batch_size: Advanced[int] = 125
    """Images per batch. Changes speed and memory, and scores only where BN uses the batch's own statistics."""
    activation_mib: Advanced[float | None] = None
    """Memory for activations between layers, in MiB; with less than the genomes' prefix tree wants, parts of it are
    computed again. A batch takes the more, the larger it is. Default: at most one activation per layer."""
    precision: Advanced[Precision] = "float32"
    """`bfloat16` scores in half the bits, for GPUs; a search first makes sure that it ranks genomes as float32 does."""

    def __post_init__(self) -> None:
        one_of("evaluate.measure", self.measure, WantedMeasure)
        one_of("evaluate.bn", self.bn, WantedStatistics)
        one_of("evaluate.calibration", self.calibration, Calibration)
        if self.calibration == "own" and self.bn != "recalibrated":
            raise ConfigError(
                f"evaluate.calibration is 'own', but evaluate.bn is {self.bn!r}; give evaluate.bn 'recalibrated', too"
            )
        at_least("evaluate.calibration_images", self.calibration_images, 2)
        at_least("evaluate.batch_size", self.batch_size, 1)
        above_zero("evaluate.activation_mib", self.activation_mib)
        one_of("evaluate.precision", self.precision, Precision)


@dataclass(frozen=True)
class HierarchyConfig:
    """MoreMNAS's hierarchical mutation (paper Table 4). Probabilities are published; rules are our reading."""

    random: Advanced[float] = 0.2
    """Share of mutations that are random: one layer, uniformly (p_rm)."""
    reinforced: Advanced[float] = 0.65
    """Share that is reinforced (p_re)."""
    prior: Advanced[float] = 0.15
    """Share of the prior regulator, which repeats what is good (p_pr). The three are relative to their sum."""
    controller: Advanced[float] = 0.7
    """Of reinforced mutations, the share of the controller (p_M); the rest is roulette wheel selection (p_K-M)."""
    controller_draws: Advanced[Literal["layer", "suffix", "whole"]] = "layer"
    """What the controller draws anew: one random layer, all layers from a random one on, or the whole genome. Not
    published; one layer finds the true front of NAS-Bench-Macro soonest (docs/search.md)."""
    controller_learns_from: Advanced[Literal["all", "own"]] = "all"
    """Which networks it is rewarded for: all of a generation, or those it drew. Not published."""
    prior_repeats: Advanced[Literal["front", "neighbour"]] = "front"
    """Where the prior regulator takes a layer's choice from: the same layer of a network of the first front, or the
    layer beside it. Not published."""

    def __post_init__(self) -> None:
        for name in ("random", "reinforced", "prior", "controller"):
            in_range(f"search.hierarchy.{name}", getattr(self, name), 0, 1)
        if self.random + self.reinforced + self.prior == 0:
            raise ConfigError("search.hierarchy has shares 0, 0 and 0; give at least one above 0")
        one_of("search.hierarchy.controller_draws", self.controller_draws, Literal["layer", "suffix", "whole"])
        one_of("search.hierarchy.controller_learns_from", self.controller_learns_from, Literal["all", "own"])
        one_of("search.hierarchy.prior_repeats", self.prior_repeats, Literal["front", "neighbour"])


@dataclass(frozen=True)
class ControllerConfig:
    """The reinforced controller: an LSTM policy and PPO. The paper gives no numbers; these are ours."""

    hidden: Advanced[int] = 64
    """Units of the LSTM, and size of its embeddings."""
    lr: Advanced[float] = 0.003
    """Learning rate of Adam."""
    clip: Advanced[float] = 0.2
    """PPO: how far a genome's probability may move from what it was, relative to it."""
    entropy: Advanced[float] = 0.003
    """Weight of the entropy of the policy in what is maximised."""
    epochs: Advanced[int] = 4
    """PPO: gradient steps per generation."""
    baseline: Advanced[float] = 0.9
    """Share of the old baseline that is kept per generation; rewards are compared with it."""

    def __post_init__(self) -> None:
        at_least("search.controller.hidden", self.hidden, 1)
        above_zero("search.controller.lr", self.lr)
        above_zero("search.controller.clip", self.clip)
        at_least("search.controller.entropy", self.entropy, 0)
        at_least("search.controller.epochs", self.epochs, 1)
        in_range("search.controller.baseline", self.baseline, 0, 1)


@dataclass(frozen=True)
class RewardConfig:
    """The one reward of `mnasnet_rl`: accuracy times (cost / target)^exponent (MnasNet)."""

    cost: Advanced[Literal["madds", "params", "latency"]] = "madds"
    """Which cost."""
    target: Advanced[float | None] = None
    """Its target; default: half way between the lightest and the heaviest network."""
    exponent: Advanced[float] = -0.07
    """w: with -0.07, twice the cost is worth 5 % of the accuracy."""

    def __post_init__(self) -> None:
        one_of("search.reward.cost", self.cost, Literal["madds", "params", "latency"])
        above_zero("search.reward.target", self.target)
        in_range("search.reward.exponent", self.exponent, -10, 0)


@dataclass(frozen=True)
class SearchConfig:
    """Stage two: the search over the trained supernet (paper 3.2), and the selection from its front (4.2)."""

    searcher: Common[str] = "moremnas"
    """Who proposes genomes; `fairnas searchers` lists them."""
    population: Common[int] = 64
    """Genomes per generation (paper Table 4: 64)."""
    generations: Common[int] = 200
    """Generations, the first random one included (paper 4.4: 200)."""
    crossover: Advanced[float] = 0.9
    """Probability that two parents exchange the layers after a random point."""
    mutation: Advanced[float] = 0.8
    """Probability that a child is mutated (paper Table 4: 0.8)."""
    objectives: Advanced[tuple[str, ...]] = ("accuracy", "madds", "params")
    """What to optimise: of `accuracy` (by `evaluate.measure`), `top1`, `balanced_accuracy`, `top5`, `loss`,
    `balanced_loss`, `madds`, `params`, `latency`, or a function of yours as FILE.py:NAME (docs/search.md). A quantity
    with a bound is always among them. `--objective NAME` adds one."""
    max_madds: Annotated[float | None, Flag("common", Short("max-madds", str, parse_quantity))] = None
    """Upper bound on multiply-adds, such as 330M."""
    max_params: Annotated[float | None, Flag("common", Short("max-params", str, parse_quantity))] = None
    """Upper bound on parameters, such as 4.5M."""
    max_latency: Annotated[float | None, Flag("common", Short("max-latency", str, parse_milliseconds))] = None
    """Upper bound on latency, such as 20ms; numbers in a file are milliseconds."""
    latency_table: Annotated[str | None, Flag("common", Short("latency-table"))] = None
    """JSON file with the milliseconds of every choice block (docs/latency.md). Default: where `latency` is needed, the
    run measures its own, on one thread of this machine's CPU."""
    latency_minutes: Advanced[float] = 5.0
    """How long to measure it at most."""
    select: Common[int] = 3
    """Networks taken from the front at equal distances in MAdds (paper 4.2: FairNAS-A, B, C), or in latency, where
    that has a bound."""
    hierarchy: HierarchyConfig = field(default_factory=HierarchyConfig)
    """Of `moremnas`."""
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    """Of `moremnas`, `nsga2_reinforced` and `mnasnet_rl`."""
    reward: RewardConfig = field(default_factory=RewardConfig)
    """Of `mnasnet_rl`."""

    def __post_init__(self) -> None:
        at_least("search.population", self.population, 4)
        at_least("search.generations", self.generations, 1)
        in_range("search.crossover", self.crossover, 0, 1)
        in_range("search.mutation", self.mutation, 0, 1)
        above_zero("search.max_madds", self.max_madds)
        above_zero("search.max_params", self.max_params)
        above_zero("search.max_latency", self.max_latency)
        above_zero("search.latency_minutes", self.latency_minutes)
        if not self.objectives:
            raise ConfigError("search.objectives is empty; give one or more, such as accuracy and madds")
        at_least("search.select", self.select, 1)
