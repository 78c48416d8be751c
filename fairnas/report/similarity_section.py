"""Section on similarity in the report of a run, from the file of `fairnas similarity`."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fairnas.report.format import counted, whole
from fairnas.report.html import Section, folded, joined, paragraphs, plot, table, tag
from fairnas.report.plots import matrix_figure
from fairnas.report.similarity import cosine


@dataclass(frozen=True)
class SimilaritySummary:
    """Content of `similarity.json` that the report shows."""

    image: str | None
    images: int
    paths: int
    sentences: tuple[str, ...]
    layers: tuple[tuple[int, int, float | None, float | None, float | None, float | None, int], ...]
    """Rows of the table: layer, blocks; mean cosine of the same channel, without shortcut, before training, of
    different channels (mean size); n.
    """
    matrices: tuple[tuple[int, tuple[str, ...], np.ndarray], ...] = ()
    """Layers that were drawn: number, labels of the blocks, and cosines across blocks, (m, m)."""


def parse_summary(plain: Any) -> SimilaritySummary:
    """Read `similarity.json`."""
    rows = []
    for row in plain["layers"]:
        trained, before = row["trained"], row["untrained"]
        rows.append(
            (
                int(row["layer"]),
                len(row["blocks"]),
                _number(trained["whole"]["aligned"]["mean"]),
                _number(trained["added"]["aligned"]["mean"]) if trained["added"] else None,
                _number(before["whole"]["aligned"]["mean"]),
                _number(trained["whole"]["cross_channel"]["mean_absolute"]),
                len(trained["whole"]["samples"]),
            )
        )
    image = None if plain["image"] is None else str(plain["image"])
    sentences = tuple(str(each) for each in plain["sentences"])
    return SimilaritySummary(image, int(plain["images"]), len(plain["paths"]), sentences, tuple(rows))


def parse_matrices(plain: Any) -> tuple[tuple[int, tuple[str, ...], np.ndarray], ...]:
    """Read the matrices in the numbers of `fairnas similarity`."""
    found = []
    for layer, matrices in plain["matrices"].items():
        labels = tuple(str(label) for label in plain["layers"][int(layer)]["blocks"])
        values = np.array(matrices["across_blocks"], dtype=float)
        if values.shape != (len(labels), len(labels)):
            raise ValueError(f"layer {layer} has {len(labels)} blocks and cosines of shape {values.shape}")
        found.append((int(layer), labels, values))
    return tuple(found)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def summary_section(summary: SimilaritySummary) -> Section:
    """Build the section."""
    head = ("layer", "blocks", "same channel", "no shortcut", "before training", "other channel, size", "n")
    rows = [
        (str(layer), whole(blocks), *(cosine(value, 3) for value in values), whole(n))
        for layer, blocks, *values, n in summary.layers
    ]
    seen = f"the image {summary.image}" if summary.image else counted(summary.images, "validation image")
    upto = f"{counted(summary.paths, 'path')} up to the layer"
    caption = f"Mean cosines for {seen} after {upto}; n: inputs. A dash: the layer has no shortcut"
    drawn = summary.matrices
    places = [
        plot(
            f"similarity-{layer}",
            f"Matrix of cosines between the {len(labels)} blocks of layer {layer}.",
            f"Layer {layer}: cosines between its blocks on the same channel, mean over channels.",
        )
        for layer, labels, _ in drawn
    ]
    plots = tuple((f"similarity-{layer}", matrix_figure(values, labels)) for layer, labels, values in drawn)
    body = [
        paragraphs(summary.sentences),
        tag("div", *places, classes="pair"),
        folded("Similarity layer by layer", table(caption, head, rows)),
    ]
    return Section("similarity", "Similarity of choice blocks", joined(body), plots)
