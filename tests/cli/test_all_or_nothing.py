"""A command that changes a run changes all or nothing: one that fails leaves settings and results as they were."""

import contextlib
import dataclasses
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fairnas.errors import DataError
from fairnas.rundir import RunDirectory
from tests.cli.process import TINY

FAULTY = """
from fairnas.search import Objective

def broken(space, genome):
    raise OSError("no power meter")

def picky(space, genome):
    if sum(genome) % 2:
        raise ValueError("an odd network")
    return float(sum(genome))

power = Objective("watts", "min", "mW", function=broken)
picky = Objective("picky", "min", "points", function=picky)
"""
GONE = "the images are gone"
PRODUCT = ("retrain", "--recipe", "product", "--epochs")


@pytest.fixture(scope="module")
def whole(finished_run, tmp_path_factory):
    """A finished run whose networks were retrained by the product recipe."""
    from fairnas.cli.main import main

    path = tmp_path_factory.mktemp("whole") / "run"
    run = RunDirectory(shutil.copytree(finished_run[0], path))
    resources = dataclasses.replace(run.config.resources, processes=1)
    run.write_config(dataclasses.replace(run.config, resources=resources))
    for verb in ([*PRODUCT, "1"], ["export"], ["report"]):
        assert main([*verb, "--run", str(path), "--json"]) == 0
    return path


@pytest.fixture
def run(whole, tmp_path, monkeypatch):
    """A copy of it, with an objective file in the working directory."""
    monkeypatch.chdir(tmp_path)
    Path("meter.py").write_text(FAULTY)
    shutil.copytree(whole, "run")
    return Path("run")


def contents(run: Path) -> dict[str, bytes]:
    """Content of a run; scores of networks may be added, and TensorBoard's events."""
    files = (path for path in run.rglob("*") if path.is_file())
    left_out = ("archive.sqlite", ".lock", "events.out")
    return {str(path.relative_to(run)): path.read_bytes() for path in files if not path.name.startswith(left_out)}


def after_the_work(module: str, name: str):
    """Let a function do its work, and fail then."""

    def spoil(monkeypatch):
        import importlib

        usual = getattr(importlib.import_module(module), name)

        def failing(*given, **named):
            usual(*given, **named)
            raise DataError("the images are gone; put them back")

        monkeypatch.setattr(f"{module}.{name}", failing)

    return spoil


def nothing(monkeypatch):
    """Nothing is wrong but what the command says."""


SEARCH, RANK, EXPORT = (f"fairnas.pipeline.{name}_stage" for name in ("search", "rank", "export"))
RETRAIN_JOBS = "fairnas.pipeline.job_pool"
FAILURES = {
    "search, all networks fail": (
        ("search", "--objective", "meter.py:power", "--max-madds", "500k"),
        nothing,
        "no power meter; fix meter.py:power, or leave it out with `fairnas search --without watts`",
    ),
    "search, late": (
        ("search", "--search.searcher", "random", "--objective", "loss"),
        after_the_work(SEARCH, "run_search"),
        GONE,
    ),
    "search, no network meets a bound": (("search", "--max-madds", "1"), nothing, "search.max_madds is 1"),
    "retrain, late": ((*PRODUCT, "2"), after_the_work(RETRAIN_JOBS, "run_jobs"), GONE),
    "retrain, another space's network": (("retrain", "0123"), nothing, "genome '0123' has 4 choices"),
    "rank, late": (
        ("rank", "--models", "3", "--seeds", "1"),
        after_the_work(RANK, "study_ranking"),
        GONE,
    ),
    "rank, too few networks": (("rank", "--models", "40000"), nothing, "40000"),
    "export, late": (
        ("export", "--licence", "Apache-2.0"),
        after_the_work(EXPORT, "export_product"),
        GONE,
    ),
    "report, late": (("report",), after_the_work(EXPORT, "write_report"), GONE),
    "train with other settings": (("train", "digits", "--train.epochs", "9"), nothing, "holds a run of another"),
    "run with other settings": (("run", "digits", "--search.population", "9"), nothing, "holds a run of another"),
    "latency, late": (
        ("latency", "--minutes", "0.02"),
        after_the_work("fairnas.latency.measure", "measure_table"),
        GONE,
    ),
}
LONG = ("latency, late", "export, late")
"""Those that take seconds."""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "spoil", "message"),
    [pytest.param(*case, id=name, marks=pytest.mark.full if name in LONG else ()) for name, case in FAILURES.items()],
)
def test_a_command_that_fails_leaves_the_run_as_it_was(command, spoil, message, run, fairnas, monkeypatch):
    before = contents(run)
    assert {"config.toml", "stages.json", "search.json", "ranking.json", "report.html", "metrics.jsonl"} <= set(before)
    spoil(monkeypatch)
    outcome = fairnas(*command, "--out" if command[0] == "run" else "--run", run)
    assert outcome.code == 2, outcome.err
    assert message in outcome.err.splitlines()[-1]
    after = contents(run)
    assert [name for name in before if after.get(name) != before[name]] == []


