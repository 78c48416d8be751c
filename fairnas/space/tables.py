"""Tables of a file (TOML or JSON) as dataclasses: unknown and missing keys are errors."""

import dataclasses
import difflib
from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from fairnas.errors import SpaceError, UnknownNameError
from fairnas.space.blocks import Block, Identity, InvertedResidual, Separable, ShuffleUnit, ShuffleXception
from fairnas.space.chain import Stage, Stem

T = TypeVar("T")

KINDS: dict[str, type[Block]] = {
    kind.__name__: kind for kind in (InvertedResidual, Separable, ShuffleUnit, ShuffleXception, Identity)
}
"""Kinds of blocks by their names in files."""
_EXAMPLES: dict[type, str] = {
    Stem: "{ channels = 16, stride = 2 }",
    Stage: "{ channels = 24, layers = 2, stride = 2 }",
}
_BLOCK_EXAMPLE = '{ kind = "InvertedResidual", kernel = 3, expansion = 6 }'


_MISSPELT = 0.8
"""Similarity above which an unknown key counts as a misspelt key of its own table, not as one of another table."""


class TableError(SpaceError):
    """Table of a file that lacks a key, has an unknown one, or is no table."""


def read_table(kind: type[T], given: Any, where: str, elsewhere: Mapping[str, str] | None = None) -> T:
    """Make a dataclass from a table.

    Args:
        kind: the dataclass.
        given: the table, or whatever the file has in its place.
        where: name of the table for messages, such as `stage 2`.
        elsewhere: keys of other tables, with the place where each belongs.

    Raises:
        TableError: naming the table, the key and the nearest known key.
    """
    fields = dataclasses.fields(kind)  # pyright: ignore[reportArgumentType]
    required = [field.name for field in fields if field.default is dataclasses.MISSING]
    example = _EXAMPLES.get(kind, "a table")
    require_keys(given, where, [field.name for field in fields], required, example, elsewhere or {})
    return kind(**given)


def read_block(given: Any, where: str, elsewhere: Mapping[str, str] | None = None) -> Block:
    """Make a choice block from a table with its `kind`. Raises `TableError`."""
    if not isinstance(given, dict):
        raise TableError(f"{where} is {given!r}; give {_BLOCK_EXAMPLE}")
    if "kind" not in given:
        raise TableError(f"{where} lacks the key 'kind'; give one of {', '.join(KINDS)}")
    kind = given["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise TableError(f"{where}: {UnknownNameError('kind', str(kind), KINDS)}")
    rest = {key: value for key, value in given.items() if key != "kind"}
    return read_table(KINDS[kind], rest, f"{where} ({kind})", elsewhere)


def read_list(given: Any, where: str, example: str) -> list[Any]:
    """Return what is given if it is a list, or raise `TableError` with an example of one."""
    if not isinstance(given, list):
        shown = "a table" if isinstance(given, dict) else repr(given)
        raise TableError(f"{where} is {shown}; give {example}")
    return given


def require_keys(
    given: Any,
    where: str,
    known: Collection[str],
    required: Collection[str],
    example: str = "a table",
    elsewhere: Mapping[str, str] | None = None,
) -> None:
    """Raise `TableError` unless a table has all required keys and only known ones; arguments as `read_table`."""
    if not isinstance(given, dict):
        raise TableError(f"{where or 'it'} is {given!r}; give {example}")
    place = f"{where}: " if where else ""
    for key in given:
        if key in known:
            continue
        misspelt = difflib.get_close_matches(key, known, n=1, cutoff=_MISSPELT)
        if elsewhere and key in elsewhere and not misspelt:
            raise TableError(f"{place}unknown key '{key}'; it belongs {elsewhere[key]}")
        if not known:
            raise TableError(f"{place}unknown key '{key}'; it takes no keys")
        raise TableError(f"{place}{UnknownNameError('key', key, known)}")
    for key in required:
        if key not in given:
            raise TableError(f"{where} lacks the key '{key}'" if where else f"it lacks the key '{key}'")
