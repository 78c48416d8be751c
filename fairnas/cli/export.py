"""`fairnas export --run DIR`: networks as files for use."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from fairnas.cli.parsing import RunArguments, UsageError, parse
from fairnas.cli.stage import do_stage
from fairnas.config import ExportConfig
from fairnas.rundir import RunDirectory


@dataclass(frozen=True)
class ExportVerb(RunArguments):
    """Write the retrained networks of a run as ONNX, PyTorch program and safetensors, verified to compute the same.

    Settings given here replace the run's; networks whose files would not change are not exported again.

    Examples:
        fairnas export --run runs/digits
        fairnas export --run runs/digits --int8 --licence Apache-2.0
    """

    int8: bool = False
    """Write an ONNX model in 8 bits too, and measure the accuracy it loses; default: as in the run."""
    no_int8: bool = False
    """Write no ONNX model in 8 bits, even if the run's settings ask for it."""
    calibration_images: int | None = None
    """Number of training images from which the ranges of the int8 model are taken; default: the run's."""
    licence: str | None = None
    """Licence of the weights, an SPDX expression such as Apache-2.0. `none`: not stated."""


def main(arguments: Sequence[str]) -> None:
    """Parse, export, print."""
    given = parse(ExportVerb, arguments, "export")
    config = RunDirectory.open(given.run).config
    changed = dataclasses.replace(config, export=_settings(given, config.export))
    do_stage("export", given, config=changed, instead_of=config)


def _settings(given: ExportVerb, ours: ExportConfig) -> ExportConfig:
    """Return the run's settings with those given in their place."""
    if given.int8 and given.no_int8:
        raise UsageError("--int8 and --no-int8 contradict each other; give one of them")
    if given.calibration_images is not None and (given.no_int8 or not (given.int8 or ours.int8)):
        raise UsageError("--calibration-images is for the model in 8 bits, which is not made; give --int8, too")
    return dataclasses.replace(
        ours,
        int8=given.int8 or (ours.int8 and not given.no_int8),
        calibration_images=ours.calibration_images if given.calibration_images is None else given.calibration_images,
        licence=ours.licence if given.licence is None else None if given.licence == "none" else given.licence,
    )
