"""All choice blocks of a space in one ONNX graph, exported once; any network is assembled from it in milliseconds.

In this graph, the blocks of a layer are parallel, and all take the output of one block of the layer before. A network
consists of the nodes of its blocks, each connected to the output of its actual predecessor. Weights are random, because
they do not matter for latency.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from fairnas.export.graph import INPUT, OUTPUT, graph_of, image_shape
from fairnas.nets import Supernet, batch_norms
from fairnas.space import Genome, Identity, SearchSpace

if TYPE_CHECKING:
    import onnx

STEM = "stem"


@dataclass(frozen=True)
class BlockGraph:
    """Graph of all blocks, cut at the borders of the layers."""

    space: SearchSpace
    model: "onnx.ModelProto"
    parts: Mapping[str, tuple[int, ...]]
    """Nodes of stem, blocks and head, by name of the part, in the order of the graph."""

    def network(self, genome: Genome) -> bytes:
        """ONNX model of a (valid) genome, equal to an export of the supernet's path."""
        return self._composed(genome, OUTPUT)

    def beginning(self, genome: Genome, layers: int) -> bytes:
        """ONNX model of the stem and the first `layers` layers; its output is their features."""
        return self._composed(genome[:layers], "")

    def _composed(self, genome: Sequence[int], end: str) -> bytes:
        import onnx

        whole, result = self.model, onnx.ModelProto()
        result.CopyFrom(onnx.ModelProto(ir_version=whole.ir_version, opset_import=whole.opset_import))
        graph = result.graph
        graph.name = "network"
        self._add(graph, STEM, {})
        arrives = STEM
        for layer, choice in enumerate(genome):
            if not _passes(self.space, layer, choice):
                self._add(graph, _name(layer, choice), {_border(self.space, layer): arrives})
                arrives = _name(layer, choice)
        if end:
            self._add(graph, end, {_border(self.space, self.space.depth): arrives})
        used = {name for node in graph.node for name in node.input}
        graph.initializer.extend(each for each in whole.graph.initializer if each.name in used)
        graph.input.extend(whole.graph.input)
        described = {each.name: each for each in (*whole.graph.output, *whole.graph.value_info)}
        graph.output.append(described[end or arrives])
        return result.SerializeToString()

    def _add(self, graph: "onnx.GraphProto", part: str, renamed: Mapping[str, str]) -> None:
        for number in self.parts[part]:
            node = graph.node.add()
            node.CopyFrom(self.model.graph.node[number])
            for place, name in enumerate(node.input):
                node.input[place] = renamed.get(name, name)


def export_blocks(space: SearchSpace, supernet: Supernet | None = None) -> BlockGraph:
    """Export every block of a space once.

    Args:
        space: resolved for its data.
        supernet: source of the weights; default: random ones, with BN that is not the identity, so that no bias is
            removed.
    """
    supernet = supernet or _untrained(space)
    names = (STEM, *(_name(*place) for place in _places(space)), OUTPUT)
    model = graph_of(_AllBlocks(supernet).eval(), image_shape(space), names)
    produced = {name: number for number, node in enumerate(model.graph.node) for name in node.output}
    above = {_name(layer, choice): _border(space, layer) for layer, choice in _places(space)}
    above |= {STEM: INPUT, OUTPUT: _border(space, space.depth)}
    parts = {name: _nodes_between(model, produced, above[name], name) for name in names}
    return BlockGraph(space, model, parts)


class _AllBlocks(nn.Module):
    """Stem, every block on the features of the layer before, head."""

    def __init__(self, supernet: Supernet) -> None:
        super().__init__()
        self.supernet = supernet

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Features of the stem and of every block that computes something, and logits."""
        space = self.supernet.space
        outputs = {STEM: self.supernet.stem(images)}
        for layer, choice in _places(space):
            outputs[_name(layer, choice)] = self.supernet.block(layer, choice)(outputs[_border(space, layer)])
        return *outputs.values(), self.supernet.head(outputs[_border(space, space.depth)])


def _places(space: SearchSpace) -> list[tuple[int, int]]:
    """Layer and choice of all blocks that compute something."""
    return [
        (layer, choice)
        for layer, count in enumerate(space.choices)
        for choice in range(count)
        if not _passes(space, layer, choice)
    ]


def _passes(space: SearchSpace, layer: int, choice: int) -> bool:
    """True if a block returns its input: it has no node, and its output no name of its own."""
    return isinstance(space.block(layer, choice), Identity) and space.layers[layer].keeps_shape


def _name(layer: int, choice: int) -> str:
    return f"layer{layer}.{choice}"


def _border(space: SearchSpace, layer: int) -> str:
    """Name of the input of a layer's blocks in the big graph: the output of the nearest block above that has one."""
    for above in reversed(range(layer)):
        for choice in range(space.choices[above]):
            if not _passes(space, above, choice):
                return _name(above, choice)
    return STEM


def _nodes_between(model: "onnx.ModelProto", produced: Mapping[str, int], begin: str, end: str) -> tuple[int, ...]:
    """Indices of the nodes that lead from one tensor to another, in the order of the graph."""
    found: set[int] = set()
    waiting = [end]
    while waiting:
        name = waiting.pop()
        if name == begin or name not in produced or produced[name] in found:
            continue
        found.add(produced[name])
        waiting += model.graph.node[produced[name]].input
    return tuple(sorted(found))


def _untrained(space: SearchSpace) -> Supernet:
    supernet = Supernet(space)
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for norm in batch_norms(supernet):
            norm.bias.uniform_(0.1, 0.5, generator=rng)  # a bias of zero would be removed by the export
    return supernet
