"""Latency of ONNX models in onnxruntime on this machine's CPU, one image at a time.

Models to be compared are timed in turns, because other work, heat and clock rates change from second to second. The
first run of a turn only warms the caches and is not counted.
"""

import os
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fairnas.errors import ExportError
from fairnas.export.facts import FileLatency, LatencyFacts
from fairnas.export.session import first_line, imported
from fairnas.versions import version_of

TURNS, MOST_TURNS = 8, 32
"""Smallest number of turns per model; more, up to the second number, while halves of them differ by more than SETTLED.
"""
SETTLED = 0.01  # median relative difference of a model's times between halves of its turns
TURN_SECONDS = 0.02
"""Shortest duration of a turn of one model, within the bounds of RUNS."""
RUNS = (4, 20)
"""Smallest and largest number of counted runs in a turn."""

Run = Callable[[], float]
"""Function that runs a model once and returns milliseconds."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds for one image, over many runs."""

    median_ms: float
    lower_ms: float
    """First quartile."""
    upper_ms: float
    """Third quartile."""
    undisturbed_ms: float
    """First decile: it contains little of what other work on the machine adds, so latency tables use it."""
    runs: int

    @staticmethod
    def of(milliseconds: Sequence[float] | np.ndarray) -> "Timing":
        """Timing from single runs."""
        decile, lower, median, upper = np.quantile(milliseconds, (0.1, 0.25, 0.5, 0.75)).tolist()
        return Timing(median, lower, upper, decile, len(milliseconds))


def cpu_name() -> str:
    """Name of the processor, or the kind of machine if the system does not know it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] else platform.processor() or platform.machine() or "unknown CPU"


def all_threads() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def device_name(threads: int) -> str:
    """Description of the device of a latency, for people."""
    count = "1 thread" if threads == 1 else f"{threads} threads"
    return f"{cpu_name()}, {count}, onnxruntime {version_of('onnxruntime')}"


def open_model(model: Path | bytes, threads: int = 1, image_size: int | None = None) -> Run:
    """Load a model; the result runs it on one random image.

    Args:
        model: a file, or its content.
        threads: of onnxruntime.
        image_size: side of the images, if the model leaves it open.

    Raises:
        ExportError: if onnxruntime is missing, or cannot load or run the model.
    """
    onnxruntime = imported("onnxruntime", "measuring latency")
    what = "the ONNX model" if isinstance(model, bytes) else str(model)
    if isinstance(model, Path) and not model.is_file():
        raise ExportError(f"there is no file {model}; give an ONNX model")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised
    content = model if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        feeds = {each.name: _random_input(what, each.shape, each.type, image_size) for each in session.get_inputs()}
        session.run(None, feeds)
    except ExportError:
        raise
    except Exception as error:  # onnxruntime's exceptions have no narrower common base
        raise ExportError(f"onnxruntime cannot run {what} ({first_line(error)}); give a valid ONNX model") from None

    def run() -> float:
        begin = time.perf_counter()
        session.run(None, feeds)
        return 1000 * (time.perf_counter() - begin)

    return run


_TYPES = {
    "tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(double)": np.float64,
    "tensor(uint8)": np.uint8, "tensor(int8)": np.int8, "tensor(int32)": np.int32, "tensor(int64)": np.int64,
}  # fmt: skip


def _random_input(what: str, shape: Sequence[int | str | None], kind: str, image_size: int | None) -> np.ndarray:
    """Random image, or another input that a model takes; normally distributed if it is floating point."""
    if kind not in _TYPES:
        raise ExportError(f"{what} takes {kind}, which cannot be made here; give a model of images")
    sizes = [side if isinstance(side, int) else 1 if place == 0 else image_size for place, side in enumerate(shape)]
    if None in sizes:
        raise ExportError(f"{what} takes images of any size; say which with --image-size")
    numbers = np.random.default_rng(0).standard_normal([int(size or 1) for size in sizes])
    return numbers.astype(_TYPES[kind])


def in_turns(
    runs: Sequence[Run], rng: np.random.Generator, stop: Callable[[], bool] = lambda: False
) -> tuple[Timing, ...]:
    """Time models in turns, in another order each time, until the numbers settle.

    Args:
        runs: the models.
        rng: draws the orders.
        stop: returns True when the work should end.

    Raises:
        KeyboardInterrupt: if `stop` returns True.
    """
    found: list[list[list[float]]] = [[] for _ in runs]
    for run in runs:
        run()
    counts = [_runs_in_a_turn(min(run() for _ in range(2))) for run in runs]
    while len(found[0]) < TURNS or (len(found[0]) < MOST_TURNS and not _settled(found)):
        for number in rng.permutation(len(runs)).tolist():
            if stop():
                raise KeyboardInterrupt
            run = runs[number]
            run()
            found[number].append([run() for _ in range(counts[number])])
    return tuple(Timing.of(np.concatenate(turns)) for turns in found)


def latency_facts(models: Mapping[str, bytes]) -> LatencyFacts:
    """Measure the latency of models, by name, on one thread."""
    timings = in_turns([open_model(model) for model in models.values()], np.random.default_rng(0))
    found = {
        name: FileLatency(each.median_ms, (each.lower_ms, each.upper_ms), each.runs)
        for name, each in zip(models, timings, strict=True)
    }
    return LatencyFacts(device_name(1), found)


def _settled(found: Sequence[Sequence[Sequence[float]]]) -> bool:
    """True if even and odd turns agree."""
    ones, others = (
        np.array([Timing.of(np.concatenate(turns[half::2])).undisturbed_ms for turns in found]) for half in (0, 1)
    )
    return float(np.median(np.abs(ones / others - 1))) < SETTLED


def _runs_in_a_turn(milliseconds: float) -> int:
    least, most = RUNS
    return int(min(most, max(least, 1000 * TURN_SECONDS / max(milliseconds, 1e-6))))
