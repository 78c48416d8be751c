"""Records: frozen dataclasses that a run keeps as JSON. The class that writes a file is the one that reads it.

pydantic checks what is read, as it does for the configuration: every key that a class has must be there, with a value
of its type; numbers are finite unless a type says otherwise. Further keys are left alone.
"""

import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Protocol, Self, TypeVar

from fairnas.errors import RunDirectoryError

_LONGEST = 60  # characters of a wrong value in a message


@dataclass(frozen=True)
class StoredAs:
    """How JSON holds the values of a field that is no plain data; stands in `Annotated`."""

    read: Callable[[Any], Any]
    """From plain data. Raises `ValueError` for what is none of ours."""
    write: Callable[[Any], Any]
    """The way back."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """What pydantic asks of annotations."""
        from pydantic_core import core_schema

        write = core_schema.plain_serializer_function_ser_schema(self.write)
        return core_schema.no_info_plain_validator_function(self.read, serialization=write)


def _number_or_nan(value: Any) -> float:
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("should be a finite number, or null for one that is not defined")
    return float(value)


def _any_float(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("should be a number")
    return math.nan if math.isnan(value) else float(value)


Number = int | float
"""A number that stays whole where it is whole."""
MaybeNan = Annotated[float, StoredAs(_number_or_nan, lambda value: value if math.isfinite(value) else None)]
"""A number that may not be defined: NaN here, null in JSON, which knows no NaN."""
FiniteOrNone = Annotated[
    float | None,
    StoredAs(
        lambda value: None if value is None else _number_or_nan(value),
        lambda value: value if value is not None and math.isfinite(value) else None,
    ),
]
"""A number, or None where it is not known; one that is not finite is written as null."""
AnyFloat = Annotated[float, StoredAs(_any_float, float)]
"""A number that may be NaN or infinite, and is written as Python writes it."""


class Record:
    """What a frozen dataclass inherits to be a file of a run: `to_dict` writes it, `from_dict` reads it."""

    __pydantic_config__: ClassVar[Any] = {"strict": True, "allow_inf_nan": False}

    def to_dict(self) -> dict[str, Any]:
        """The record as plain data for JSON."""
        return _as_json(_adapter(type(self)).dump_python(self))

    @classmethod
    def from_dict(cls, plain: Any) -> Self:
        """The inverse of `to_dict`. Raises `ValueError` in one line: which key is missing, or what is wrong with it."""
        from pydantic import ValidationError

        try:
            # through JSON, because only there does strict mode take lists for tuples and objects for dataclasses
            return _adapter(cls).validate_json(json.dumps(plain))
        except ValidationError as error:
            raise ValueError(_reason(error.errors(include_url=False)[0])) from None


class _Run(Protocol):
    """A run directory."""

    @property
    def path(self) -> Path:
        """Of the directory."""
        ...

    def read_json(self, name: str) -> Any:
        """Content of a file. Raises `RunDirectoryError`."""
        ...

    def remedy(self, name: str) -> str:
        """The command that makes a file, in words."""
        ...


RecordT = TypeVar("RecordT", bound=Record)


def read_record(run: _Run, name: str, kind: type[RecordT]) -> RecordT:
    """Read a file of a run directory as the record that it is.

    Raises `RunDirectoryError` if it is absent, damaged, or not what fairnas writes; the message says the remedy.
    """
    plain = run.read_json(name)
    try:
        return kind.from_dict(plain)
    except ValueError as error:
        why = f"{run.path / name} is not what fairnas writes ({error})"
        raise RunDirectoryError(f"{why}; delete it, then {run.remedy(name)} anew") from None


@functools.cache
def _adapter(record: type) -> Any:
    from pydantic import TypeAdapter  # 60 ms that `--help` needs not pay

    return TypeAdapter(record)


def _as_json(value: Any) -> Any:
    """Lists for tuples and text for keys. pydantic's own way to JSON would make null of every NaN."""
    if isinstance(value, dict):
        return {str(key): _as_json(inner) for key, inner in value.items()}
    return [_as_json(inner) for inner in value] if isinstance(value, list | tuple) else value


def _reason(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"lacks '{key}'"
    given = repr(error["input"])
    given = given if len(given) <= _LONGEST else f"{given[:_LONGEST]} ..."
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    subject = f"'{key}' is {given}" if key else f"it is {given}"
    return f"{subject}: it {message}" if message.startswith("should") else f"{subject}: {message}"
