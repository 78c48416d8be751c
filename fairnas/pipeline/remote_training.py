"""Trainings of single networks on workers that share neither memory nor a file system with this process.

A training is done in parts. A worker receives the last checkpoint, trains until the next one is due, and sends back
that checkpoint, or the result at the end; this process keeps both in the run directory, as for trainings without
workers. So any worker can do the next part, and a lost worker costs only the part it was working on. Checkpoints are
exact, so results do not depend on how a training was cut.
"""

import contextlib
import dataclasses
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

from fairnas import __version__
from fairnas.atomic_files import temporary_folder, write_atomically
from fairnas.data import Dataset, load_dataset
from fairnas.data.sending import sendable
from fairnas.errors import ConfigError, FairnasError
from fairnas.pipeline.experiment import pick_device
from fairnas.pipeline.job_run import one_thread, run_job
from fairnas.pipeline.training_job import Job, JobContext
from fairnas.pipeline.workers import Dispatcher, Workers
from fairnas.scores import TrainingResult
from fairnas.space import SearchSpace
from fairnas.train import LoopOptions

_KEPT = "what was saved of each training is kept"
_SUPERNET = Path("supernet", "checkpoint.pt")


@dataclass(frozen=True)
class TrainingPart:
    """Work for one part of a training, without the images. Plain data, so that it can be sent to other machines."""

    job_context: JobContext
    """Context as on this machine; a worker uses its own folder and device."""
    job: Job
    space: SearchSpace
    """Space resolved for the data."""
    fingerprint: str
    """Fingerprint of the images."""
    version: str
    """Version of fairnas."""
    files: Mapping[str, bytes]
    """Files that the training has left so far, by name."""


@dataclass(frozen=True)
class TrainingReport:
    """Result of a part, or the reason for a refusal; not raised, because not every executor can transfer exceptions."""

    worker: str
    files: Mapping[str, bytes] = dataclasses.field(default_factory=dict)
    """Files that the training has left by now, by name."""
    first: int = 0
    """Step at which this part began."""
    taken: int = 0
    """Number of steps in this part."""
    finished: bool = False
    refusal: str = ""


class RemoteTrainings:
    """Trainings of networks on workers.

    Args:
        workers: workers to train on.
        say: called with a line if all workers are gone.
        stop: called repeatedly; True ends the work.
        on_steps: called with the number of steps taken so far in all trainings together, and of those taken before in
            resumed trainings.
    """

    def __init__(
        self,
        workers: Workers,
        say: Callable[[str], None],
        stop: Callable[[], bool],
        on_steps: Callable[[int, int], None],
    ) -> None:
        self._dispatcher = Dispatcher(workers, _KEPT, say, stop)
        self._on_steps, self._taken, self._before = on_steps, 0, 0

    def results(
        self, job_context: JobContext, jobs: Sequence[Job], space: SearchSpace, dataset: Dataset
    ) -> Iterator[tuple[Job, TrainingResult]]:
        """Train networks, and yield each result when it is ready.

        Raises:
            ConfigError: if a worker refuses, with its reason.
            LostWorkersError: if the workers or the scheduler are gone.
            KeyboardInterrupt: if `stop` returned True; each training loses the steps since its last checkpoint.
        """
        images = self._dispatcher.share(sendable(dataset))
        supernet = self._dispatcher.share(_supernet_of(job_context))

        def begin(job: Job) -> "Future[TrainingReport]":
            files = _left_so_far(job_context, job)
            part = TrainingPart(job_context, job, space, dataset.fingerprint, __version__, files)
            return self._dispatcher.submit(train_part, part, images, supernet)

        waiting, training = deque(jobs), dict[Future[TrainingReport], Job]()
        begun: set[Job] = set()
        try:
            while waiting or training:
                while waiting and len(training) < self._dispatcher.slots():
                    job = waiting.popleft()
                    job_context.result_path(job).unlink(missing_ok=True)
                    training[begin(job)] = job
                for future, report in self._dispatcher.wait_for_some(training):
                    job = training.pop(future)
                    if report.refusal:
                        raise ConfigError(f"worker {report.worker} refuses: {report.refusal}")
                    _keep(job_context, job, report)
                    self._count(report, is_first=job not in begun)
                    begun.add(job)
                    if report.finished:
                        result = job_context.finished(job)
                        if result is None:
                            raise ConfigError(f"worker {report.worker} sent no usable result of {job.name}")
                        yield job, result
                    else:
                        training[begin(job)] = job
        except BaseException:
            for future in training:
                future.cancel()
            raise

    def _count(self, report: TrainingReport, is_first: bool) -> None:
        self._taken += report.taken
        self._before += report.first if is_first else 0
        self._on_steps(self._taken, self._before)


