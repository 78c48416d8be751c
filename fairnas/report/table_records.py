"""Records of the paper's Tables 1 and 2 in a run directory, present only if a user made them for the run.

Table 1 is written by `fairnas compare` into `table1/`; Table 2 is the output of `fairnas zoo --json`, kept as
`table2.json`, and the times of `fairnas zoo --latency`, in `table2-latency.json`.
"""

from dataclasses import dataclass
from typing import Any

from fairnas.zoo.entry import TABLE_2

TABLE_1_FILE, TABLE_1_PAGE = "table1/table1.json", "table1/table1.html"
TABLE_2_FILE, TABLE_2_TIMES = "table2.json", "table2-latency.json"


@dataclass(frozen=True)
class MeasuredTable:
    """Content of `table1.json` that the report shows; cells are texts."""

    space: str
    data: str
    truth: str
    networks: int
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    claims: tuple[tuple[str, ...], ...]
    """Rows of the table of claims: system, claim, the paper's statement, verdict, measurement."""
    command: str


@dataclass(frozen=True)
class Published:
    """A row of Table 2: our counts if the network can be built, and the paper's numbers."""

    title: str
    madds: float | None
    params: float | None
    printed_madds_millions: float | None
    printed_params_millions: float | None
    printed_top1: float | None
    """Printed top-1 accuracy, in per cent."""
    verdict: str


@dataclass(frozen=True)
class TableTwo:
    """Published networks, and their latencies on this machine by title, if measured."""

    networks: tuple[tuple[str, Published], ...]
    """Networks by name."""
    device: str = ""
    latency_ms: tuple[tuple[str, float], ...] = ()


def parse_table_1(plain: Any) -> MeasuredTable:
    """Read `table1.json`."""
    columns = tuple(str(name) for name in plain["columns"])
    rows = tuple(tuple(str(cell) for cell in row) for row in plain["rows"])
    if any(len(row) != len(columns) for row in rows):
        raise ValueError("its rows and columns differ in number")
    claims = tuple(
        (str(name), *(str(verdict[key]) for key in ("claim", "claimed", "verdict", "measured")))
        for name, system in plain["systems"].items()
        for verdict in system["verdicts"].values()
    )
    about = (str(plain["space"]), str(plain["data"]), str(plain["truth"]), int(plain["networks"]))
    return MeasuredTable(*about, columns, rows, claims, str(plain["command"]))


def parse_table_2(plain: Any) -> TableTwo:
    """Read the output of `fairnas zoo --json`."""

    def number(value: Any) -> float | None:
        return None if value is None else float(value)

    def published(row: Any) -> Published:
        paper = row["paper"]
        return Published(
            title=str(row["title"]),
            madds=number(row["madds"]),
            params=number(row["params"]),
            printed_madds_millions=number(paper["madds_millions"]),
            printed_params_millions=number(paper["params_millions"]),
            printed_top1=number(paper["top1"]),
            verdict=str(row["verdict"]),
        )

    rows = [row for row in plain["networks"] if row["paper"]["where"] == TABLE_2]
    return TableTwo(tuple((str(row["name"]), published(row)) for row in rows))


def parse_times(plain: Any) -> tuple[str, tuple[tuple[str, float], ...]]:
    """Read the file of `fairnas zoo --latency`: the machine, and milliseconds by name."""
    times = tuple((str(name), float(found["latency_ms"])) for name, found in plain["networks"].items())
    return str(plain["device"]), times
