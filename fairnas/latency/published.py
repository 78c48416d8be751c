"""Latency of published networks on this machine, with the paper's printed times for a Pixel 1."""

import dataclasses
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fairnas.analysis import rank_agreement
from fairnas.atomic_files import write_atomically
from fairnas.errors import RunDirectoryError
from fairnas.export.graph import OUTPUT, graph_of
from fairnas.export.timing import Run, device_name, in_turns, open_model
from fairnas.nets import batch_norms
from fairnas.progress import Narrator
from fairnas.randomness import generator
from fairnas.search.candidate import is_number
from fairnas.untrusted import parse_json
from fairnas.zoo import NETWORKS, TABLE_2, create

SCHEMA = 1
ANCHOR = "mobilenet_v2"
"""Network that every other network is timed in turns with."""


def zoo_latencies(
    image_size: int,
    path: Path | None,
    narrator: Narrator,
    stop: Callable[[], bool] = lambda: False,
    names: Sequence[str] | None = None,
    make: Callable[[str, int], Run] | None = None,
) -> dict[str, Any]:
    """Time every network of Table 2 that can be built, on one thread; times in the file are kept.

    Each network is timed in turns with MobileNetV2 and scaled by the ratio to it, so that all times are comparable:
    minutes lie between the first and the last network, and maybe days between two commands with one file.

    Args:
        image_size: side of the images in pixels.
        path: a JSON file to keep the times in, written after each network; None for none.
        narrator: receives the progress.
        stop: returns True when the work should end.
        names: of the networks; default: those of Table 2.
        make: opens a network by name; default: exports it and opens it in onnxruntime.

    Returns:
        `device`, `image_size`, `networks` (name, `latency_ms`, `quartiles_ms`, `runs`, `anchor_ms`, which is the time
        of MobileNetV2 on the same scale, and `paper_ms`), and `agreement` with the paper's column (None for fewer
        than 3 networks).

    Raises:
        RunDirectoryError: if the file is not ours, or of another machine or image size.
        KeyboardInterrupt: if `stop` returns True.
    """
    names = names or [
        name for name, entry in NETWORKS.items() if entry.printed.where == TABLE_2 and entry.architecture is not None
    ]
    header = {"schema": SCHEMA, "device": device_name(1), "image_size": image_size}
    times = _read(path, header)
    anchor = next((each["anchor_ms"] for each in times.values()), None)
    reference: Run | None = None
    for number, name in enumerate(names):
        narrator.progress(number, len(names), name)
        if name in times:
            continue
        make = make or _exported
        run = make(name, image_size)
        reference = reference or (run if name == ANCHOR else make(ANCHOR, image_size))
        timing, beside = in_turns([run, reference], generator(0, f"turns of {name}"), stop)
        if run is reference:
            timing = beside
        anchor = anchor or beside.median_ms
        pace = anchor / beside.median_ms  # speed of the machine now, relative to when the first network was timed
        times[name] = {
            "latency_ms": pace * timing.median_ms,
            "quartiles_ms": [pace * timing.lower_ms, pace * timing.upper_ms],
            "runs": timing.runs,
            "anchor_ms": anchor,
            "at": time.time(),
        }
        if path is not None:
            write_atomically(path, (json.dumps({**header, "networks": times}, indent=1) + "\n").encode())
    rows = [{"name": name, **times[name], "paper_ms": NETWORKS[name].printed.latency_ms} for name in names]
    both = [(row["latency_ms"], row["paper_ms"]) for row in rows if row["paper_ms"] is not None]
    agreement = rank_agreement(*map(list, zip(*both, strict=True))) if len(both) >= 3 else None
    return {**header, "networks": rows, "agreement": None if agreement is None else dataclasses.asdict(agreement)}


def _read(path: Path | None, header: Mapping[str, Any]) -> dict[str, Any]:
    if path is None or not path.exists():
        return {}
    try:
        found = parse_json(path.read_text(encoding="utf-8"))
        times = dict(found["networks"])
        if not all(is_number(each[key]) for each in times.values() for key in ("latency_ms", "anchor_ms")):
            raise ValueError("a latency is no number")
        given = {key: found[key] for key in header}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise RunDirectoryError(f"{path} holds no latencies of ours ({error!r}); give another --out") from None
    differing = [key for key in header if given[key] != header[key]]
    if differing:
        key = differing[0]
        raise RunDirectoryError(
            f"{path} was measured with {key} '{given[key]}', now it is '{header[key]}'; give another --out"
        )
    return times


def _exported(name: str, image_size: int) -> Run:
    import torch

    network = create(name, image_size=image_size)
    with torch.no_grad():
        for norm in batch_norms(network):
            norm.bias.fill_(0.1)  # a bias of zero would be removed by the export
    return open_model(graph_of(network, (3, image_size, image_size), (OUTPUT,)).SerializeToString())
