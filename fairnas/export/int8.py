"""ONNX model in 8 bits, calibrated on images, and its loss of accuracy.

Weights get one scale per output channel, activations one per tensor, from the smallest and largest value on the
calibration images. Weights are signed 8-bit numbers, activations unsigned ones: with signed activations
onnxruntime leaves some convolutions in float32, and OpenVINO refuses the file where bfloat16 is its default
(findings/onnxruntime-signed-activations.sh, findings/openvino-signed-zero-point.sh). Biases and sums have 32 bits,
input and output stay float32. The same model and images give the same bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairnas.atomic_files import temporary_folder
from fairnas.errors import ExportError
from fairnas.export.facts import Int8Accuracy
from fairnas.export.seal import sealed_onnx
from fairnas.export.session import OnnxSession, imported

Batches = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]
"""Function that makes normalised images (B, C, S, S) and their labels (B,), batch by batch, each time it is called."""

_AT_ONCE = 32  # calibration images per run of the model
_ROOM, _ROOM_FOR_ANY = 3, 1 << 20
"""Disk space for the quantiser's files, as a multiple of the model's size (2.0 to 2.3 were observed), plus bytes."""


@dataclass(frozen=True)
class Quantisation:
    """Images to calibrate and to evaluate an int8 model with. They are only made if needed."""

    images: int
    """Number of calibration images; it identifies the calibration, so an equal number must mean equal images."""
    calibration: Callable[[], np.ndarray]
    """Function that makes the calibration images: (n, C, S, S), normalised."""
    judged_on: Mapping[str, Batches]
    """Evaluation images, which both models classify, by the name of their split."""
    threads: int = 1
    """Number of threads of the runtime during the evaluation."""


def to_int8(onnx_model: bytes, images: np.ndarray, description: Mapping[str, str]) -> bytes:
    """Convert a float model to int8, with quantise and dequantise nodes around every operator (QDQ).

    Args:
        onnx_model: content of the float model.
        images: (n, C, S, S), normalised, for the ranges of activations.
        description: metadata of the new model.

    Raises:
        ExportError: if there are no images, or onnx or onnxruntime is missing.
        RunDirectoryError: if temporary files cannot be written.
    """
    if len(images) == 0:
        raise ExportError("int8 needs images to calibrate with, and was given none; give at least one, better 100")
    onnx = imported("onnx", "int8")
    quantization = imported("onnxruntime.quantization", "int8")
    shape_inference = imported("onnxruntime.quantization.shape_inference", "int8")
    # checked here, because parts of the quantiser truncate files on a full disk without an error
    room = _ROOM * len(onnx_model) + _ROOM_FOR_ANY
    with temporary_folder("fairnas-int8-", room) as folder:  # the quantiser needs files
        prepared, quantised = folder / "prepared.onnx", folder / "int8.onnx"
        # only shapes are inferred: the exporter has already folded constants
        shape_inference.quant_pre_process(
            onnx.load_model_from_string(onnx_model), prepared, skip_optimization=True, skip_symbolic_shape=True
        )
        quantization.quantize_static(
            prepared,
            quantised,
            _reader(quantization.CalibrationDataReader, OnnxSession(onnx_model).input_name, images),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            calibrate_method=quantization.CalibrationMethod.MinMax,
        )
        model = onnx.load(quantised)
    model.ClearField("metadata_props")  # remove the quantiser's notes
    onnx.helper.set_model_props(model, dict(description))
    return sealed_onnx(model.SerializeToString(deterministic=True))


def _reader(base: type, name: str, images: np.ndarray) -> Any:
    """Images in the form that the quantiser needs: one dictionary after another, then None."""
    batches: Iterator[np.ndarray] = (images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE))

    class Reader(base):
        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(batches, None)
            return None if batch is None else {name: batch}

    return Reader()


def accuracy_lost(onnx_model: bytes, int8_model: bytes, quantisation: Quantisation) -> dict[str, Int8Accuracy]:
    """Compare both models in onnxruntime on the same images, split by split.

    Returns:
        The accuracies of both, by split.
    """
    sessions = [OnnxSession(model, quantisation.threads) for model in (onnx_model, int8_model)]
    found: dict[str, Int8Accuracy] = {}
    for split, batches in quantisation.judged_on.items():
        images, hits = 0, np.zeros((2, 2), np.int64)  # table of counts: float right or wrong, int8 right or wrong
        of_classes: Any = 0  # (3, classes): images, correct by float, correct by int8
        for pixels, labels in batches():
            logits = [session.run(pixels) for session in sessions]
            right = [each.argmax(axis=1) == labels for each in logits]
            counts = [np.bincount(labels[which], minlength=logits[0].shape[1]) for which in (slice(None), *right)]
            of_classes = of_classes + np.stack(counts)
            np.add.at(hits, (right[0].astype(int), right[1].astype(int)), 1)
            images += len(labels)
        if not images:
            raise ExportError(f"the accuracy of the int8 model cannot be measured: there are no {split} images")
        met = of_classes[0] > 0
        balanced = (of_classes[1:, met] / of_classes[0, met]).mean(axis=1).tolist()
        found[split] = Int8Accuracy(
            images=images,
            float_top1=int(hits[1].sum()) / images,
            int8_top1=int(hits[:, 1].sum()) / images,
            lost=int(hits[1, 0] - hits[0, 1]) / images,
            only_float=int(hits[1, 0]),
            only_int8=int(hits[0, 1]),
            float_balanced_accuracy=balanced[0],
            int8_balanced_accuracy=balanced[1],
        )
    return found
