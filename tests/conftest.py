"""Common parts of all tests: hypothesis profiles, ground truth, and random search spaces."""

import itertools
import json
import os
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, sync_playwright

from fairnas.space import Identity, InvertedResidual, SearchSpace, Separable, Stage, Stem, chain_space
from tests import forked

_SLOW_IS_FINE = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("laptop", deadline=None, suppress_health_check=_SLOW_IS_FINE)
settings.register_profile("ci", settings.get_profile("laptop"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "laptop")

# The tests' networks are tiny: a second thread only waits for the first, and beside other work for long. Read when
# torch is imported, here and in the processes that tests start.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Without a GPU its kernels run in Triton's interpreter, which is slow and exact. Read when Triton is imported.
if not any(Path("/dev").glob("nvidia[0-9]*")) and not any(Path("/dev", name).exists() for name in ("kfd", "dxg")):
    os.environ.setdefault("TRITON_INTERPRET", "1")


_SLOW_S = 0.5
"""Processor time above which a test has to bear the mark `slow`, so that `make check` stays quick."""


def _processor_time() -> float:
    # Of this process, of its children that have ended, and of programs forked from another.
    return sum(os.times()[:4]) + forked.processor_s()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Note the processor time of every test, for `pytest_terminal_summary`; its fixtures are not counted."""
    begun = _processor_time()
    try:
        return (yield)
    finally:
        item.user_properties.append(("processor_s", _processor_time() - begun))
        item.user_properties.append(("slow", item.get_closest_marker("slow") is not None))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name tests that are too slow for `make check`, there; FAIRNAS_TEST_TIMES names a file for the times of all."""
    reports = [report for report in terminalreporter.getreports("passed") if report.when == "call"]
    found = {report.nodeid: dict(report.user_properties) for report in reports}
    if path := os.environ.get("FAIRNAS_TEST_TIMES"):
        Path(path).write_text(json.dumps(found, indent=1))
    if "not slow" not in terminalreporter.config.option.markexpr:
        return
    late = [name for name, each in found.items() if each["processor_s"] > 2 * _SLOW_S and not each["slow"]]
    for name in late:
        terminalreporter.write_line(f"mark it slow: {name} took {found[name]['processor_s']:.1f} s of processor time")


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark `full` what the mark `cover` leaves out of `make test`."""
    for _, cases in itertools.groupby(items, lambda item: item.nodeid.partition("[")[0]):
        cases = list(cases)
        if mark := cases[0].get_closest_marker("cover"):
            for case in _not_needed(cases, mark.args, **mark.kwargs):
                case.add_marker("full")


def _not_needed(cases: list[pytest.Item], names: tuple[str, ...], together: int = 2) -> list[pytest.Item]:
    """Leave out cases while the others still have every combination of `together` parameters' values at least once."""

    def combinations(case: Any) -> set[tuple[tuple[str, str], ...]]:
        values = [(name, repr(case.callspec.params[name])) for name in names or sorted(case.callspec.params)]
        return set(itertools.combinations(values, together))

    left = {case: combinations(case) for case in cases}
    missing = set().union(*left.values())
    while missing:
        best = max(left, key=lambda case: len(left[case] & missing))  # the first of equals: always the same choice
        missing -= left.pop(best)
    return list(left)


@pytest.fixture(scope="session")
def macro_truth() -> dict[str, dict[str, Any]]:
    """NAS-Bench-Macro by genome in text form: `params`, `flops`, `test_acc` (percent, three seeds), `mean_acc`."""
    name = "nas-bench-macro_cifar10.json"
    folder = Path(os.environ.get("FAIRNAS_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not (folder / name).is_file():
        message = f"{name} is not in {folder}; set FAIRNAS_DATA to the folder that holds it"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    return json.loads((folder / name).read_text())


_CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium: its path in FAIRNAS_CHROMIUM, or `chromium` on the PATH."""
    path = os.environ.get("FAIRNAS_CHROMIUM") or shutil.which("chromium")
    if path is None:
        reason = "no Chromium: put its path into FAIRNAS_CHROMIUM, or `apt-get install chromium`"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(_CHROMIUM_FLAGS))
        yield browser
        browser.close()


@st.composite
def _chain_spaces(draw: st.DrawFn, *, max_layers: int = 3) -> SearchSpace:
    def some(values: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(draw(st.lists(st.sampled_from(values), min_size=1, max_size=3, unique=True)))

    widths = st.integers(1, 6)
    stages = st.lists(st.builds(Stage, widths, st.integers(1, max_layers), st.integers(1, 2)), min_size=1, max_size=3)
    mixed = (Identity(), InvertedResidual(3, 2), Separable(5), InvertedResidual(1, 1))
    space = chain_space(
        draw(st.sampled_from(("small", "other"))),
        image_size=1,
        stem=Stem(draw(widths), draw(st.integers(1, 2))),
        stages=draw(stages),
        head=draw(widths),
        kernels=some((1, 3, 5, 7)),
        expansions=some((1, 2, 3)),
        choices=draw(st.none() | st.lists(st.sampled_from(mixed), min_size=1, max_size=4, unique=True)),
        first=draw(st.none() | widths),
        skip=draw(st.booleans()),
        image_channels=draw(st.sampled_from((1, 3))),
        num_classes=draw(st.integers(1, 7)),
        activation=draw(st.sampled_from(("relu6", "relu"))),
    )
    return space.for_data(image_size=space.reduction + draw(st.integers(0, 6)))


@pytest.fixture(scope="session")
def chain_spaces() -> st.SearchStrategy[SearchSpace]:
    """A hypothesis strategy: small spaces of every kind that `chain_space` makes, most with unequal choices."""
    return _chain_spaces()


@pytest.fixture(scope="session")
def make_lively() -> Callable[[Any, int], Any]:
    """Give a network's BN layers the statistics, scales and shifts of a trained one: anything but the identity."""

    def change(network: Any, seed: int = 0) -> Any:
        import torch

        rng = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for part in network.modules():
                if isinstance(part, torch.nn.BatchNorm2d):
                    assert part.running_mean is not None
                    assert part.running_var is not None
                    part.running_mean.normal_(0, 0.2, generator=rng)
                    part.running_var.uniform_(0.5, 2, generator=rng)
                    part.weight.uniform_(0.5, 1.5, generator=rng)
                    part.bias.normal_(0, 0.3, generator=rng)
        return network

    return change
