"""Configurations as TOML files: written, read with errors that name the key, and compared."""

import dataclasses
import functools
import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from fairnas.config import RunConfig
from fairnas.config.settings import Setting, declared_settings, with_settings
from fairnas.errors import ConfigError, UnknownNameError
from fairnas.untrusted import parse_toml

if TYPE_CHECKING:
    from pydantic import TypeAdapter


_SCHEMA = "schema"
"""Key of the schema number in the configuration of a run (`rundir.SCHEMA`). Accepted when such a file is given for
another run.
"""


def to_toml(config: RunConfig) -> str:
    """Return the configuration as TOML, without fields that are None. `from_toml` reads it back equal."""
    return tomli_w.dumps(_without_none(dataclasses.asdict(config)))


def from_toml(text: str, default: RunConfig | None = None, source: str = "the configuration") -> RunConfig:
    """Read a configuration; keys absent from the text keep their value in `default`.

    Raises `ConfigError` for a syntax error, an unknown key (with the nearest known one) or a wrong type.
    """
    settings = settings_in(text, source)
    if default is None and "recipe" not in settings:
        raise ConfigError(f"{source} lacks the key 'recipe'; add it, or begin with a recipe")
    try:
        return with_settings(default or RunConfig(recipe=""), settings)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None


def settings_in(text: str, source: str) -> dict[str, Any]:
    """Read the settings of a TOML text, by dotted name, each checked for its type but not against the others.

    Args:
        text: content of the file.
        source: name of the file, for messages.

    Raises:
        ConfigError: in the cases of `from_toml`.
    """
    given = _parsed(text, source)
    given.pop(_SCHEMA, None)
    _check_keys(given, dataclasses.asdict(RunConfig(recipe="")), source)
    return {key: _typed(key, value, source) for key, value in leaves(given)}


def schema_of(text: str, source: str) -> Any:
    """Return the schema number written in the configuration of a run; None in a user's file."""
    return _parsed(text, source).get(_SCHEMA)


def _parsed(text: str, source: str) -> dict[str, Any]:
    try:
        return parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{source} is not valid TOML: {error}; see `fairnas run --help-all` for the keys") from None


def _typed(key: str, value: Any, source: str) -> Any:
    """Return the value converted to the setting's type. Raises `ConfigError`."""
    from pydantic import ValidationError  # takes 60 ms, which `--help` does not need to spend

    setting = _declared()[key]
    short = setting.flag and setting.flag.short
    if isinstance(value, str) and short and short.read and short.type is str:  # text such as 330M, as for the flag
        try:
            return short.read(value)
        except ConfigError as error:
            raise ConfigError(f"{source}: key '{key}': {error}") from None
    try:
        # through JSON, because pydantic's strict mode accepts lists for tuples only there; a date becomes a list, which
        # no setting accepts
        return _validator(setting.type).validate_json(json.dumps(value, default=lambda date: [str(date)]), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join([key, *(str(part) for part in first["loc"])])
        raise ConfigError(f"{source}: key '{place}' = {first['input']!r}: {first['msg']}") from None


@functools.cache
def _declared() -> dict[str, Setting]:
    return {setting.key: setting for setting in declared_settings(RunConfig)}


@functools.cache
def _validator(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def to_file(config: RunConfig) -> bytes:
    """Return the content of a configuration's file. Raises `ConfigError` if it would not be read back equal."""
    before, text = dict(leaves(dataclasses.asdict(config))), ""
    for key, value in before.items():
        if isinstance(value, str) and not _is_text(value):
            raise ConfigError(
                f"{key} is {value!r}, which is not valid text; rename the file or class, and give its new name"
            )
    try:
        text = to_toml(config)
        read = dict(leaves(dataclasses.asdict(from_toml(text))))
    except (ConfigError, TypeError, ValueError) as error:
        raise ConfigError(f"the settings cannot be kept in a file: {error}; give other ones") from None
    for key, value in before.items():
        if read[key] != (tuple(value) if isinstance(value, list) else value):
            raise ConfigError(f"{key} is {value!r}, which a file keeps as {read[key]!r}; give that instead")
    return text.encode()


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def differing_keys(a: RunConfig, b: RunConfig) -> tuple[str, ...]:
    """Dotted names of the settings that differ and affect results (`resources` never counts)."""
    left, right = (dict(leaves(dataclasses.asdict(config))) for config in (a, b))
    return tuple(key for key in left if not key.startswith("resources.") and left[key] != right[key])


def flat_settings(config: RunConfig) -> Iterator[tuple[str, str]]:
    """Yield the dotted name and text of each setting that is written."""
    for key, value in leaves(tomllib.loads(to_toml(config))):
        yield key, json.dumps(value)


def _check_keys(given: dict[str, Any], known: dict[str, Any], source: str, above: str = "") -> None:
    for key, value in given.items():
        if key not in known:
            raise ConfigError(f"{source}: {UnknownNameError('key', above + key, _declared())}")
        if isinstance(known[key], dict) != isinstance(value, dict):
            wanted = f"settings under [{above}{key}]" if isinstance(known[key], dict) else "one value"
            raise ConfigError(f"{source}: key '{above}{key}' = {value!r}; give {wanted}")
        if isinstance(value, dict):
            _check_keys(value, known[key], source, f"{above}{key}.")


def leaves(tree: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the dotted names and values of nested dictionaries."""
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{above}{key}.")
        else:
            yield above + key, value


def _without_none(tree: dict[str, Any]) -> dict[str, Any]:
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in tree.items() if v is not None}


def read_config(path: Path, default: RunConfig | None = None) -> RunConfig:
    """Read a TOML file over `default`. Raises `ConfigError`, also if the file is absent or not text."""
    return from_toml(_text_of(path), default, source=str(path))


def read_settings(path: Path) -> dict[str, Any]:
    """Read the settings of a TOML file, as `settings_in`. Raises `ConfigError`, also if it is absent or not text."""
    return settings_in(_text_of(path), str(path))


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}; give a TOML file") from None
