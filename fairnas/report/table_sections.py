"""Sections with the paper's Tables 1 and 2, if a user made them for the run."""

from collections.abc import Mapping, Sequence

from fairnas.export.facts import ONNX
from fairnas.report.format import UNKNOWN, decimal, interval, is_known, millions, percent
from fairnas.report.html import Html, Section, folded, joined, listing, paragraphs, table, tag
from fairnas.report.run_data import Inputs
from fairnas.report.table_records import TABLE_1_PAGE, Published, TableTwo
from fairnas.report.verdicts import accuracy_interval
from fairnas.space import Genome

_IMAGENET = 1000
"""Number of classes of ImageNet, on which the printed accuracies were measured."""


def table_1(inputs: Inputs) -> Section:
    """Build the section with Table 1 as measured; omitted if it was not."""
    found = inputs.table_1
    assert found is not None
    said = [
        f"Weight-sharing systems on space {found.space}, data {found.data}, at equal compute; their one-shot "
        f"accuracies against those of {found.networks:,} networks ({found.truth})."
    ]
    if (found.space, found.data) != (inputs.space.name, inputs.data.name if inputs.data else found.data):
        said.append("This is another space or other data than the run's own, so its numbers are not this run's.")
    claims = table("Claims of the paper's Table 1", ("system", "claim", "paper", "verdict", "measured"), found.claims)
    body = [
        paragraphs(said),
        table("Systems, measured", found.columns, found.rows),
        folded(f"The paper's claims, and what became of them ({len(found.claims)})", claims),
        _whole_page(inputs),
        listing("The command that made the table", found.command),
    ]
    return Section("table-1", "Table 1, measured", joined(body))


def _whole_page(inputs: Inputs) -> Html:
    if not inputs.linked:
        return Html("")
    link = tag("a", TABLE_1_PAGE, attributes=f'href="{TABLE_1_PAGE}"')
    return tag("p", "What the columns mean, and the curves behind them: ", link, ".")


def table_2(inputs: Inputs) -> Section:
    """Build the section with the selected and the published networks; omitted if Table 2 was not made."""
    found = inputs.table_2
    assert found is not None
    timed = bool(found.latency_ms)
    times = dict(found.latency_ms)
    head = ("network", "MAdds", "printed", "parameters", "printed", "top-1", *(["latency"] if timed else []), "counts")
    rows: list[Sequence[str]] = [
        (
            joined([tag("strong", f"this run, network {number}"), " ", tag("code", network.text)]),
            *(millions(network.value("madds")), "", millions(network.value("params")), ""),
            _tested(inputs, network.genome),
            *([_own_time(inputs, network.text)] if timed else []),
            "",
        )
        for number, network in enumerate(inputs.search.selected if inputs.search else (), start=1)
    ]
    rows += [_published_row(name, each, times if timed else None) for name, each in found.networks]
    return Section(
        "table-2", "Table 2", joined([table(_caption(found), head, rows), paragraphs(_notes(inputs, timed))])
    )


def _caption(found: TableTwo) -> str:
    timed = f"; latency of one image, in onnxruntime on one thread of {found.device}" if found.latency_ms else ""
    return f"Networks of the paper's Table 2, our counts beside the printed ones, for images of 224 pixels{timed}"


def _notes(inputs: Inputs, timed: bool) -> list[str]:
    notes = ["Top-1 of the published networks is the printed one, on ImageNet; of this run's, on its own test images."]
    if inputs.data is None or len(inputs.data.classes) != _IMAGENET:
        notes.append("This run's data is not ImageNet, so its networks stand here for their size, not to be compared.")
    if timed:
        notes.append("This run's own latencies are of images of its own size, from the export.")
    return notes


def _published_row(name: str, each: Published, times: Mapping[str, float] | None) -> Sequence[str]:
    top1 = percent(each.printed_top1 / 100) if each.printed_top1 is not None else UNKNOWN
    latency = [] if times is None else [_ms(times.get(name))]
    return (
        each.title,
        *(millions(each.madds), _printed(each.printed_madds_millions)),
        *(millions(each.params), _printed(each.printed_params_millions)),
        *(top1, *latency, each.verdict),
    )


def _printed(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:g}\u00a0M"


def _ms(value: float | None) -> str:
    return f"{decimal(value, 3)}\u00a0ms" if is_known(value) else UNKNOWN


def _own_time(inputs: Inputs, genome: str) -> str:
    exported = inputs.exported.get(genome)
    return _ms(exported.latency.of(ONNX)) if exported else UNKNOWN


def _tested(inputs: Inputs, genome: Genome) -> str:
    result = inputs.trained.get(genome)
    if result is None or result.test is None:
        return UNKNOWN
    measure, images = inputs.config.measure, result.test.images
    limits = interval(*(percent(each, images) for each in accuracy_interval(result.test, measure)))
    return f"{percent(result.test.accuracy(measure), images)} ({limits})"