# Refused before anything is done -------------------------------------------------------------------------------------

SAME = (*TINY, "--retrain.recipe", "product", "--retrain.epochs", "1", "--resources.executor", "lockstep")
"""Settings of the run that is copied, with other resources, which a command that is accepted would write down."""
ON_A_RUN = {
    "run": ("run", "digits", "--out", "run", *SAME),
    "train a recipe": ("train", "digits", "--run", "run", *SAME),
    "train": ("train", "--run", "run"),
    "search": ("search", "--run", "run", "--objective", "loss"),
    "retrain": (*PRODUCT, "2", "--run", "run"),
    "rank": ("rank", "--models", "3", "--seeds", "1", "--run", "run"),
    "export": ("export", "--licence", "Apache-2.0", "--run", "run"),
    "report": ("report", "--run", "run"),
    "latency": ("latency", "--run", "run", "--minutes", "0.02"),
    "similarity": ("similarity", "--run", "run"),
}
"""Every verb that writes in a run directory, with something to do. A new one belongs here."""
IN_A_FOLDER = {
    "figure 1": ("figure", "1", "--out", "new/figure", "--seeds", "2", *TINY),
    "figure 6": ("figure", "6", "--run", "run", "--out", "new/figure", "--seeds", "2"),
    "compare": ("compare", "digits", "--out", "new/figure", "--strategies", "strict", *TINY),
}
"""Every verb that keeps a folder of its own for what takes long."""
ONE_FILE = {
    "figure 8": ("figure", "8", "--run", "run", "--out", "new/figure"),
    "figure 10": ("figure", "10", "--run", "run", "--out", "new/figure"),
    "figure 11": ("figure", "11", "--run", "run", "--out", "new/figure"),
    "search to a file": ("search", "--run", "run", "--csv", "new.csv"),
}
"""Verbs that read a run and its settings, and write elsewhere."""


