"""Configuration of one experiment from beginning to end, and of the resources it runs on."""

from dataclasses import dataclass, field
from typing import Annotated, Literal, get_args

from fairnas.config.checks import above_zero, at_least, in_range, one_of
from fairnas.config.export import ExportConfig
from fairnas.config.retrain import RetrainConfig
from fairnas.config.search import EvaluateConfig, Measure, SearchConfig
from fairnas.config.settings import Advanced, Common, Flag, NoFlag, Short
from fairnas.config.stand_alone import StandAloneConfig
from fairnas.config.training import DataConfig, TrainConfig
from fairnas.errors import ConfigError
from fairnas.untrusted import MOST_DIGITS

Device = Literal["auto", "cpu", "cuda"]
ExecutorName = Literal["auto", "sequential", "lockstep"]
Compilation = Literal["auto", "on", "off"]

LARGEST_SEED = 10**MOST_DIGITS - 1
"""Largest seed that can be read back from a file."""


@dataclass(frozen=True)
class Resources:
    """Devices, processes and checkpoints of a run. May change on resuming: results differ by rounding at most.

    The exception is processes that split mini-batches between them: each normalises its own share with its own BN
    statistics.
    """

    device: Common[Device] = "auto"
    """`auto` takes a GPU if there is one."""
    executor: Advanced[ExecutorName] = "auto"
    """Paths of a supernet step one after another, or all layer by layer; `auto` decides by device and memory."""
    compile: Advanced[Compilation] = "auto"
    """Record the steps of the lockstep executor once as a CUDA graph, then replay it; `auto` does so on a GPU."""
    save_memory: Advanced[bool] = False
    """Recompute the activations inside blocks during the backward pass instead of keeping them, in the lockstep
    executor (activation checkpointing).
    """
    path_processes: Advanced[int | None] = None
    """Number of the processes started by torchrun that split the paths of a step; the others split its images. Default:
    the largest number that divides the paths.
    """
    processes: Common[int | None] = None
    """Number of processes for stand-alone trainings on the CPU; default: one per core available to this process, as far
    as memory allows.
    """
    workers: Annotated[int | None, Flag("common", Short("workers"))] = None
    """Number of processes on this machine that score genomes during the search; default: only this one. Given to
    `retrain` or `rank`, also the number that train networks."""
    scheduler: Annotated[str | None, Flag("common", Short("scheduler"))] = None
    """Address, such as tcp://HOST:8786, of a Dask scheduler whose workers score genomes and train single networks."""
    loader_workers: Advanced[int] = 4
    """Number of processes that decode images, where these are too many to be held in memory."""
    checkpoint_seconds: Advanced[float] = 30.0
    """Time between checkpoints in seconds: the most work that a kill can lose."""
    checkpoint_steps: Advanced[int | None] = None
    """Steps between additional checkpoints; default: none."""

    def __post_init__(self) -> None:
        one_of("resources.device", self.device, Device)
        one_of("resources.executor", self.executor, ExecutorName)
        one_of("resources.compile", self.compile, Compilation)
        at_least("resources.path_processes", self.path_processes, 1)
        at_least("resources.processes", self.processes, 1)
        at_least("resources.workers", self.workers, 1)
        if self.workers is not None and self.scheduler is not None:
            raise ConfigError(
                f"resources.workers is {self.workers} and resources.scheduler {self.scheduler!r}; give one of them"
            )
        at_least("resources.loader_workers", self.loader_workers, 0)
        at_least("resources.checkpoint_seconds", self.checkpoint_seconds, 0)
        at_least("resources.checkpoint_steps", self.checkpoint_steps, 1)


@dataclass(frozen=True)
class RunConfig:
    """One experiment from beginning to end."""

    recipe: NoFlag[str]
    """Name of the recipe that the configuration began as; not a flag."""
    space: Common[str] = "mobilenet_v2"
    """Search space: a name from `fairnas spaces`, a TOML file, or FILE.py:NAME."""
    width: Advanced[float] = 1.0
    """Factor on all channels of the space, from 0.25 to 4."""
    minutes: Annotated[
        float | None, Flag("common", Short("hours", float, lambda hours: 60 * hours, preferred=False))
    ] = None
    """Time limit for the whole run, in minutes: settings that are not given are chosen to fit it on this device
    (docs/dial.md). `--hours` takes hours instead.
    """
    seed: Common[int] = 0
    """The run's only seed; every random choice derives from it."""
    data: DataConfig = field(default_factory=DataConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)
    search: SearchConfig = field(default_factory=SearchConfig)
    stand_alone: StandAloneConfig = field(default_factory=StandAloneConfig)
    retrain: RetrainConfig = field(default_factory=RetrainConfig)
    export: ExportConfig = field(default_factory=ExportConfig)
    resources: Resources = field(default_factory=Resources)

    def __post_init__(self) -> None:
        in_range("width", self.width, 0.25, 4)
        above_zero("minutes", self.minutes)
        at_least("seed", self.seed, 0, LARGEST_SEED)
        self._require_one_measure()

    @property
    def measure(self) -> Measure:
        """Measure of accuracy by which networks are selected, kept and ranked in this run."""
        if self.evaluate.measure == "auto":
            return "top1" if self.train.balance == "none" else "balanced_accuracy"
        return self.evaluate.measure

    def _require_one_measure(self) -> None:
        """Raise `ConfigError` for a search by another accuracy than the one that networks are kept and ranked by."""
        named = [self.measure if name == "accuracy" else name for name in self.search.objectives]
        accuracies = [name for name in named if name in get_args(Measure)]
        if accuracies and accuracies[0] != self.measure:
            raise ConfigError(
                f"search.objectives has {accuracies[0]} first, but this run measures accuracy as {self.measure}; "
                f"give accuracy in its place, or evaluate.measure '{accuracies[0]}'"
            )
