"""Stand-alone accuracies as ground truth: read from a benchmark, or from networks trained from scratch once."""

from collections.abc import Callable, Sequence
from pathlib import Path

from fairnas.analysis.nas_bench_macro import read_nas_bench_macro
from fairnas.config import RunConfig
from fairnas.data import Dataset
from fairnas.paper.supernet_runs import stratified_genomes
from fairnas.pipeline.experiment import pick_device, stand_alone_config, training_identity
from fairnas.pipeline.job_pool import run_jobs, trainers_of
from fairnas.pipeline.training_job import Job, JobContext
from fairnas.progress import Narrator
from fairnas.space import Genome, SearchSpace


class Truth:
    """Stand-alone accuracies: read from a benchmark, or trained when they are first needed."""

    def __init__(
        self,
        base: RunConfig,
        opened: tuple[SearchSpace, Dataset],
        folder: Path,
        benchmark: Path | None,
        narrator: Narrator,
        stop: Callable[[], bool],
    ) -> None:
        """Prepare the ground truth.

        Args:
            base: data, space, and settings of stand-alone trainings.
            opened: space and images.
            folder: folder of the trainings.
            benchmark: file of NAS-Bench-Macro, to be used instead.
            narrator: receives the progress.
            stop: returns True when the work should be saved and end with KeyboardInterrupt.
        """
        self._opened, self._narrator, self._stop = opened, narrator, stop
        self._known = None if benchmark is None else read_nas_bench_macro(benchmark)
        config = stand_alone_config(base)
        identity = training_identity(config, base, *opened)
        device = pick_device(base.resources.device).type
        self._job_context = JobContext(base, config, identity, folder, device)

    def networks(self, models: int | None) -> tuple[Genome, ...]:
        """`models` networks with every choice block on equally many; or all distinct networks of the benchmark."""
        space, _ = self._opened
        if models is not None:
            return stratified_genomes(space, models)
        assert self._known is not None, "without a benchmark a number of networks is given"
        return tuple(sorted({space.canonical(genome) for genome in self._known}))

    def of(self, genomes: Sequence[Genome]) -> list[float | None]:
        """Mean accuracy over the trainings; None for a network that diverged with every seed."""
        if self._known is not None:
            return [self._known[genome].top1 for genome in genomes]
        seeds = range(self._job_context.config.stand_alone.seeds)
        jobs = [Job(genome, seed, False) for genome in genomes for seed in seeds]
        say, resources = self._narrator.say, self._job_context.config.resources
        results = run_jobs(
            *(self._job_context, jobs, lambda: self._opened, self._narrator.progress, self._stop, say),
            trainers=trainers_of(resources, say, self._stop),
        )
        means: list[float | None] = []
        for number in range(len(genomes)):
            own = results[number * len(seeds) : (number + 1) * len(seeds)]
            finished = [result.test.top1 for result in own if result.test is not None]
            means.append(sum(finished) / len(finished) if finished else None)
        return means
