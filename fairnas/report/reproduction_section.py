"""Last section of the report: everything needed to repeat the run."""

import shlex
from collections.abc import Mapping, Sequence

from fairnas.data.summary import DataSummary
from fairnas.data.values import shown_range
from fairnas.report.format import counted, listed, whole
from fairnas.report.html import Html, Section, joined, listing, missing, paragraphs, table, tag
from fairnas.report.run_data import Inputs
from fairnas.versions import installed_versions


def reproduction(inputs: Inputs) -> Section:
    """Build the section: configuration, versions, seed, commands, and notes on the data."""
    config = inputs.config
    repeat = f"fairnas run {shlex.quote(config.recipe)}"
    if config.recipe == "folder":
        repeat += f" --data {shlex.quote(config.data.name)}"
    repeat += f" --config {shlex.quote(str(inputs.path / 'config.toml'))} --out AN_EMPTY_DIRECTORY"
    versions = dict(inputs.versions) or installed_versions()
    kept = "Versions that made this run" if inputs.versions else "Versions that wrote this page"
    body = [
        paragraphs([f"Every random choice of the run derives from its only seed, {config.seed}. The same run again:"]),
        listing("The command that repeats this run", repeat),
        tag("h3", "Configuration"),
        paragraphs(["The whole of `config.toml`, defaults included."]),
        listing("Configuration", inputs.config_text),
        tag("h3", "Data"),
        _data(inputs),
        tag("h3", "Versions"),
        versions_table(versions, kept),
    ]
    return Section("reproduce", "How to reproduce this", joined(body))


def versions_table(versions: Mapping[str, str], caption: str = "") -> Html:
    """Table of package versions."""
    return table(caption or "Versions", ("package", "version"), list(versions.items()))


def _class_sizes(data: DataSummary) -> str:
    """Sizes of the smallest and largest class of every split, in words."""

    def of(counts: Sequence[int]) -> str:
        low, high = min(counts), max(counts)
        names = (data.classes[counts.index(low)], data.classes[counts.index(high)])
        return whole(low) if low == high else f"{whole(low)} ({names[0]}) to {whole(high)} ({names[1]})"

    return "; ".join(f"{split} {of(counts)}" for split, counts in data.class_counts.items())


def _data(inputs: Inputs) -> Html:
    data = inputs.data
    if data is None:
        return paragraphs([missing("description of the data", "train", inputs.path)])
    colours = "grey" if data.image_channels == 1 else counted(data.image_channels, "channel")
    shown = listed(data.classes[:12]) if len(data.classes) <= 12 else f"{', '.join(data.classes[:12])}, ..."
    rows = [
        ("name", data.name),
        ("images", joined([f"{whole(count)} {split}" for split, count in data.counts.items()], ", ")),
        *([("images of a class", _class_sizes(data))] if data.class_counts else []),
        ("size", f"{data.image_size} x {data.image_size} pixels, {colours}"),
        ("classes", f"{whole(len(data.classes))}: {shown}"),
        ("augmentation", data.augmentation.words(data.image_size, data.fit == "pad")),
        *((("fit of images that are not square", data.fit),) if data.fit != "crop" else ()),
        *((("values that become black and white", shown_range(data.value_range)),) if data.value_range else ()),
        ("fingerprint", tag("code", data.fingerprint)),
    ]
    notes = [tag("li", finding.message) for finding in data.findings]
    listed_notes = joined([tag("p", "Notes:"), tag("ul", *notes)]) if notes else Html("")
    return joined([table("What was trained on", ("", ""), rows), listed_notes])