@contextlib.contextmanager
def in_use(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The run and the folder of a figure are held, here by this process."""
    with RunDirectory(Path("run")).locked(), contextlib.ExitStack() as more:
        if Path("new/figure").exists():
            more.enter_context(RunDirectory(Path("new/figure")).locked())
        yield


def configuration(text: Callable[[str], str]) -> Callable[[pytest.MonkeyPatch], contextlib.AbstractContextManager]:
    """The run's configuration was edited, or damaged."""

    @contextlib.contextmanager
    def spoilt(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        path = Path("run/config.toml")
        path.write_text(text(path.read_text()))
        yield

    return spoilt


def damaged(name: str, content: bytes) -> Callable[[pytest.MonkeyPatch], contextlib.AbstractContextManager]:
    """A file of the run is not what was written."""

    @contextlib.contextmanager
    def spoilt(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        (Path("run") / name).write_bytes(content)
        yield

    return spoilt


def failing(module: str, name: str, error: Exception) -> Callable[..., contextlib.AbstractContextManager]:
    """Whoever asks for something is told that it cannot be had."""

    @contextlib.contextmanager
    def spoilt(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        def fail(*given: object, **named: object) -> None:
            raise error

        monkeypatch.setattr(f"{module}.{name}", fail)
        yield

    return spoilt


@contextlib.contextmanager
def changed_meanwhile(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Another command changes the settings of the run between this one's first look and its lock."""
    locked = RunDirectory.locked

    def late(run: RunDirectory) -> contextlib.AbstractContextManager[None]:
        run.write_config(dataclasses.replace(run.config, export=dataclasses.replace(run.config.export, licence="MIT")))
        return locked(run)

    monkeypatch.setattr(RunDirectory, "locked", late)
    yield


@contextlib.contextmanager
def as_it_is(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is wrong but what the command says."""
    yield


@contextlib.contextmanager
def occupied(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Somebody's files are where a folder is to be made."""
    Path("new/figure").mkdir(parents=True)
    Path("new/figure/thesis.tex").write_text("mine")
    yield


IMAGES_GONE = failing("fairnas.pipeline.experiment", "load_dataset", DataError("the images are gone; put them back"))


READ_SETTINGS = {name: ON_A_RUN[name] for name in ON_A_RUN if name != "latency"}
"""`latency` needs only `space.json`."""


@contextlib.contextmanager
def dial_damaged(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A run in time, whose record of what was chosen is damaged."""
    with configuration(lambda text: "minutes = 20.0\n" + text)(monkeypatch), damaged("dial.json", b"{")(monkeypatch):
        yield


@contextlib.contextmanager
def damaged_and_gone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The report is damaged, which every stage that is done again would remove."""
    with damaged("report.html", b"x")(monkeypatch), IMAGES_GONE(monkeypatch):
        yield


REFUSALS = {
    "in use": (ON_A_RUN, in_use, "run is in use by process"),
    "no TOML": (
        READ_SETTINGS, configuration(lambda text: text.replace("=", "", 1)), "config.toml is not valid TOML",
    ),
    "unknown key": (
        {name: each for name, each in (READ_SETTINGS | ONE_FILE).items() if name != "search to a file"},
        configuration(lambda text: text.replace("[train]", "[train]\nlrr = 1")),
        "unknown key 'train.lrr'; did you mean 'train.lr'?",
    ),
    "impossible value": (
        READ_SETTINGS, configuration(lambda text: text.replace("seed = 0", "seed = -1")), "seed is -1; give 0 or more",
    ),
    "cut short": (
        READ_SETTINGS, configuration(lambda text: text.partition("[resources]")[0]), "config.toml is cut short",
    ),
    "other schema": (
        READ_SETTINGS, configuration(lambda text: text.replace("schema = ", "schema = 9")), "this fairnas reads schema",
    ),
    "records damaged": (READ_SETTINGS, damaged("stages.json", b"{}"), "stages.json is damaged; delete it"),
    "dial damaged": ({"run": ON_A_RUN["run"]}, dial_damaged, "dial.json is damaged"),
    "images gone": ({name: ON_A_RUN[name] for name in ON_A_RUN if name not in ("report", "latency")},
                    IMAGES_GONE, GONE),
    "images gone, and damage to mend": (
        {verb: (verb, "--run", "run") for verb in ("train", "search", "retrain", "rank", "export")},
        damaged_and_gone, GONE,
    ),
    "images gone for a figure": ({name: IN_A_FOLDER[name] for name in IN_A_FOLDER if name != "figure 6"},
                                 IMAGES_GONE, GONE),
    "supernet damaged": (
        {name: ON_A_RUN[name] for name in ("search", "similarity")}, damaged("supernet/checkpoint.pt", b"x"),
        "checkpoint.pt is lost or damaged; `fairnas train --run run` makes it again",
    ),
    "search damaged": (
        {name: ON_A_RUN[name] for name in ("retrain", "rank")}, damaged("search.json", b"{}"),
        "search.json is lost or damaged; `fairnas search --run run` makes it again",
    ),
    "changed meanwhile": (
        {name: ON_A_RUN[name] for name in ("search", "retrain", "rank", "export")}, changed_meanwhile,
        "another command changed the settings of run since this one began; run the same command again",
    ),
    "occupied": (IN_A_FOLDER, occupied, "new/figure exists and is not the folder of a figure"),
    "occupied by a run": (
        {name: (*each[:3], "run", *each[4:]) if name != "figure 6" else (*each[:5], "run", *each[6:])
         for name, each in IN_A_FOLDER.items()},
        as_it_is, "run exists and is not the folder of a figure",
    ),
    "somebody's directory": (
        {"run": ("run", "digits", "--out", "new/figure"), "train": ("train", "digits", "--out", "new/figure")},
        occupied, "new/figure exists and is not a run directory",
    ),
    **{
        f"settings {' '.join(flags)}": (
            {"run": ("run", "digits", *flags, "--out", "new/run"),
             "train": ("train", "digits", *flags, "--out", "new/run")},
            as_it_is, message,
        )
        for flags, message in (
            (("--space", "digitz"), "unknown space 'digitz'; did you mean 'digits'?"),
            (("--train.strategy", "strikt"), "unknown strategy 'strikt'"),
            (("--search.searcher", "moremnaz"), "unknown searcher 'moremnaz'"),
            (("--max-madds", "1"), "search.max_madds is 1"),
            (("--stand-alone.genomes", "0123"), "genome '0123' has 4 choices"),
            (("--stand-alone.models", "999999999"), "stand_alone.models is 999999999"),
            (("--data", "folder:absent"), "absent"),
            (("--data.image-size", "1"), "image"),
            (("--seed", "1" * 31), "seed"),
            (("--train.lr", "inf"), "train.lr is inf"),
        )
    },
    "a bound that no network meets": (
        {"search": ("search", "--run", "run", "--max-madds", "1")}, as_it_is, "search.max_madds is 1",
    ),
    "an unknown searcher": (
        {"search": ("search", "--run", "run", "--search.searcher", "moremnaz")}, as_it_is, "unknown searcher",
    ),
    "an unknown objective": (
        {"search": ("search", "--run", "run", "--objective", "absent.py:power")}, as_it_is, "absent.py",
    ),
    "an unknown genome": (
        {"retrain": ("retrain", "0123", "--run", "run"), "rank": ("rank", "--genome", "0123", "--run", "run")},
        as_it_is, "genome '0123' has 4 choices",
    ),
    "another run that is none": (
        {"rank": ("rank", "--against", "absent", "--run", "run"),
         "similarity": ("similarity", "--against", "absent", "--run", "run"),
         "report of two": ("report", "run", "absent")},
        as_it_is, "absent is not a run directory",
    ),
    "a stage with settings of another": (
        {"train": ("train", "digits", "--run", "run", *SAME, "--search.population", "9")}, as_it_is,
        "holds a run of another configuration",
    ),
}  # fmt: skip
"""Where a command can be refused: the commands by name, what is wrong, and what is said. A new one belongs here."""
REFUSED = [
    pytest.param(command, spoilt, message, id=f"{name}: {verb}")
    for name, (commands, spoilt, message) in REFUSALS.items()
    for verb, command in commands.items()
]


def everything() -> dict[str, bytes | None]:
    """All files and folders of the working directory; what a command that is refused must not touch."""
    return {str(path): path.read_bytes() if path.is_file() else None for path in Path().rglob("*")}


@pytest.mark.slow
@pytest.mark.parametrize(("command", "spoilt", "message"), REFUSED)
def test_a_command_that_is_refused_changes_nothing(command, spoilt, message, run, fairnas, monkeypatch):
    settings = RunDirectory(run).config
    with spoilt(monkeypatch):
        before = everything()
        outcome = fairnas(*command)
        after = everything()
    assert outcome.code == 2, outcome.err
    assert message in outcome.err.splitlines()[-1]
    if spoilt is changed_meanwhile:  # by the other command
        changed = dataclasses.replace(settings, export=dataclasses.replace(settings.export, licence="MIT"))
        assert RunDirectory(run).config == changed
        before.pop("run/config.toml"), after.pop("run/config.toml")
    assert {name for name in before | after if before.get(name, b"-") != after.get(name, b"-")} == set()


@pytest.mark.slow
@pytest.mark.parametrize("command", IN_A_FOLDER.values(), ids=IN_A_FOLDER)
def test_a_figure_in_use_is_refused_and_not_changed(command, run, fairnas, monkeypatch):
    RunDirectory.create(Path("new/figure"), RunDirectory(run).config)
    Path("new/figure/figure.json").write_text("{}")
    with in_use(monkeypatch):
        before = everything()
        outcome = fairnas(*command)
        after = everything()
    assert outcome.code == 2
    assert "is in use by process" in outcome.err.splitlines()[-1]
    assert after == before


def test_every_verb_that_writes_is_among_them():
    from fairnas.cli.main import VERBS

    reading = {"plan", "predict", "watch", "audit", "describe", "spaces", "zoo", "strategies", "searchers", "doctor"}
    listed = {command[0] for commands in (ON_A_RUN, IN_A_FOLDER, ONE_FILE) for command in commands.values()}
    assert listed == VERBS.keys() - reading


# Interrupted, and mended ----------------------------------------------------------------------------------------------


def test_an_interrupted_search_leaves_selection_and_settings(run, fairnas, monkeypatch):
    before = contents(run)

    def interrupted(*given, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr("fairnas.pipeline.search_stage.run_search", interrupted)
    assert fairnas("search", "--run", run, "--objective", "loss").code == 130
    assert contents(run) == before


@pytest.mark.slow
def test_a_mended_objective_is_asked_again_and_can_be_taken_out(run, fairnas):
    assert fairnas("search", "--run", run, "--objective", "meter.py:power").code == 2
    names = [row["name"] for row in fairnas("search", "--run", run, "--show", "--json").json["objectives"]]
    assert names == ["top1", "madds", "params"]

    flags = ("--objective", "meter.py:picky", "--max-latency", "10s", "--latency-table", "t.json")
    write_table()
    assert fairnas("search", "--run", run, *flags).code == 0
    rows = fairnas("search", "--run", run, "--show", "--json").json["objectives"]
    origin = {row["name"]: row["origin"] for row in rows}
    assert origin == {
        "top1": "recipe 'digits'", "madds": "recipe 'digits'", "params": "recipe 'digits'",
        "picky": "flag of `fairnas search`", "latency": "bound given to `fairnas search` (--max-latency)",
    }  # fmt: skip
    assert fairnas("search", "--run", run).code == 0
    again = fairnas("search", "--run", run, "--show", "--json").json["objectives"]
    assert {row["name"]: row["origin"] for row in again} == origin  # a second search keeps the origins
    shown = fairnas("search", "--run", run, "--show").out
    assert "flag of `fairnas search`" in shown
    assert "meter.py:picky" in shown

    refused = fairnas("search", "--run", run, "--without", "watts")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "no objective 'watts' to take out; there are accuracy, madds, params, meter.py:picky, latency" in refused.err
    Path("meter.py").unlink()  # what is lost can be taken out all the same
    assert fairnas("search", "--run", run, "--without", "picky", "--without", "latency", "--json").code == 0
    names = [row["name"] for row in fairnas("search", "--run", run, "--show", "--json").json["objectives"]]
    assert names == ["top1", "madds", "params"]
    assert RunDirectory(run).config.search.max_latency is None


def write_table() -> None:
    from fairnas.latency import LatencyTable, write_latency_table
    from fairnas.space import get_space

    rows = tuple((1.0,) * count for count in get_space("digits").choices)
    write_latency_table(Path("t.json"), LatencyTable("digits", "a phone", 0.25, rows))
