"""ONNX model in onnxruntime, on the CPU. No torch.

The file may come from anywhere, so its metadata are checked before use.
"""

import contextlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fairnas.errors import ExportError, ModelFileError
from fairnas.export.preprocessing import Preprocessing, parse_preprocessing
from fairnas.untrusted import parse_json

MAX_CLASSES = 1_000_000  # a model's file is foreign data, and must not be able to fill the memory
_SHOWN = 200  # characters of an error of the runtime that are shown


def imported(package: str, purpose: str) -> ModuleType:
    """Import an optional package. Raises `ExportError` that says how to install it."""
    try:
        return importlib.import_module(package)
    except ImportError as error:
        root = package.partition(".")[0]
        reason = "" if isinstance(error, ModuleNotFoundError) and error.name == root else f" ({first_line(error)})"
        raise ExportError(f"{purpose} needs {root}, which cannot be imported{reason}; pip install {root}") from None


def first_line(error: Exception) -> str:
    """First line of a message, of limited length."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:_SHOWN]


@dataclass(frozen=True)
class Labels:
    """Description of input and output in a model's file."""

    classes: tuple[str, ...]
    preprocessing: Preprocessing


class OnnxSession:
    """One model in onnxruntime."""

    def __init__(self, onnx_model: Path | str | bytes, threads: int = 1) -> None:
        """Load a model, from its file or its content. Raises `ExportError`."""
        onnxruntime = imported("onnxruntime", "running an ONNX model")
        failures = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
        self._failures = (
            failures.EPFail,
            failures.Fail,
            failures.InvalidArgument,
            failures.InvalidGraph,
            failures.InvalidProtobuf,
            failures.NoModel,
            failures.NoSuchFile,
            failures.NotImplemented,
            failures.RuntimeException,
        )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 4  # errors are raised, and need not be printed as well
        content = onnx_model if isinstance(onnx_model, bytes) else str(onnx_model)
        try:
            with contextlib.redirect_stdout(None):  # it also prints errors that it raises
                self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            self.metadata: Mapping[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
            self.input_name: str = self._session.get_inputs()[0].name
        except (*self._failures, IndexError, UnicodeDecodeError) as error:
            raise ExportError(
                f"onnxruntime cannot load the ONNX model ({first_line(error)}); export it again"
            ) from None

    def run(self, images: np.ndarray) -> np.ndarray:
        """Outputs (B, num_classes) for images (B, C, H, W)."""
        try:
            return np.asarray(self._session.run(None, {self.input_name: images})[0])
        except self._failures as error:
            raise ExportError(
                f"onnxruntime cannot run the ONNX model on images of shape {images.shape} "
                f"({first_line(error)}); export it again"
            ) from None

    def labels(self) -> Labels:
        """Classes and preprocessing. Raises `ModelFileError` if the file lacks them, or they are invalid."""
        return labels_in(self.metadata)


def labels_in(metadata: Mapping[str, str]) -> Labels:
    """Classes and preprocessing from the metadata of any of a network's files. Raises as `OnnxSession.labels` does."""
    absent = [key for key in ("classes", "preprocessing") if key not in metadata]
    if absent:
        raise ModelFileError(f"its metadata lack {' and '.join(absent)}; give a model that `fairnas export` wrote")
    try:
        preprocessing = parse_preprocessing(metadata["preprocessing"])
    except ValueError as error:
        raise ModelFileError(
            f"its preprocessing cannot be used ({first_line(error)}); export the model again"
        ) from None
    return Labels(_classes(metadata["classes"]), preprocessing)


def _classes(text: str) -> tuple[str, ...]:
    try:
        names: Any = parse_json(text)
    except ValueError:
        names = None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ModelFileError("its classes are not a list of names; export the model again")
    if len(names) > MAX_CLASSES:
        raise ModelFileError(f"it has {len(names)} classes, at most {MAX_CLASSES} are read; give a classifier")
    return tuple(names)
