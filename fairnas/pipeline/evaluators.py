"""Evaluators of genomes: this process, processes beside it, or the workers of a Dask scheduler, on any machines.

Any `concurrent.futures.Executor` gets pieces of a generation, cut along the prefix tree. A worker opens the run
directory and loads the weights from it, is asked for scores by the hash of these weights, and refuses to score with
others: scores of other weights, images or BN statistics must never enter the archive. Scores don't depend on how many
workers there are, or on which of them computes a piece.
"""

import contextlib
import dataclasses
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnas import __version__
from fairnas.config import EvaluateConfig, Resources
from fairnas.errors import ConfigError, FairnasError, LostWorkersError
from fairnas.evaluate import cut_along_tree
from fairnas.nets import cost_table
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.scoring import evaluation_setting, score_on_validation
from fairnas.rundir import RunDirectory
from fairnas.search import Evaluator, Measures
from fairnas.space import Genome, SearchSpace, format_genome

CONNECT_SECONDS = 8.0
"""How long a scheduler may take to answer."""


@contextlib.contextmanager
def evaluator_of(experiment: Experiment) -> Iterator[Evaluator]:
    """Who scores genomes, as the run's resources say.

    Raises:
        ConfigError: if the scheduler cannot be reached within 10 seconds.
        KeyboardInterrupt: if the experiment is to stop while a scheduler has no workers yet.
    """
    resources = experiment.config.resources
    if resources.scheduler is None and resources.workers is None:
        yield lambda genomes: score_on_validation(experiment, genomes)
        return
    with _client(resources) as client:
        _wait_for_workers(client, experiment)
        slots = _slots(client)
        where = f"of {resources.scheduler}" if resources.scheduler else "on this machine"
        experiment.narrator.say(f"{slots} workers {where} score genomes")
        executor = client.get_executor(pure=False)
        try:
            yield RemoteEvaluator(experiment, executor, lambda: _slots(client))
        finally:
            executor.shutdown(wait=False)  # after an error nobody waits for what is under way, or was lost


@contextlib.contextmanager
def _client(resources: Resources) -> Iterator[Any]:
    """A client of the scheduler that is named, or of one that is started here with its workers."""
    from distributed import Client, LocalCluster  # half a second

    # what Dask says while workers come and go is not for people who wait for a search; errors reach us as exceptions
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as held:
        address: Any = resources.scheduler
        if address is None:
            address = held.enter_context(
                LocalCluster(
                    n_workers=resources.workers,
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address=":0",
                    silence_logs=logging.CRITICAL,
                )
            )
        try:
            client = Client(address, timeout=CONNECT_SECONDS, set_as_default=False)
        except Exception as error:  # also what a server that is no scheduler makes of our greeting
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise ConfigError(
                f"no Dask scheduler answers at {resources.scheduler} ({reason}); "
                "start one with `dask scheduler` and give the address that it prints"
            ) from error
        yield held.enter_context(client)


def _slots(client: Any) -> int:
    return sum(client.nthreads().values())


def _wait_for_workers(client: Any, experiment: Experiment) -> None:
    """A scheduler of a batch system may come before its workers."""
    if _slots(client) == 0:
        experiment.narrator.say("the scheduler has no workers yet; waiting for the first")
    while _slots(client) == 0:
        if experiment.stop():
            raise KeyboardInterrupt
        time.sleep(0.2)


PIECES_PER_SLOT = 2
"""Pieces of a generation for each worker: with more than one a fast worker helps a slow one, and a lost one costs less;
each more computes some common beginnings again."""
_POLL_SECONDS = 0.2
_CENSUS_SECONDS = 5.0
_LOST = ("BrokenProcessPool", "KilledWorker", "CommClosedError")
"""Errors of the standard library and of Dask that say so, by name, because Dask takes half a second to import."""


@dataclass(frozen=True)
class Assignment:
    """What a worker is asked to score with. Plain data, so that it travels to other machines."""

    run: str
    """Absolute path of the run directory."""
    setting: str
    """What a score depends on beyond the genome (`evaluation_setting`): a hash of the weights among them."""
    version: str
    """Of fairnas."""
    evaluate: EvaluateConfig
    """How genomes are scored: the search may have other settings than the run has yet."""


@dataclass(frozen=True)
class Answer:
    """Scores of a piece, or why the worker refuses. An error would not survive every way of travelling."""

    worker: str
    scores: tuple[Measures, ...] = ()
    refusal: str = ""


