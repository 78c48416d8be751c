"""Network as a `torch.export` program: one file that PyTorch runs without this package, at any batch size."""

import io
import json
from collections.abc import Callable

import numpy as np
import torch

from fairnas.errors import ExportError
from fairnas.evaluate.folding import folded
from fairnas.export.graph import image_shape
from fairnas.export.product import Product
from fairnas.export.seal import sealed_zip
from fairnas.export.session import first_line

DESCRIPTION = "fairnas.json"
"""Name of the metadata inside the file (`extra_files` of `torch.export.load`)."""


def to_program(product: Product) -> bytes:
    """Content of a `.pt2` file: images (B, C, H, W), normalised, any B, to logits (B, num_classes); BN folded.

    It ends with a digest of its own content (`seal.py`).
    """
    # torch.export.save mistakes channels_last weights for parts of larger ones, and warns
    network = folded(product.network).cpu().to(memory_format=torch.contiguous_format)
    # two images, because one would be treated as a constant
    images = torch.zeros(2, *image_shape(product.network.space))
    program = torch.export.export(network, (images,), dynamic_shapes=({0: torch.export.Dim("batch", min=1)},))
    for graph in program.graph_module.modules():
        for node in graph.graph.nodes if isinstance(graph, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)  # it contains paths of this machine
    content = io.BytesIO()
    torch.export.save(program, content, extra_files={DESCRIPTION: json.dumps(product.description())})
    return sealed_zip(content.getvalue())


def run_program(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    """Load a saved program as a function of images. It raises `ExportError` if it cannot run on them."""
    network = torch.export.load(io.BytesIO(content)).module()

    def run(images: np.ndarray) -> np.ndarray:
        try:
            with torch.no_grad():
                return network(torch.from_numpy(images)).numpy()
        except (AssertionError, RuntimeError) as error:  # raised by the program's guards for other shapes
            raise ExportError(
                f"the PyTorch program cannot run on images of shape {images.shape} ({first_line(error)}); "
                "export it again"
            ) from None

    return run
