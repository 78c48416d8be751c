"""`fairnas VERB`: find the verb, and turn every outcome into an exit code and one line."""

import importlib
import json
import os
import sys
import traceback
from collections.abc import Sequence

from fairnas.cli.hangup import HungUp, hangup_raised
from fairnas.cli.memory import too_little_memory
from fairnas.cli.streams import OutputError, ReaderLeft, guarded_streams
from fairnas.data.finding import RefusedImages
from fairnas.errors import (
    ConfigError,
    FairnasError,
    LostProcessError,
    LostTrainingError,
    LostWorkersError,
    ProcessesDisagree,
    UnknownNameError,
)

VERBS: dict[str, str] = {
    "run": "the whole story: train, search, select, retrain, rank, export, report",
    "plan": "estimate the cost of a run (hours, memory, disk) from a few measured steps",
    "train": "stage one: train a supernet",
    "search": "stage two: search the trained supernet and select networks",
    "retrain": "train selected networks for use",
    "rank": "train more networks and judge the supernet's ranking",
    "export": "the retrained networks as ONNX, int8, PyTorch and safetensors files",
    "predict": "classify images with an exported network",
    "report": "write report.html",
    "watch": "the report of a run that is going on, live in the browser",
    "audit": "the fairness verdict over a run",
    "compare": "weight-sharing systems compared: the paper's Table 1, measured",
    "similarity": "similarity of the choice blocks of every layer: why single-path training works",
    "figure": "a figure of the paper, from our own experiment",
    "describe": "layers, multiply-adds and parameters of a genome",
    "spaces": "the search spaces, with sizes",
    "latency": "milliseconds of every choice block of a space on this CPU, or of an ONNX model",
    "zoo": "published networks, our counts beside the paper's",
    "strategies": "the training strategies, which choose the paths of a supernet step",
    "searchers": "the search algorithms, which propose genomes",
    "doctor": "versions, device, and what is missing",
}

DONE, OUR_FAULT, WRONG_INPUT, HUNG_UP, INTERRUPTED = 0, 1, 2, 129, 130  # the last two as in a shell: 128 + signal

_HELP = """usage: fairnas VERB [options]

Weight-sharing neural architecture search that can be trusted.

{verbs}

`fairnas VERB --help` describes one, `fairnas run --help-all` lists every setting. Every verb takes --json (one JSON
object on standard output, nothing else there) and --debug (tracebacks). Exit codes: 0 done, 2 wrong input, 130
interrupted, 129 terminal closed, 1 our fault.

example: fairnas run digits --out runs/digits
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    outcome = OUR_FAULT
    try:
        with guarded_streams():
            outcome = _outcome(arguments)
    except OutputError as error:
        print(f"fairnas: {error}", file=sys.stderr)
        return WRONG_INPUT
    except ReaderLeft:  # a reader such as `head` has seen enough; the work is done
        return outcome if outcome != OUR_FAULT else DONE
    return outcome


def _outcome(arguments: Sequence[str] | None) -> int:
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    try:
        with hangup_raised():
            return _dispatch(arguments)
    except (OutputError, ReaderLeft):
        raise
    except FairnasError as error:
        if debug:
            traceback.print_exc()
        print(f"fairnas: {error}", file=sys.stderr)
        if isinstance(error, RefusedImages) and "--json" in arguments:
            print(json.dumps({"refused": error.finding.to_dict()}, indent=1))
        return WRONG_INPUT
    except (LostProcessError, LostTrainingError, LostWorkersError, ProcessesDisagree) as error:
        print(f"fairnas: {error}", file=sys.stderr)
        return OUR_FAULT
    except HungUp:
        print("fairnas: the terminal was closed; run the same command again to go on", file=sys.stderr)
        return HUNG_UP
    except KeyboardInterrupt as error:
        if str(error):  # nothing to resume, as its message says
            print(f"fairnas: interrupted; {error}", file=sys.stderr)
        else:
            print("fairnas: interrupted; run the same command again to go on", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        if line := too_little_memory(error, arguments[0]):
            print(f"fairnas: {line}", file=sys.stderr)
            return WRONG_INPUT
        # any path may be in a folder without permission
        if isinstance(error, PermissionError) and error.filename is not None:
            path = os.fsencode(str(error.filename)).decode("utf-8", "replace")
            print(f"fairnas: cannot use {path}: permission denied; make it accessible to you", file=sys.stderr)
            return WRONG_INPUT
        reason = str(error).splitlines()[0] if str(error) else ""
        print(f"fairnas: our fault: {type(error).__name__}: {reason} (--debug shows where)", file=sys.stderr)
        return OUR_FAULT


def _dispatch(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        width = max(map(len, VERBS))
        print(_HELP.format(verbs="\n".join(f"  {verb:{width}}  {line}" for verb, line in VERBS.items())), end="")
        return DONE
    if arguments[0] == "--version":
        from fairnas import __version__

        print(f"fairnas {__version__}")
        return DONE
    verb = arguments[0]
    if verb not in VERBS:
        raise UnknownNameError("verb", verb, VERBS)
    if verb != "train" and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(f"torchrun starts several processes, and `fairnas {verb}` works in one; start it without")
    module = importlib.import_module(f"fairnas.cli.{verb}")
    module.main(arguments[1:])
    return DONE
