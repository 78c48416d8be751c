"""The public names, and that importing them costs nothing."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import fairnas


def test_public_names_are_the_documented_ones_and_load() -> None:
    assert set(fairnas.__all__) == {
        *("get_space", "Supernet", "build", "cost", "rank_agreement", "equal_count_probability", "zoo", "load")
    }
    for name in fairnas.__all__:
        assert getattr(fairnas, name) is not None
        assert name in dir(fairnas)
    assert fairnas.zoo.create.__module__.startswith("fairnas.zoo")
    assert fairnas.__version__.count(".") == 2


def test_unknown_name() -> None:
    with pytest.raises(AttributeError, match=r"^module 'fairnas' has no attribute 'supernet' \(it has get_space, Sup"):
        _ = fairnas.supernet


def test_importing_the_package_loads_nothing_else() -> None:
    code = (
        "import sys; before = set(sys.modules); import fairnas; "
        "new = {name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names); "
        "sys.exit(0 if new == {'fairnas'} else f'imports {new}')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


PACKAGE = Path(fairnas.__file__).parent


@pytest.mark.slow
@pytest.mark.parametrize("room", [PACKAGE, PACKAGE.parent / "benchmarks"], ids=["fairnas", "benchmarks"])
def test_files_and_functions_are_short_enough_to_read(room: Path) -> None:
    for file in room.rglob("*.py"):
        text = file.read_text(encoding="utf-8")
        assert text.count("\n") <= 400, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = ast.get_docstring(node, clean=False) or ""
                lines = (node.end_lineno or node.lineno) - node.lineno - docstring.count("\n")
                assert lines <= 60, f"{file}: {node.name} has {lines} lines"


@pytest.mark.slow
def test_every_file_can_be_imported_where_there_is_no_unix() -> None:
    """Exported networks are used on Windows, too; what needs a run says there in one line that it cannot be had."""
    for file in PACKAGE.rglob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = {alias.name for alias in node.names} | {getattr(node, "module", None)}
                assert not names & {"fcntl", "grp", "pwd", "resource", "termios"}, file


def public_functions() -> Iterator[tuple[Path, ast.FunctionDef]]:
    """Functions that a room offers: named in its `__all__`."""
    offered = set()
    for init in PACKAGE.rglob("__init__.py"):
        for node in ast.walk(ast.parse(init.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["__all__"]:
                offered |= set(ast.literal_eval(node.value))
    for file in PACKAGE.rglob("*.py"):
        for node in ast.parse(file.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name in offered:
                yield file, node


@pytest.mark.slow
def test_public_functions_say_what_they_take_and_what_goes_wrong() -> None:
    seen = 0
    for file, function in public_functions():
        seen += 1
        where, text = f"{file}: {function.name}", ast.get_docstring(function) or ""
        assert text, where
        if len(function.args.args) + len(function.args.kwonlyargs) >= 3:
            assert "Args:" in text, where
        if any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(function)):
            assert "raise" in text.lower(), where
    assert seen > 60
