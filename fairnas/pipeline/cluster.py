"""Who scores genomes: this process, processes beside it, or the workers of a Dask scheduler, on any machines.

Dask starts workers again that end, and gives their work to others. Slurm, Kubernetes and SSH come with its own tools:
all that is needed here is the scheduler's address.
"""

import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any

from fairnas.config import Resources
from fairnas.errors import ConfigError
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.judge import score_on_validation
from fairnas.pipeline.remote import RemoteEvaluator
from fairnas.search import Evaluator

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
