"""Settings of the export, apart from weights and ONNX, which are always written."""

import re
from dataclasses import dataclass

from fairnas.config.checks import at_least
from fairnas.config.settings import Advanced, Common
from fairnas.errors import ConfigError

_SPDX = re.compile(r"[A-Za-z0-9.+:() -]{1,200}")


@dataclass(frozen=True)
class ExportConfig:
    """Optional files and statements of an exported network."""

    int8: Common[bool] = False
    """Write an ONNX model in 8 bits too, calibrated on training images, and measure the accuracy it loses."""
    calibration_images: Advanced[int] = 256
    """Number of training images from which the ranges of its activations are taken."""
    licence: Common[str | None] = None
    """Licence of the weights, which are yours: an SPDX expression such as Apache-2.0, written into every exported file.
    Default: none is stated.
    """

    def __post_init__(self) -> None:
        at_least("export.calibration_images", self.calibration_images, 1)
        if self.licence is not None and not _SPDX.fullmatch(self.licence):
            raise ConfigError(
                f"export.licence is {self.licence!r}; give an SPDX expression such as Apache-2.0 or LicenseRef-Ours"
            )
