"""Trainings of single networks as jobs: one network and one seed each, parallel on the cores, each resumable.

Every job runs on one thread, in this process or another, so its result does not depend on the number of processes.
"""

import contextlib
import dataclasses
import functools
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path

import torch

from fairnas.config import ACCURACY_WORDS, Measure, Resources
from fairnas.data import Dataset
from fairnas.data.shared_memory import shared_dataset, shared_size
from fairnas.errors import LostTrainingError, RunDirectoryError
from fairnas.export.timing import all_threads
from fairnas.nets import cost_table
from fairnas.nets.memory import activation_table
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.job_run import one_thread, run_job
from fairnas.pipeline.orders import Orders, Steps
from fairnas.pipeline.remote_training import RemoteTrainings
from fairnas.pipeline.training_job import Job, JobContext
from fairnas.pipeline.workers import Workers, workers_of
from fairnas.scores import TrainingResult
from fairnas.space import SearchSpace, format_genome
from fairnas.train import LoopOptions, training_steps


def run_jobs(
    job_context: JobContext,
    jobs: Sequence[Job],
    data: Callable[[], tuple[SearchSpace, Dataset]],
    on_progress: Callable[[int, int, str], None],
    stop: Callable[[], bool],
    say: Callable[[str], None] = lambda text: None,
    on_steps: Callable[[int, int], None] = lambda taken, done_before: None,
    trainers: AbstractContextManager[Workers | None] | None = None,
) -> list[TrainingResult]:
    """Train all jobs and return their results, in order; finished jobs are not repeated.

    Jobs run on `trainers`, if any; otherwise one after another on a GPU, or on the CPU in the number of processes that
    the resources give.

    Args:
        job_context: shared settings of the jobs.
        jobs: networks and seeds to train.
        data: returns space and images; other processes get them from this one.
        on_progress: called with jobs done, jobs in all, and a line of text.
        stop: returns True when all running jobs should be saved; then KeyboardInterrupt is raised.
        say: called with a line, if memory allows fewer processes than there are cores.
        on_steps: called regularly with the number of steps taken so far, in all trainings together, and the number
            taken earlier in resumed trainings.
        trainers: context manager with workers to train on; entered only if there is a job to run.
    """
    results = {job: result for job in jobs if (result := job_context.finished(job)) is not None}
    missing = [job for job in dict.fromkeys(jobs) if job not in results]
    on_progress(len(results), len(jobs), "")
    if not missing:
        return [results[job] for job in jobs]
    space, dataset = data()
    with trainers or contextlib.nullcontext() as remote:
        if remote is not None:
            trainings = RemoteTrainings(remote, say, stop, on_steps).results(job_context, missing, space, dataset)
        else:
            processes = process_count(job_context, len(missing), space, dataset, say)
            train_all = _here if processes <= 1 else functools.partial(_in_processes, processes)
            trainings = train_all(job_context, missing, stop, space, dataset, on_steps)
        for job, result in trainings:
            results[job] = result
            on_progress(len(results), len(jobs), describe(result, job_context.config.measure))
    return [results[job] for job in jobs]


def _here(
    job_context: JobContext,
    jobs: Sequence[Job],
    stop: Callable[[], bool],
    space: SearchSpace,
    dataset: Dataset,
    on_steps: Callable[[int, int], None],
) -> Iterator[tuple[Job, TrainingResult]]:
    """Train one network after another in this process."""
    counter = Steps([0, 0])

    def counted_stop() -> bool:
        counter.took_one()
        on_steps(*counter.numbers)
        return stop()

    for job in jobs:
        with one_thread() if job_context.device == "cpu" else contextlib.nullcontext():
            options = LoopOptions(stop=counted_stop, on_resume=counter.goes_on)
            result = run_job(job_context, job, space, dataset, options)
        yield job, result


