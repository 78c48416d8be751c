"""Flags of a verb as types for tyro, made from its dataclass and the run settings in it.

Settings that are not given are absent from the result, so that a recipe, a file or a stored run can supply them. tyro
parses and lays out help; the `Flag` of a setting decides whether help shows it, and under which of two names.
"""

import ast
import dataclasses
import functools
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Required, TypedDict, get_args, get_type_hints

import tyro

from fairnas.config import RunConfig
from fairnas.config.settings import Flag, Setting, Short, annotated, declared_settings, flag_of

SHORT = "short "
"""Prefix of the key of a short flag in tyro's result. No field name can begin with it."""
_NAMES = {int: "INT", float: "FLOAT", str: "STR", Path: "PATH"}


@dataclass(frozen=True)
class Field:
    """One field of a verb or of a section of settings."""

    owner: type
    """Dataclass that declares it."""
    name: str
    kind: Any
    metadata: tuple[Any, ...]
    flag: Flag | None
    default: Any
    """Default value; `dataclasses.MISSING` if the field has none and must be given."""

    @property
    def text(self) -> str:
        """Docstring below the field."""
        return _texts(self.owner).get(self.name, "")

    @property
    def section(self) -> type | None:
        """Dataclass of the settings in it; None for a single value."""
        return self.kind if dataclasses.is_dataclass(self.kind) and isinstance(self.kind, type) else None

    @property
    def is_root(self) -> bool:
        """True if the names of its settings do not begin with its own name."""
        return any(getattr(each, "name", None) == "" for each in self.metadata)


def fields_of(kind: type) -> Iterator[Field]:
    """Yield the fields of a dataclass in order of declaration."""
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        inner, metadata = annotated(hints[field.name])
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        yield Field(kind, field.name, inner, metadata, flag_of(metadata), default)


