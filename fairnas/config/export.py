"""What is exported beside weights and ONNX."""

from dataclasses import dataclass

from fairnas.config.checks import at_least


@dataclass(frozen=True)
class ExportConfig:
    """The files of an exported network."""

    int8: bool = False
    """Also an ONNX model in 8 bits, calibrated on training images, with the accuracy that it loses."""
    calibration_images: int = 256
    """Training images that the ranges of its activations are taken from."""

    def __post_init__(self) -> None:
        at_least("export.calibration_images", self.calibration_images, 1)
