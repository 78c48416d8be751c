"""Trainings of single networks as jobs: one network and one seed each, side by side on the cores, resumable one by one.

Every job runs on one thread, in this process or another, so that its result does not depend on how many there are.
"""

import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import BaseContext
from pathlib import Path
from typing import Any

import torch

from fairnas.config import ACCURACY_WORDS, Measure
from fairnas.data import Dataset
from fairnas.data.lending import lent, lent_bytes
from fairnas.errors import LostTrainingError, RunDirectoryError
from fairnas.export.timing import all_threads
from fairnas.pipeline.courses import course_of
from fairnas.pipeline.orders import Orders, Steps
from fairnas.pipeline.room import room_for
from fairnas.pipeline.workshop import Job, Workshop
from fairnas.randomness import derived_seed
from fairnas.space import SearchSpace, format_genome
from fairnas.train import DivergedError, Pace, read_checkpoint, train
from fairnas.writing import write_atomically


def run_job(workshop: Workshop, job: Job, space: SearchSpace, dataset: Dataset, pace: Pace) -> dict[str, Any]:
    """Train one network, score it on validation and test images, write its result."""
    seed = derived_seed(workshop.config.seed, "stand-alone", job.seed)
    course = course_of(workshop, job, space, dataset, seed)
    checkpoint = workshop.checkpoint_path(job)
    workshop.result_path(job).unlink(missing_ok=True)
    _make_way(checkpoint, workshop, course.training.kind)
    result: dict[str, Any] = {
        "genome": format_genome(job.genome),
        "seed": job.seed,
        "identity": workshop.identity,
        "epochs": workshop.train.epochs,
        "status": "done",
    }
    try:
        resources = workshop.config.resources
        pace = Pace(
            checkpoint=checkpoint,
            identity=workshop.identity,
            formerly=workshop.formerly,
            seconds=resources.checkpoint_seconds,
            steps=resources.checkpoint_steps,
            loader_workers=resources.loader_workers,
            on_epoch=course.on_epoch,
            on_progress=pace.on_progress,
            on_resume=pace.on_resume,
            stop=pace.stop,
        )
        train(course.training, dataset, workshop.train, seed, pace)
    except DivergedError as error:
        result |= {"status": "diverged", "reason": str(error)}
    else:
        result |= course.finish()
        if job.keep_weights:
            workshop.seal(job)
    result["curve"] = course.curve
    write_atomically(workshop.result_path(job), (json.dumps(result, indent=1) + "\n").encode())
    if workshop.weights_path(job) != checkpoint or not workshop.has_weights(job):
        checkpoint.unlink(missing_ok=True)
    return result


def _make_way(checkpoint: Path, workshop: Workshop, kind: str) -> None:
    """Drop what a training with other settings has left: the run's settings have changed since, so nobody wants it."""
    if checkpoint.exists():
        identity = read_checkpoint(checkpoint, kind).get("identity")
        if identity not in (workshop.identity, *workshop.formerly):
            checkpoint.unlink()


def run_jobs(
    workshop: Workshop,
    jobs: Sequence[Job],
    data: Callable[[], tuple[SearchSpace, Dataset]],
    on_progress: Callable[[int, int, str], None],
    stop: Callable[[], bool],
    say: Callable[[str], None] = lambda text: None,
    on_steps: Callable[[int, int], None] = lambda taken, done_before: None,
) -> list[dict[str, Any]]:
    """Results of all jobs, in order; those done before are not done again.

    On a GPU one after another, on the CPU in as many processes as the resources say.

    Args:
        workshop: what they share.
        jobs: what to train.
        data: gives space and images; other processes get them from this one.
        on_progress: called with jobs done, jobs in all, and a line of text.
        stop: true saves every job under way and raises KeyboardInterrupt.
        say: called with a line, if memory allows fewer processes than there are cores.
        on_steps: called again and again with the steps taken by now, in all trainings together, and those that had
            been taken before in trainings that went on.
    """
    results = {job: result for job in jobs if (result := workshop.finished(job)) is not None}
    missing = [job for job in dict.fromkeys(jobs) if job not in results]
    on_progress(len(results), len(jobs), "")
    if not missing:
        return [results[job] for job in jobs]
    space, dataset = data()
    processes = process_count(workshop, len(missing), space, dataset, say)
    if processes <= 1:
        counter = Steps([0, 0])

        def counted_stop() -> bool:
            counter.took_one()
            on_steps(*counter.numbers)
            return stop()

        for job in missing:
            with one_thread() if workshop.device == "cpu" else contextlib.nullcontext():
                pace = Pace(stop=counted_stop, on_resume=counter.goes_on)
                results[job] = run_job(workshop, job, space, dataset, pace)
            on_progress(len(results), len(jobs), describe(results[job], workshop.config.measure))
    else:
        for job, result in _in_processes(workshop, missing, processes, stop, space, dataset, on_steps):
            results[job] = result
            on_progress(len(results), len(jobs), describe(result, workshop.config.measure))
    return [results[job] for job in jobs]


