"""An ONNX model in 8 bits, its ranges taken from images, and what that costs in accuracy.

Weights get one scale per output channel, activations one per tensor: the smallest and largest value that they took
on the calibration images. Weights are signed 8-bit numbers, activations unsigned ones: with signed activations
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
"""Makes normalised images (B, C, S, S) and their labels (B,), batch by batch, as often as it is asked."""

_AT_ONCE = 32  # calibration images per run of the model
_ROOM, _ROOM_FOR_ANY = 3, 1 << 20
"""What the quantiser's files take, as a multiple of the model's size (2.0 to 2.3 were seen), and beside it in bytes."""


@dataclass(frozen=True)
class Quantisation:
    """What an int8 model is calibrated with and judged on. Images are only made if they are needed."""

    images: int
    """How many calibrate it; its name among exports, so the same number must mean the same images."""
    calibration: Callable[[], np.ndarray]
    """Makes them: (n, C, S, S), normalised."""
    judged_on: Mapping[str, Batches]
    """Images that both models classify, by the name of their split."""
    threads: int = 1
    """Of the runtime, while it classifies."""


def to_int8(onnx_model: bytes, images: np.ndarray, description: Mapping[str, str]) -> bytes:
    """The int8 form of a float model: quantised and dequantised around every operator (QDQ).

    Args:
        onnx_model: content of the float model.
        images: (n, C, S, S), normalised, that the ranges of activations are taken from.
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
    room = _ROOM * len(onnx_model) + _ROOM_FOR_ANY  # parts of it cut files short on a full disk without a word
    with temporary_folder("fairnas-int8-", room) as folder:  # the quantiser works on files
        prepared, quantised = folder / "prepared.onnx", folder / "int8.onnx"
        # shapes only: the exporter has folded what can be folded
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
    model.ClearField("metadata_props")  # notes of the quantiser
    onnx.helper.set_model_props(model, dict(description))
    return sealed_onnx(model.SerializeToString(deterministic=True))


def _reader(base: type, name: str, images: np.ndarray) -> Any:
    """The images as the quantiser wants them: one dictionary after another, then None."""
    batches: Iterator[np.ndarray] = (images[start : start + _AT_ONCE] for start in range(0, len(images), _AT_ONCE))

    class Reader(base):
        def get_next(self) -> dict[str, np.ndarray] | None:
            batch = next(batches, None)
            return None if batch is None else {name: batch}

    return Reader()


def accuracy_lost(onnx_model: bytes, int8_model: bytes, quantisation: Quantisation) -> dict[str, Int8Accuracy]:
    """Both models in onnxruntime on the same images, split by split.

    Returns:
        What each of them gets right, by split.
    """
    sessions = [OnnxSession(model, quantisation.threads) for model in (onnx_model, int8_model)]
    found: dict[str, Int8Accuracy] = {}
    for split, batches in quantisation.judged_on.items():
        images, hits = 0, np.zeros((2, 2), np.int64)  # by whether float is right, and int8
        of_classes: Any = 0  # (3, classes): images, and right ones of float and int8
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
