"""The folder of one exported network, written and read.

    weights.safetensors   weights, genome and space: enough to build the network again (`fairnas.load`)
    model.onnx            the same network for any runtime, proved to compute the same
    model.json            size, measures and provenance

The last is written last: a first export that was interrupted has none.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from fairnas.export.graph import to_onnx
from fairnas.export.parity import check_parity
from fairnas.export.product import Product
from fairnas.export.weights import ModelFileError, encode_weights, read_weights
from fairnas.nets import StandAlone, cost
from fairnas.rundir import write_atomically
from fairnas.space import format_genome

WEIGHTS, ONNX, FACTS = FILES = ("weights.safetensors", "model.onnx", "model.json")


@dataclass(frozen=True)
class ExportReport:
    """What one export wrote."""

    parity_error: float
    """Largest difference between onnxruntime and eager mode, relative to the largest output."""
    files: tuple[str, ...]
    """Names in the folder."""
    madds: int
    """Multiply-adds for one image."""
    params: int
    """Trainable numbers."""


def export_product(folder: Path, product: Product) -> ExportReport:
    """Write a network's folder: all is made and proved in memory first, then each file appears as a whole.

    Raises:
        ExportError: if the ONNX model does not compute what the network computes. Nothing is written then.
        RunDirectoryError: if the folder cannot be written.
    """
    onnx_model = to_onnx(product)
    parity_error = check_parity(product.network, onnx_model)
    space = product.network.space
    size = cost(space, product.network.genome)
    facts = {
        "genome": product.genome,
        "space": space.name,
        "madds": size.madds,
        "params": size.params,
        "classes": list(product.classes),
        "preprocessing": product.preprocessing.to_dict(),
        "measures": dict(product.measures),
        "provenance": dict(product.provenance),
        "parity_error": parity_error,
        "files": list(FILES),
    }
    write_atomically(folder / WEIGHTS, encode_weights(product))
    write_atomically(folder / ONNX, onnx_model)
    write_atomically(folder / FACTS, (json.dumps(facts, indent=1) + "\n").encode())
    return ExportReport(parity_error, FILES, size.madds, size.params)


def load(path: Path | str) -> StandAlone:
    """An exported network, ready to be used: on the CPU, in eval mode. Reading it runs no code.

    Args:
        path: a folder that `fairnas export` wrote, or a `weights.safetensors` alone.

    Raises:
        ModelFileError: if the file is absent, truncated, damaged, foreign, or holds another genome's weights.
    """
    path = Path(path)
    if not path.is_dir():
        return read_weights(path)
    network = read_weights(path / WEIGHTS)
    genome = format_genome(network.genome)
    if (path / FACTS).exists() and _genome_of(path / FACTS) != genome:
        raise ModelFileError(
            f"{path} holds weights of genome '{genome}' and {FACTS} of another genome; export the model again"
        )
    return network


def _genome_of(path: Path) -> str:
    try:
        return json.loads(path.read_text(encoding="utf-8"))["genome"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path} is damaged ({error!r}); export the model again") from None
