"""Checkpoints: the complete state of a training, written atomically, read without running code."""

import io
import pickle
import pickletools
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import torch

from fairnas.atomic_files import write_atomically
from fairnas.errors import CheckpointError

FORMAT = "fairnas checkpoint"
VERSION = 1


_STORAGE = re.compile(r"torch [A-Za-z0-9]+Storage")

# Exceptions that torch's reader of plain data raises for invalid content, beside its own.
_DAMAGE = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, MemoryError, TypeError, ValueError),
    *(RecursionError, struct.error),
)

# Names that torch writes for tensors and ordered dicts. Torch's own list of safe names is longer, and contains calls
# that can fill the memory.
_GLOBALS = frozenset({"torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter", "collections OrderedDict"})


def write_checkpoint(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Replace a checkpoint. Raises `RunDirectoryError` on a full disk; the previous checkpoint survives.

    Args:
        path: of the file.
        kind: kind of training, such as `supernet`; reading requires the same kind.
        content: tensors, numbers, strings, and lists and dicts of them.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "version": VERSION, "kind": kind, **content}, buffer)
    write_atomically(path, buffer.getvalue())


def _require_plain(archive: zipfile.ZipFile, remedy: str) -> None:
    """Raise `CheckpointError` for content that torch never writes: compressed members, or calls other than for tensors.

    The pickle inside is parsed, not run.
    """
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED or member.file_size != member.compress_size:
            raise CheckpointError(f"the checkpoint is compressed, which fairnas never does; {remedy}")
        if member.filename.endswith("/data.pkl") and not _is_plain(archive.read(member)):
            raise CheckpointError(f"the checkpoint holds code or foreign objects and was not loaded; {remedy}")


def _is_plain(pickled: bytes) -> bool:
    """True if a pickle names only what torch writes for tensors."""
    for code, argument, _ in pickletools.genops(pickled):
        if code.name == "PROTO" and argument != 2:  # torch writes protocol 2; its reader only warns of others
            return False
        if code.name in ("STACK_GLOBAL", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4"):
            return False
        if code.name == "GLOBAL" and argument not in _GLOBALS and not _STORAGE.fullmatch(str(argument)):
            return False
    return True


def read_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    """Read a checkpoint on the CPU.

    Raises:
        CheckpointError: if the file is missing, truncated, damaged, foreign, of another version or kind, or contains
            anything but plain data (which is refused, not run).
    """
    remedy = f"delete it to train again ({path})"
    try:
        with zipfile.ZipFile(path) as archive:
            _require_plain(archive, remedy)
            damaged = archive.testzip()  # torch does not check the checksums that it writes
        if damaged is not None:
            raise CheckpointError(f"the checkpoint is damaged at '{damaged}'; {remedy}")
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise CheckpointError(f"there is no checkpoint {path}; `fairnas train` makes one") from None
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"the checkpoint is truncated or not a checkpoint ({reason}); {remedy}") from None
    except pickle.UnpicklingError:
        raise CheckpointError(f"the checkpoint holds code or foreign objects and was not loaded; {remedy}") from None
    except CheckpointError:
        raise
    except _DAMAGE as error:
        raise CheckpointError(f"the checkpoint is not what was written ({type(error).__name__}); {remedy}") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"the file was not written by fairnas; {remedy}")
    if content.get("version") != VERSION:
        raise CheckpointError(
            f"the checkpoint has version {content.get('version')}, this fairnas reads {VERSION}; "
            f"use the fairnas that wrote it, or {remedy}"
        )
    if content.get("kind") != kind:
        raise CheckpointError(f"the checkpoint holds a {content.get('kind')}, not a {kind}; {remedy}")
    return content
