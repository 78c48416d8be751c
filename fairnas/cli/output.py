"""Results on standard output: tables for people or JSON for programs."""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from fairnas.analysis.ranking import Agreement


def print_json(content: Any) -> None:
    """Print one JSON object. NaN, which JSON lacks, becomes null."""
    print(json.dumps(_finite(content), indent=1))


def _finite(content: Any) -> Any:
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return content


def command_line(words: Sequence[str], arguments: Sequence[str]) -> str:
    """Return the command as typed, to be shown on a page; without `--json`, which changes no file."""
    return shlex.join(["fairnas", *words, *(each for each in arguments if each != "--json")])


def print_page(numbers: Mapping[str, Any], as_json: bool) -> None:
    """Print what a figure found: its numbers as JSON, or its sentences and files."""
    if as_json:
        print_json(numbers)
        return
    for sentence in numbers["sentences"]:
        print(sentence)
    print(f"page      {numbers['page']}")
    for file in numbers.get("files", ()):
        print(f"picture   {file}")


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], title: str = "") -> None:
    """Print a table; columns whose name begins with a space are aligned right. Only the last column is wrapped."""
    table = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for number, column in enumerate(columns):
        right, last = column.startswith(" "), number == len(columns) - 1
        table.add_column(column.strip(), justify="right" if right else "left", no_wrap=not last, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console()
    Console(width=None if console.is_terminal else 160).print(table)


def millions(count: float) -> str:
    """Format a count in millions with three digits."""
    return f"{count / 1e6:.3g} M" if count < 999.5e6 else f"{count / 1e6:,.0f} M"


def percent(share: float | None) -> str:
    """Format a share as percentage with one decimal, or as a dash."""
    return "-" if share is None else f"{share:.1%}"


def value(number: float | None) -> str:
    """Format a number with four digits, or as a dash."""
    return "-" if number is None else f"{number:,.4g}"


def column(name: str, unit: str) -> str:
    """Return the title of a column of numbers."""
    return f" {name} ({unit})" if unit else f" {name}"


def interval(found: "Agreement") -> str:
    """Format a rank correlation with its interval and n."""
    return f"{bracketed(found.tau, found.interval)}, n = {found.n}"


def bracketed(number: float, interval: tuple[float, float]) -> str:
    """Format a number with two decimals and its interval, or as a dash if undefined."""
    low, high = interval
    if not math.isfinite(number):
        return "-"
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{number:.2f}"
    return f"{number:.2f} [{low:.2f}, {high:.2f}]"
