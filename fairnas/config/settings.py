"""Settings by their dotted names, such as `train.lr`: type, place on the command line, and how to change them.

Every setting of a `RunConfig` carries one `Flag`: `Common[int]` is shown by `fairnas run --help`, `Advanced[int]` by
`--help-all`. A short name of its own is written as `Annotated[str, Flag("common", Short("data"))]`.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

T = TypeVar("T")


@dataclass(frozen=True)
class Short:
    """An additional flag with a name of its own, beside the dotted name."""

    name: str
    """Name of the flag without the dashes."""
    type: Any = None
    """Type of the flag's argument; None: that of the setting."""
    read: Callable[[Any], Any] | None = None
    """Conversion of the argument to the setting's value; None: none needed. Raises `ConfigError`."""
    preferred: bool = True
    """True if help shows it in place of the dotted name."""


@dataclass(frozen=True)
class Flag:
    """Place of a setting on the command line."""

    level: Literal["common", "advanced", "none"]
    """`common` ones are shown by `--help`, `advanced` ones by `--help-all` only; `none` is no flag."""
    short: Short | None = None


Common = Annotated[T, Flag("common")]
"""A setting that `fairnas run --help` shows, because many users change it."""
Advanced = Annotated[T, Flag("advanced")]
"""A setting that only `--help-all` shows, because few users change it. It works the same way."""
NoFlag = Annotated[T, Flag("none")]
"""A field that is written to the configuration file but has no flag."""


@dataclass(frozen=True)
class Setting:
    """One setting as its section declares it."""

    key: str
    """Dotted name."""
    type: Any
    flag: Flag | None
    """Flag; None for a setting without one, which a test refuses in a `RunConfig`."""


def annotated(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """Split a type hint into type and metadata, which is empty unless the hint is `Annotated`."""
    return (hint.__origin__, hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())


def flag_of(metadata: tuple[Any, ...]) -> Flag | None:
    """Return the `Flag` among the metadata of a field, or None."""
    return next((each for each in metadata if isinstance(each, Flag)), None)


def declared_settings(kind: type, above: str = "") -> Iterator[Setting]:
    """Yield all settings of a section, and of the sections in it, in order of declaration.

    Args:
        kind: the dataclass of the section.
        above: prefix of its names, such as `train.`
    """
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        inner, metadata = annotated(hints[field.name])
        if dataclasses.is_dataclass(inner):
            assert isinstance(inner, type)
            yield from declared_settings(inner, f"{above}{field.name}.")
        else:
            yield Setting(above + field.name, inner, flag_of(metadata))


def takes_none(setting: Setting) -> bool:
    """True if None is a value of the setting."""
    return type(None) in get_args(setting.type)


C = TypeVar("C")


def with_settings(config: C, values: Mapping[str, Any]) -> C:
    """Return a copy of a configuration or section with new values for some settings, given by dotted names.

    Each section is checked once, after all changes. Raises `ConfigError`.
    """
    assert dataclasses.is_dataclass(config)
    changed: dict[str, Any] = {}
    inside: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _, inner = key.partition(".")
        if inner:
            inside.setdefault(section, {})[inner] = value
        else:
            changed[key] = value
    for section, inner_values in inside.items():
        changed[section] = with_settings(getattr(config, section), inner_values)
    return dataclasses.replace(config, **changed)  # pyright: ignore[reportArgumentType, reportReturnType]
