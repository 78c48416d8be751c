"""Every knob of every stage, as frozen dataclasses. One page, no torch.

A recipe (`recipes.py`) returns one complete `RunConfig`; a TOML file or flags change single fields of it.
Epochs count passes over the training images, rates are per step, sizes are pixels, times are seconds.
"""

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import tyro

from fairnas.errors import ConfigError, UnknownNameError

Augmentation = Literal["none", "shift", "crop_flip", "inception"]
Device = Literal["auto", "cpu", "cuda"]
SharedGradient = Literal["sum", "mean"]
IdleBlocks = Literal["rest", "momentum", "decay", "both"]
Precision = Literal["float32", "bfloat16"]
WantedStatistics = Literal["auto", "running", "batch", "recalibrated"]
Calibration = Literal["shared", "own"]
ExecutorName = Literal["auto", "sequential", "lockstep"]
Compilation = Literal["auto", "on", "off"]


@dataclass(frozen=True)
class DataConfig:
    """Which images, and how they are split and augmented."""

    name: str = "digits"
    """`digits`, `cifar10`, `imagenet`, or `folder:PATH` with one subfolder per class."""
    root: str | None = None
    """Folder that holds `cifar10` or `imagenet`; not used by `digits` and `folder:PATH`."""
    image_size: int | None = None
    """Side of the square images in pixels; default: the space's own."""
    validation_per_class: int = 50
    """Images per class carved out of the training set for search (paper 4.1: 50)."""
    train_per_class: int | None = None
    """Keep at most this many training images per class; default: all."""
    test_per_class: int | None = None
    """Where a data set brings no test images: how many per class to carve out; default: as validation."""
    augmentation: Augmentation = "inception"
    """`shift` (one pixel or so, for digits), `crop_flip` (CIFAR), `inception` (random area crop and flip), `none`."""

    def __post_init__(self) -> None:
        _at_least("data.validation_per_class", self.validation_per_class, 1)
        _at_least("data.image_size", self.image_size, 1)
        _at_least("data.train_per_class", self.train_per_class, 1)
        _at_least("data.test_per_class", self.test_per_class, 1)
        _one_of("data.augmentation", self.augmentation, Augmentation)


@dataclass(frozen=True)
class TrainConfig:
    """Stage one: how the supernet is trained (paper 3.1 and 4.1)."""

    strategy: str = "strict"
    """Who is trained at a supernet step; `fairnas strategies` lists them."""
    epochs: int = 150
    """Passes over the training images."""
    batch_size: int = 256
    """Images per mini-batch; all paths of a strict step share one mini-batch."""
    lr: float = 0.045
    """Initial learning rate of the cosine decay to zero."""
    lr_scale: float = 1.0
    """Factor on the supernet's learning rate; 1/6 makes the paper's second baseline (4.3.1 b)."""
    momentum: float = 0.9
    """Momentum of SGD."""
    weight_decay: float = 4e-5
    """L2 weight decay, on every parameter."""
    shared_gradient: SharedGradient = "sum"
    """Gradients of tensors that all paths share: the sum over the paths (Algorithm 1 as printed), or their mean."""
    idle_blocks: IdleBlocks = "rest"
    """What moves choice blocks that an update did not train: nothing, their momentum, weight decay, or both."""
    k: int | None = None
    """`uniform_k`: passes over its one path per step (paper 4.3.1); default: the largest number of choices."""
    accumulate: bool = False
    """`uniform_k`: one update with the sum of the k gradients, instead of k updates."""
    path_dropout: float | None = None
    """`one_shot`: chance that a layer would lose all its blocks, ramped up from 0; default: 0.05 (Bender et al.)."""
    bn_affine: bool = True
    """Whether BN in the supernet has a learned scale and shift; stand-alone networks always have."""
    bn_momentum: float = 0.1
    """Share of a new mini-batch in the supernet's running BN statistics."""
    clip_norm: float | None = None
    """Largest norm of all gradients together; longer ones are scaled down. Default: no limit."""
    precision: Precision = "float32"
    """`bfloat16` runs convolutions in half the bits (autocast); weights, BN statistics and updates stay float32."""

    def __post_init__(self) -> None:
        _at_least("train.epochs", self.epochs, 1)
        _at_least("train.batch_size", self.batch_size, 2)
        _above_zero("train.lr", self.lr)
        _above_zero("train.lr_scale", self.lr_scale)
        _in_range("train.momentum", self.momentum, 0, 1)
        _at_least("train.weight_decay", self.weight_decay, 0)
        _one_of("train.shared_gradient", self.shared_gradient, SharedGradient)
        _one_of("train.idle_blocks", self.idle_blocks, IdleBlocks)
        _at_least("train.k", self.k, 1)
        if self.path_dropout is not None:
            _in_range("train.path_dropout", self.path_dropout, 0, 1)
        _in_range("train.bn_momentum", self.bn_momentum, 0, 1)
        _above_zero("train.clip_norm", self.clip_norm)
        _one_of("train.precision", self.precision, Precision)


