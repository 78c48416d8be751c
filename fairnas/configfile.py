"""A configuration as a TOML file: written, read with every mistake named, and compared with another."""

import dataclasses
import functools
import json
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from fairnas.config import RunConfig
from fairnas.errors import ConfigError, UnknownNameError
from fairnas.untrusted import parse_toml

if TYPE_CHECKING:
    from pydantic import TypeAdapter


def to_toml(config: RunConfig) -> str:
    """The configuration as TOML; fields that are None are left out. `from_toml` reads it back equal."""
    return tomli_w.dumps(_without_none(dataclasses.asdict(config)))


def from_toml(text: str, default: RunConfig | None = None, source: str = "the configuration") -> RunConfig:
    """Read a configuration; keys that the text leaves out keep the value in `default`.

    Raises `ConfigError` for a syntax error, an unknown key (with the nearest known one) or a wrong type.
    """
    from pydantic import ValidationError  # 60 ms that `--help` needs not pay

    try:
        given = parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not valid TOML: {error}; see `fairnas run --help` for the keys") from None
    _check_keys(given, dataclasses.asdict(RunConfig(recipe="")), source)
    base = _without_none(dataclasses.asdict(default)) if default else {}
    try:
        # through JSON, because only there does strict mode take tables for dataclasses; a date becomes a list,
        # which no setting takes
        plain = json.dumps(_merged(base, given), default=lambda date: [str(date)])
        return _reader().validate_json(plain, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "missing":
            raise ConfigError(f"{source} lacks the key '{key}'; add it, or begin with a recipe") from None
        message = first["msg"].removeprefix("Value error, ")
        subject = "" if first["type"] == "value_error" else f"key '{key}' = {first['input']!r}: "
        raise ConfigError(f"{source}: {subject}{message}") from None


@functools.cache  # making one takes 15 ms, and a run reads its configuration about a hundred times
def _reader() -> "TypeAdapter[RunConfig]":
    from pydantic import TypeAdapter

    return TypeAdapter(RunConfig)


def differing_keys(a: RunConfig, b: RunConfig) -> tuple[str, ...]:
    """Dotted names of the settings that differ and that results depend on (`resources` never counts)."""
    left, right = (dict(_leaves(dataclasses.asdict(config))) for config in (a, b))
    return tuple(".".join(key) for key in left if key[0] != "resources" and left[key] != right[key])


def flat_settings(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Dotted key and text of each setting that is written."""
    for keys, value in _leaves(tomllib.loads(to_toml(config))):
        yield ".".join(keys), json.dumps(value)


def _check_keys(given: dict[str, Any], known: dict[str, Any], source: str, above: str = "") -> None:
    for key, value in given.items():
        if key not in known:
            names = (".".join(path) for path, _ in _leaves(dataclasses.asdict(RunConfig(recipe=""))))
            raise ConfigError(f"{source}: {UnknownNameError('key', above + key, names)}")
        if isinstance(known[key], dict) != isinstance(value, dict):
            wanted = f"settings under [{above}{key}]" if isinstance(known[key], dict) else "one value"
            raise ConfigError(f"{source}: key '{above}{key}' = {value!r}; give {wanted}")
        if isinstance(value, dict):
            _check_keys(value, known[key], source, f"{above}{key}.")


def _leaves(tree: dict[str, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _leaves(value, (*above, key))
        else:
            yield (*above, key), value


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    return base | {k: _merged(base[k], v) if isinstance(v, dict) and k in base else v for k, v in over.items()}


def _without_none(tree: dict[str, Any]) -> dict[str, Any]:
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in tree.items() if v is not None}


def read_config(path: Path, default: RunConfig | None = None) -> RunConfig:
    """Read a TOML file over `default`. Raises `ConfigError`, also when the file is absent or not text."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}; give a TOML file") from None
    return from_toml(text, default, source=str(path))
