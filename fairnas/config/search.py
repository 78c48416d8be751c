"""Settings of stage two: how genomes are scored, proposed and selected."""

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
"""Names of the accuracy measures in text for people."""


def are_unequal(class_images: Sequence[int]) -> bool:
    """True if class sizes differ so much (1.5 times) that top-1 and balanced accuracy may disagree."""
    met = [count for count in class_images if count]
    return bool(met) and max(met) > 1.5 * min(met)


@dataclass(frozen=True)
class EvaluateConfig:
    """Scoring of genomes by the supernet (paper 3.2), and the measure of accuracy in the whole run."""

    measure: Common[WantedMeasure] = "auto"
    """Measure by which networks are searched, selected, kept and ranked: `top1`, the share of all images classified
    right, or `balanced_accuracy`, the mean of that share over the classes. `auto`: `balanced_accuracy` if
    `train.balance` is set, otherwise `top1`.
    """
    bn: Common[WantedStatistics] = "auto"
    """BN statistics while scoring: `running` averages (the paper's), those of each `batch`, `recalibrated` for every
    path on training images (as SPOS does), or `auto`, the kind that suits the training strategy.
    """
    calibration: Advanced[Calibration] = "shared"
    """Images for `recalibrated` statistics: the same for all genomes (`shared`, many times faster), or a new random
    draw for each genome (`own`, as SPOS does).
    """
    calibration_images: Advanced[int] = 1000
    """Number of training images for `recalibrated` statistics, all in one batch."""
    batch_size: Advanced[int] = 125
    """Images per batch. Changes speed and memory; changes scores only where BN uses the statistics of the batch."""
    activation_mib: Advanced[float | None] = None
    """Memory for activations between layers, in MiB. If it is too small for the tree of the genomes' shared prefixes,
    some activations are recomputed. Larger batches need more. Default: room for one activation per layer.
    """
    precision: Advanced[Precision] = "float32"
    """`bfloat16` scores in half the bits, for GPUs; a search first checks that it ranks genomes as float32 does."""

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
    """MoreMNAS's hierarchical mutation (paper Table 4). The probabilities are published; the rules are our reading."""

    random: Advanced[float] = 0.2
    """Share of mutations that are random: one layer, uniformly (p_rm)."""
    reinforced: Advanced[float] = 0.65
    """Share of reinforced mutations (p_re)."""
    prior: Advanced[float] = 0.15
    """Share of mutations by the prior regulator, which repeats choices of good networks (p_pr). The three shares are
    relative to their sum.
    """
    controller: Advanced[float] = 0.7
    """Share of the reinforced mutations that the controller makes (p_M); roulette wheel selection makes the rest
    (p_K-M).
    """
    controller_draws: Advanced[Literal["layer", "suffix", "whole"]] = "layer"
    """Layers that the controller draws anew: one random layer, all layers from a random one on, or the whole genome.
    Not published; one layer finds the true front of NAS-Bench-Macro soonest (docs/results/search.md).
    """
    controller_learns_from: Advanced[Literal["all", "own"]] = "all"
    """Networks whose rewards train the controller: all of a generation, or only those it drew. Not published."""
    prior_repeats: Advanced[Literal["front", "neighbour"]] = "front"
    """Source of a layer's choice in the prior regulator: the same layer of a network of the first front, or the
    neighbouring layer of the same network. Not published.
    """

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
    """The reinforced controller, an LSTM policy trained with PPO. The paper gives no numbers; these are ours."""

    hidden: Advanced[int] = 64
    """Units of the LSTM, and size of its embeddings."""
    lr: Advanced[float] = 0.003
    """Learning rate of Adam."""
    clip: Advanced[float] = 0.2
    """PPO's clip range: how far the ratio of new to old probability of a genome may move from 1."""
    entropy: Advanced[float] = 0.003
    """Weight of the policy's entropy in the objective that PPO maximises."""
    epochs: Advanced[int] = 4
    """Gradient steps of PPO per generation."""
    baseline: Advanced[float] = 0.9
    """Decay of the running baseline that is subtracted from rewards: the share of the old one kept per generation."""

    def __post_init__(self) -> None:
        at_least("search.controller.hidden", self.hidden, 1)
        above_zero("search.controller.lr", self.lr)
        above_zero("search.controller.clip", self.clip)
        at_least("search.controller.entropy", self.entropy, 0)
        at_least("search.controller.epochs", self.epochs, 1)
        in_range("search.controller.baseline", self.baseline, 0, 1)


@dataclass(frozen=True)
class RewardConfig:
    """The single reward of `mnasnet_rl`: accuracy times (cost / target)^exponent (MnasNet)."""

    cost: Advanced[Literal["madds", "params", "latency"]] = "madds"
    """Cost in the reward."""
    target: Advanced[float | None] = None
    """Target of the cost; default: half way between the lightest and the heaviest network."""
    exponent: Advanced[float] = -0.07
    """Exponent w: with -0.07, doubling the cost must gain 5 % in accuracy to be worth it."""

    def __post_init__(self) -> None:
        one_of("search.reward.cost", self.cost, Literal["madds", "params", "latency"])
        above_zero("search.reward.target", self.target)
        in_range("search.reward.exponent", self.exponent, -10, 0)


@dataclass(frozen=True)
class SearchConfig:
    """Stage two: the search over the trained supernet (paper 3.2), and the selection from its front (4.2)."""

    searcher: Common[str] = "moremnas"
    """Algorithm that proposes genomes; `fairnas searchers` lists them."""
    population: Common[int] = 64
    """Genomes per generation (paper Table 4: 64)."""
    generations: Common[int] = 200
    """Generations, the first random one included (paper 4.4: 200)."""
    crossover: Advanced[float] = 0.9
    """Probability that two parents exchange their layers after a random point."""
    mutation: Advanced[float] = 0.8
    """Probability that a child is mutated (paper Table 4: 0.8)."""
    objectives: Advanced[tuple[str, ...]] = ("accuracy", "madds", "params")
    """Quantities to optimise: `accuracy` (by `evaluate.measure`), `top1`, `balanced_accuracy`, `top5`, `loss`,
    `balanced_loss`, `madds`, `params`, `latency`, or a function of your own as FILE.py:NAME (docs/search.md). A
    quantity with a bound is always added. `--objective NAME` adds one.
    """
    max_madds: Annotated[float | None, Flag("common", Short("max-madds", str, parse_quantity))] = None
    """Upper bound on multiply-adds, such as 330M."""
    max_params: Annotated[float | None, Flag("common", Short("max-params", str, parse_quantity))] = None
    """Upper bound on parameters, such as 4.5M."""
    max_latency: Annotated[float | None, Flag("common", Short("max-latency", str, parse_milliseconds))] = None
    """Upper bound on latency, such as 20ms; numbers in a file are milliseconds."""
    latency_table: Annotated[str | None, Flag("common", Short("latency-table"))] = None
    """JSON file with the milliseconds of every choice block (docs/latency.md). Default: if `latency` is needed, the run
    measures its own, on one CPU thread of this machine.
    """
    latency_minutes: Advanced[float] = 5.0
    """Time limit for that measurement, in minutes."""
    select: Common[int] = 3
    """Number of networks taken from the front, at equal distances in MAdds (paper 4.2: FairNAS-A, B, C), or in latency
    where that has a bound.
    """
    hierarchy: HierarchyConfig = field(default_factory=HierarchyConfig)
    """Mutation of `moremnas`."""
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    """Controller of `moremnas`, `nsga2_reinforced` and `mnasnet_rl`."""
    reward: RewardConfig = field(default_factory=RewardConfig)
    """Reward of `mnasnet_rl`."""

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
