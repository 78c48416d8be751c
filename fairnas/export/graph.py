"""A network as an ONNX model: one file, any batch size, with what a user of it must know inside."""

import contextlib
import json
import sys
from typing import TYPE_CHECKING

import torch

from fairnas.evaluate.folding import folded
from fairnas.export.product import Product

if TYPE_CHECKING:
    import onnx

OPSET = 18  # the exporter's own; a later one would only need a later runtime
INPUT, OUTPUT = "images", "logits"


def to_onnx(product: Product) -> bytes:
    """The ONNX model: input `images` (B, C, H, W), normalised, any B; output `logits` (B, num_classes).

    Its metadata hold `genome`, `space`, and as JSON `classes` and `preprocessing`.
    """
    import onnx

    space = product.network.space
    # two images: the exporter would take a batch of one for a constant
    images = torch.zeros(2, space.image_channels, space.image_size, space.image_size)
    # standard output belongs to the result; what some versions of the exporter print is progress
    with contextlib.redirect_stdout(sys.stderr):
        program = torch.onnx.export(
            folded(product.network).cpu(),  # the exporter folds BN too, but takes half as long again for it
            (images,),
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch", min=1)},),
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[OUTPUT],
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _remove_traces(model)
    onnx.helper.set_model_props(
        model,
        {
            "genome": product.genome,
            "space": space.name,
            "classes": json.dumps(product.classes),
            "preprocessing": json.dumps(product.preprocessing.to_dict()),
        },
    )
    return model.SerializeToString(deterministic=True)


def _remove_traces(model: "onnx.ModelProto") -> None:
    """Drop the exporter's notes on every node: half of a small file, and paths of this machine."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
