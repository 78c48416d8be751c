"""Comparison of exported models with the network.

Two batch sizes are compared, because exporters have been wrong at all sizes except that of their example. The reference
is the unchanged network, with BN unfolded.
"""

import copy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from fairnas.errors import ExportError
from fairnas.export.product import Product
from fairnas.export.program import run_program
from fairnas.export.session import OnnxSession
from fairnas.nets import StandAlone
from fairnas.randomness import generator
from fairnas.space import SearchSpace

BATCH_SIZES = (1, 7)  # neither is the batch of two that the exporter sees
TOLERANCE = 1e-4
"""Largest error that is accepted, relative to the largest output, or absolute if outputs are below 1."""


def check_parity(network: StandAlone, onnx_model: Path | str | bytes) -> float:
    """Compare onnxruntime with eager mode on random images, at two batch sizes.

    Args:
        network: in any mode; it is compared in eval mode, and not changed.
        onnx_model: the model's file, or its content.

    Returns:
        Largest error, relative to the largest output of the network, or absolute if that is below 1.

    Raises:
        ExportError: if the error is above 1e-4, the outputs are not finite (a diverged network), or the model
            cannot be run on such images at all.
    """
    return _worst_error(network, OnnxSession(onnx_model).run, "ONNX model")


def check_program(network: StandAlone, content: bytes) -> float:
    """Compare a saved PyTorch program with eager mode; otherwise as `check_parity`."""
    return _worst_error(network, run_program(content), "PyTorch program")


def check_labels(product: Product, onnx_model: bytes) -> None:
    """Raise `ExportError` unless the ONNX model's metadata have the product's classes and preprocessing."""
    found = OnnxSession(onnx_model).labels()
    if (found.classes, found.preprocessing) != (product.classes, product.preprocessing):
        raise ExportError("the ONNX model tells other classes or another preprocessing than the network's; our fault")


def check_int8(network: StandAlone, onnx_model: bytes) -> None:
    """Raise `ExportError` unless a quantised model gives finite numbers of the network's shape, at two batch sizes.

    It does not compute the same; its loss of accuracy is measured on real images.
    """
    session = OnnxSession(onnx_model)
    for batch in BATCH_SIZES:
        outputs = session.run(_images(network.space, batch))
        if outputs.shape != (batch, network.space.num_classes) or not np.isfinite(outputs).all():
            raise ExportError(
                f"the int8 model gives no usable outputs at batch size {batch}; leave int8 out, "
                "or calibrate it with more export.calibration_images"
            )


def _images(space: SearchSpace, batch: int) -> np.ndarray:
    shape = (batch, space.image_channels, space.image_size, space.image_size)
    return generator(0, "parity", batch).standard_normal(shape, dtype=np.float32)


def _worst_error(network: StandAlone, run: Callable[[np.ndarray], np.ndarray], what: str) -> float:
    # in float64: a deep network in float32 is off by as much again, on some processors by the whole tolerance
    # float64, because a deep network in float32 has errors as large, on some processors as large as the tolerance
    # float64, because a deep network in float32 has errors as large, on some processors as large as the tolerance
    # float64, because a deep network in float32 has errors as large, on some processors as large as the tolerance
    reference = copy.deepcopy(network).cpu().eval().double()
    worst = 0.0
    for batch in BATCH_SIZES:
        images = _images(network.space, batch)
        with torch.no_grad():
            expected = reference(torch.from_numpy(images).double()).numpy()
        if not np.isfinite(expected).all():
            raise ExportError("the network's outputs are not finite: its training diverged; train it again")
        outputs = run(images)
        if outputs.shape != expected.shape:
            raise ExportError(
                f"the {what} gives outputs of shape {outputs.shape}, the network {expected.shape}: "
                "it is another network's; export this one again"
            )
        error = float(np.abs(outputs - expected).max() / max(1.0, np.abs(expected).max()))
        if not error <= TOLERANCE:  # also true for NaN
            raise ExportError(
                f"the {what} differs from the network by {error:.1e} at batch size {batch} "
                f"({TOLERANCE:.0e} is allowed); do not use it, and export the network again"
            )
        worst = max(worst, error)
    return worst
