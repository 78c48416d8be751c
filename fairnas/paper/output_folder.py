"""Output folder of a figure, with its settings in `figure.json`: a second call continues with the same settings."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairnas.atomic_files import write_atomically
from fairnas.directory_lock import held
from fairnas.errors import RunDirectoryError
from fairnas.untrusted import parse_json


@contextlib.contextmanager
def claimed(out: Path, settings: Mapping[str, Any]) -> Iterator[None]:
    """Hold `out` for this process, as the folder of a new or a resumed figure.

    Raises:
        RunDirectoryError: if it holds anything else, is in use, or cannot be written. Nothing is changed then.
    """
    path = out / "figure.json"
    _require_nothing_else(out, path)  # before a lock is left among somebody's files
    with held(out, is_begun=path.exists):
        _require_nothing_else(out, path)
        _settle(out, path, settings)
        yield


def _require_nothing_else(out: Path, path: Path) -> None:
    holds_others = out.exists() and (not out.is_dir() or any(not file.name.startswith(".") for file in out.iterdir()))
    if holds_others and not path.exists():  # checked last, because another process may have begun a figure meanwhile
        raise RunDirectoryError(f"{out} exists and is not the folder of a figure; give a new or an empty --out")


def _settle(out: Path, path: Path, settings: Mapping[str, Any]) -> None:
    if path.exists():
        try:
            stored = dict(_leaves(parse_json(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, AttributeError) as error:
            raise RunDirectoryError(f"{path} is damaged ({error}); give another --out") from None
        given = dict(_leaves(settings))
        # a setting newer than the folder has its default there; the runs inside refuse any other value
        differing = [key for key, value in stored.items() if value != given.get(key)]
        if differing:
            detail = ", ".join(f"{key} is {stored.get(key)}, given {given.get(key)}" for key in differing)
            raise RunDirectoryError(
                f"{out} holds a figure with other settings ({detail}); use another --out, or the same settings"
            )
        return
    write_atomically(path, (json.dumps(settings, indent=1) + "\n").encode())


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield (above + key).removeprefix("base."), value
