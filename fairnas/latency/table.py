"""Latency of a network from a table: a fixed part plus one number per choice block, summed over the genome.

The table is a JSON file, such as `fairnas latency` writes. It is data: it is checked and never executed.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnas.atomic_files import write_atomically
from fairnas.errors import ConfigError
from fairnas.space import Genome, SearchSpace
from fairnas.untrusted import parse_json

SCHEMA = 1
_LONGEST = 1e12  # 30 years


@dataclass(frozen=True)
class LatencyCheck:
    """Quality of a table's predictions on networks that were not used in the fit."""

    networks: tuple[tuple[str, float, float], ...]
    """Genome, predicted and measured milliseconds of each."""
    median_error: float
    """Median of |predicted / measured - 1|."""
    largest_error: float
    spearman: float | None
    """Rank correlation; None if all networks take equally long."""
    tau: float | None
    """Kendall's tau."""
    fitted: int
    """Number of measurements used in the fit."""
    complete: bool
    """True if the measurement was completed, False if its time ran out."""


@dataclass(frozen=True)
class LatencyTable:
    """Milliseconds of every choice block of a space on one device."""

    space: str
    """Name of the space."""
    device: str
    """Name of the device, for people."""
    fixed: float
    """Milliseconds of stem, fixed blocks, head and overhead, common to all networks."""
    layers: tuple[tuple[float, ...], ...]
    """Per layer, one number per choice."""
    image_size: int | None = None
    """Side of the images it was measured with; None if the file does not say."""
    check: LatencyCheck | None = None
    """Quality of the predictions; None if unknown."""
    channels: tuple[int, ...] | None = None
    """Channels of stem, layers and head of the measured space, which depend on the width; None if the file does not
    say.
    """

    def __call__(self, genome: Genome) -> float:
        """Milliseconds of one (valid) genome."""
        # exact summation does not depend on the order, so networks of the same blocks get equal latencies
        return math.fsum([self.fixed, *(row[choice] for row, choice in zip(self.layers, genome, strict=True))])

    def measures(self, genome: Genome) -> Mapping[str, float]:
        """Latency by the name of the search objective."""
        return {"latency": self(genome)}

    @property
    def fingerprint(self) -> str:
        """Hash of everything that latencies depend on."""
        content = [self.space, self.device, self.fixed, self.layers, self.image_size]
        content += [] if self.channels is None else [self.channels]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """The table as plain data."""
        plain: dict[str, Any] = {
            "schema": SCHEMA,
            "space": self.space,
            "device": self.device,
            "image_size": self.image_size,
            **({} if self.channels is None else {"channels": self.channels}),
            "fixed_ms": self.fixed,
            "layers_ms": self.layers,
        }
        if self.check is not None:
            plain["check"] = dataclasses.asdict(self.check)
        return plain

    def to_json(self) -> str:
        """Text of the table's file; `read_latency_table` gives an equal table."""
        return json.dumps(self.to_dict(), indent=1) + "\n"


def write_latency_table(path: Path, table: LatencyTable) -> None:
    """Write a table as JSON, as a whole or not at all."""
    write_atomically(path, table.to_json().encode())


def read_latency_table(path: Path, space: SearchSpace) -> LatencyTable:
    """Read a table for a space, resolved for its data.

    Raises `ConfigError` in one line: no such file, no JSON, another schema, another space, another shape, or a number
    that is no time.
    """
    try:
        plain = parse_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read the latency table {path}: {error.strerror}; give a JSON file") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"latency table {path} is not JSON ({error}); see docs/latency.md for the format") from None
    table = _from_plain(path, plain)
    if table.space != space.name:
        raise ConfigError(
            f"latency table {path} is of space '{table.space}', the run's is '{space.name}'; give a table of that space"
        )
    shape = tuple(len(row) for row in table.layers)
    if shape != space.choices:
        raise ConfigError(
            f"latency table {path} has {_shape(shape)}; space '{space.name}' has {_shape(space.choices)}; "
            "give a table of that shape"
        )
    if table.image_size not in (None, space.image_size):
        raise ConfigError(
            f"latency table {path} was measured with images of {table.image_size} pixels, the run's have "
            f"{space.image_size}; measure it with those"
        )
    if table.channels not in (None, channels_of(space)):
        raise ConfigError(
            f"latency table {path} was measured with space '{space.name}' of another width; "
            "measure the run's with `fairnas latency --run DIR`"
        )
    return table


def channels_of(space: SearchSpace) -> tuple[int, ...]:
    """Output channels of stem, layers and head, which distinguish spaces of one name with different widths."""
    return (space.stem_channels, *(layer.out_channels for layer in space.layers), space.head_channels)


def _from_plain(path: Path, plain: Any) -> LatencyTable:
    def wrong(what: str) -> ConfigError:
        return ConfigError(f"latency table {path}: {what}; see docs/latency.md for the format")

    def milliseconds(value: Any, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _LONGEST:
            raise wrong(f"{where} is {value!r}, give milliseconds, 0 or more")
        return float(value)

    if not isinstance(plain, dict):
        raise wrong("it holds no table")
    if plain.get("schema") != SCHEMA:
        raise wrong(f"schema is {plain.get('schema')!r}, this fairnas reads {SCHEMA}")
    missing = [key for key in ("space", "device", "fixed_ms", "layers_ms") if key not in plain]
    if missing:
        raise wrong(f"it lacks '{missing[0]}'")
    rows, size = plain["layers_ms"], plain.get("image_size")
    if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
        raise wrong("layers_ms is no list of lists")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int)):
        raise wrong(f"image_size is {size!r}, give pixels")
    channels = plain.get("channels")
    if channels is not None and not (isinstance(channels, list) and all(type(count) is int for count in channels)):
        raise wrong("channels is no list of whole numbers")
    return LatencyTable(
        space=str(plain["space"]),
        device=str(plain["device"]),
        fixed=milliseconds(plain["fixed_ms"], "fixed_ms"),
        layers=tuple(
            tuple(milliseconds(value, f"choice {choice} of layer {layer}") for choice, value in enumerate(row))
            for layer, row in enumerate(rows)
        ),
        image_size=size,
        channels=None if channels is None else tuple(channels),
        check=_check_from(plain["check"], wrong) if plain.get("check") is not None else None,
    )


def _check_from(plain: Any, wrong: Callable[[str], ConfigError]) -> LatencyCheck:
    try:
        networks = tuple((str(genome), float(ours), float(theirs)) for genome, ours, theirs in plain["networks"])
        spearman, tau = (None if plain[name] is None else float(plain[name]) for name in ("spearman", "tau"))
        errors = float(plain["median_error"]), float(plain["largest_error"])
        return LatencyCheck(networks, *errors, spearman, tau, int(plain["fitted"]), bool(plain["complete"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise wrong(f"its check is damaged ({error!r})") from None


def _shape(choices: tuple[int, ...]) -> str:
    counts = sorted(set(choices))
    each = f"{counts[0]}" if len(counts) == 1 else " or ".join(map(str, counts)) if counts else "no"
    return f"{len(choices)} layers of {each} choices"
