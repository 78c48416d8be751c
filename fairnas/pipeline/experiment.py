"""Experiment: a run directory with its configuration, space, data and device, each loaded at first use."""

import dataclasses
import functools
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from fairnas.atomic_files import checksum
from fairnas.config import Precision, Resources, RunConfig, TrainConfig
from fairnas.data import Dataset, Survey, load_dataset
from fairnas.data.progress import Progress, silent
from fairnas.errors import CheckpointError, ConfigError, RunDirectoryError
from fairnas.evaluate import EvaluationCopy, OwnImagesCopy, OwnNetworks, RecalibratedCopy
from fairnas.latency import LatencyTable
from fairnas.nets import Supernet, cost_table
from fairnas.pipeline.calibration import CalibrationImages
from fairnas.pipeline.timetable import NoWatch, Watch
from fairnas.progress import Narrator, SilentNarrator
from fairnas.rundir import RunDirectory
from fairnas.space import Genome, SearchSpace, get_space, scaled
from fairnas.space.file import from_dict, to_dict
from fairnas.train import Group, Strategy, new_supernet, read_checkpoint, scoring_statistics, strategy_facts
from fairnas.train.strategies import own_file
from fairnas.train.supernet import SupernetTraining

_LOOKING_SECONDS = 10.0
"""Smallest interval between progress lines about images, in seconds."""


def said_by(narrator: Narrator) -> Progress:
    """Progress callback that reports to the narrator from time to time, if loading images takes long."""
    last = time.monotonic()

    def progress(done: int, total: int, text: str) -> None:
        nonlocal last
        if time.monotonic() - last >= _LOOKING_SECONDS:
            last = time.monotonic()
            narrator.say(f"images     {text}: {done:,} of {total:,}")

    return progress


def pick_device(wanted: str) -> torch.device:
    """Device of a setting, with single precision really single. Raises `ConfigError` if it is missing."""
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise ConfigError("resources.device is 'cuda', but torch finds no CUDA GPU; use 'cpu', or see `fairnas doctor`")
    # otherwise torch rounds the factors of convolutions to 10 bits (TF32); use bfloat16 for reduced precision
    torch.backends.cudnn.allow_tf32 = False
    return torch.device(wanted)


def open_data(
    config: RunConfig, progress: Progress = silent, survey: Survey | None = None
) -> tuple[SearchSpace, Dataset]:
    """Open the data of a configuration, and resolve its space for them: image size, channels and classes.

    With a survey the images are only counted, not decoded.
    """
    space = scaled(get_space(config.space), config.width)
    size = config.data.image_size or space.image_size
    space = space.for_data(image_size=size)  # fails before images are read
    if survey is not None:
        dataset = survey.dataset(config.data, size)
    else:
        dataset = load_dataset(config.data, image_size=size, image_channels=None, seed=config.seed, progress=progress)
    dataset = dataset.decoded_by(config.resources.loader_workers)
    return space.for_data(image_channels=dataset.image_channels, num_classes=len(dataset.classes)), dataset


SMALL_WORK = 500e6
"""Multiply-adds of a forward pass over a batch below which a second thread does not help: it would wait for the first,
on a busy machine for long.
"""


def is_small_work(space: SearchSpace, batch_size: int) -> bool:
    """True if a batch through the heaviest network of a space is too little work for several threads."""
    return cost_table(space).heaviest["madds"] * batch_size < SMALL_WORK


def training_identity(train: TrainConfig, config: RunConfig, space: SearchSpace, dataset: Dataset) -> str:
    """Hash of everything that a training with these hyper-parameters depends on, except the location of its images.

    The fingerprint of the images includes their labels, from any source, and groups of images as far as they change the
    splits.
    """
    left_out = ("name", "root", "layout", "labels", "group", "copies")
    data = {key: value for key, value in dataclasses.asdict(config.data).items() if key not in left_out}
    settings = dataclasses.asdict(train)
    if (own := own_file(train)) is not None:
        settings["strategy_file"] = checksum(own)
    content = [settings, to_dict(space), dataset.fingerprint, config.seed, data]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def stand_alone_config(config: RunConfig) -> TrainConfig:
    """Hyper-parameters of stand-alone training: the supernet's, unless a setting changes them (paper B.2)."""
    ours, train = config.stand_alone, config.train
    return dataclasses.replace(train, epochs=ours.epochs or train.epochs, lr=ours.lr or train.lr, lr_scale=1.0)


