"""`model.json`: all facts about an exported network other than its weights. No torch."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fairnas.export.preprocessing import Preprocessing
from fairnas.record import Number, Record, StoredAs
from fairnas.space.genome import StoredGenome, format_genome

ONNX, INT8 = "model.onnx", "model.int8.onnx"
"""Names of the files that are timed."""
NOT_STATED = "not stated"
"""Text in place of a licence, if the owner of the weights stated none."""


@dataclass(frozen=True)
class Aim:
    """An objective of the search that found a network, and the network's value."""

    name: str
    """Name of the objective, such as `madds`."""
    direction: Literal["max", "min"]
    unit: str
    value: Number | None
    """The network's; None where it was not part of the search."""
    bound: Number | None = None
    """The most that was allowed (`min`), or the least (`max`)."""


@dataclass(frozen=True)
class ClassCounts:
    """Test images per class; empty if they were not counted."""

    images: tuple[int, ...] = ()
    right: tuple[int, ...] = ()
    """Number of them that the network classifies right."""


@dataclass(frozen=True)
class Int8Accuracy:
    """Accuracies of the float32 and the int8 model on the same images."""

    images: int
    float_top1: float
    int8_top1: float
    lost: float
    """Difference of the two."""
    only_float: int
    """Number of images that only the float32 model classifies right."""
    only_int8: int
    float_balanced_accuracy: float
    """Mean, over the classes with images, of the share classified right."""
    int8_balanced_accuracy: float


@dataclass(frozen=True)
class Int8Facts:
    """Facts about the int8 model."""

    calibration_images: int
    """Number of images from which the ranges of its activations were taken."""
    accuracy: dict[str, Int8Accuracy]
    """Accuracy by split."""


@dataclass(frozen=True)
class FileLatency:
    """Latency of one model for one image."""

    latency_ms: float
    """Median in milliseconds."""
    quartiles_ms: tuple[float, float]
    runs: int


@dataclass(frozen=True)
class LatencyFacts(Record):
    """Latencies of the models in a folder, for one image on one thread."""

    device: str
    """Machine they were measured on, in words."""
    models: dict[str, FileLatency]
    """Latencies by file name."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data: the device, and one key per model."""
        plain = super().to_dict()
        return {"device": plain["device"], **plain["models"]}

    @classmethod
    def from_dict(cls, plain: Any) -> "LatencyFacts":
        """Inverse of `to_dict`."""
        if not isinstance(plain, dict):
            raise ValueError("should be an object")
        models = {name: value for name, value in plain.items() if name != "device"}
        return super().from_dict({**{key: plain[key] for key in ("device",) if key in plain}, "models": models})

    def of(self, name: str) -> float | None:
        """Milliseconds of one model; None if it was not measured."""
        return self.models[name].latency_ms if name in self.models else None


@dataclass(frozen=True)
class ProductFacts(Record):
    """Facts about a network before it is exported."""

    genome: StoredGenome
    space: str
    classes: tuple[str, ...]
    """Names of the outputs, in order."""
    preprocessing: Preprocessing
    measures: dict[str, float]
    """Measured accuracies by name: `test_top1`, `one_shot_balanced_accuracy`, ..."""
    images: dict[str, int]
    """Number of images behind them, by split."""
    test_classes: ClassCounts
    objectives: tuple[Aim, ...]
    """Objectives of its search."""
    provenance: dict[str, str]
    """Origin of the network: recipe, seed, version, ..."""
    licence: str

    @property
    def text(self) -> str:
        """Genome in text form."""
        return format_genome(self.genome)


@dataclass(frozen=True)
class ModelFacts(ProductFacts):
    """Content of `model.json`."""

    madds: int
    """Multiply-adds for one image."""
    params: int
    """Trainable numbers."""
    parity_error: float
    """Largest difference between onnxruntime and eager mode, relative to the largest output."""
    program_parity_error: float
    """The same of the PyTorch program."""
    int8: Int8Facts | None
    """Facts about the int8 model; None if none was asked for."""
    latency: Annotated[LatencyFacts, StoredAs(LatencyFacts.from_dict, LatencyFacts.to_dict)]
    files: tuple[str, ...]
    """Names in the folder."""
    sha256: dict[str, str]
    """Checksums of the other files in the folder, by name."""
    made_of: str
    """Hash of everything that the files depend on."""

    @property
    def int8_top1(self) -> float | None:
        """Top-1 accuracy of the int8 model on the test images; None without such a model."""
        return self.int8.accuracy["test"].int8_top1 if self.int8 and "test" in self.int8.accuracy else None
