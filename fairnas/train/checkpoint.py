"""Checkpoints: everything a training needs to go on exactly, written atomically, read without running code."""

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from fairnas.errors import CheckpointError
from fairnas.rundir import write_atomically

FORMAT = "fairnas checkpoint"
VERSION = 1


def write_checkpoint(path: Path, kind: str, content: dict[str, Any]) -> None:
    """Replace a checkpoint. Raises `RunDirectoryError` on a full disk; the previous checkpoint survives.

    Args:
        path: of the file.
        kind: what is saved, such as `supernet`; asked for again when reading.
        content: tensors, numbers, strings, and lists and dicts of them.
    """
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "version": VERSION, "kind": kind, **content}, buffer)
    write_atomically(path, buffer.getvalue())


def read_checkpoint(path: Path, kind: str) -> dict[str, Any]:
    """Read a checkpoint on the CPU.

    Raises:
        CheckpointError: if the file is absent, truncated, damaged, foreign, of another version or kind, or holds
            anything but plain data (which is refused, not run).
    """
    remedy = f"delete it to train again ({path})"
    try:
        with zipfile.ZipFile(path) as archive:
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
