"""What the trainings of single networks of a run share, and where each keeps its files."""

from dataclasses import dataclass
from pathlib import Path

from fairnas.atomic_files import checksum, write_atomically
from fairnas.config import RunConfig, TrainConfig
from fairnas.scores import TrainingResult
from fairnas.space import Genome, format_genome
from fairnas.untrusted import parse_json


@dataclass(frozen=True)
class Job:
    """One training of one network."""

    genome: Genome
    seed: int
    """Number of the training, from 0: initial weights, order of images and augmentation depend on it."""
    keep_weights: bool
    """Whether the trained weights stay in the run directory, for export."""

    @property
    def name(self) -> str:
        """Stem of its files."""
        return f"{format_genome(self.genome)}-s{self.seed}"


@dataclass(frozen=True)
class ProductWork:
    """What the product recipe needs beside the settings. Plain data, as the job's context."""

    teacher: Genome | None
    """The supernet's path that networks are taught by."""


@dataclass(frozen=True)
class JobContext:
    """What all jobs share. Plain data, so that it travels to other processes."""

    config: RunConfig
    train: TrainConfig
    identity: str
    folder: Path
    """In the run directory: `stand_alone/`, or `retrained/` for the product recipe."""
    device: str
    product: ProductWork | None = None
    """Set where networks are trained by the product recipe, `config.retrain`; None: as the supernet."""
    legacy_identities: tuple[str, ...] = ()
    """Identities of the same trainings before a time budget made them shorter, which are accepted, too."""

    def result_path(self, job: Job) -> Path:
        """Where a job's result is written when it is done."""
        return self.folder / f"{job.name}.json"

    def checkpoint_path(self, job: Job) -> Path:
        """Where a job saves its state."""
        return self.folder / f"{job.name}.pt"

    def weights_path(self, job: Job) -> Path:
        """Where its trained weights stay, if they are kept: in the last checkpoint, or in a file of their own."""
        return self.checkpoint_path(job) if self.product is None else self.folder / f"{job.name}-weights.pt"

    def seal_path(self, job: Job) -> Path:
        """Where the checksum of kept weights stands, as `sha256sum --check` reads it.

        Not in the result, which is the same whether weights are kept or not: the ranking study has its results from
        trainings for use, and the other way round.
        """
        path = self.weights_path(job)
        return path.with_name(f"{path.name}.sha256")

    def seal(self, job: Job) -> None:
        """Write down that the weights that a job has just trained are to be kept."""
        path = self.weights_path(job)
        write_atomically(self.seal_path(job), f"{checksum(path)}  {path.name}\n".encode())

    def has_weights(self, job: Job) -> bool:
        """Whether trained weights are kept for this network and seed, and are what was written."""
        path = self.weights_path(job)
        try:
            return self.seal_path(job).read_text(encoding="utf-8").split()[0] == checksum(path)
        except (OSError, UnicodeDecodeError, IndexError):  # not there, or damaged at rest
            return False

    def finished(self, job: Job) -> TrainingResult | None:
        """The result of a job done before with the same settings, or None."""
        try:
            result = TrainingResult.from_dict(parse_json(self.result_path(job).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None  # not there, or damaged at rest: train it again
        if result.identity not in (self.identity, *self.legacy_identities):
            return None
        if job.keep_weights and result.status == "done" and not self.has_weights(job):
            return None
        return result
