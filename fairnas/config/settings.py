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
    """A flag of its own beside the one of the dotted name."""

    name: str
    """Without the dashes."""
    type: Any = None
    """Type of what is written; None: that of the setting."""
    read: Callable[[Any], Any] | None = None
    """From what is written to the setting's value, where these differ. Raises `ConfigError`."""
    preferred: bool = True
    """Whether help shows it in place of the dotted name."""


@dataclass(frozen=True)
class Flag:
    """How a setting appears on the command line."""

    level: Literal["common", "advanced", "none"]
    """`common` ones are shown by `--help`, `advanced` ones by `--help-all` only; `none` is no flag."""
    short: Short | None = None


Common = Annotated[T, Flag("common")]
"""A setting that many users change."""
Advanced = Annotated[T, Flag("advanced")]
"""A setting that few users change: it works in the same way, but is shown by `--help-all` only."""
NoFlag = Annotated[T, Flag("none")]
"""A field that stands in the file of a configuration, and that users do not set."""


@dataclass(frozen=True)
class Setting:
    """One setting as it is declared."""

    key: str
    """Its dotted name."""
    type: Any
    flag: Flag | None
    """None for one that is not marked, which a test refuses in a `RunConfig`."""


def annotated(hint: Any) -> tuple[Any, tuple[Any, ...]]:
    """The type and the metadata of a type hint, which has none unless it is `Annotated`."""
    return (hint.__origin__, hint.__metadata__) if get_origin(hint) is Annotated else (hint, ())


def flag_of(metadata: tuple[Any, ...]) -> Flag | None:
    """How a field appears on the command line, if it says so."""
    return next((each for each in metadata if isinstance(each, Flag)), None)


def declared_settings(kind: type, above: str = "") -> Iterator[Setting]:
    """All settings of a section and of the sections in it, in their order.

    Args:
        kind: the dataclass of the section.
        above: what its names begin with, such as `train.`
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
    """Whether a setting may be left open."""
    return type(None) in get_args(setting.type)


C = TypeVar("C")


def with_settings(config: C, values: Mapping[str, Any]) -> C:
    """A configuration, or a section, with some settings by their dotted names.

    Each section is checked once, with all that changes. Raises `ConfigError`.
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
