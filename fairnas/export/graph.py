"""Network as an ONNX model: one file, any batch size, with the facts that its users need."""

import contextlib
import sys
from typing import TYPE_CHECKING

import torch
from torch import nn

from fairnas.evaluate.folding import folded
from fairnas.export.product import Product
from fairnas.export.seal import sealed_onnx
from fairnas.export.session import imported
from fairnas.space import SearchSpace

if TYPE_CHECKING:
    import onnx

OPSET = 18  # the exporter's own; a later one would only require a later runtime
INPUT, OUTPUT = "images", "logits"


def to_onnx(product: Product) -> bytes:
    """Export the ONNX model: input `images` (B, C, H, W), normalised, any B; output `logits` (B, num_classes).

    Its metadata are `genome`, `space`, `licence`, `classes` and `preprocessing` as JSON, and `sha256` (`seal.py`).
    """
    onnx = imported("onnx", "exporting to ONNX")
    model = graph_of(product.network, image_shape(product.network.space), (OUTPUT,))
    onnx.helper.set_model_props(model, product.description())
    return sealed_onnx(model.SerializeToString(deterministic=True))


def graph_of(module: nn.Module, shape: tuple[int, int, int], outputs: tuple[str, ...]) -> "onnx.ModelProto":
    """Export any module with BN folded: input `images` (B, *shape), any B; outputs by the given names."""
    imported("onnxscript", "exporting to ONNX")  # checked here, because torch's own message has forty lines
    # two images, because the exporter would treat a batch of one as a constant
    images = torch.zeros(2, *shape)
    # standard output is reserved for results; some versions of the exporter print progress there
    with contextlib.redirect_stdout(sys.stderr):
        program = torch.onnx.export(
            _out_of_place(folded(module)).cpu(),  # the exporter can fold BN too, but takes half as long again
            (images,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(outputs),
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _remove_traces(model)
    return model


def _out_of_place(module: nn.Module) -> nn.Module:
    """Copy of a module without in-place activations, which the exporter handles in a third of the time.

    It decomposes an in-place clamp into single operations, and arrives at the same graph.
    """
    for part in module.modules():
        if getattr(part, "inplace", False):
            vars(part)["inplace"] = False
    return module


def image_shape(space: SearchSpace) -> tuple[int, int, int]:
    """Channels, height and width of the images of a space."""
    return space.image_channels, space.image_size, space.image_size


def _remove_traces(model: "onnx.ModelProto") -> None:
    """Remove the exporter's notes on every node: half of a small file, and paths of this machine."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
