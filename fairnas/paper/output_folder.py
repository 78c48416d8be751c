"""Output folder of a figure, with its settings in `figure.json`: a second call continues with the same settings."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from fairnas.atomic_files import write_atomically
from fairnas.errors import RunDirectoryError
from fairnas.untrusted import parse_json


def claim(out: Path, settings: Mapping[str, Any]) -> None:
    """Make `out` the folder of a figure, or continue with it. Raises `RunDirectoryError` for any other folder."""
    path = out / "figure.json"
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
    if out.exists() and (not out.is_dir() or any(not file.name.startswith(".") for file in out.iterdir())):
        raise RunDirectoryError(f"{out} exists and is not the folder of a figure; give a new or an empty --out")
    write_atomically(path, (json.dumps(settings, indent=1) + "\n").encode())


def _leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield (above + key).removeprefix("base."), value