def process_count(
    workshop: Workshop,
    jobs: int,
    space: SearchSpace,
    dataset: Dataset,
    say: Callable[[str], None] = lambda text: None,
) -> int:
    """In how many processes so many jobs are done side by side; up to 1 is this one.

    As many as the resources say, else one per core for which there is memory; if that is less, it is said.
    """
    given = workshop.config.resources.processes
    if workshop.device != "cpu":
        return 1
    if given is not None:
        return min(given, jobs)
    wanted = min(all_threads(), jobs)
    found = room_for(wanted, space, workshop.train.batch_size, lent_bytes(dataset)) if wanted > 1 else wanted
    if found < wanted:
        are = "1 network is trained at a time" if found == 1 else f"{found} networks are trained side by side"
        say(f"{are} instead of {wanted}, for want of memory (--resources.processes)")
    return found


def describe(result: Mapping[str, Any], measure: Measure) -> str:
    """A result in a few words, with the accuracy that a run measures."""
    if result["status"] != "done":
        return f"{result['genome']} diverged"
    balanced = "" if measure == "top1" else f" {ACCURACY_WORDS[measure]}"
    return f"{result['genome']} reached {result['test'][measure]:.1%}{balanced}"


def _in_processes(
    workshop: Workshop,
    jobs: Sequence[Job],
    processes: int,
    stop: Callable[[], bool],
    space: SearchSpace,
    dataset: Dataset,
    on_steps: Callable[[int, int], None],
) -> Iterator[tuple[Job, dict[str, Any]]]:
    with workers(workshop, processes, space, dataset) as (pool, orders):
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
        except BaseException:  # one that failed ends all: its line must not wait hours for the others
            orders.stopping.set()  # workers save at their next step
            pool.shutdown(cancel_futures=True)
            raise


@contextlib.contextmanager
def workers(
    workshop: Workshop, processes: int, space: SearchSpace, dataset: Dataset
) -> Iterator[tuple[ProcessPoolExecutor, Orders]]:
    """Processes that train side by side; what tells them to stop, and this one how far they are.

    What they are given may ask `at_work`. They look into the images of this process, which has checked that they are
    those of the run.

    Raises `LostTrainingError` if one is killed.
    """
    context = from_one_that_has_imported(__name__)
    orders = Orders(context.Event(), Steps(context.Array("q", 2)))
    try:
        with (
            lent(dataset) as images,
            ProcessPoolExecutor(processes, context, _prepare_worker, (workshop, orders, space, images)) as pool,
        ):
            yield pool, orders
    except BrokenProcessPool as error:
        raise LostTrainingError(processes) from error


def from_one_that_has_imported(module: str) -> BaseContext:
    """How processes start: forked from one that has imported a module and torch, or from nothing where that cannot be.

    Torch takes seconds to import, and every stage that trains networks has processes of its own. They see the
    environment as it was when the first of them started.
    """
    if sys.platform != "linux":  # elsewhere libraries that torch brings do not survive a fork
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module, "torch._dynamo"])  # the second is for torch's optimizers
    # until the server has imported all, Ctrl-C would end it; its processes do not mind it anyway
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})  # a closed terminal ends neither of them
    resource_tracker.ensure_running()  # which the server wants, and whose start would let Ctrl-C through again
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    except OSError:  # it talks through a socket, which not every folder for temporary files can hold
        return multiprocessing.get_context("spawn")
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return context


_worker: tuple[Workshop, Orders, SearchSpace, Dataset] | None = None


def _prepare_worker(workshop: Workshop, orders: Orders, space: SearchSpace, dataset: Dataset) -> None:
    global _worker
    import signal

    for number in ("SIGINT", "SIGHUP"):  # the parent decides when to stop, and says so
        signal.signal(getattr(signal, number, signal.SIGINT), signal.SIG_IGN)
    _worker = (workshop, orders, space, dataset)
    torch.set_num_threads(1)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """A killed parent must not leave trainings behind that write into a run that goes on elsewhere."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def at_work() -> tuple[Workshop, SearchSpace, Dataset, Orders]:
    """In one of the `workers`: what it shares with the others, and what it is asked and tells after each step."""
    assert _worker is not None
    workshop, orders, space, dataset = _worker
    return workshop, space, dataset, orders


def _work(job: Job) -> dict[str, Any]:
    workshop, space, dataset, orders = at_work()
    try:
        return run_job(workshop, job, space, dataset, Pace(stop=orders.stepped, on_resume=orders.steps.goes_on))
    except KeyboardInterrupt:
        raise RunDirectoryError("stopped") from None  # only after the parent asked, which no longer listens


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread while this lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
