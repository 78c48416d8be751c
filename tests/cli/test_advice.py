"""Advice that a command can follow: a message names flags that the verbs which print it accept."""

import ast
import dataclasses
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import fairnas
from fairnas.cli.flags import fields_of, read_type, shorts_of
from fairnas.cli.main import VERBS
from fairnas.cli.memory import SMALLER
from fairnas.config.settings import declared_settings

PACKAGE = Path(fairnas.__file__).parent
FLAG = re.compile(r"(?<![\w(\[-])--[a-z][a-z0-9.-]*[a-z0-9]")
COMMAND = re.compile(r"`fairnas (figure \d+|[a-z]+|…)[^`]*`")
STAGES = ("train", "search", "retrain", "rank", "export", "report", "latency", "similarity")
WITHOUT_VERB = {"--debug", "--json", "--help", "--help-all", "--version", "--nproc-per-node", "--show"}

BEGIN = ("run", "plan", "train", "compare", "figure 1")
"""Verbs that begin with a recipe."""
EMITTERS = {
    "cli/dial.py": ("run", "plan"),
    "cli/figure.py": ("figure 6",),  # the other figures have no such messages
    "cli/memory.py": (),  # each verb has its own, see below
    "cli/parsing.py": (),  # says again what the user gave
    "cli/settings.py": BEGIN,
    "cli/main.py": tuple(VERBS),
    "config/augmentation.py": BEGIN,
    "configfile.py": ("run", "plan"),
    "data": BEGIN,
    "errors.py": ("run", "retrain", "rank"),
    "export/timing.py": ("latency",),
    "latency": ("latency", "zoo"),
    "paper/figure_1_study.py": ("figure 1",),
    "paper/figure_4.py": ("figure 4",),
    "paper/figure_6_study.py": ("figure 6",),
    "paper/figure_8_study.py": ("figure 8",),
    "paper/output_folder.py": ("figure 1", "figure 4", "figure 6", "figure 8", "figure 10", "figure 11", "compare"),
    "paper/similarity_study.py": ("similarity",),
    "paper/supernet_runs.py": ("figure 1",),
    "paper/table_1_study.py": ("compare",),
    "paper/table_1_systems.py": ("compare",),
    "pipeline/balancing.py": ("run", "plan", "train"),
    "pipeline/block_similarity.py": ("similarity",),
    "pipeline/costs.py": ("run", "plan", "train", "search"),
    "pipeline/job_pool.py": ("run", "retrain", "rank"),
    "planning": ("run", "plan"),
    "report/reproduction_section.py": ("run",),
    "report/run_data.py": ("compare",),
    "report/side_by_side.py": ("search",),
    "report/server.py": ("watch",),
    "rundir.py": ("run", "train"),
    "search": ("run", "plan", "train", "search"),
    "train/launch.py": ("train",),
}
"""Verbs that may print the messages of a file or a room, apart from `cli/VERB.py`, which speaks for its verb."""


def kinds_of(verb: str) -> list[type]:
    """The dataclasses of a verb's flags."""
    name, _, number = verb.partition(" ")
    module = importlib.import_module(f"fairnas.cli.{name}")
    found = [
        each
        for each in vars(module).values()
        if isinstance(each, type) and dataclasses.is_dataclass(each) and each.__module__ == module.__name__
    ]
    kinds = [each for each in found if each.__name__.endswith("Verb")]
    if number:
        word = {"1": "One", "4": "Four", "6": "Six", "8": "Eight", "10": "Ten", "11": "Eleven"}[number]
        kinds = [each for each in kinds if each.__name__ == f"Figure{word}Verb"]
    return kinds


def accepted(verb: str) -> set[str]:
    """Every flag that a verb takes, in the spelling of messages."""
    flags: set[str] = set()
    for kind in kinds_of(verb):
        read_type(kind)  # what tyro reads
        flags |= {f"--{short}" for short in shorts_of(kind)}
        for field in fields_of(kind):
            names = [each for each in field.metadata if hasattr(each, "aliases")]
            named = next((each.name for each in names if each.name is not None), field.name)
            flags |= {alias for each in names for alias in each.aliases or ()}
            if field.section is None:
                flags.add(f"--{named}")
            else:
                above = "" if field.is_root else f"{field.name}."
                flags |= {f"--{above}{each.key}" for each in declared_settings(field.section)}
    return {flag.replace("_", "-") for flag in flags}


def texts(tree: ast.AST) -> Iterator[str]:
    """Every text in the code that is no docstring, with … for what is filled in."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(each.value) if isinstance(each, ast.Constant) else "…" for each in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (docstrings | parts):
            yield node.value


def advice() -> Iterator[tuple[str, str]]:
    """Files and texts that name a flag. Styles of pages name CSS variables in the same way."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for text in texts(ast.parse(path.read_text())):
            is_style = "var(--" in text or "style=" in text
            is_name = text.startswith("--") and " " not in text
            if FLAG.search(text) and not (is_style or is_name or text.startswith("usage:")):
                yield path.relative_to(PACKAGE).as_posix(), text


def emitters(file: str) -> tuple[str, ...]:
    if file in EMITTERS:
        return EMITTERS[file]
    room, _, name = file.partition("/")
    if room == "cli":
        verb = name.removesuffix(".py")
        assert verb in VERBS, f"which verbs print the messages of {file}?"
        return (verb,)
    assert room in EMITTERS, f"which verbs print the messages of {file}?"
    return EMITTERS[room]


ADVICE = list(advice())


def test_the_messages_are_found():
    assert len(ADVICE) > 60
    assert {"errors.py", "rundir.py", "cli/rank.py", "data/level.py"} <= {file for file, _ in ADVICE}


@pytest.mark.parametrize("file", sorted({file for file, _ in ADVICE}))
def test_a_message_names_flags_that_the_command_takes(file):
    for text in (text for each, text in ADVICE if each == file):
        for found in COMMAND.finditer(text):
            flags = set(FLAG.findall(found[0])) - WITHOUT_VERB
            for verb in STAGES if found[1] == "…" else (found[1],):
                assert flags <= accepted(verb), f"{file}: {text}"
        flags = set(FLAG.findall(COMMAND.sub("", text))) - WITHOUT_VERB
        verbs = emitters(file) if flags else ()
        for verb in verbs:
            assert flags <= accepted(verb), f"{file}, by `fairnas {verb}`: {text}"


@pytest.mark.parametrize("verb", SMALLER)
def test_with_too_little_memory_a_command_names_its_own_flags(verb):
    flags = set(FLAG.findall(SMALLER[verb]))
    assert flags
    assert flags <= accepted(verb)


def test_what_a_lost_training_advises_can_be_given(fairnas, tmp_path):
    for verb in ("rank", "retrain"):
        outcome = fairnas(verb, "--run", tmp_path / "none", "--resources.processes", "1")
        assert outcome.code == 2
        assert "none is not a run directory" in outcome.err
