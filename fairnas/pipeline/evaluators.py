"""Evaluators of genomes: this process, other processes, or the workers of a Dask scheduler on any machines.

Any `concurrent.futures.Executor` gets pieces of a generation, cut along the prefix tree. A worker opens the run
directory and loads the weights from it. Requests contain the hash of these weights, and a worker refuses to score with
others: scores of other weights, images or BN statistics must never enter the archive. Scores do not depend on the
number of workers, or on the worker that computes a piece.
"""

import contextlib
import dataclasses
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

from fairnas import __version__
from fairnas.config import EvaluateConfig
from fairnas.errors import ConfigError, FairnasError
from fairnas.evaluate import cut_along_tree
from fairnas.nets import cost_table
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.scoring import evaluation_setting, score_on_validation
from fairnas.pipeline.workers import Dispatcher, Workers, workers_of
from fairnas.rundir import RunDirectory
from fairnas.search import Evaluator, Measures
from fairnas.space import Genome, SearchSpace, format_genome


@contextlib.contextmanager
def evaluator_of(experiment: Experiment) -> Iterator[Evaluator]:
    """Context manager with the evaluator that the run's resources ask for. Raises as `workers_of` does."""
    resources, say = experiment.config.resources, experiment.narrator.say
    with workers_of(resources, "score genomes", say, experiment.stop) as workers:
        if workers is None:
            yield lambda genomes: score_on_validation(experiment, genomes)
        else:
            yield RemoteEvaluator(experiment, workers.executor, workers.slots)


PIECES_PER_SLOT = 2
"""Pieces of a generation per worker. With more than one, fast workers help slow ones, and losing a worker costs less;
but every cut repeats the computation of some shared prefixes.
"""
_KEPT = "scores of earlier generations are kept"


@dataclass(frozen=True)
class Assignment:
    """Request to a worker, as plain data that can be sent to other machines."""

    run: str
    """Absolute path of the run directory."""
    setting: str
    """Everything that a score depends on beyond the genome (`evaluation_setting`), including a hash of the weights."""
    version: str
    """Version of fairnas."""
    evaluate: EvaluateConfig
    """Settings of scoring: the search may use other settings than the run has yet."""


@dataclass(frozen=True)
class Answer:
    """Scores of a piece, or the reason of a refusal. Plain data, because exceptions do not survive every transport."""

    worker: str
    scores: tuple[Measures, ...] = ()
    refusal: str = ""


class RemoteEvaluator:
    """Evaluator for `run_search` that scores genomes on the workers of an executor.

    Args:
        experiment: experiment with the trained supernet; its run directory must be at the same path on all workers.
        executor: executor, such as Dask's `client.get_executor()`, or a `ProcessPoolExecutor`.
        slots: returns the number of pieces that the workers take at a time; called before each generation.
    """

    def __init__(self, experiment: Experiment, executor: Executor, slots: Callable[[], int]) -> None:
        self._dispatcher = Dispatcher(Workers(executor, slots), _KEPT, experiment.narrator.say, experiment.stop)
        self._space = experiment.space
        setting = evaluation_setting(experiment)
        path, evaluate = str(experiment.run.path.absolute()), experiment.config.evaluate
        self._assignment = Assignment(path, setting, __version__, evaluate)

    def __call__(self, genomes: Sequence[Genome]) -> list[Measures]:
        """Score genomes; returns the measures of each, in order.

        Raises:
            ConfigError: if a worker refuses, with its message.
            LostWorkersError: if the workers or the scheduler are lost.
            KeyboardInterrupt: if the experiment is stopped; scores of running pieces are lost.
        """
        canonical = [self._space.canonical(genome) for genome in genomes]
        pieces = cut_along_tree(
            sorted(set(canonical)), PIECES_PER_SLOT * self._dispatcher.slots(), node_cost(self._space)
        )
        futures: dict[Future[Answer], tuple[Genome, ...]] = {}
        try:
            for piece in pieces:
                texts = tuple(format_genome(genome) for genome in piece)
                futures[self._dispatcher.submit(score_piece, self._assignment, texts)] = piece
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

    def _wait(self, futures: Mapping["Future[Answer]", tuple[Genome, ...]]) -> None:
        waiting = set(futures)
        while waiting:
            for future, answer in self._dispatcher.wait_for_some(waiting):
                waiting.remove(future)
                if answer.refusal:
                    raise ConfigError(f"worker {answer.worker} refuses: {answer.refusal}")


def node_cost(space: SearchSpace) -> Callable[[Genome], int]:
    """Multiply-adds of a node of the prefix tree; the stem includes the fixed part, the last layer the head."""
    table = cost_table(space)
    return lambda prefix: table.blocks[len(prefix) - 1][prefix[-1]].madds if prefix else table.fixed.madds


# On the worker -----------------------------------------------------------------------------------------------

# a worker with several threads scores one piece at a time, because the copy of a supernet has state
_at_work = threading.Lock()
_opened: dict[Assignment, Experiment] = {}  # only the last one


def score_piece(assignment: Assignment, genomes: tuple[str, ...]) -> Answer:
    """Score genomes, given as text, with the supernet of a run directory. Runs on a worker."""
    worker = f"{socket.gethostname()}:{os.getpid()}"
    with _at_work:
        try:
            experiment = _experiment(assignment)
            scores = score_on_validation(experiment, [experiment.space.parse(text) for text in genomes])
        except (FairnasError, OSError) as error:
            return Answer(worker, refusal=str(error))
    return Answer(worker, tuple(dict(score) for score in scores))


def _experiment(assignment: Assignment) -> Experiment:
    """Experiment of a request, opened once. Raises `FairnasError` if this worker has another one."""
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
