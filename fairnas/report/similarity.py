"""Similarity of the choice blocks of a supernet: values, and findings in words."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from fairnas.analysis.similarity import LayerSimilarity, Spread
from fairnas.report.format import counted, decimal, whole
from fairnas.versions import installed_versions

HIGH = 0.9
"""Cosine above which the paper calls maps very similar."""
_MOST_MAPS = 8
"""Most channels whose feature maps are shown."""


@dataclass(frozen=True)
class SimilarityStats:
    """Cosines of one supernet at one layer."""

    aligned: Spread
    """Cosines of the same channel in different blocks."""
    cross_channel: Spread
    """Cosines of different channels in the same block."""
    cross_both: Spread
    """Cosines of different channels in different blocks."""
    samples: tuple[float, ...]
    """Mean of `aligned` in each sample."""
    dead: int
    """Number of maps that are zero everywhere, and therefore left out."""
    maps: int

    @staticmethod
    def of(found: LayerSimilarity) -> "SimilarityStats":
        """Take the numbers of a layer, without its matrices."""
        maps = found.blocks * found.channels * len(found.samples)
        return SimilarityStats(
            found.aligned, found.cross_channel, found.cross_both, found.samples, sum(found.dead), maps
        )


@dataclass(frozen=True)
class LayerStats:
    """Cosines of one supernet at one layer, including the shortcut, and without it if there is one."""

    layer: int
    whole: SimilarityStats
    added: SimilarityStats | None
    """Cosines of what the blocks add to their common shortcut; None if there is no shortcut."""


@dataclass(frozen=True)
class SupernetStats:
    """Cosines of one supernet, layer by layer."""

    layers: tuple[LayerStats, ...]

    @property
    def mean(self) -> float:
        """Mean over layers of the mean cosine of the same channel."""
        return mean_of_known([each.whole.aligned.mean for each in self.layers])


@dataclass(frozen=True)
class Growth:
    """Mean cosine of the same channel per layer, after one epoch."""

    epoch: int
    layers: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class DrawnLayer:
    """A layer with drawings: its cosines, and the feature maps of the first sample."""

    layer: int
    found: LayerSimilarity
    maps: np.ndarray
    """Feature maps, shape (m, C, H, W) for m blocks."""

    @property
    def shown(self) -> tuple[int, ...]:
        """Channels whose maps are shown, evenly spread."""
        count = min(_MOST_MAPS, self.found.channels)
        return tuple(int(place) for place in np.linspace(0, self.found.channels - 1, count).round())


@dataclass(frozen=True, eq=False)
class Similarity:
    """All data that the page shows."""

    run: str
    against: str | None
    trainings: Mapping[str, str]
    """Description of how each trained supernet was trained."""
    space: str
    data: str
    labels: tuple[tuple[str, ...], ...]
    """Labels of the blocks, per layer."""
    image: str | None
    """Name of the image file; None for validation images."""
    images: int
    paths: tuple[str, ...]
    statistics: str
    supernets: Mapping[str, SupernetStats]
    """Supernets by name: `trained`, `untrained` and, if another run is given, `against`."""
    growth: tuple[Growth, ...] = ()
    drawn: Mapping[int, DrawnLayer] = field(default_factory=dict)
    drawn_against: Mapping[int, DrawnLayer] = field(default_factory=dict)
    command: str = ""

    @property
    def trained(self) -> SupernetStats:
        """Supernet of the run."""
        return self.supernets["trained"]


def findings(similarity: Similarity) -> tuple[str, ...]:
    """State the findings in sentences with numbers."""
    layers, trained = similarity.trained.layers, similarity.trained
    high = sum(each.whole.aligned.mean > HIGH for each in layers)
    lowest = min(layers, key=lambda each: each.whole.aligned.mean)
    cross = [each.whole.cross_channel for each in layers]
    sentences = [
        f"Same channel, different blocks: mean cosine {cosine(trained.mean)} over {counted(len(layers), 'layer')} "
        f"after training, {cosine(similarity.supernets['untrained'].mean)} before; above {HIGH} in {high} of "
        f"{counted(len(layers), 'layer')}, lowest in layer {lowest.layer} ({cosine(lowest.whole.aligned.mean)}).",
        f"Different channels of one block: mean cosine "
        f"{cosine(mean_of_known([each.mean for each in cross]))}, mean size "
        f"{cosine(mean_of_known([each.mean_absolute for each in cross]))}.",
    ]
    added = [each.added.aligned.mean for each in layers if each.added]
    if added:
        own = [each.added.aligned.mean for each in similarity.supernets["untrained"].layers if each.added]
        sentences.append(
            f"In {counted(len(added), 'layer')} all blocks add to one shortcut, which makes their outputs alike by "
            f"itself. What they add has a mean cosine of "
            f"{cosine(mean_of_known(added))} after training, {cosine(mean_of_known(own))} before."
        )
    if "against" in similarity.supernets:
        sentences.append(_against_in_words(similarity))
    dead = sum(each.whole.dead for each in layers)
    if dead:
        maps = sum(each.whole.maps for each in layers)
        sentences.append(f"{whole(dead)} of {whole(maps)} feature maps are zero everywhere and were left out.")
    return tuple(sentences)


def _against_in_words(similarity: Similarity) -> str:
    other = similarity.supernets["against"]
    ahead = [
        layer.layer
        for layer, theirs in zip(similarity.trained.layers, other.layers, strict=True)
        if layer.whole.aligned.mean > theirs.whole.aligned.mean
    ]
    return (
        f"{similarity.run} ({similarity.trainings['trained']}) has {cosine(similarity.trained.mean, 3)}, "
        f"{similarity.against} ({similarity.trainings['against']}) {cosine(other.mean, 3)}; "
        f"{similarity.run} is higher in {len(ahead)} of {counted(len(other.layers), 'layer')}. "
        "One training each says nothing about chance."
    )


# Numbers ------------------------------------------------------------------------------------------------------


def summary_numbers(similarity: Similarity) -> dict[str, Any]:
    """Return the numbers kept in the run, as plain data without matrices."""
    return _plain(
        {
            "run": similarity.run,
            "against": similarity.against,
            "trainings": dict(similarity.trainings),
            "space": similarity.space,
            "data": similarity.data,
            "image": similarity.image,
            "images": similarity.images,
            "paths": list(similarity.paths),
            "bn": similarity.statistics,
            "sentences": list(findings(similarity)),
            "layers": [
                {
                    "layer": number,
                    "blocks": list(labels),
                    **{name: asdict(each.layers[number]) for name, each in similarity.supernets.items()},
                }
                for number, labels in enumerate(similarity.labels)
            ],
            "growth": [asdict(each) for each in similarity.growth],
            "command": similarity.command,
            "versions": installed_versions(),
        }
    )


def as_numbers(similarity: Similarity) -> dict[str, Any]:
    """Return the numbers with the matrices of the drawn layers, cosines with four digits."""
    matrices = {
        str(number): {
            "across_blocks": _rounded(layer.found.across_blocks),
            "same_channel": _rounded(layer.found.same_channel),
            "within": [_rounded(layer.found.within(block)) for block in range(layer.found.blocks)],
            "between": [_rounded(layer.found.between(0, block)) for block in range(1, layer.found.blocks)],
            "dead": list(layer.found.dead),
        }
        for number, layer in similarity.drawn.items()
    }
    return summary_numbers(similarity) | {"matrices": matrices}


def _plain(content: Any) -> Any:
    """Return plain data with None for NaN, which JSON lacks."""
    if isinstance(content, float):
        return content if math.isfinite(content) else None
    if isinstance(content, dict):
        return {key: _plain(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(value) for value in content]
    return content


def _rounded(values: np.ndarray) -> Any:
    return _plain(np.round(values, 4).tolist())


def cosine(value: float | None, digits: int = 2) -> str:
    """Format a cosine; a value that rounds to zero gets no sign."""
    return decimal(None if value is None else round(value, digits) + 0.0, digits)


def mean_of_known(values: Sequence[float]) -> float:
    """Mean of the values that are not NaN."""
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