class RemoteEvaluator:
    """Scores genomes on the workers of an executor; an `Evaluator` for `run_search`.

    Args:
        experiment: whose trained supernet scores; its run directory must be at the same path on all workers.
        executor: such as Dask's `client.get_executor()`, or a `ProcessPoolExecutor`.
        slots: how many pieces the workers take at a time, asked before each generation.
    """

    def __init__(self, experiment: Experiment, executor: Executor, slots: Callable[[], int]) -> None:
        self._executor, self._slots = executor, slots
        self._space, self._stop, self._say = experiment.space, experiment.stop, experiment.narrator.say
        setting = evaluation_setting(experiment)
        path, evaluate = str(experiment.run.path.absolute()), experiment.config.evaluate
        self._assignment = Assignment(path, setting, __version__, evaluate)

    def __call__(self, genomes: Sequence[Genome]) -> list[Measures]:
        """Measures of each genome, in order.

        Raises:
            ConfigError: if a worker refuses, in its words.
            LostWorkersError: if the workers, or those who know them, are gone.
            KeyboardInterrupt: if the experiment is to stop; what is being scored is forgotten.
        """
        canonical = [self._space.canonical(genome) for genome in genomes]
        pieces = cut_along_tree(sorted(set(canonical)), PIECES_PER_SLOT * max(1, self._slots()), node_cost(self._space))
        futures: dict[Future[Answer], tuple[Genome, ...]] = {}
        try:
            for piece in pieces:
                texts = tuple(format_genome(genome) for genome in piece)
                with _explained():
                    futures[self._executor.submit(score_piece, self._assignment, texts)] = piece
            self._wait(futures)
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        scores = {
            genome: measures
            for future, piece in futures.items()
            for genome, measures in zip(piece, future.result().scores, strict=True)
        }
        return [scores[genome] for genome in canonical]

    def _wait(self, futures: dict["Future[Answer]", tuple[Genome, ...]]) -> None:
        waiting, asked, alone = set(futures), time.monotonic(), False
        while waiting:
            done, waiting = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
            for future in done:
                with _explained():
                    answer = future.result()
                if answer.refusal:
                    raise ConfigError(f"worker {answer.worker} refuses: {answer.refusal}")
            if self._stop():
                raise KeyboardInterrupt
            if time.monotonic() - asked > _CENSUS_SECONDS:
                with _explained():
                    asked, before, alone = time.monotonic(), alone, self._slots() == 0
                if alone and not before:
                    self._say("all workers are gone; waiting for others")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn what executors raise into one line."""
    try:
        yield
    except ImportError as error:
        raise ConfigError(f"a worker lacks what it needs ({error}); install fairnas {__version__} there") from error
    except CancelledError as error:
        raise LostWorkersError("the scheduler is gone") from error
    except Exception as error:
        if type(error).__name__ in _LOST:
            raise LostWorkersError(str(error)) from error
        raise


def node_cost(space: SearchSpace) -> Callable[[Genome], int]:
    """Multiply-adds of a node of the prefix tree; the stem has the network's fixed part, the last layer its head."""
    table = cost_table(space)
    return lambda prefix: table.blocks[len(prefix) - 1][prefix[-1]].madds if prefix else table.fixed.madds


# On the worker -----------------------------------------------------------------------------------------------

_at_work = threading.Lock()  # a worker with several threads scores one piece at a time: a supernet's copy has state
_opened: dict[Assignment, Experiment] = {}  # the last one only


def score_piece(assignment: Assignment, genomes: tuple[str, ...]) -> Answer:
    """Score some genomes, given as text, with the supernet of a run directory. Runs on a worker."""
    worker = f"{socket.gethostname()}:{os.getpid()}"
    with _at_work:
        try:
            experiment = _experiment(assignment)
            scores = score_on_validation(experiment, [experiment.space.parse(text) for text in genomes])
        except (FairnasError, OSError) as error:
            return Answer(worker, refusal=str(error))
    return Answer(worker, tuple(dict(score) for score in scores))


def _experiment(assignment: Assignment) -> Experiment:
    """The experiment that is asked for, opened once. Raises `FairnasError` if this worker has another."""
    if assignment not in _opened:
        if __version__ != assignment.version:
            raise ConfigError(f"it has fairnas {__version__}; install {assignment.version} there, as the search has")
        path = Path(assignment.run)
        if not path.is_dir():
            raise ConfigError(
                f"it sees no {path}; let workers see the run directory at the same path (shared, or copied)"
            )
        run = RunDirectory.open(path)
        experiment = Experiment(run, config=dataclasses.replace(run.config, evaluate=assignment.evaluate))
        found = evaluation_setting(experiment)
        if found != assignment.setting:
            raise ConfigError(
                f"{path} has {found} there, the search has {assignment.setting}; copy the run directory again"
            )
        _opened.clear()
        _opened[assignment] = experiment
    return _opened[assignment]