@functools.cache
def _texts(kind: type) -> Mapping[str, str]:
    """Return the docstrings below the fields of a class and of its base classes."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(each))).body[0]
        assert isinstance(body, ast.ClassDef)
        for field, below in itertools.pairwise(body.body):
            text = below.value if isinstance(below, ast.Expr) else None
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Constant):
                found[ast.unparse(field.target)] = " ".join(str(text.value).split())
    return found


def shorts_of(kind: type) -> dict[str, tuple[Setting, Short]]:
    """Return the short flags of a verb, by name: those of its settings."""
    return {
        setting.flag.short.name: (setting, setting.flag.short)
        for field in fields_of(kind)
        if field.section
        for setting in declared_settings(field.section, section_name(field.section))
        if setting.flag and setting.flag.short
    }


def section_name(section: type) -> str:
    """Return the prefix of the dotted names of the settings in a section."""
    if section is RunConfig:
        return ""
    return next(f"{field.name}." for field in fields_of(RunConfig) if field.section is section)


@functools.cache
def read_type(kind: type) -> tuple[Any, dict[str, Any]]:
    """Return the type that tyro reads flags into, a dictionary of those given, and its default."""
    entries = _read_entries(kind)
    for name, (setting, short) in shorts_of(kind).items():
        entries[SHORT + name] = Annotated[short.type or setting.type, tyro.conf.arg(name=name)]
    # tyro needs a default to append to for flags that may be given several times
    default = {field.name: () for field in fields_of(kind) if tyro.conf.UseAppendAction in field.metadata}
    return _typed_dict(kind, entries), default


def _read_entries(kind: type) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for field in fields_of(kind):
        if field.flag and field.flag.level == "none":
            continue
        if field.section:
            inner = _typed_dict(field.section, _read_entries(field.section))
            # without a help text, tyro would look for one in the source
            entries[field.name] = _with_arg(inner, field.metadata, help="")
        elif field.default is dataclasses.MISSING:
            entries[field.name] = Required[_with_arg(field.kind, field.metadata, help=field.text)]
        else:
            entries[field.name] = Annotated[field.kind, *field.metadata] if field.metadata else field.kind
    return entries


def help_type(kind: type, default: Any, everything: bool) -> tuple[Any, dict[str, Any]]:
    """Return the type whose flags tyro shows as help, and its default.

    Args:
        kind: dataclass of the verb.
        default: instance whose values are shown; None: the fields' own defaults.
        everything: show advanced settings too.
    """
    entries, values = _help_entries(kind, default, everything)
    for name, (setting, short) in shorts_of(kind).items():
        if short.preferred and _is_shown(setting.flag, everything):
            value = _setting_of(kind, default, setting.key)
            value = str(value) if short.read and value is not None else value
            text = f"{text_of(setting)} In a file: {setting.key}."
            entries[SHORT + name] = _shown(short.type or setting.type, value, (), text, name=name)
            values[SHORT + name] = value
    return _typed_dict(kind, entries), values


def _help_entries(kind: type, default: Any, everything: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    entries: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for field in fields_of(kind):
        value = getattr(default, field.name, field.default)
        if field.section:
            inner, values[field.name] = _help_entries(field.section, value, everything)
            if inner:
                made = _typed_dict(field.section, inner)
                entries[field.name] = Annotated[made, *field.metadata] if field.metadata else made
        elif field.default is dataclasses.MISSING and field.flag is None:
            entries[field.name] = Required[_with_arg(field.kind, field.metadata, help=field.text, aliases=None)]
        elif _is_shown(field.flag, everything) and not (field.flag and field.flag.short and field.flag.short.preferred):
            entries[field.name] = _shown(field.kind, value, field.metadata, field.text)
            values[field.name] = value
    return entries, {name: value for name, value in values.items() if name in entries}


def _shown(kind: Any, value: Any, metadata: tuple[Any, ...], text: str, **more: Any) -> Any:
    """One line of help."""
    if value is None:
        kind = kind | None
    optional = [each for each in get_args(kind) if each is not NoneType]
    if len(optional) == 1 and optional[0] in _NAMES:
        more["metavar"] = _NAMES[optional[0]]  # instead of tyro's {None}|FLOAT
    if value in (None, (), ""):
        more["help_behavior_hint"] = ""  # the text itself describes the default
    return _with_arg(kind, metadata, help=text, aliases=None, **more)


def has_more(kind: type) -> bool:
    """True if a verb takes settings that `--help` does not show."""
    sections = (field.section for field in fields_of(kind))
    every = itertools.chain.from_iterable(declared_settings(section) for section in sections if section)
    return any(setting.flag and setting.flag.level == "advanced" for setting in every)


def _is_shown(flag: Flag | None, everything: bool) -> bool:
    return flag is None or flag.level == "common" or (everything and flag.level == "advanced")


def _setting_of(kind: type, default: Any, key: str) -> Any:
    """Value of a setting in a verb, by its dotted name."""
    for field in fields_of(kind):
        if field.section and key.startswith(above := section_name(field.section)):
            section = getattr(default, field.name, field.default)
            return functools.reduce(getattr, key.removeprefix(above).split("."), section)
    raise AssertionError(f"{kind.__name__} has no {key}")


def text_of(setting: Setting) -> str:
    """Docstring below a setting of a `RunConfig`."""
    section: Any = RunConfig
    *above, name = setting.key.split(".")
    for part in above:
        section = next(field.kind for field in fields_of(section) if field.name == part)
    return _texts(section)[name]


def _with_arg(kind: Any, metadata: tuple[Any, ...], **changes: Any) -> Any:
    """Return a type hint with changes to its `tyro.conf.arg`."""
    said: Any = next((each for each in metadata if hasattr(each, "help_behavior_hint")), tyro.conf.arg())
    others = [each for each in metadata if each is not said]
    return Annotated[kind, *others, dataclasses.replace(said, **changes)]


def _typed_dict(kind: type, entries: Mapping[str, Any]) -> Any:
    made: Any = TypedDict(kind.__name__, dict(entries), total=False)  # pyright: ignore
    made.__doc__ = kind.__doc__
    return made