@dataclass(frozen=True)
class EvaluateConfig:
    """How the supernet scores genomes (paper 3.2)."""

    bn: WantedStatistics = "auto"
    """BN statistics: `running` (the paper's), those of each `batch`, `recalibrated` for every path on training images
    (as SPOS does), or what the training strategy was made for."""
    calibration: Calibration = "shared"
    """Images that `recalibrated` statistics are taken from: the same for all genomes (`shared`, many times faster), or
    for each genome a random draw of its `own` (as SPOS does)."""
    calibration_images: int = 1000
    """Training images that `recalibrated` statistics are taken from, all in one batch."""
    batch_size: int = 125
    """Images per batch. Changes speed and memory, and scores only where BN uses the batch's own statistics."""
    activation_mib: float | None = None
    """Memory for activations between layers, in MiB; with less than the genomes' prefix tree wants, parts of it are
    computed again. A batch takes the more, the larger it is. Default: at most one activation per layer."""
    precision: Precision = "float32"
    """`bfloat16` scores in half the bits, for GPUs; a search first makes sure that it ranks genomes as float32 does."""

    def __post_init__(self) -> None:
        _one_of("evaluate.bn", self.bn, WantedStatistics)
        _one_of("evaluate.calibration", self.calibration, Calibration)
        if self.calibration == "own" and self.bn != "recalibrated":
            raise ConfigError(
                f"evaluate.calibration is 'own', but evaluate.bn is {self.bn!r}; give evaluate.bn 'recalibrated', too"
            )
        _at_least("evaluate.calibration_images", self.calibration_images, 2)
        _at_least("evaluate.batch_size", self.batch_size, 1)
        _above_zero("evaluate.activation_mib", self.activation_mib)
        _one_of("evaluate.precision", self.precision, Precision)


@dataclass(frozen=True)
class HierarchyConfig:
    """MoreMNAS's hierarchical mutation (paper Table 4). Probabilities are published; rules are our reading."""

    random: float = 0.2
    """Share of mutations that are random: one layer, uniformly (p_rm)."""
    reinforced: float = 0.65
    """Share that is reinforced (p_re)."""
    prior: float = 0.15
    """Share of the prior regulator, which repeats what is good (p_pr). The three are relative to their sum."""
    controller: float = 0.7
    """Of reinforced mutations, the share of the controller (p_M); the rest is roulette wheel selection (p_K-M)."""
    controller_draws: Literal["layer", "suffix", "whole"] = "layer"
    """What the controller draws anew: one random layer, all layers from a random one on, or the whole genome. Not
    published; one layer finds the true front of NAS-Bench-Macro soonest (docs/search.md)."""
    controller_learns_from: Literal["all", "own"] = "all"
    """Which networks it is rewarded for: all of a generation, or those it drew. Not published."""
    prior_repeats: Literal["front", "neighbour"] = "front"
    """Where the prior regulator takes a layer's choice from: the same layer of a network of the first front, or the
    layer beside it. Not published."""

    def __post_init__(self) -> None:
        for name in ("random", "reinforced", "prior", "controller"):
            _in_range(f"search.hierarchy.{name}", getattr(self, name), 0, 1)
        if self.random + self.reinforced + self.prior == 0:
            raise ConfigError("search.hierarchy has shares 0, 0 and 0; give at least one above 0")
        _one_of("search.hierarchy.controller_draws", self.controller_draws, Literal["layer", "suffix", "whole"])
        _one_of("search.hierarchy.controller_learns_from", self.controller_learns_from, Literal["all", "own"])
        _one_of("search.hierarchy.prior_repeats", self.prior_repeats, Literal["front", "neighbour"])


