"""`fairnas zoo [NAME]`: published networks, with our counts and the printed ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from fairnas.cli.lists import ListArguments
from fairnas.cli.output import interval, print_json, print_table
from fairnas.cli.parsing import UsageError, parse


@dataclass(frozen=True)
class ZooVerb(ListArguments):
    """List published networks with our counts and the printed ones, or show one network.

    Examples:
        fairnas zoo
        fairnas zoo mnasnet_b1
        fairnas zoo fairnas_a --json
        fairnas zoo --latency --out zoo-latency.json
    """

    name: tyro.conf.Positional[str | None] = None
    """Name of a network; default: all."""
    image_size: int = 224
    """Side in pixels of the images that costs are counted for; the printed figures are for 224."""
    markdown: bool = False
    """Print the list as the tables of docs/zoo.md."""
    latency: bool = False
    """Time the networks of Table 2 on this CPU, in onnxruntime on one thread, and show the paper's Pixel 1 times."""
    out: Path | None = None
    """JSON file that keeps the times, with --latency; after a kill, the same command resumes."""


def main(arguments: Sequence[str]) -> None:
    """Parse, list."""
    given = parse(ZooVerb, arguments, "zoo")
    if given.out is not None and not given.latency:
        raise UsageError("--out keeps measured times; give --latency with it")
    from fairnas import zoo

    if given.latency:
        _latencies(given)
        return

    if given.name is not None:
        row = zoo.row(given.name, given.image_size)
        print_json(row) if given.json else _print_one(row)
        return
    names = [name for name, entry in zoo.NETWORKS.items() if entry.architecture is not None or given.image_size == 224]
    rows = [zoo.row(name, given.image_size) for name in names]
    if given.json:
        print_json({"networks": rows})
        return
    in_table_2 = [row for row in rows if row["paper"]["where"] == zoo.TABLE_2]
    relatives = [row for row in rows if row not in in_table_2]
    if given.markdown:
        print(_markdown("The rows of the paper's Table 2", in_table_2))
        print()
        print(_markdown("Relatives", relatives))
        return
    for title, part in (("Table 2 of the paper", in_table_2), ("Relatives", relatives)):
        print_table(("network", " MAdds", "paper", " params", "paper", " top-1", "our counts"), _cells(part), title)
    print("Counts are in millions, top-1 is printed, in per cent. Why a count differs: fairnas zoo NAME.")


def _latencies(given: ZooVerb) -> None:
    from fairnas.cli.progress import interruptible, narrated
    from fairnas.latency.published import zoo_latencies
    from fairnas.zoo.networks import require_size

    names = [given.name] if given.name is not None else None
    require_size(given.name or "nasnet_a", given.image_size)
    with interruptible() as stop, narrated() as narrator:
        narrator.stage(1, 1, "time published networks", "")
        found = zoo_latencies(given.image_size, given.out, narrator, stop, names)
    if given.json:
        print_json(found)
        return
    rows = [
        [
            row["name"],
            *(f"{number:.3g}" for number in (row["latency_ms"], *row["quartiles_ms"])),
            str(row["runs"]),
            _shown(row["paper_ms"]),
        ]
        for row in found["networks"]
    ]
    columns = ("network", " here (ms)", " quartiles", " ", " runs", " Pixel 1, printed (ms)")
    print_table(columns, rows, f"one image of {given.image_size} pixels, median")
    print(f"{found['device']}")
    if found["agreement"] is not None:
        from fairnas.analysis import RankAgreement  # numpy

        print(f"rank correlation of the two columns: tau {interval(RankAgreement(**found['agreement']))}")


def _cells(rows: Sequence[dict[str, Any]]) -> list[list[str]]:
    return [
        [
            row["name"],
            *(_millions(row["madds"], 1), _shown(row["paper"]["madds_millions"])),
            *(_millions(row["params"], 2), _shown(row["paper"]["params_millions"])),
            *(_shown(row["paper"]["top1"]), row["verdict"]),
        ]
        for row in rows
    ]


def _millions(count: int | None, digits: int) -> str:
    return "-" if count is None else f"{count / 1e6:.{digits}f}"


def _shown(figure: float | None) -> str:
    return "-" if figure is None else str(figure)


def _print_one(row: dict[str, Any]) -> None:
    paper = row["paper"]
    genome = f"genome {row['genome']} of space {row['space']}" if row["genome"] else ""
    facts = {
        "published": f"{row['publication']}, {row['year']}",
        "layers from": row["source"],
        "printed in": paper["where"],
        "MAdds": f"{_unit(row['madds'], 2)}, printed {_printed(paper['madds_millions'])}",
        "parameters": f"{_unit(row['params'], 3)}, printed {_printed(paper['params_millions'])}",
        "top-1, top-5": f"{_shown(paper['top1'])} %, {_shown(paper['top5'])} % (printed)",
        "our counts": row["verdict"],
        "note": row["note"],
        "is": genome or ("" if row["layers"] is None else " ".join(row["layers"])),
    }
    print_table(("network", row["title"]), [[what, said] for what, said in facts.items() if said])


def _unit(count: int | None, digits: int) -> str:
    return "not counted" if count is None else f"{_millions(count, digits)} M"


def _printed(figure: float | None) -> str:
    return "nowhere" if figure is None else f"{figure} M"


def _markdown(title: str, rows: Sequence[dict[str, Any]]) -> str:
    head = "| network | as printed | MAdds (M) | printed | params (M) | printed | top-1, top-5 (%) | our counts |"
    lines = [f"## {title}", "", head, "|---|---|---|---|---|---|---|---|"]
    for row, cells in zip(rows, _cells(rows), strict=True):
        name, *counts, _, verdict = cells
        accuracy = f"{_shown(row['paper']['top1'])}, {_shown(row['paper']['top5'])}"
        lines.append(f"| `{name}` | {row['title']} | {' | '.join(counts)} | {accuracy} | {verdict} |")
    lines += ["", "| network | published | layers from | figures from | |", "|---|---|---|---|---|"]
    for row in rows:
        cells = (row["publication"], row["source"], row["paper"]["where"], row["note"])
        lines.append(f"| `{row['name']}` | {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines)
