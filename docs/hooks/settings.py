"""Fills `reference/config.md`: every setting of a run, from its dataclass, when the site is built."""

import functools

from fairnas.cli.flags import text_of
from fairnas.config import RunConfig
from fairnas.config.settings import Setting, declared_settings

MARK = "<!-- every setting -->"


def on_page_markdown(markdown: str, **_) -> str:
    """The hook of mkdocs: put the tables where the mark is."""
    return markdown.replace(MARK, as_markdown()) if MARK in markdown else markdown


def as_markdown() -> str:
    """One table per section: flag, default and meaning of each setting; those that `--help` shows are bold."""
    lines: list[str] = []
    section = None
    for setting in declared_settings(RunConfig):
        assert setting.flag is not None, f"{setting.key} does not say whether help shows it"
        if setting.flag.level == "none":
            continue
        above = setting.key.rpartition(".")[0]
        if above != section:
            section = above
            lines += ["", f"## `[{section}]`" if section else "## Above all sections", ""]
            lines += ["| setting | flags | default | |", "|---|---|---|---|"]
        lines.append(_row(setting))
    return "\n".join(lines)


def _row(setting: Setting) -> str:
    name = f"`{setting.key.rpartition('.')[2]}`"
    flags = [f"`--{setting.key.replace('_', '-')}`"]
    if setting.flag and setting.flag.short:
        flags.append(f"`--{setting.flag.short.name}`")
    value = functools.reduce(getattr, setting.key.split("."), RunConfig(""))
    default = (
        "" if value is None else f"`{' '.join(value) if isinstance(value, tuple) else value}`" if value != () else ""
    )
    name = f"**{name}**" if setting.flag and setting.flag.level == "common" else name
    text = text_of(setting).replace("|", "\\|")
    return f"| {name} | {', '.join(flags)} | {default} | {text} |"
