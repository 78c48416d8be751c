"""The docs: links lead somewhere, paths in the design page exist, code blocks run, figures are the code's."""

import contextlib
import functools
import importlib
import io
import itertools
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "results").glob("*.md"))]
by_name = {page.relative_to(ROOT / "docs").as_posix() if page.parent != ROOT else page.name: page for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert target.startswith("http") or (page.parent / target).exists(), target


@pytest.mark.parametrize("name", ["design.md", "paper.md"])
def test_files_that_a_page_names_exist_and_hold_what_it_says(name):
    text = by_name[name].read_text()
    named = re.findall(r"`((?:[a-z_0-9]+/)*[a-z_0-9]+\.py)`(?:: `([A-Za-z_0-9]+)(?:\.[a-z_]+)?`)?", text)
    assert len(named) > 15
    for path, name in named:
        file = ROOT / "fairnas" / path
        assert file.exists(), path
        assert not name or re.search(rf"(def|class) {name}\b|^{name}\b", file.read_text(), re.MULTILINE), (path, name)


def test_every_room_is_on_the_design_page():
    text = by_name["design.md"].read_text()
    for entry in (ROOT / "fairnas").iterdir():
        if entry.name not in ("__init__.py", "__main__.py", "__pycache__"):
            assert re.search(rf"\b{entry.stem}\b", text), entry.name


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_python_blocks_run(page, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    names = {}  # a page is read from its beginning
    for elsewhere, block in re.findall(r"(<!-- not run here.*?-->\n)?```python\n(.*?)```", page.read_text(), re.DOTALL):
        if not elsewhere and "runs/" not in block:  # those need a finished run
            exec(compile(block, str(page), "exec"), names)


@functools.cache
def flags_of(command: str) -> frozenset[str]:
    """Flags of a verb or of a benchmark, by its own help."""
    from fairnas.cli.main import main

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
        if command.startswith("benchmarks"):
            module = importlib.import_module(command if command != "benchmarks.fuzz" else "benchmarks.fuzz.__main__")
            module.main(["--help"])
        else:
            main([*command.split(), "--help-all"])
    return frozenset(re.findall(r"--[a-z][a-z0-9.-]*", said.getvalue())) | {"--debug"}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_commands_exist_and_take_their_flags(page):
    from fairnas.cli.main import VERBS

    text = re.sub(r" \\\n *", " ", page.read_text())
    for line in re.findall(r"^\s*`{0,2}(?:fairnas|python -m) ([a-z].*)$", text, re.MULTILINE):
        words = shlex.split(line.split("`")[0], comments=True)
        assert words[0] in VERBS or words[0].startswith(("benchmarks.", "http.server", "fairnas")), line
        if not words[0].startswith(("http.server", "fairnas")):
            given = {word.split("=")[0] for word in words[1:] if word.startswith("--")}
            flags = flags_of(" ".join(words[: 2 if words[0] == "figure" else 1]))
            assert given <= flags, (line, given - flags)
    for verb in re.findall(r"`fairnas ([a-z]+)[^`\n]*`", text):
        assert verb in VERBS, verb


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_commands_over_several_lines_can_be_pasted(page):
    for block in re.findall(r"^```\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE):
        lines = block.splitlines()
        for line, following in itertools.pairwise(lines):
            if re.match(r"\s+--?[a-z]", following):
                assert line.endswith(" \\"), line


def test_the_tutorial_shows_what_is_printed_of_its_own_numbers():
    from fairnas.cli.summary import bound_lines

    text = by_name["tutorial-images.md"].read_text()
    table = text.partition("\n ONNX files ")[2].partition("\n\n")[0]
    found = [line.split() for line in table.splitlines()[1:]]
    files = [(row[0], float(row[1]), float(row[2])) for row in found]
    assert re.findall(r"^bound {5}.*$", text, re.MULTILINE) == bound_lines(0.15, files)


@pytest.mark.slow
def test_the_figures_of_the_readme_are_those_of_the_code():
    import fairnas

    text = by_name["README.md"].read_text()
    rows = [fairnas.zoo.row(name) for name in ("fairnas_a", "fairnas_b", "fairnas_c")]
    assert ", ".join(f"{row['madds'] / 1e6:.2f}" for row in rows) + " M" in text
    assert ", ".join(f"{row['params'] / 1e6:.2f}" for row in rows) + " M" in text
    assert f"{fairnas.equal_count_probability(2, 20):.3f}" in text
    assert f"{fairnas.get_space('mobilenet_v2').size:,}" in text


def test_every_promise_on_the_reliability_page_has_its_test():
    text = by_name["reliability.md"].read_text()
    rows = [row for row in re.findall(r"^\|(.+)\|(.+)\|$", text, re.MULTILINE) if "held by" not in row[1]]
    promises = [(promise, tests) for promise, tests in rows if set(promise) != set("-")]
    assert len(promises) > 20
    for promise, tests in promises:
        named = re.findall(r"`(tests/[a-z_0-9/]+\.py)(?:::(test_[a-z_0-9]+))?`", tests)
        assert named, promise
        for path, name in named:
            assert (ROOT / path).exists(), path
            assert not name or f"def {name}(" in (ROOT / path).read_text(), name