def _supernet_of(job_context: JobContext) -> bytes | None:
    """Content of the supernet's checkpoint, if networks inherit its weights or are taught by it."""
    product, settings = job_context.product, job_context.config.retrain
    if product is None or (product.teacher is None and settings.initial != "inherit"):
        return None
    return (job_context.folder.parent / _SUPERNET).read_bytes()


def _left_so_far(job_context: JobContext, job: Job) -> dict[str, bytes]:
    """Files that a training has left in the run directory and that it needs in order to resume."""
    paths = [job_context.checkpoint_path(job)]
    if job_context.weights_path(job) == paths[0]:
        paths.append(job_context.seal_path(job))  # a sealed checkpoint may be replaced by the final weights
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def _keep(job_context: JobContext, job: Job, report: TrainingReport) -> None:
    """Write the files of a training into the run directory, the result last. Files of other names are ignored."""
    checkpoint, result = job_context.checkpoint_path(job), job_context.result_path(job)
    ending = (job_context.weights_path(job), job_context.seal_path(job)) if report.finished else ()
    for path in dict.fromkeys((*ending, checkpoint, *((result,) if report.finished else ()))):
        if path.name in report.files:
            write_atomically(path, report.files[path.name])
    if checkpoint.name not in report.files:
        checkpoint.unlink(missing_ok=True)


# On the worker -----------------------------------------------------------------------------------------------

# a worker with several threads trains one network at a time, because torch uses threads of its own
_at_work = threading.Lock()
_read: dict[str, Dataset] = {}  # images read from files, by fingerprint; only the last data set is kept


def train_part(part: TrainingPart, images: Dataset | None, supernet: bytes | None) -> TrainingReport:
    """Train one network until its next checkpoint is due, or to its end. Runs on a worker.

    Args:
        part: the training and its files so far.
        images: images of the run; None if they are too many to send, and must be read from the configured folder.
        supernet: content of the supernet's checkpoint, if the training needs it.
    """
    worker = f"{socket.gethostname()}:{os.getpid()}"
    ours = part.job_context
    with _at_work, contextlib.ExitStack() as held:
        run = ours.folder.parent
        try:
            if __version__ != part.version:
                raise ConfigError(f"it has fairnas {__version__}; install {part.version} there, as the run has")
            dataset = images or _images_of(part)
            run = held.enter_context(temporary_folder("fairnas-training-"))
            folder, device = run / ours.folder.name, pick_device(ours.config.resources.device)
            folder.mkdir()
            for name, content in part.files.items():
                (folder / name).write_bytes(content)
            if supernet is not None:
                (run / _SUPERNET).parent.mkdir()
                (run / _SUPERNET).write_bytes(supernet)
            there = dataclasses.replace(ours, folder=folder, device=device.type)
            first, taken, finished = _train(there, part, dataset)
            files = {path.name: path.read_bytes() for path in folder.iterdir()}
        except (FairnasError, OSError) as error:
            return TrainingReport(worker, refusal=str(error).replace(str(run), str(ours.folder.parent)))
    return TrainingReport(worker, files, first, taken, finished)


def _train(job_context: JobContext, part: TrainingPart, dataset: Dataset) -> tuple[int, int, bool]:
    """Train a part; return its first step, the number of its steps, and True if the training is finished."""
    resources = job_context.config.resources
    first, taken, begun = 0, 0, time.monotonic()

    def resumed(step: int) -> None:
        nonlocal first, begun
        first, begun = step, time.monotonic()

    def is_due() -> bool:
        nonlocal taken
        taken += 1
        by_steps = resources.checkpoint_steps is not None and taken >= resources.checkpoint_steps
        return by_steps or time.monotonic() - begun >= resources.checkpoint_seconds

    with one_thread() if job_context.device == "cpu" else contextlib.nullcontext():
        try:
            run_job(job_context, part.job, part.space, dataset, LoopOptions(stop=is_due, on_resume=resumed))
        except KeyboardInterrupt:  # raised by a training that was asked to save and stop
            return first, taken, False
    return first, taken, True


def _images_of(part: TrainingPart) -> Dataset:
    """Read the images from the configured folder, once. Raises `FairnasError` if they are not the run's."""
    if part.fingerprint not in _read:
        config = part.job_context.config
        size = part.space.image_size
        dataset = load_dataset(config.data, image_size=size, image_channels=None, seed=config.seed)
        if dataset.fingerprint != part.fingerprint:
            raise ConfigError(f"the images of {config.data.name} there are not those of the run; copy them again")
        _read.clear()
        _read[part.fingerprint] = dataset.decoded_by(config.resources.loader_workers)
    return _read[part.fingerprint]