def require_scorable(config: RunConfig, has_own_networks: bool) -> None:
    """Raise `ConfigError` if genomes are to be scored with BN statistics that their weights cannot have."""
    if has_own_networks and scoring_statistics(config.train, config.evaluate.bn) == "recalibrated":
        raise ConfigError(
            f"evaluate.bn is 'recalibrated', but '{config.train.strategy}' makes weights for each network; "
            "give 'batch', 'running' or 'auto'"
        )


def tensors_in(learned: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, torch.Tensor]]:
    """Iterate over all tensors in a tree of plain data, with their places."""
    for key, value in learned.items():
        if isinstance(value, torch.Tensor):
            yield f"{above}{key}", value
        elif isinstance(value, Mapping):
            yield from tensors_in(value, f"{above}{key}.")


class Experiment:
    """Shared state of the stages: run directory, configuration, space, data, device and supernet."""

    def __init__(
        self,
        run: RunDirectory,
        narrator: Narrator | None = None,
        stop: Callable[[], bool] = lambda: False,
        opened: tuple[SearchSpace, Dataset] | None = None,
        group: Group | None = None,
        resources: Resources | None = None,
        config: RunConfig | None = None,
        watch: Watch | None = None,
    ) -> None:
        """Open an experiment.

        Args:
            run: its directory, locked by this process (`RunDirectory.locked`).
            narrator: receives the progress.
            stop: returns True when the work should be saved and ended.
            opened: space and data, if they were opened before (`open_data`).
            group: the processes that train the supernet; this one is the first.
            resources: resources for this time; default: those of the run's configuration.
            watch: receives the progress of a stage and decides if it is too slow; default: no time limit.
            config: settings to work with, which become the run's own when a stage succeeds (`run_stage`); default:
                the run's.
        """
        self.run, self.is_stopped, self.watch = run, stop, watch or NoWatch()
        self.group = group or Group()
        self.narrator: Narrator = narrator or SilentNarrator()
        config = config or run.config
        self.config = dataclasses.replace(config, resources=resources) if resources else config
        self._given = opened
        self.latency_table: LatencyTable | None = None
        """Latency table that the run has measured itself; None until a stage has measured or read it."""

    def stop(self) -> bool:
        """True if the work should be saved and ended: the user requested it, or it is too slow to end in time."""
        return self.is_stopped() or self.watch.is_late()

    def watched(self, watch: Watch) -> "Experiment":
        """Same experiment with the run's current configuration, and a watch."""
        other = Experiment(self.run, self.narrator, self.is_stopped, self._opened, self.group, watch=watch)
        other.latency_table = self.latency_table
        return other

    @functools.cached_property
    def device(self) -> torch.device:
        """Device of the networks."""
        return pick_device(self.config.resources.device)

    def require_data(self) -> None:
        """Raise `FairnasError` if the images or the device are not available, before anything is changed."""
        _ = self.device
        self._given = self._given or open_data(self.config, said_by(self.narrator))

    @functools.cached_property
    def _opened(self) -> tuple[SearchSpace, Dataset]:
        space, dataset = self._given or open_data(self.config, said_by(self.narrator))
        if self.device.type == "cpu" and is_small_work(space, self.config.train.batch_size):
            torch.set_num_threads(1)
        self.run.require_images(dataset.fingerprint)
        if not (self.run.path / "data.json").exists():
            self.run.write_json("data.json", dataset.summary().to_dict())
        if not (self.run.path / "space.json").exists():
            self.run.write_json("space.json", to_dict(space))
        elif from_dict(self.run.read_json("space.json")) != space:
            raise RunDirectoryError(
                f"the search space changed since {self.run.path} was begun; put it back, or start a new run"
            )
        return space, dataset

    @property
    def space(self) -> SearchSpace:
        """Search space, resolved for the data."""
        return self._opened[0]

    @property
    def dataset(self) -> Dataset:
        """Images."""
        return self._opened[1]

    @functools.cached_property
    def named(self) -> tuple[Genome, ...]:
        """Networks that the configuration names for retraining besides the selected ones. May raise `GenomeError`."""
        return tuple(map(self.space.parse, self.config.stand_alone.genomes))

    @functools.cached_property
    def studied(self) -> tuple[Genome, ...]:
        """Networks that the configuration names for the ranking study. May raise `GenomeError`."""
        genomes = tuple(map(self.space.parse, self.config.stand_alone.study))
        self.space.require_distinct(genomes)
        return genomes

    @functools.cached_property
    def identity(self) -> str:
        """Hash of everything that supernet training depends on; a checkpoint of another identity is refused."""
        return self.identity_of(self.config.train)

    def identity_of(self, train: TrainConfig) -> str:
        """Hash of everything that a training with these hyper-parameters depends on."""
        return training_identity(train, self.config, self.space, self.dataset)

    def longer_identities_of(self, train: TrainConfig, setting: str) -> tuple[str, ...]:
        """Identities of a training before its epochs were reduced to end in time."""
        path = self.run.path / "dial.json"
        rows = self.run.read_json("dial.json").get("shortened", []) if path.exists() else []
        epochs = [row["before"] for row in rows if row["setting"] == setting]
        return tuple(self.identity_of(dataclasses.replace(train, epochs=each)) for each in epochs)

    @property
    def _checkpoint(self) -> Path:
        return self.run.path / "supernet" / "checkpoint.pt"

    @functools.cached_property
    def supernet(self) -> Supernet:
        """Trained supernet, in eval mode on the device."""
        path = self._checkpoint
        supernet = new_supernet(self.space, self.config.train, self.config.seed)
        supernet.load_state_dict(read_checkpoint(path, "supernet")["network"])
        for name, tensor in supernet.state_dict().items():
            if not torch.isfinite(tensor).all():
                raise CheckpointError(
                    f"the supernet's weights {name} are NaN or infinite ({path}): its training diverged; "
                    "train it again in a new run, with a lower train.lr"
                )
        return supernet.to(self.device).eval()

    @functools.cached_property
    def strategy(self) -> Strategy:
        """Strategy, with its learned state."""
        training = SupernetTraining(self.supernet, self.config.train, self.config.seed)
        training.restore_extra(read_checkpoint(self._checkpoint, "supernet")["extra"])
        return training.strategy

    @functools.cached_property
    def weights_digest(self) -> str:
        """Hash of the trained supernet's weights, which identifies scores; computed once, as weights may be large."""
        digest = hashlib.sha256()
        learned = self.strategy.state() if self.has_own_networks else {}
        for name, tensor in (*self.supernet.state_dict().items(), *tensors_in(learned)):
            digest.update(name.encode())
            digest.update(tensor.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def has_own_networks(self) -> bool:
        """True if a genome's weights are generated for it (`Strategy.network`); loads no weights."""
        return strategy_facts(self.config.train, self.space.choices).has_own_networks

    @functools.cached_property
    def scorer(self) -> EvaluationCopy:
        """Trained supernet in the form for scoring genomes, made once."""
        return self.make_scorer(self.supernet)

    def make_scorer(
        self, supernet: Supernet, precision: Precision | None = None, strategy: Strategy | None = None
    ) -> EvaluationCopy:
        """Supernet in the form for scoring genomes with the configured or given precision.

        If the strategy generates the weights of each genome, they come from the given strategy (during training), or
        from that of the trained supernet.
        """
        evaluate = self.config.evaluate
        statistics = scoring_statistics(self.config.train, evaluate.bn)
        memory, precision = evaluate.activation_mib, precision or evaluate.precision
        if self.has_own_networks:
            require_scorable(self.config, self.has_own_networks)
            assert statistics != "recalibrated"
            learned = strategy or self.strategy
            return OwnNetworks(
                supernet,
                lambda genome: learned.network(supernet, genome),
                statistics,
                precision=precision,
                activation_mib=memory,
            )
        if statistics != "recalibrated":
            return EvaluationCopy(supernet, statistics, precision=precision, activation_mib=memory)
        images = CalibrationImages(self.dataset, evaluate.calibration_images, self.config.seed, self.device)
        if evaluate.calibration == "own":
            return OwnImagesCopy(supernet, images.of, precision=precision, activation_mib=memory)
        return RecalibratedCopy(supernet, images.shared(), precision=precision, activation_mib=memory)

    @functools.cached_property
    def stand_alone(self) -> TrainConfig:
        """Hyper-parameters of stand-alone trainings, see `stand_alone_config`."""
        return stand_alone_config(self.config)