@dataclass(frozen=True)
class ControllerConfig:
    """The reinforced controller: an LSTM policy and PPO. The paper gives no numbers; these are ours."""

    hidden: int = 64
    """Units of the LSTM, and size of its embeddings."""
    lr: float = 0.003
    """Learning rate of Adam."""
    clip: float = 0.2
    """PPO: how far a genome's probability may move from what it was, relative to it."""
    entropy: float = 0.003
    """Weight of the entropy of the policy in what is maximised."""
    epochs: int = 4
    """PPO: gradient steps per generation."""
    baseline: float = 0.9
    """Share of the old baseline that is kept per generation; rewards are compared with it."""

    def __post_init__(self) -> None:
        _at_least("search.controller.hidden", self.hidden, 1)
        _above_zero("search.controller.lr", self.lr)
        _above_zero("search.controller.clip", self.clip)
        _at_least("search.controller.entropy", self.entropy, 0)
        _at_least("search.controller.epochs", self.epochs, 1)
        _in_range("search.controller.baseline", self.baseline, 0, 1)


@dataclass(frozen=True)
class RewardConfig:
    """The one reward of `mnasnet_rl`: accuracy times (cost / target)^exponent (MnasNet)."""

    cost: Literal["madds", "params", "latency"] = "madds"
    """Which cost; `latency` needs `search.latency_table`."""
    target: float | None = None
    """Its target; default: half way between the lightest and the heaviest network."""
    exponent: float = -0.07
    """w: with -0.07, twice the cost is worth 5 % of the accuracy."""

    def __post_init__(self) -> None:
        _one_of("search.reward.cost", self.cost, Literal["madds", "params", "latency"])
        _above_zero("search.reward.target", self.target)
        _in_range("search.reward.exponent", self.exponent, -10, 0)


@dataclass(frozen=True)
class SearchConfig:
    """Stage two: the search over the trained supernet (paper 3.2), and the selection from its front (4.2)."""

    searcher: str = "moremnas"
    """Who proposes genomes; `fairnas searchers` lists them."""
    population: int = 64
    """Genomes per generation (paper Table 4: 64)."""
    generations: int = 200
    """Generations, the first random one included (paper 4.4: 200)."""
    crossover: float = 0.9
    """Probability that two parents exchange the layers after a random point."""
    mutation: float = 0.8
    """Probability that a child is mutated (paper Table 4: 0.8)."""
    objectives: tuple[str, ...] = ("top1", "madds", "params")
    """What to optimise: of `top1`, `top5`, `loss`, `madds`, `params`, `latency`, or a function of yours as FILE.py:NAME
    (docs/search.md). A quantity with a bound is always among them. `--objective NAME` adds one."""
    max_madds: float | None = None
    """Upper bound on multiply-adds; `--max-madds 330M` is short for it."""
    max_params: float | None = None
    """Upper bound on parameters; `--max-params 4.5M` is short for it."""
    max_latency: float | None = None
    """Upper bound on latency in milliseconds; `--max-latency 20ms` is short for it."""
    latency_table: str | None = None
    """JSON file with the milliseconds of every choice block (docs/search.md); `latency` needs it."""
    select: int = 3
    """Networks taken from the front at equal distances in MAdds (paper 4.2: FairNAS-A, B, C)."""
    hierarchy: HierarchyConfig = field(default_factory=HierarchyConfig)
    """Of `moremnas`."""
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    """Of `moremnas`, `nsga2_reinforced` and `mnasnet_rl`."""
    reward: RewardConfig = field(default_factory=RewardConfig)
    """Of `mnasnet_rl`."""

    def __post_init__(self) -> None:
        _at_least("search.population", self.population, 4)
        _at_least("search.generations", self.generations, 1)
        _in_range("search.crossover", self.crossover, 0, 1)
        _in_range("search.mutation", self.mutation, 0, 1)
        _above_zero("search.max_madds", self.max_madds)
        _above_zero("search.max_params", self.max_params)
        _above_zero("search.max_latency", self.max_latency)
        if not self.objectives:
            raise ConfigError("search.objectives is empty; give one or more, such as top1 and madds")
        _at_least("search.select", self.select, 1)


