"""`fairnas similarity --run DIR`: similarity of the choice blocks of every layer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnas.cli.output import command_line, print_json, print_table
from fairnas.cli.parsing import parse


@dataclass(frozen=True)
class SimilarityVerb:
    """Compare the feature maps of the choice blocks of every layer of a trained supernet, by their cosine.

    Compares the same channel across blocks, channels within a block, and both; after training and before. Writes a
    page, the numbers, and PNG and SVG figures for a paper (Figures 2, 9, 12, 13, 14). The report of the run shows a
    summary.

    Examples:
        fairnas similarity --run runs/digits
        fairnas similarity --run runs/digits --image seven.png --layers 0 3 6
        fairnas similarity --run runs/strict --against runs/uniform
    """

    run: Path
    """The run directory."""
    image: Path | None = None
    """An image file; default: the first validation images."""
    images: int = 8
    """Number of validation images."""
    paths: int = 4
    """Number of random paths leading up to a layer; the input of its blocks depends on the choices before it."""
    path: str | None = None
    """One genome to use instead, whose choices lead up to every layer."""
    layers: tuple[int, ...] = (0,)
    """Layers to draw; all are measured."""
    against: Path | None = None
    """Another run of the same space, to be shown beside this one."""
    out: Path | None = None
    """Folder for page, numbers and figures; default: similarity in the run directory."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Sequence[str]) -> None:
    """Parse, measure, print."""
    given = parse(SimilarityVerb, arguments, "similarity")
    from fairnas.cli.progress import narrated
    from fairnas.paper.similarity_study import measure_similarity
    from fairnas.pipeline.block_similarity import SimilarityOptions

    command = command_line(["similarity"], arguments)
    options = SimilarityOptions(
        given.image, given.images, given.paths, given.path, given.layers, given.against, command
    )
    with narrated() as narrator:
        numbers = measure_similarity(given.run, given.out or given.run / "similarity", options, narrator)
    print_json(numbers) if given.json else _print(numbers)


def _print(numbers: dict[str, Any]) -> None:
    supernets = [name for name in ("trained", "untrained", "against") if name in numbers["layers"][0]]
    columns = ["layer", " blocks", *(f" {name}" for name in supernets)]
    columns += [*(f" {name}, no shortcut" for name in supernets), " other channel, size", " n"]
    rows = [
        [
            str(row["layer"]),
            str(len(row["blocks"])),
            *(_cosine(row[name]["whole"]["aligned"]["mean"]) for name in supernets),
            *(_cosine(row[name]["added"] and row[name]["added"]["aligned"]["mean"]) for name in supernets),
            _cosine(row["trained"]["whole"]["cross_channel"]["mean_absolute"]),
            str(len(row["trained"]["whole"]["samples"])),
        ]
        for row in numbers["layers"]
    ]
    print_table(columns, rows, title="mean cosine on the same channel across blocks")
    for sentence in numbers["sentences"]:
        print(sentence)
    print(f"page      {numbers['page']}")


def _cosine(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