def process_count(
    job_context: JobContext,
    jobs: int,
    space: SearchSpace,
    dataset: Dataset,
    say: Callable[[str], None] = lambda text: None,
) -> int:
    """Number of worker processes for `jobs` jobs; 1 or less means this process.

    As many as the resources say; else one per core as far as memory allows, with a message if memory allows fewer.
    """
    given = job_context.config.resources.processes
    if job_context.device != "cpu":
        return 1
    if given is not None:
        return min(given, jobs)
    wanted = min(all_threads(), jobs)
    found = max_processes(wanted, space, job_context.train.batch_size, shared_size(dataset)) if wanted > 1 else wanted
    if found < wanted:
        are = "1 network is trained at a time" if found == 1 else f"{found} networks are trained side by side"
        say(f"{are} instead of {wanted}, for want of memory (--resources.processes)")
    return found


def describe(result: TrainingResult, measure: Measure) -> str:
    """Result in a few words, with the accuracy that a run measures."""
    genome = format_genome(result.genome)
    if result.test is None:
        return f"{genome} diverged"
    balanced = "" if measure == "top1" else f" {ACCURACY_WORDS[measure]}"
    return f"{genome} reached {result.test.accuracy(measure):.1%}{balanced}"


def _in_processes(
    processes: int,
    job_context: JobContext,
    jobs: Sequence[Job],
    stop: Callable[[], bool],
    space: SearchSpace,
    dataset: Dataset,
    on_steps: Callable[[int, int], None],
) -> Iterator[tuple[Job, TrainingResult]]:
    with workers(job_context, processes, space, dataset) as (pool, orders):
        futures = {pool.submit(_work, job): job for job in jobs}
        waiting = set(futures)
        try:
            while waiting:
                done, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                for future in done:
                    yield futures[future], future.result()
                on_steps(*orders.steps.numbers)
                if stop():
                    raise KeyboardInterrupt
        except BaseException:  # the first failure ends all: its message must not wait hours for the others
            orders.stopping.set()  # workers save at their next step
            pool.shutdown(cancel_futures=True)
            raise


@contextlib.contextmanager
def workers(
    job_context: JobContext, processes: int, space: SearchSpace, dataset: Dataset
) -> Iterator[tuple[ProcessPoolExecutor, Orders]]:
    """Processes that train in parallel, and the channel that tells them to stop and reports their progress.

    Functions running in them may call `at_work`. They share the images of this process, which has checked that they are
    those of the run.

    Raises `LostTrainingError` if one is killed.
    """
    context = from_one_that_has_imported(__name__)
    orders = Orders(context.Event(), Steps(context.Array("q", 2)))
    try:
        with (
            shared_dataset(dataset) as images,
            ProcessPoolExecutor(processes, context, _prepare_worker, (job_context, orders, space, images)) as pool,
        ):
            yield pool, orders
    except BrokenProcessPool as error:
        raise LostTrainingError(processes) from error


def from_one_that_has_imported(module: str) -> BaseContext:
    """Start method of processes: forked from one that has imported a module and torch; spawned if that is impossible.

    Torch takes seconds to import, and every stage that trains networks starts processes. They see the environment as it
    was when the first of them started.
    """
    if sys.platform != "linux":  # on other systems, libraries loaded by torch do not survive a fork
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module, "torch._dynamo"])  # torch._dynamo is needed by torch's optimizers
    # until the server has imported everything, Ctrl-C would end it; its processes ignore Ctrl-C anyway
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # a closed terminal ends neither of them
    resource_tracker.ensure_running()  # required by the server; starting it later would unblock Ctrl-C again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    except OSError:  # the server needs a socket, which not every temporary folder allows
        return multiprocessing.get_context("spawn")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


_worker: tuple[JobContext, Orders, SearchSpace, Dataset] | None = None


