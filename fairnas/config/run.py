"""One experiment from beginning to end, and what it runs on."""

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
"""That can be read back from a file."""


@dataclass(frozen=True)
class Resources:
    """Where and how a run is executed. May change when a run goes on: results differ by rounding at most.

    The one exception is several processes that share out mini-batches: each then normalises its share by itself.
    """

    device: Common[Device] = "auto"
    """`auto` takes a GPU if there is one."""
    executor: Advanced[ExecutorName] = "auto"
    """Paths of a supernet step one after another, or all layer by layer; `auto` decides by device and memory."""
    compile: Advanced[Compilation] = "auto"
    """Whether lockstep steps are recorded once as a CUDA graph and replayed; `auto` does so on a GPU."""
    save_memory: Advanced[bool] = False
    """The lockstep executor computes the inside of blocks twice instead of keeping it (activation checkpointing)."""
    path_processes: Advanced[int | None] = None
    """Of the processes that torchrun starts, how many share out the paths of a step; the others share out images.
    Default: as many as divide the paths."""
    processes: Common[int | None] = None
    """Processes for stand-alone trainings on the CPU; default: one per core that this one may use, if memory allows."""
    workers: Annotated[int | None, Flag("common", Short("workers", preferred=False))] = None
    """Processes on this machine that score genomes while searching; default: this one alone."""
    scheduler: Annotated[str | None, Flag("common", Short("scheduler", preferred=False))] = None
    """Address of a Dask scheduler whose workers score genomes, such as tcp://HOST:8786, instead."""
    loader_workers: Advanced[int] = 4
    """Processes that decode images too many to be held in memory."""
    checkpoint_seconds: Advanced[float] = 30.0
    """Seconds of work that a kill can cost at most."""
    checkpoint_steps: Advanced[int | None] = None
    """Also save after every so many steps."""

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
    """Name of the recipe that it began as; not a flag."""
    space: Common[str] = "mobilenet_v2"
    """Search space: a name from `fairnas spaces`, a TOML file, or FILE.py:NAME."""
    width: Advanced[float] = 1.0
    """Factor on all channels of the space, from 0.25 to 4."""
    minutes: Annotated[
        float | None, Flag("common", Short("hours", float, lambda hours: 60 * hours, preferred=False))
    ] = None
    """Let the whole run end within so many minutes: what is not given is chosen for this device (docs/dial.md).
    `--hours` takes hours instead."""
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
        """What accuracy means in this run: the name of the measure that networks are selected, kept and ranked by."""
        if self.evaluate.measure == "auto":
            return "top1" if self.train.balance == "none" else "balanced_accuracy"
        return self.evaluate.measure

    def _require_one_measure(self) -> None:
        """A search after another accuracy than the one that networks are kept and ranked by is a mistake."""
        named = [self.measure if name == "accuracy" else name for name in self.search.objectives]
        accuracies = [name for name in named if name in get_args(Measure)]
        if accuracies and accuracies[0] != self.measure:
            raise ConfigError(
                f"search.objectives has {accuracies[0]} first, but this run measures accuracy as {self.measure}; "
                f"give accuracy in its place, or evaluate.measure '{accuracies[0]}'"
            )
