"""Workers: processes that do a run's work beside this one, through any `concurrent.futures.Executor`.

By default they are Dask's: processes started on this machine, or the workers of a scheduler on any machines. They score
genomes (`evaluators.py`) and train single networks (`remote_training.py`).
"""

import contextlib
import logging
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from fairnas import __version__
from fairnas.config import Resources
from fairnas.errors import ConfigError, LostWorkersError

CONNECT_SECONDS = 8.0
"""Seconds for which a scheduler may not answer."""
_POLL_SECONDS = 0.2
_CENSUS_SECONDS = 5.0
_LOST = ("BrokenProcessPool", "KilledWorker", "CommClosedError")
"""Errors of the standard library and of Dask that say so, by name, because Dask takes half a second to import."""
_LARGE = {"distributed.admin.large-graph-warning-threshold": "100 GB"}
"""Threshold raised because Dask warns above 10 MB, and a checkpoint is often larger."""

Result = TypeVar("Result")
Content = TypeVar("Content")


def same(content: Content) -> Content:
    """Return the argument."""
    return content


@dataclass(frozen=True)
class Workers:
    """An executor, and the number of tasks that its workers do at a time."""

    executor: Executor
    """Executor, such as Dask's `client.get_executor()` or a `ProcessPoolExecutor`."""
    slots: Callable[[], int]
    """Returns the number of tasks at a time; called repeatedly, because workers come and go."""
    share: Callable[[Any], Any] = same
    """Converts content that many tasks need into an argument that is sent to each worker only once, if possible."""


@contextlib.contextmanager
def workers_of(
    resources: Resources, task: str, say: Callable[[str], None], stop: Callable[[], bool]
) -> Iterator[Workers | None]:
    """Context manager with the workers that the resources name; None if this process does the work.

    Args:
        resources: with the number of processes on this machine, or the address of a scheduler.
        task: their work, such as "score genomes", for the line that reports them.
        say: called with a line that reports their number.
        stop: called while a scheduler has no workers yet; True ends the wait.

    Raises:
        ConfigError: if the scheduler cannot be reached within 10 seconds.
        KeyboardInterrupt: if `stop` returns True.
    """
    if resources.scheduler is None and resources.workers is None:
        yield None
        return
    with _client(resources) as client:
        _wait_for_workers(client, say, stop)
        slots = _slots(client)
        where = f"of {resources.scheduler}" if resources.scheduler else "on this machine"
        say(f"{slots} workers {where} {task}")
        executor = client.get_executor(pure=False)
        try:
            yield Workers(
                executor,
                lambda: _slots(client),
                lambda content: client.submit(same, content, pure=False),  # computed again if its worker is lost
            )
        finally:
            executor.shutdown(wait=False)  # after an error nobody waits for what is under way, or was lost


@contextlib.contextmanager
def _client(resources: Resources) -> Iterator[Any]:
    """A client of the scheduler that is named, or of one that is started here with its workers."""
    import dask.config
    from distributed import Client, LocalCluster  # half a second

    # Dask logs workers that come and go, which does not concern users; errors reach us as exceptions
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with contextlib.ExitStack() as held:
        held.enter_context(dask.config.set(_LARGE))
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


def _wait_for_workers(client: Any, say: Callable[[str], None], stop: Callable[[], bool]) -> None:
    """A scheduler of a batch system may come before its workers."""
    if _slots(client) == 0:
        say("the scheduler has no workers yet; waiting for the first")
    while _slots(client) == 0:
        if stop():
            raise KeyboardInterrupt
        time.sleep(_POLL_SECONDS)


class Dispatcher:
    """Submits tasks to workers and waits for them in short intervals; failures of workers become one-line errors.

    Args:
        workers: workers to use.
        kept: description of what survives a loss of all workers, for the error.
        say: called with a line if all workers are gone.
        stop: called repeatedly; True ends the work.
    """

    def __init__(self, workers: Workers, kept: str, say: Callable[[str], None], stop: Callable[[], bool]) -> None:
        self._workers, self._kept, self._say, self._stop = workers, kept, say, stop
        self._asked, self._alone = time.monotonic(), False

    def slots(self) -> int:
        """Return the number of tasks that the workers do at a time; at least 1, a task that waits if there are none."""
        with self._explained():
            return max(1, self._workers.slots())

    def submit(self, function: Callable[..., Result], *arguments: Any) -> "Future[Result]":
        """Submit a task to the workers."""
        with self._explained():
            return self._workers.executor.submit(function, *arguments)

    def share(self, content: Any) -> Any:
        """Return content that many tasks need in the form that is cheapest to send; see `Workers.share`."""
        with self._explained():
            return None if content is None else self._workers.share(content)

    def wait_for_some(self, waiting: Collection["Future[Result]"]) -> list[tuple["Future[Result]", Result]]:
        """Return tasks that have ended, with their results; empty if none ends within a moment.

        Raises:
            ConfigError: if a worker lacks what it needs.
            LostWorkersError: if the workers or the scheduler are gone.
            KeyboardInterrupt: if `stop` returned True.
        """
        if self._stop():  # not after the wait: what has ended by then is not to be lost
            raise KeyboardInterrupt
        done, _ = wait(waiting, timeout=_POLL_SECONDS, return_when=FIRST_COMPLETED)
        with self._explained():
            found = [(future, future.result()) for future in done]
        if time.monotonic() - self._asked > _CENSUS_SECONDS:
            with self._explained():
                before, self._alone = self._alone, self._workers.slots() == 0
            self._asked = time.monotonic()
            if self._alone and not before:
                self._say("all workers are gone; waiting for others")
        return found

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what executors raise into one line."""
        try:
            yield
        except ImportError as error:
            raise ConfigError(f"a worker lacks what it needs ({error}); install fairnas {__version__} there") from error
        except CancelledError as error:
            raise LostWorkersError("the scheduler is gone", self._kept) from error
        except Exception as error:
            if type(error).__name__ in _LOST:
                raise LostWorkersError(str(error), self._kept) from error
            raise
