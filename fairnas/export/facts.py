"""`model.json`: everything that is known about an exported network beyond its weights. No torch."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from fairnas.export.preprocessing import Preprocessing
from fairnas.record import Number, Record, StoredAs
from fairnas.space.genome import StoredGenome, format_genome

ONNX, INT8 = "model.onnx", "model.int8.onnx"
"""Names of the files that are timed."""
NOT_STATED = "not stated"
"""What files say where the owner of the weights gave no licence for them."""


@dataclass(frozen=True)
class Aim:
    """What the search that found a network was after, and how the network did."""

    name: str
    """Of the objective, such as `madds`."""
    direction: Literal["max", "min"]
    unit: str
    value: Number | None
    """The network's; None where it was not part of the search."""
    bound: Number | None = None
    """The most that was allowed (`min`), or the least (`max`)."""


@dataclass(frozen=True)
class ClassCounts:
    """Test images class by class; none if they were not counted."""

    images: tuple[int, ...] = ()
    right: tuple[int, ...] = ()
    """How many of them the network classifies right."""


@dataclass(frozen=True)
class Int8Accuracy:
    """The models in float32 and in 8 bits on the same images."""

    images: int
    float_top1: float
    int8_top1: float
    lost: float
    """The difference."""
    only_float: int
    """Images that only the model in float32 classifies right."""
    only_int8: int
    float_balanced_accuracy: float
    """Mean over the classes that have images."""
    int8_balanced_accuracy: float


@dataclass(frozen=True)
class Int8Facts:
    """What is known of the model in 8 bits."""

    calibration_images: int
    """That the ranges of its values come from."""
    accuracy: dict[str, Int8Accuracy]
    """By split."""


@dataclass(frozen=True)
class FileLatency:
    """How long a model takes for one image."""

    latency_ms: float
    """Median."""
    quartiles_ms: tuple[float, float]
    runs: int


@dataclass(frozen=True)
class LatencyFacts(Record):
    """How long the models of a folder take for one image on one thread."""

    device: str
    """What they were measured on, in words."""
    models: dict[str, FileLatency]
    """By the names of their files."""

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the device, and a model per key."""
        plain = super().to_dict()
        return {"device": plain["device"], **plain["models"]}

    @classmethod
    def from_dict(cls, plain: Any) -> "LatencyFacts":
        """The inverse of `to_dict`."""
        if not isinstance(plain, dict):
            raise ValueError("should be an object")
        models = {name: value for name, value in plain.items() if name != "device"}
        return super().from_dict({**{key: plain[key] for key in ("device",) if key in plain}, "models": models})

    def of(self, name: str) -> float | None:
        """Milliseconds of one model; None if it was not measured."""
        return self.models[name].latency_ms if name in self.models else None


@dataclass(frozen=True)
class ProductFacts(Record):
    """What is known about a network before it is exported."""

    genome: StoredGenome
    space: str
    classes: tuple[str, ...]
    """Names of the outputs, in order."""
    preprocessing: Preprocessing
    measures: dict[str, float]
    """What was measured: `test_top1`, `one_shot_balanced_accuracy`, ..."""
    images: dict[str, int]
    """How many images were behind it, by split."""
    test_classes: ClassCounts
    objectives: tuple[Aim, ...]
    """Of its search."""
    provenance: dict[str, str]
    """Where it comes from: recipe, seed, version, ..."""
    licence: str

    @property
    def text(self) -> str:
        """The genome's text form."""
        return format_genome(self.genome)


@dataclass(frozen=True)
class ModelFacts(ProductFacts):
    """`model.json`."""

    madds: int
    """Multiply-adds for one image."""
    params: int
    """Trainable numbers."""
    parity_error: float
    """Largest difference between onnxruntime and eager mode, relative to the largest output."""
    program_parity_error: float
    """The same of the PyTorch program."""
    int8: Int8Facts | None
    """None if no model in 8 bits was asked for."""
    latency: Annotated[LatencyFacts, StoredAs(LatencyFacts.from_dict, LatencyFacts.to_dict)]
    files: tuple[str, ...]
    """Names in the folder."""
    sha256: dict[str, str]
    """Checksums of the files but this one, by name."""
    made_of: str
    """Hash of everything that the files depend on."""

    @property
    def int8_top1(self) -> float | None:
        """Top-1 of the model in 8 bits on the test images; None where there is none."""
        return self.int8.accuracy["test"].int8_top1 if self.int8 and "test" in self.int8.accuracy else None