@dataclass(frozen=True)
class StandAloneConfig:
    """Training of single networks from scratch: the selected ones, and those of the ranking study."""

    epochs: int | None = None
    """Passes over the training images; default: as many as the supernet had (paper B.2)."""
    lr: float | None = None
    """Initial learning rate; default: the supernet's (paper B.2)."""
    genomes: tuple[str, ...] = ()
    """Networks to retrain and export beside the selected ones, in text form."""
    models: int = 13
    """Networks of the ranking study (paper 4.4: 13)."""
    seeds: int = 2
    """Trainings per network of the ranking study; two or more show the noise ceiling."""
    choose: Literal["front", "stratified", "random"] = "front"
    """Networks of the study: from the front at equal distances in MAdds, stratified over one-shot accuracy, random."""
    study: tuple[str, ...] = ()
    """Networks of the study in text form, instead of `models` that are chosen."""
    against: str | None = None
    """Directory of another run whose supernet judges the networks of the study, too."""

    def __post_init__(self) -> None:
        _at_least("stand_alone.epochs", self.epochs, 1)
        _above_zero("stand_alone.lr", self.lr)
        _at_least("stand_alone.models", self.models, 3)
        _at_least("stand_alone.seeds", self.seeds, 1)
        _one_of("stand_alone.choose", self.choose, Literal["front", "stratified", "random"])
        if self.study and len(self.study) < 3:
            raise ConfigError(f"stand_alone.study names {len(self.study)} of at least 3 networks; name more, or none")


@dataclass(frozen=True)
class Resources:
    """Where and how a run is executed. May change when a run goes on: results differ by rounding at most.

    The one exception is several processes that share out mini-batches: each then normalises its share by itself.
    """

    device: Device = "auto"
    """`auto` takes a GPU if there is one."""
    executor: ExecutorName = "auto"
    """Paths of a supernet step one after another, or all layer by layer; `auto` decides by device and memory."""
    compile: Compilation = "auto"
    """Whether the lockstep executor is compiled; `auto` does so on a GPU."""
    save_memory: bool = False
    """The lockstep executor computes the inside of blocks twice instead of keeping it (activation checkpointing)."""
    path_processes: int | None = None
    """Of the processes that torchrun starts, how many share out the paths of a step; the others share out images.
    Default: as many as divide the paths."""
    processes: int | None = None
    """Processes for stand-alone trainings and exports on the CPU; default: one per core."""
    workers: int | None = None
    """Processes on this machine that score genomes while searching; default: this one alone."""
    scheduler: str | None = None
    """Address of a Dask scheduler whose workers score genomes, such as tcp://HOST:8786, instead."""
    loader_workers: int = 4
    """Processes that decode images too many to be held in memory."""
    checkpoint_seconds: float = 30.0
    """Seconds of work that a kill can cost at most."""
    checkpoint_steps: int | None = None
    """Also save after every so many steps."""

    def __post_init__(self) -> None:
        _one_of("resources.device", self.device, Device)
        _one_of("resources.executor", self.executor, ExecutorName)
        _one_of("resources.compile", self.compile, Compilation)
        _at_least("resources.path_processes", self.path_processes, 1)
        _at_least("resources.processes", self.processes, 1)
        _at_least("resources.workers", self.workers, 1)
        if self.workers is not None and self.scheduler is not None:
            raise ConfigError(
                f"resources.workers is {self.workers} and resources.scheduler {self.scheduler!r}; give one of them"
            )
        _at_least("resources.loader_workers", self.loader_workers, 0)
        _at_least("resources.checkpoint_seconds", self.checkpoint_seconds, 0)
        _at_least("resources.checkpoint_steps", self.checkpoint_steps, 1)


@dataclass(frozen=True)
class RunConfig:
    """One experiment from beginning to end."""

    recipe: Annotated[str, tyro.conf.Suppress]
    """Name of the recipe that it began as; not a flag."""
    space: str = "mobilenet_v2"
    """Search space: a name from `fairnas spaces`, a TOML file, or FILE.py:NAME."""
    seed: int = 0
    """The run's only seed; every random choice derives from it."""
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    stand_alone: StandAloneConfig = field(default_factory=StandAloneConfig)
    resources: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        _at_least("seed", self.seed, 0)


def _at_least(name: str, value: float | None, low: float) -> None:
    if value is not None and not low <= value < float("inf"):
        raise ConfigError(f"{name} is {value}; give {low} or more")


def _above_zero(name: str, value: float | None) -> None:
    if value is not None and not 0 < value < float("inf"):
        raise ConfigError(f"{name} is {value}; give a number above 0")


def _in_range(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ConfigError(f"{name} is {value}; give a number from {low} to {high}")


def _one_of(name: str, value: str, literal: Any) -> None:
    allowed = literal.__args__
    if value not in allowed:
        raise ConfigError(f"{name}: {UnknownNameError('value', value, allowed)}")
