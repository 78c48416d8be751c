"""Shared settings of the trainings of a run's networks, and the paths of their files."""

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
    """Number of the training, from 0: determines initial weights, order of images and augmentation."""
    keep_weights: bool
    """True if the trained weights stay in the run directory, for export."""

    @property
    def name(self) -> str:
        """Stem of its file names."""
        return f"{format_genome(self.genome)}-s{self.seed}"


@dataclass(frozen=True)
class ProductWork:
    """Data of the product recipe beyond the settings. Plain data, like the job's context."""

    teacher: Genome | None
    """Path of the supernet that is the teacher."""


@dataclass(frozen=True)
class JobContext:
    """Shared settings of all jobs. Plain data, so that it can be sent to other processes."""

    config: RunConfig
    train: TrainConfig
    identity: str
    folder: Path
    """Folder in the run directory: `stand_alone/`, or `retrained/` for the product recipe."""
    device: str
    product: ProductWork | None = None
    """Set if networks are trained by the product recipe, `config.retrain`; None: like the supernet."""
    legacy_identities: tuple[str, ...] = ()
    """Identities of the same trainings before a time budget shortened them, which are accepted as well."""

    def result_path(self, job: Job) -> Path:
        """Path of a job's result."""
        return self.folder / f"{job.name}.json"

    def checkpoint_path(self, job: Job) -> Path:
        """Path of a job's checkpoint."""
        return self.folder / f"{job.name}.pt"

    def weights_path(self, job: Job) -> Path:
        """Path of kept weights: the last checkpoint, or a file of their own."""
        return self.checkpoint_path(job) if self.product is None else self.folder / f"{job.name}-weights.pt"

    def seal_path(self, job: Job) -> Path:
        """Path of the checksum of kept weights, in the format of `sha256sum --check`.

        It is not part of the result, which is the same whether weights are kept or not: the ranking study uses results
        of trainings for use, and vice versa.
        """
        path = self.weights_path(job)
        return path.with_name(f"{path.name}.sha256")

    def seal(self, job: Job) -> None:
        """Record that the weights just trained by a job are to be kept."""
        path = self.weights_path(job)
        write_atomically(self.seal_path(job), f"{checksum(path)}  {path.name}\n".encode())

    def has_weights(self, job: Job) -> bool:
        """True if trained weights are kept for this network and seed, and are undamaged."""
        path = self.weights_path(job)
        try:
            return self.seal_path(job).read_text(encoding="utf-8").split()[0] == checksum(path)
        except (OSError, UnicodeDecodeError, IndexError):  # missing or damaged
            return False

    def finished(self, job: Job) -> TrainingResult | None:
        """Result of a job finished earlier with the same settings, or None."""
        try:
            result = TrainingResult.from_dict(parse_json(self.result_path(job).read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return None  # absent or damaged: train it again
        if result.identity not in (self.identity, *self.legacy_identities):
            return None
        if job.keep_weights and result.status == "done" and not self.has_weights(job):
            return None
        return result
