"""File of a network's weights: safetensors, with everything needed to build the network again.

Reading it runs no code. The metadata are strings: `format`, `version`, `genome`, `sha256`, and as JSON
`space`, `classes` and `preprocessing`, and `licence`, which the first files did not have.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch

from fairnas.errors import GenomeError, ModelFileError, SpaceError
from fairnas.export.preprocessing import Preprocessing
from fairnas.export.product import Product
from fairnas.export.session import Labels, labels_in
from fairnas.nets import StandAlone
from fairnas.nets.blocks import materialise
from fairnas.space import Genome, SearchSpace, format_genome
from fairnas.space.file import from_dict, to_dict
from fairnas.untrusted import parse_json

FORMAT = "fairnas model"
VERSION = "1"
COVERED = ("space", "classes", "preprocessing")  # protected by the checksum; the genome is checked by the shapes


def encode_weights(product: Product) -> bytes:
    """Content of the file."""
    from safetensors.torch import save

    state = product.network.state_dict()
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        **product.description(),
        "space": json.dumps(to_dict(product.network.space)),  # the whole space, not only its name
    }
    return _ordered(save(tensors, metadata | {"sha256": _digest(metadata, tensors)}))


def _ordered(content: bytes) -> bytes:
    """Same file with its header sorted, because safetensors writes metadata in a random order."""
    length = int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8 : 8 + length]), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    text = header.encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of 8
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


def content_digest(product: Product) -> str:
    """SHA-256 of the weights and their description: equal for the same network in the same space."""
    state = product.network.state_dict()
    described = product.description() | {"space": json.dumps(to_dict(product.network.space))}
    return _digest(described, {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})


class LoadedNetwork(StandAlone):
    """Network that was loaded, with the description of its input and output from its file."""

    classes: tuple[str, ...]
    """Names of the outputs, in order."""
    preprocessing: Preprocessing
    """Preprocessing of its input: `preprocessing.read(FILE)`."""

    def __init__(self, space: SearchSpace, genome: Genome, labels: Labels) -> None:
        super().__init__(space, genome)
        self.classes, self.preprocessing = labels.classes, labels.preprocessing


def read_weights(path: Path) -> LoadedNetwork:
    """Build the network in a file, on the CPU in eval mode.

    Raises:
        ModelFileError: if the file is anything but what `encode_weights` wrote.
    """
    metadata, tensors = _read(path)
    try:
        space = from_dict(parse_json(metadata["space"]))
        genome = space.parse(metadata["genome"])
    except (json.JSONDecodeError, SpaceError, GenomeError) as error:
        raise ModelFileError(f"{path}: {error}; export the model again") from None
    try:
        labels = labels_in(metadata)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from None
    with torch.device("meta"):  # meta device, because a malicious file could ask for more than the memory
        network = LoadedNetwork(space, genome, labels)
    wanted, found = (_shapes(state) for state in (network.state_dict(), tensors))
    differing = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if differing:
        name = differing[0]
        raise ModelFileError(
            f"{path} holds weights of another genome than '{format_genome(genome)}': {name} is "
            f"{found.get(name, 'absent')}, and should be {wanted.get(name, 'absent')}; export the model again"
        )
    if len(labels.classes) != space.num_classes:
        raise ModelFileError(
            f"{path} has {len(labels.classes)} class names for {space.num_classes} outputs; export the model again"
        )
    materialise(network, torch.Generator())
    network.load_state_dict(tensors)
    return network.eval()


def _read(path: Path) -> tuple[Mapping[str, str], Mapping[str, torch.Tensor]]:
    """Metadata and tensors of a file, as they were written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            _check_origin(path, metadata)
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except FileNotFoundError:
        raise ModelFileError(
            f"there is no {path}; give a folder that `fairnas export` wrote, or its model.safetensors"
        ) from None
    except (OSError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise ModelFileError(
            f"{path} is truncated or not a safetensors file ({reason}); export the model again"
        ) from None
    if _digest(metadata, tensors) != metadata["sha256"]:
        raise ModelFileError(f"{path} is damaged: its checksum is wrong; restore it or export the model again")
    return metadata, tensors


def _check_origin(path: Path, metadata: Mapping[str, str]) -> None:
    if metadata.get("format") != FORMAT:
        raise ModelFileError(f"{path} was not written by fairnas; give the model.safetensors of an exported model")
    if metadata.get("version") != VERSION:
        raise ModelFileError(
            f"{path} has version {metadata.get('version')}, this fairnas reads {VERSION}; use the fairnas that wrote it"
        )
    absent = {"genome", "sha256", *COVERED} - metadata.keys()
    if absent:
        raise ModelFileError(f"{path} lacks {', '.join(sorted(absent))}; export the model again")


def _shapes(tensors: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    """Names and shapes, which differ between any two genomes of a space."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def _digest(metadata: Mapping[str, str], tensors: Mapping[str, torch.Tensor]) -> str:
    """SHA-256 of the content, not of the bytes: safetensors has no checksum, and writes metadata in random order."""
    covered = [metadata[key] for key in (*COVERED, "licence") if key in metadata]
    digest = hashlib.sha256(json.dumps(covered).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype}".encode())
        digest.update(tensors[name].reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
