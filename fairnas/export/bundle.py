"""Folder of one exported network, written and read. `card.WHAT_FILES_ARE` describes its files.

`model.json` is deleted before the first file is written and written after the last one, so a folder without it is an
incomplete export, which `load` refuses.
"""

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnas.atomic_files import checksum, write_atomically
from fairnas.errors import ModelFileError
from fairnas.export.card import model_card
from fairnas.export.facts import INT8, ONNX, Int8Facts, ModelFacts
from fairnas.export.graph import to_onnx
from fairnas.export.int8 import Quantisation, accuracy_lost, to_int8
from fairnas.export.parity import check_int8, check_labels, check_parity, check_program
from fairnas.export.product import Product
from fairnas.export.program import to_program
from fairnas.export.seal import FACTS, digests_in, has_broken_seal, require_intact
from fairnas.export.timing import latency_facts
from fairnas.export.weights import LoadedNetwork, content_digest, encode_weights, read_weights
from fairnas.nets import cost
from fairnas.space import format_genome
from fairnas.space.file import to_dict
from fairnas.untrusted import parse_json
from fairnas.versions import version_of

WEIGHTS, CONFIG, PROGRAM, CARD = "model.safetensors", "config.json", "model.pt2", "README.md"
OLD_WEIGHTS = "weights.safetensors"
"""Name of the weights before the folder had the layout of the Hugging Face hub."""

_FORM = 5  # format number of the folder; increased when files or facts change, so that they are written again
_MAKERS = ("fairnas", "torch", "onnx", "onnxscript", "onnxruntime")  # packages whose versions the files depend on


@dataclass(frozen=True)
class ExportReport:
    """Result of one export."""

    facts: ModelFacts
    """Content of `model.json`."""
    unchanged: bool = False
    """True if the folder already had this content and was left alone."""


def export_product(folder: Path, product: Product, quantisation: Quantisation | None = None) -> ExportReport:
    """Write a network's folder: everything is made and checked in memory first, then each file is written atomically.

    A folder that already has this content, undamaged, is left alone.

    Args:
        folder: created if it does not exist.
        product: the network and the facts about it.
        quantisation: calibration of an int8 model; None for no such model.

    Raises:
        ExportError: if an exported model does not compute what the network computes. Nothing is written then.
        RunDirectoryError: if the folder cannot be written.
    """
    made_of = _made_of(product, quantisation)
    before = _exported_before(folder, made_of)
    if before is not None:
        return ExportReport(before, unchanged=True)
    contents, found = _made(product, quantisation)
    size = cost(product.network.space, product.network.genome)
    files = (*contents, CARD, FACTS)
    facts = ModelFacts(
        **vars(product.facts()), **found, madds=size.madds, params=size.params, files=files, sha256={}, made_of=made_of
    )
    contents[CARD] = model_card(facts).encode()
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    facts = dataclasses.replace(facts, sha256=checksums)
    _write(folder, contents, facts)
    return ExportReport(facts)


def _made(product: Product, quantisation: Quantisation | None) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Content of the files by name, each checked; and the facts measured on them."""
    onnx_model = to_onnx(product)
    parity_error = check_parity(product.network, onnx_model)
    check_labels(product, onnx_model)
    program = to_program(product)
    program_parity_error = check_program(product.network, program)
    contents = {WEIGHTS: encode_weights(product), CONFIG: _config(product), ONNX: onnx_model, PROGRAM: program}
    int8 = None
    if quantisation is not None:
        images = quantisation.calibration()
        contents[INT8] = to_int8(onnx_model, images, product.description())
        check_int8(product.network, contents[INT8])
        check_labels(product, contents[INT8])
        lost = accuracy_lost(onnx_model, contents[INT8], quantisation)
        int8 = Int8Facts(len(images), lost)
    assert not any(map(has_broken_seal, contents.values()))
    latency = latency_facts({name: contents[name] for name in (ONNX, INT8) if name in contents})
    errors = {"parity_error": parity_error, "program_parity_error": program_parity_error}
    return contents, errors | {"int8": int8, "latency": latency}


def _write(folder: Path, contents: Mapping[str, bytes], facts: ModelFacts) -> None:
    with contextlib.suppress(OSError):  # an error here also makes the write fail, which reports it
        (folder / FACTS).unlink()
    for name, content in contents.items():
        write_atomically(folder / name, content)
    for outdated in {OLD_WEIGHTS, INT8} - contents.keys():
        (folder / outdated).unlink(missing_ok=True)
    write_atomically(folder / FACTS, (json.dumps(facts.to_dict(), indent=1) + "\n").encode())


def _made_of(product: Product, quantisation: Quantisation | None) -> str:
    """Hash of everything that the files depend on. Seed and data of the calibration are part of the provenance."""
    content = [_FORM, content_digest(product), product.facts().to_dict(), quantisation and quantisation.images]
    content.append([version_of(name) for name in _MAKERS])
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _exported_before(folder: Path, made_of: str) -> ModelFacts | None:
    """Facts of an undamaged folder that was made from the same inputs; else None, so that it is made again."""
    try:
        facts = ModelFacts.from_dict(parse_json((folder / FACTS).read_text(encoding="utf-8")))
        good = all(checksum(folder / name) == digest for name, digest in facts.sha256.items())
    except (OSError, ValueError):
        return None
    return facts if good and facts.made_of == made_of else None


def _config(product: Product) -> bytes:
    """Content of `config.json`, for the hub. It is never read back; the weights' own metadata have a checksum."""
    facts = product.facts().to_dict()
    kept = {key: facts[key] for key in ("genome", "classes", "preprocessing", "licence")}
    content = {"model_type": "fairnas", "space": to_dict(product.network.space), **kept}
    return (json.dumps(content, indent=1) + "\n").encode()


def load(path: Path | str) -> LoadedNetwork:
    """Load an exported network, on the CPU, in eval mode. Reading it runs no code.

    It has the names of its outputs as `classes`, and `preprocessing`, whose `read` turns an image file into its input.

    Args:
        path: a folder that `fairnas export` of this or an earlier version wrote, or its safetensors file alone.

    Raises:
        ModelFileError: if the file is absent, truncated, damaged, foreign, or holds another genome's weights; or if
            the folder is an incomplete export, or its `model.json` belongs to other files.
    """
    path = Path(path)
    if not path.is_dir():
        return read_weights(path)
    old = (path / OLD_WEIGHTS).exists() and not (path / WEIGHTS).exists()
    network = read_weights(path / (OLD_WEIGHTS if old else WEIGHTS))
    genome, facts = format_genome(network.genome), _facts(path / FACTS)
    if facts["genome"] != genome:
        raise ModelFileError(
            f"{path} holds weights of genome '{genome}' and {FACTS} of another genome; export the model again"
        )
    require_intact(path / (OLD_WEIGHTS if old else WEIGHTS), digests_in(facts))
    return network


def _facts(path: Path) -> dict[str, Any]:
    try:
        facts = parse_json(path.read_text(encoding="utf-8"))
        _ = facts["genome"]
        return facts
    except FileNotFoundError:
        raise ModelFileError(
            f"{path.parent} has no {FACTS}: its export was interrupted; export the model again, "
            "or give the safetensors file alone"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFileError(f"{path} is damaged ({error!r}); export the model again") from None
