"""What is exported beside weights and ONNX."""

import re
from dataclasses import dataclass

from fairnas.config.checks import at_least
from fairnas.config.settings import Advanced, Common
from fairnas.errors import ConfigError

_SPDX = re.compile(r"[A-Za-z0-9.+:() -]{1,200}")


@dataclass(frozen=True)
class ExportConfig:
    """The files of an exported network."""

    int8: Common[bool] = False
    """Also an ONNX model in 8 bits, calibrated on training images, with the accuracy that it loses."""
    calibration_images: Advanced[int] = 256
    """Training images that the ranges of its activations are taken from."""
    licence: Common[str | None] = None
    """Of the weights, which are yours: an SPDX expression such as Apache-2.0; it stands in every file that is exported.
    Default: none is stated."""

    def __post_init__(self) -> None:
        at_least("export.calibration_images", self.calibration_images, 1)
        if self.licence is not None and not _SPDX.fullmatch(self.licence):
            raise ConfigError(
                f"export.licence is {self.licence!r}; give an SPDX expression such as Apache-2.0 or LicenseRef-Ours"
            )
