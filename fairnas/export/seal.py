"""Digests in exported files, by which each file can be checked to be as it was exported. No torch.

The last 64 characters of an ONNX model and of a PyTorch program are the SHA-256 of all that comes before, so that a
file can be checked by itself: `head -c -64 FILE | sha256sum` must give the same. In ONNX they are metadata, under
`sha256`; in a program, which is a zip archive, they end its comment. `model.json` has the SHA-256 of every file.
"""

import hashlib
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fairnas.data.class_folders import shown
from fairnas.errors import ModelFileError
from fairnas.untrusted import parse_json

FACTS = "model.json"
_DIGITS = 64  # of a SHA-256 in hexadecimal
# a metadata entry of an ONNX model (field 14 of the protocol buffer) of 74 bytes: its key, then its value
_ONNX = b"\x72\x4a\x0a\x06sha256\x12\x40"
_ZIP = b"SHA-256 of all before: "
_SHOWN = 12  # characters of a digest, in messages


def sealed_onnx(content: bytes) -> bytes:
    """Return an ONNX model with its digest as the last entry of its metadata, which readers see as one more entry."""
    return _sealed(content + _ONNX)


def sealed_zip(content: bytes) -> bytes:
    """Return a zip archive, which had no comment, with its digest in the comment."""
    assert content[-22:-18] == b"PK\5\6", "the end of a zip archive that has no comment"
    assert content[-2:] == b"\0\0", "the length of its comment"
    return _sealed(content[:-2] + (len(_ZIP) + _DIGITS).to_bytes(2, "little") + _ZIP)


def _sealed(content: bytes) -> bytes:
    return content + hashlib.sha256(content).hexdigest().encode()


def has_broken_seal(content: bytes | mmap.mmap) -> bool:
    """True if a file ends with a digest that is not that of its content."""
    end = len(content) - _DIGITS
    if end < 0 or not any(content[max(0, end - len(mark)) : end] == mark for mark in (_ONNX, _ZIP)):
        return False
    with memoryview(content) as view, view[:end] as covered:
        return hashlib.sha256(covered).hexdigest().encode() != content[end:]


def require_intact(path: Path, digests: Mapping[str, str]) -> None:
    """Raise `ModelFileError` if a file is known not to be as it was exported.

    Args:
        path: of the file.
        digests: digests of the files in its folder, by name, from `digests_in`; empty for a single file.
    """
    if path.name in digests:
        found, expected = _of_file(path), digests[path.name]
        if found != expected:
            raise ModelFileError(
                f"{shown(path)} is not the file that was exported: its SHA-256 begins with {found[:_SHOWN]}, and "
                f"{FACTS} says {expected[:_SHOWN]}; restore the file, or export the model again"
            )
        return
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            is_broken = has_broken_seal(content)
    except (OSError, ValueError):  # empty or not a file, which the reader of the file will report
        return
    if is_broken:
        raise ModelFileError(
            f"{shown(path)} has changed since it was exported: its SHA-256 is not the one at its end; restore "
            "the file, or export the model again (if it was changed on purpose, remove 'sha256' from its metadata)"
        )


def _of_file(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelFileError(f"cannot read {shown(path)}: {error.strerror}; export the model again") from None


def digests_in(facts: Any) -> dict[str, str]:
    """Return the digests in the content of a `model.json`; empty if it has none."""
    digests = facts.get("sha256") if isinstance(facts, dict) else None
    if not isinstance(digests, dict):
        return {}
    return {name: digest for name, digest in digests.items() if isinstance(digest, str)}


def digests_beside(path: Path, is_needed: bool) -> dict[str, str]:
    """Return the digests in the `model.json` beside a file; empty if there is no such file.

    Args:
        path: of the file.
        is_needed: True if the folder was given. A `model.json` beside a single file may be unrelated to it.

    Raises:
        ModelFileError: if it is needed and damaged.
    """
    facts = path.parent / FACTS
    try:
        return digests_in(parse_json(facts.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        if is_needed:
            raise ModelFileError(f"{shown(facts)} is damaged ({error}); export the model again") from None
        return {}
