"""Measurement of the latency of every choice block of a space on this machine, in whole networks.

A block takes another time alone than in a network, where the runtime fuses it with its neighbours and plans memory for
all of them. So only whole networks are timed: those of strict-fair steps, in which every block occurs equally often.
The table is the sum over layers that fits them best. Held-out networks check its predictions.
"""

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from fairnas.errors import ConfigError, FairnasError
from fairnas.export.blocks import BlockGraph, export_blocks
from fairnas.export.timing import Run, Timing, device_name, in_turns, open_model
from fairnas.latency import LatencyTable, read_latency_table, write_latency_table
from fairnas.latency.fit import LEAST_STEPS, SEED, MeasurementPlan, Measurements
from fairnas.latency.measurement_log import Records, open_records
from fairnas.progress import Narrator, SilentNarrator
from fairnas.randomness import generator
from fairnas.space import Genome, SearchSpace, format_genome
from fairnas.space.file import to_dict


class LatencyRunner(Protocol):
    """Runner of networks of a space."""

    device: str
    """Name of the device, for people."""

    def network(self, genome: Genome) -> Run:
        """Prepare the network of a genome for timing."""
        ...

    def beginning(self, genome: Genome, layers: int) -> Run:
        """Prepare the stem and the first `layers` layers of a network for timing."""
        ...


class OnnxRunner:
    """Networks in onnxruntime on this machine's CPU, assembled from blocks that are exported once."""

    def __init__(self, space: SearchSpace, threads: int = 1) -> None:
        self.space, self.threads, self.device = space, threads, device_name(threads)
        self._blocks: BlockGraph | None = None

    def network(self, genome: Genome) -> Run:
        """See `LatencyRunner`."""
        return open_model(self._graph().network(genome), self.threads)

    def beginning(self, genome: Genome, layers: int) -> Run:
        """See `LatencyRunner`."""
        return open_model(self._graph().beginning(genome, layers), self.threads)

    def _graph(self) -> BlockGraph:
        if self._blocks is None:
            self._blocks = export_blocks(self.space)
        return self._blocks


def measure_table(
    space: SearchSpace,
    path: Path,
    minutes: float,
    *,
    runner: LatencyRunner | None = None,
    narrator: Narrator | None = None,
    stop: Callable[[], bool] = lambda: False,
    clock: Callable[[], float] = time.monotonic,
) -> LatencyTable:
    """Measure the latency table of a space and write it, or continue an interrupted measurement.

    Args:
        space: resolved for its data.
        path: of the table, FILE.json; single measurements are kept beside it, in FILE.jsonl.
        minutes: time after which the table is made from the measurements so far. Calling again continues.
        runner: runs the networks; default: onnxruntime, on one thread.
        narrator: receives the progress.
        stop: returns True when the work should end; measurements are kept.
        clock: seconds.

    Raises:
        ConfigError: if `path` is no .json, or holds another table.
        RunDirectoryError: if measurements beside it are of another machine, runtime or space, or in use.
        KeyboardInterrupt: if `stop` returns True.
    """
    runner, narrator = runner or OnnxRunner(space), narrator or SilentNarrator()
    require_own(space, path)
    plan = MeasurementPlan.of(space)
    digest = hashlib.sha256(json.dumps(to_dict(space), sort_keys=True).encode()).hexdigest()[:16]
    header = {"device": runner.device, "space": space.name, "image size": str(space.image_size), "space hash": digest}
    with open_records(path.with_suffix(".jsonl"), header) as records:
        measured, begin = Measurements.of(plan, records.lines), clock()
        if measured.complete and path.exists():
            narrator.say(f"{path} was measured before")
        while not measured.complete:
            done = len(measured.steps)
            if done >= LEAST_STEPS and measured.levels and measured.fitted and clock() - begin > 60 * minutes:
                narrator.say(
                    f"{done} of {plan.steps} steps after {minutes:g} minutes; run the same command again to continue"
                )
                break
            narrator.progress(done, plan.steps, f"steps of timing {len(plan.paths(done))} networks")
            _measure_next(measured, records, runner, stop)
            measured = Measurements.of(plan, records.lines)
        table = measured.table(runner.device)
        write_latency_table(path, table)
    return table


def require_own(space: SearchSpace, path: Path) -> None:
    """Raise `ConfigError` if a table must not be written to a path, because it holds one that was made elsewhere."""
    if path.suffix != ".json":
        raise ConfigError(f"a latency table is a JSON file; give FILE.json instead of {path}")
    if not path.exists() or path.with_suffix(".jsonl").exists():
        return
    try:
        device = read_latency_table(path, space).device
    except FairnasError as error:
        raise ConfigError(f"{error}; it is not overwritten, give another file") from None
    raise ConfigError(f"{path} holds a table measured on '{device}', without its measurements; give another file")


def _measure_next(measured: Measurements, records: Records, runner: LatencyRunner, stop: Callable[[], bool]) -> None:
    """Do the next step or, after the first one, time the network cut off after each layer."""
    plan, step = measured.plan, len(measured.steps)
    if step and measured.levels is None:
        genome = plan.first
        runs = [runner.beginning(genome, layers) for layers in range(plan.space.depth + 1)]
        timings = in_turns(runs, generator(SEED, "turns of beginnings"), stop=stop)
        records.append({"levels": format_genome(genome), "ms": [timing.undisturbed_ms for timing in timings]})
        return
    paths, held = plan.paths(step), plan.held(step)
    runs = [runner.network(genome) for genome in (*paths, *held)]
    timings = in_turns(runs, generator(SEED, "turns", step), stop=stop)
    rows = [_row(genome, timing) for genome, timing in zip((*paths, *held), timings, strict=True)]
    records.append({"step": step, "paths": rows[: len(paths)], "held": rows[len(paths) :]})


def _row(genome: Genome, timing: Timing) -> list[Any]:
    times = (timing.undisturbed_ms, timing.lower_ms, timing.median_ms, timing.upper_ms)
    return [format_genome(genome), *times, timing.runs]
