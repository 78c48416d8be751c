"""Feature maps of all choice blocks of a layer for the same input, the output of a path up to that layer."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from fairnas.evaluate.eval_supernet import EvaluationCopy
from fairnas.evaluate.normalised import measure, run_with
from fairnas.nets import has_shortcut
from fairnas.space import Genome


@dataclass(frozen=True, eq=False)
class BlockMaps:
    """Outputs of the blocks of one layer for the same images after the same prefix."""

    layer: int
    prefix: Genome
    outputs: Tensor
    """Outputs, (m, n, C, H, W), float32, on the CPU."""
    shortcut: Tensor | None
    """Input, (n, C, H, W), if every block of the layer adds it to its output; else None."""


def block_maps(
    copied: EvaluationCopy,
    images: Tensor,
    paths: Sequence[Genome],
    layers: Collection[int],
    companions: Tensor | None = None,
) -> Iterator[BlockMaps]:
    """Run every block of the wanted layers after the first layers of each path.

    Works layer by layer; paths that agree up to a layer give the same input there, which is used once.

    Args:
        copied: the supernet; with BN statistics `running`, or `batch` and companions to take them from.
        images: (n, C, S, S), normalised.
        paths: genomes; layer l gets the output of the first l choices.
        layers: whose blocks are run.
        companions: images (N, C, S, S) whose statistics BN uses, computed for every prefix and block.
    """
    stem = _run(copied, (), images, companions)
    inputs: dict[Genome, tuple[Tensor, Tensor | None]] = {(): stem}  # inputs of the layer, by prefix
    for layer in range(max(layers, default=-1) + 1):
        for prefix, (features, beside) in inputs.items():
            if layer in layers:
                choices = range(len(copied.space.layers[layer].choices))
                outputs = [_run(copied, (*prefix, choice), features, beside)[0].float().cpu() for choice in choices]
                shared = all(has_shortcut(copied.block(layer, choice)) for choice in choices)
                shortcut = features.float().cpu() if shared else None
                yield BlockMaps(layer, prefix, torch.stack(outputs), shortcut)
        longer = dict.fromkeys(path[: layer + 1] for path in paths)
        inputs = {prefix: _run(copied, prefix, *inputs[prefix[:-1]]) for prefix in longer}


@torch.inference_mode()
def _run(
    copied: EvaluationCopy, prefix: Genome, features: Tensor, companions: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Run one node of the prefix tree for the images and for their companions."""
    if companions is None:
        return copied.run(prefix, features), None
    part = copied.part(prefix)
    beside, statistics = measure(part, companions.to(copied.dtype))
    return run_with(part, statistics, features.to(copied.dtype)), beside
