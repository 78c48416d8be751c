"""One-shot accuracy of many genomes (paper 3.2): every node of their prefix tree is run once per batch of images.

If memory is bounded, some nodes run again (`activation_checkpointing.py`). Scores equal those of one genome at a time.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from fairnas.evaluate.eval_supernet import EvaluationCopy
from fairnas.nets import Supernet
from fairnas.scores import NetworkScore, Score
from fairnas.space import Genome

Batches = Iterable[tuple[Tensor, Tensor]]


def score_genomes(
    supernet: Supernet | EvaluationCopy,
    genomes: Sequence[Genome],
    batches: Batches,
    on_progress: Callable[[int], None] = lambda images: None,
    *,
    statistics: Literal["running", "batch"] = "running",
) -> list[Score]:
    """Score genomes with the supernet's weights. Never changes the supernet.

    Equal genomes, and genomes that compute the same network (`SearchSpace.canonical`), are evaluated once.

    Args:
        supernet: trained; or a copy of it for evaluation, which saves time if you score often.
        genomes: to score.
        batches: images (B, C, S, S) normalised and labels (B,), on the supernet's device.
        on_progress: called after each batch with the number of images seen.
        statistics: of BN, if a supernet is given. With `batch`, scores depend on how images are grouped into batches.

    Returns:
        One score per genome, in order. Sums are exact integers and float64, so that scores don't depend on which
        other genomes are scored with them.
    """
    copied = supernet if isinstance(supernet, EvaluationCopy) else EvaluationCopy(supernet, statistics)
    canonical = [copied.space.canonical(genome) for genome in genomes]
    ordered = sorted(set(canonical))
    place = {genome: row for row, genome in enumerate(ordered)}
    copied.prepare(ordered)
    tally = _ScoreSums(len(ordered), copied.space.num_classes, copied.device)
    with torch.inference_mode():
        for images, labels in batches:
            tally.begin(labels)
            copied.logits(ordered, images, lambda genome, logits: tally.add(place[genome], logits))
            on_progress(tally.images)
    scores = dict(zip(ordered, tally.scores(), strict=True))
    return [scores[genome] for genome in canonical]


def score_network(network: nn.Module, batches: Batches) -> NetworkScore:
    """Score one ordinary network in inference mode. Its training mode is restored afterwards."""
    was_training = network.training
    network.eval()
    tally: _ScoreSums | None = None
    try:
        with torch.inference_mode():
            for images, labels in batches:
                logits = network(images)
                tally = tally or _ScoreSums(1, logits.shape[1], logits.device)
                tally.begin(labels)
                tally.add(0, logits)
    finally:
        network.train(was_training)
    assert tally is not None, "scored over no images"
    return NetworkScore(**vars(tally.scores()[0]), class_hits=tally.class_hits(0), class_images=tally.class_images)


class _ScoreSums:
    """Sums over images, overall and per class, kept on the device until the end."""

    def __init__(self, rows: int, classes: int, device: torch.device) -> None:
        self.images = 0
        exact = {"dtype": torch.float64, "device": device}
        self._sums = torch.zeros(rows, 3, **exact)  # hits, hits in the top 5, loss
        self._of_classes = torch.zeros(rows, classes, 2, **exact)  # hits and loss
        self._class_images = torch.zeros(classes, **exact)

    def begin(self, labels: Tensor) -> None:
        """Set the labels (B,) of the next batch, and count its images."""
        self._labels = labels
        # multiplying by this matrix sums per class in a fixed order; scattered additions on a GPU have no fixed order
        self._members = functional.one_hot(labels, len(self._class_images)).double().T
        self._class_images += self._members.sum(1)
        self.images += len(labels)

    def add(self, row: int, logits: Tensor) -> None:
        """Add one network's logits for the batch, (B, classes)."""
        best = logits.topk(min(5, logits.shape[1])).indices == self._labels[:, None]
        losses = functional.cross_entropy(logits.double(), self._labels, reduction="none")
        self._sums[row] += torch.stack((best[:, 0].sum(), best.sum(), losses.sum()))
        self._of_classes[row] += self._members @ torch.stack((best[:, 0], losses), 1)

    def class_hits(self, row: int) -> tuple[int, ...]:
        """Number of images of each class that a network classifies correctly."""
        return tuple(map(round, self._of_classes[row, :, 0].tolist()))

    @property
    def class_images(self) -> tuple[int, ...]:
        """Number of images of each class."""
        return tuple(map(round, self._class_images.tolist()))

    def scores(self) -> list[Score]:
        assert self.images > 0, "scored over no images"
        rows = (self._sums / self.images).tolist()
        met = self._class_images > 0
        balanced = (self._of_classes[:, met] / self._class_images[met, None]).mean(1).tolist()
        return [
            Score(top1, top5, loss, self.images, *of_classes)
            for (top1, top5, loss), of_classes in zip(rows, balanced, strict=True)
        ]
