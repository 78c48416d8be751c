"""Whether an ONNX model computes what the network computes.

Batch sizes are two, because exporters have been wrong at every size but the one of their example. The
reference is the network as it is, with BN unfolded.
"""

import copy
from pathlib import Path

import numpy as np
import torch

from fairnas.export.product import ExportError
from fairnas.nets import StandAlone
from fairnas.randomness import generator

BATCH_SIZES = (1, 7)
TOLERANCE = 1e-4
"""Largest error that passes, relative to the largest output, or absolute where outputs are below 1."""


def check_parity(network: StandAlone, onnx_model: Path | str | bytes) -> float:
    """Compare onnxruntime with eager mode on random images, at two batch sizes.

    Args:
        network: in any mode; it is compared in eval mode, and not changed.
        onnx_model: the model's file, or its content.

    Returns:
        The largest error, relative to the largest output of the network, or absolute where that is below 1.

    Raises:
        ExportError: if the error is above 1e-4, the outputs are not finite (a diverged network), or the model
            cannot be run on such images at all.
    """
    reference = copy.deepcopy(network).cpu().eval()
    space = network.space
    worst = 0.0
    session = _Session(onnx_model)
    for batch in BATCH_SIZES:
        shape = (batch, space.image_channels, space.image_size, space.image_size)
        images = generator(0, "parity", batch).standard_normal(shape, dtype=np.float32)
        with torch.no_grad():
            expected = reference(torch.from_numpy(images)).numpy()
        if not np.isfinite(expected).all():
            raise ExportError("the network's outputs are not finite: its training diverged; train it again")
        outputs = session.run(images)
        if outputs.shape != expected.shape:
            raise ExportError(
                f"the ONNX model gives outputs of shape {outputs.shape}, the network {expected.shape}: "
                "it is another network's; export this one again"
            )
        error = float(np.abs(outputs - expected).max() / max(1.0, np.abs(expected).max()))
        if not error <= TOLERANCE:  # also true for NaN
            raise ExportError(
                f"the ONNX model differs from the network by {error:.1e} at batch size {batch} "
                f"({TOLERANCE:.0e} is allowed); do not use it, and export the network again"
            )
        worst = max(worst, error)
    return worst


class _Session:
    """One model in onnxruntime, on one thread of the CPU."""

    def __init__(self, onnx_model: Path | str | bytes) -> None:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as failures  # pyright: ignore[reportAttributeAccessIssue]

        self._failures = (
            failures.Fail,
            failures.InvalidArgument,
            failures.InvalidGraph,
            failures.InvalidProtobuf,
            failures.NoSuchFile,
            failures.NotImplemented,
            failures.RuntimeException,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3  # errors only
        content = onnx_model if isinstance(onnx_model, bytes) else str(onnx_model)
        try:
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except self._failures as error:
            raise ExportError(
                f"onnxruntime cannot load the ONNX model ({_first_line(error)}); export it again"
            ) from None

    def run(self, images: np.ndarray) -> np.ndarray:
        """Outputs (B, num_classes) for images (B, C, H, W)."""
        try:
            return np.asarray(self._session.run(None, {self._session.get_inputs()[0].name: images})[0])
        except self._failures as error:
            raise ExportError(
                f"onnxruntime cannot run the ONNX model on images of shape {images.shape} "
                f"({_first_line(error)}); export it again"
            ) from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
