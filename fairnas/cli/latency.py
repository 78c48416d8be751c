"""`fairnas latency`: the latency table of a space on this machine, or the latency of one ONNX model."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from fairnas.cli.output import print_json, print_table
from fairnas.cli.parsing import UsageError, parse
from fairnas.errors import ConfigError
from fairnas.rundir import RunDirectory
from fairnas.space import SearchSpace, get_space

if TYPE_CHECKING:
    from fairnas.export.timing import Timing
    from fairnas.latency import LatencyTable


@dataclass(frozen=True)
class LatencyVerb:
    """Measure latency on this machine's CPU, in onnxruntime: of every choice block of a space, or of one ONNX model.

    After a kill, or when time runs out, the same command resumes. The table is for `--latency-table` of `fairnas run`
    and `search`.

    Examples:
        fairnas latency proxyless --image-size 224 --minutes 20 --out laptop.json
        fairnas latency --run runs/digits
        fairnas latency runs/digits/models/GENOME/model.onnx
    """

    what: tyro.conf.Positional[str | None] = None
    """A search space (a name, a TOML file, FILE.py:NAME), or an ONNX file."""
    run: Path | None = None
    """Run directory: measure its space instead, with the image size of its data."""
    image_size: int | None = None
    """Side of the images in pixels; default: that of the space or model."""
    threads: int = 1
    """Threads of onnxruntime for a table. A model is timed with one thread and with all."""
    out: Path | None = None
    """File of the table, FILE.json; single measurements are kept in FILE.jsonl. Default: latency-SPACE-SIZE.json, or
    latency.json in the run directory.
    """
    minutes: float = 10.0
    """Time limit in minutes: if measuring is not complete by then, the table is made from what there is."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Sequence[str]) -> None:
    """Parse, measure, print."""
    given = parse(LatencyVerb, arguments, "latency")
    if (given.what is None) == (given.run is None):
        raise UsageError(
            "`fairnas latency` takes one: a space, an ONNX file, or --run DIR; try `fairnas latency digits`"
        )
    for name, number in (("minutes", given.minutes), ("threads", given.threads), ("image-size", given.image_size)):
        if number is not None and not number > 0:
            raise ConfigError(f"--{name} is {number}; give a number above 0")
    if given.what is not None and given.what.endswith(".onnx"):
        _time_model(Path(given.what), given)
    else:
        _make_table(given)


def _make_table(given: LatencyVerb) -> None:
    from fairnas.cli.progress import interruptible, narrated
    from fairnas.latency.measure import OnnxRunner, measure_table, require_own
    from fairnas.pipeline.costs import MEASURED

    with contextlib.ExitStack() as held:
        if given.run is not None:
            run = RunDirectory.open(given.run)
            space = _space_of(run, given.image_size)
            path = given.out or run.path / MEASURED
            if given.out is None:
                if given.threads != 1:
                    raise ConfigError("a run searches by the latency on one thread; give --out FILE.json for more")
                held.enter_context(run.locked())
        else:
            assert given.what is not None
            space = get_space(given.what)
            space = space.for_data(image_size=given.image_size or space.image_size)
            threads = "" if given.threads == 1 else f"-{given.threads}-threads"
            path = given.out or Path(f"latency-{space.name}-{space.image_size}{threads}.json")
        require_own(space, path)
        stop, narrator = held.enter_context(interruptible()), held.enter_context(narrated())
        narrator.stage(1, 1, f"measure the latency of space '{space.name}'", "")
        runner = OnnxRunner(space, given.threads)
        table = measure_table(space, path, given.minutes, runner=runner, narrator=narrator, stop=stop)
    print_json({"table": str(path), **table.to_dict()}) if given.json else _print_table(table, path)


def _space_of(run: RunDirectory, image_size: int | None) -> SearchSpace:
    """Return the space of a run, resolved for its data, which are read first if no stage has read them."""
    from fairnas.pipeline.experiment import open_data

    file = run.path / "space.json"
    space = get_space(str(file)) if file.exists() else open_data(run.config)[0]
    if image_size not in (None, space.image_size):
        raise ConfigError(f"--image-size is {image_size}, the run's images have {space.image_size}; leave it out")
    return space


def _print_table(table: "LatencyTable", path: Path) -> None:
    most = max(map(len, table.layers))
    rows = [
        [str(layer), *(_milliseconds(number) for number in row), *[""] * (most - len(row))]
        for layer, row in enumerate(table.layers)
    ]
    print_table(("layer", *(f" {choice}" for choice in range(most))), rows, "milliseconds of each choice")
    print(f"table     {path}")
    print(
        f"space     {table.space}, images of {table.image_size} pixels, {_milliseconds(table.fixed)} ms beside layers"
    )
    print(f"device    {table.device}")
    check = table.check
    if check is None:
        print("check     none, because the space is too small")
        return
    rank = (
        "not defined" if check.spearman is None or check.tau is None else f"{check.spearman:.3f} (tau {check.tau:.3f})"
    )
    print(
        f"check     {len(check.networks)} other networks, predicted against measured: median error "
        f"{check.median_error:.2%}, largest {check.largest_error:.1%}, rank correlation {rank}"
    )
    print(
        f"made of   {check.fitted} measurements" + ("" if check.complete else "; incomplete, the same command resumes")
    )


def _time_model(path: Path, given: LatencyVerb) -> None:
    from fairnas.cli.progress import interruptible
    from fairnas.export.timing import all_threads, cpu_name, in_turns, open_model
    from fairnas.randomness import generator
    from fairnas.versions import version_of

    for flag, wanted in (("--out", given.out), ("--minutes", given.minutes != type(given).minutes)):
        if wanted:
            raise UsageError(f"{flag} is for the table of a space; a model is timed once, and its numbers are printed")
    counts = sorted({1, all_threads()})
    runs = [open_model(path, threads, given.image_size) for threads in counts]
    with interruptible() as stop:
        timings = in_turns(runs, generator(0, "turns"), stop)
    rows = [_plain(threads, timing) for threads, timing in zip(counts, timings, strict=True)]
    runtime = f"onnxruntime {version_of('onnxruntime')}"
    if given.json:
        print_json({"model": str(path), "device": cpu_name(), "runtime": runtime, "timings": rows})
        return
    columns = (" threads", " median (ms)", " quartiles", "", " runs")
    shown = [
        [
            str(row["threads"]),
            *(_milliseconds(row[key]) for key in ("median_ms", "lower_ms", "upper_ms")),
            f"{row['runs']:,}",
        ]
        for row in rows
    ]
    print_table(columns, shown, f"{path}, one image")
    print(f"{cpu_name()}, {runtime}")


def _plain(threads: int, timing: "Timing") -> dict[str, Any]:
    quartiles = {"median_ms": timing.median_ms, "lower_ms": timing.lower_ms, "upper_ms": timing.upper_ms}
    return {"threads": threads, **quartiles, "runs": timing.runs}


def _milliseconds(number: float) -> str:
    return f"{number:.3g}" if number < 1000 else f"{number:,.0f}"