def _prepare_worker(job_context: JobContext, orders: Orders, space: SearchSpace, dataset: Dataset) -> None:
    global _worker
    import signal

    for number in ("SIGINT", "SIGHUP"):  # the parent decides when to stop, and reports it
        signal.signal(getattr(signal, number, signal.SIGINT), signal.SIG_IGN)
    _worker = (job_context, orders, space, dataset)
    torch.set_num_threads(1)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """Die with the parent: a killed parent must not leave trainings that write into a run that continues elsewhere."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def at_work() -> tuple[JobContext, SearchSpace, Dataset, Orders]:
    """State of one of the `workers`: shared settings, space, images, and the orders of the parent."""
    assert _worker is not None
    job_context, orders, space, dataset = _worker
    return job_context, space, dataset, orders


def _work(job: Job) -> TrainingResult:
    job_context, space, dataset, orders = at_work()
    try:
        return run_job(
            job_context, job, space, dataset, LoopOptions(stop=orders.stepped, on_resume=orders.steps.goes_on)
        )
    except KeyboardInterrupt:
        # only raised after the parent asked to stop; it ignores the message
        raise RunDirectoryError("stopped") from None


def run_experiment_jobs(
    experiment: Experiment, job_context: JobContext, jobs: Sequence[Job], workers: Workers | None = None
) -> list[TrainingResult]:
    """Train the networks of a stage, and report progress to the experiment's narrator.

    Args:
        experiment: the run.
        job_context: settings and folder that the trainings share.
        jobs: networks to train.
        workers: workers to train on; default: those of the run's resources.
    """
    missing = sum(job_context.finished(job) is None for job in dict.fromkeys(jobs))
    steps = missing * job_context.train.epochs * training_steps(experiment.dataset, job_context.train, 1)
    narrator, resources = experiment.narrator, experiment.config.resources

    def stepped(taken: int, before: int) -> None:
        if taken:
            experiment.watch.seen(taken, steps, before)

    return run_jobs(
        job_context,
        jobs,
        lambda: (experiment.space, experiment.dataset),
        narrator.progress,
        experiment.stop,
        narrator.say,
        stepped,
        contextlib.nullcontext(workers) if workers else trainers_of(resources, narrator.say, experiment.stop),
    )


def trainers_of(
    resources: Resources, say: Callable[[str], None], stop: Callable[[], bool]
) -> AbstractContextManager[Workers | None]:
    """Context manager with the workers of the resources' scheduler; None if networks are trained on this machine.

    On this machine, Dask is not used: our own processes share the images, and save before they stop.
    """
    return workers_of(dataclasses.replace(resources, workers=None), "train networks", say, stop)


PROCESS_BYTES = 400_000_000
"""Memory of a process with torch, without activations. Forked processes share two thirds of it."""
BYTES_PER_MADD = 2
"""Upper bound of activation bytes per multiply-add: the output of a convolution is kept three times, with BN and
activation, in four bytes each, and costs eight multiply-adds or more.
"""


def max_processes(processes: int, space: SearchSpace, batch_size: int, shared_bytes: int = 0) -> int:
    """Number of `processes` that fit into free memory if each trains the largest network; at least 1.

    Args:
        processes: wanted number.
        space: resolved for the data.
        batch_size: images of a mini-batch.
        shared_bytes: bytes of shared images that are not allocated yet.
    """
    free = free_memory()
    if free is None:
        return processes
    # counting activations takes seconds, so first try an upper bound
    most = PROCESS_BYTES + batch_size * BYTES_PER_MADD * cost_table(space).heaviest["madds"]
    if free - shared_bytes >= processes * most:
        return processes
    each = PROCESS_BYTES + batch_size * activation_table(space).of_largest_path
    return max(1, min(processes, (free - shared_bytes) // each))


def free_memory(root: Path = Path("/")) -> int | None:
    """Free bytes of the machine, or of the container if that has less; None if the system does not say."""
    return min((*_of_machine(root / "proc/meminfo"), *_of_container(root / "sys/fs/cgroup")), default=None)


def _of_machine(file: Path) -> Iterator[int]:
    with contextlib.suppress(OSError, KeyError, ValueError):
        yield 1024 * _numbers(file)["MemAvailable"]


def _of_container(folder: Path) -> Iterator[int]:
    """Free bytes by control groups of version 2, then of version 1. Inactive file cache counts as free."""
    for limit, used, files in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_inactive_file"),  # missing, or `max`
    ):
        with contextlib.suppress(OSError, KeyError, ValueError):  # not there, or `max`
            most, now = int((folder / limit).read_text()), int((folder / used).read_text())
            yield max(0, most - now + _numbers((folder / limit).with_name("memory.stat"))[files])


def _numbers(file: Path) -> dict[str, int]:
    """Parse lines of a name and a number."""
    rows = [line.split() for line in file.read_text().splitlines()]
    return {row[0].rstrip(":"): int(row[1]) for row in rows if len(row) > 1}
