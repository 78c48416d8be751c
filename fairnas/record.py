"""Records: frozen dataclasses stored by a run as JSON, each read by the class that writes it.

pydantic checks records as it checks the configuration: every key of the class must be present, with a value of its
type; numbers must be finite unless the type says otherwise. Further keys are ignored.
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
    """Metadata, in `Annotated`, that says how JSON stores a field whose values are not plain data."""

    read: Callable[[Any], Any]
    """Conversion from plain data. Raises `ValueError` for values that fairnas does not write."""
    write: Callable[[Any], Any]
    """Conversion to plain data."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Return the schema by which pydantic reads and writes the field."""
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
"""A number that stays an integer if it is one."""
MaybeNan = Annotated[float, StoredAs(_number_or_nan, lambda value: value if math.isfinite(value) else None)]
"""A number that may be undefined: NaN in Python, null in JSON, which has no NaN."""
FiniteOrNone = Annotated[
    float | None,
    StoredAs(
        lambda value: None if value is None else _number_or_nan(value),
        lambda value: value if value is not None and math.isfinite(value) else None,
    ),
]
"""A number, or None if unknown; a number that is not finite is written as null."""
AnyFloat = Annotated[float, StoredAs(_any_float, float)]
"""A number that may be NaN or infinite, written as Python writes it."""


class Record:
    """Base class of frozen dataclasses stored as files of a run: `to_dict` writes, `from_dict` reads."""

    __pydantic_config__: ClassVar[Any] = {"strict": True, "allow_inf_nan": False}

    def to_dict(self) -> dict[str, Any]:
        """Return the record as plain data for JSON."""
        return _as_json(_adapter(type(self)).dump_python(self))

    @classmethod
    def from_dict(cls, plain: Any) -> Self:
        """Inverse of `to_dict`. Raises `ValueError` with one line: which key is missing, or what is wrong with it."""
        from pydantic import ValidationError

        try:
            # through JSON, because pydantic's strict mode accepts lists for tuples and objects for dataclasses only
            # there
            return _adapter(cls).validate_json(json.dumps(plain))
        except ValidationError as error:
            raise ValueError(_reason(error.errors(include_url=False)[0])) from None


class _Run(Protocol):
    """A run directory."""

    @property
    def path(self) -> Path:
        """Path of the directory."""
        ...

    def read_json(self, name: str) -> Any:
        """Return the content of a file. Raises `RunDirectoryError`."""
        ...

    def remedy(self, name: str) -> str:
        """Return the command that makes a file, in words."""
        ...


RecordT = TypeVar("RecordT", bound=Record)


def read_record(run: _Run, name: str, kind: type[RecordT]) -> RecordT:
    """Read a file of a run directory as a record.

    Raises `RunDirectoryError`, with the command that helps, if it is absent, damaged, or not as fairnas writes it.
    """
    plain = run.read_json(name)
    try:
        return kind.from_dict(plain)
    except ValueError as error:
        why = f"{run.path / name} is not what fairnas writes ({error})"
        raise RunDirectoryError(f"{why}; delete it, then {run.remedy(name)} anew") from None


@functools.cache
def _adapter(record: type) -> Any:
    from pydantic import TypeAdapter  # takes 60 ms, which `--help` does not need to spend

    return TypeAdapter(record)


def _as_json(value: Any) -> Any:
    """Return plain data with tuples as lists and keys as text. pydantic's JSON mode would turn every NaN into null."""
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
