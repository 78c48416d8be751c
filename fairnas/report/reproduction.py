"""The closing of the report: everything needed to make the run again."""

import html
import shlex

from fairnas.report.inputs import Inputs
from fairnas.report.markup import Html, Section, joined, missing, paragraphs, table, tag
from fairnas.report.units import counted, listed, whole
from fairnas.versions import installed_versions


def reproduction(inputs: Inputs) -> Section:
    """Configuration, versions, seed, commands, and the notes on the data."""
    config = inputs.config
    repeat = f"fairnas run {shlex.quote(config.recipe)}"
    if config.recipe == "folder":
        repeat += f" --data {shlex.quote(config.data.name)}"
    repeat += f" --config {shlex.quote(str(inputs.path / 'config.toml'))} --out AN_EMPTY_DIRECTORY"
    versions = dict(inputs.versions) or installed_versions()
    kept = "Versions that made this run" if inputs.versions else "Versions that wrote this page"
    rows = [(name, version) for name, version in versions.items()]
    body = [
        paragraphs([f"Every random choice of the run derives from its only seed, {config.seed}. The same run again:"]),
        _code("The command that repeats this run", repeat),
        tag("h3", "Configuration"),
        paragraphs(["The whole of `config.toml`, defaults included."]),
        _code("Configuration", inputs.config_text),
        tag("h3", "Data"),
        _data(inputs),
        tag("h3", "Versions"),
        table(kept, ("package", "version"), rows),
    ]
    return Section("reproduce", "How to reproduce this", joined(body))


def _code(label: str, text: str) -> Html:
    return tag("pre", tag("code", text.strip()), attributes=f'tabindex="0" aria-label="{html.escape(label)}"')


def _data(inputs: Inputs) -> Html:
    data = inputs.data
    if data is None:
        return paragraphs([missing("description of the data", "train", inputs.path)])
    colours = "grey" if data.image_channels == 1 else counted(data.image_channels, "channel")
    shown = listed(data.classes[:12]) if len(data.classes) <= 12 else f"{', '.join(data.classes[:12])}, ..."
    rows = [
        ("name", data.name),
        ("images", joined([f"{whole(count)} {split}" for split, count in data.counts], ", ")),
        ("size", f"{data.image_size} x {data.image_size} pixels, {colours}"),
        ("classes", f"{whole(len(data.classes))}: {shown}"),
        ("augmentation", data.augmentation),
        ("fingerprint", tag("code", data.fingerprint)),
    ]
    notes = [tag("li", note) for note in data.notes]
    listed_notes = joined([tag("p", "Notes:"), tag("ul", *notes)]) if notes else Html("")
    return joined([table("What was trained on", ("", ""), rows), listed_notes])
