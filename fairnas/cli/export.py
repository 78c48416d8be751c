"""`fairnas export --run DIR`: networks as files to use."""

from collections.abc import Sequence
from dataclasses import dataclass

from fairnas.cli.parsing import RunArguments, parse
from fairnas.cli.stage import do_stage


@dataclass(frozen=True)
class ExportVerb(RunArguments):
    """Write the retrained networks of a run as ONNX and safetensors, each proved to compute what it should.

    Example:
        fairnas export --run runs/digits
    """


def main(arguments: Sequence[str]) -> None:
    """Parse, export, print."""
    do_stage("export", parse(ExportVerb, arguments, "export"))
