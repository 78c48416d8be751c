"""A finished run whose files are deleted, cut or changed at rest: found, named, and made again. And other schemas."""

import contextlib
import json
import shutil
import sqlite3

import pytest
import torch

from benchmarks.sameness import contents, differences
from fairnas.errors import FairnasError
from fairnas.fairness import Ledger
from fairnas.pipeline.stages import STAGES, damaged_files
from fairnas.rundir import RunDirectory
from tests.cli.process import SMALLEST
from tests.rewriting import rewrite_text

NOT_OF_THE_RUN = (".lock", "archive.sqlite-wal", "archive.sqlite-shm", "events.out.tfevents")
"""Beginnings of names of files that nothing reads: the lock, SQLite's own, and TensorBoard's."""


@pytest.fixture
def run(smallest_run, tmp_path):
    return shutil.copytree(smallest_run, tmp_path / "run")


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    """Change one bit, of something that counts."""
    content = bytearray(path.read_bytes())
    place = len(content) // 2
    if path.name == "archive.sqlite":
        place = content.index(b'"top1":') + 9
    elif path.name == "metrics.jsonl":
        place = content.index(b'"loss": ') + 8
    elif path.name == "stages.json":
        place = content.index(b'ledger.json": "') + 20
    content[place] ^= 1
    path.write_bytes(content)


MAKERS = {
    "archive.sqlite": "search", "search.json": "search", "ranking.json": "rank", "models": "export",
    "report.html": "report", "metrics.jsonl": "train or search", "stand_alone": "retrain or rank",
}  # fmt: skip
"""The stages that make a file, or a folder, of a finished run; all others are of the training."""


def found(path) -> dict[str, list[str]]:
    """Damaged files found by a command, by stage."""
    run = RunDirectory.open(path)
    damaged = {stage.name: list(damaged_files(run, stage.name)) for stage in STAGES}
    for stage in STAGES:
        if run.restore_metrics(stage.name):
            damaged[stage.name].append("metrics.jsonl")
    assert run.config.recipe == "digits"
    return {name: files for name, files in damaged.items() if files}


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["delete", cut, flip], ids=["deleted", "cut", "a bit flipped"])
def test_damage_to_any_file_of_a_finished_run_is_found_and_its_stage_named(damage, run):
    names = sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
    assert len(names) > 20
    assert found(run) == {}
    for name in names:
        path = run / name
        if path.name.startswith(NOT_OF_THE_RUN):
            continue
        whole = path.read_bytes()
        path.unlink() if damage == "delete" else damage(path)
        if name in ("config.toml", "stages.json"):  # no stage makes these
            named_or_harmless(damage, name, run)
        else:
            stages = found(run)
            assert all(files == [name] for files in stages.values()), name
            assert stages, f"{name} is damaged and nobody noticed"
            assert all(stage in MAKERS.get(name.split("/")[0], "train") for stage in stages), (name, stages)
        path.write_bytes(whole)  # if that leaves any damage, the next file is not the only one that is found
    assert found(run) == {}


def named_or_harmless(damage, name, run):
    if name == "config.toml" and damage == flip:
        return  # what is given with the command is compared with it, and a training knows its settings by a hash
    if name == "stages.json" and damage == "delete":
        assert found(run) == {}  # nothing counts as finished, so each stage is done again, from what is there
        assert not RunDirectory.open(run).is_finished("train")
        return
    with pytest.raises(FairnasError, match=name) as error:
        found(run)
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_damage_in_every_stage_at_once_is_named_and_mended_by_the_same_command(run, smallest_run, fairnas):
    models = sorted(run.glob("models/*/model.onnx"))
    alone = sorted(run.glob("stand_alone/*.pt"))
    trained = sorted(run.glob("stand_alone/*-s1.json"))
    for path in (run / "archive.sqlite", run / "metrics.jsonl", models[0], alone[0]):
        flip(path)
    cut(trained[0])
    for name in ("supernet/checkpoint.pt", "space.json", "report.html"):
        (run / name).unlink()
    outcome = fairnas("run", "digits", "--out", run, "--json", *SMALLEST)
    assert outcome.code == 0, outcome.err
    for line in (
        "supernet/checkpoint.pt, space.json lost or damaged; doing 'train' again",
        "archive.sqlite lost or damaged; doing 'search' again",
        f"stand_alone/{alone[0].name} lost or damaged; doing 'retrain' again",
        f"stand_alone/{trained[0].name} lost or damaged; doing 'rank' again",
        f"models/{models[0].parent.name}/model.onnx lost or damaged; doing 'export' again",
        "report.html lost or damaged; doing 'report' again",
        "metrics.jsonl lost or damaged; the lines of 'train' are put back from stages.json",
    ):
        assert line in outcome.err.splitlines(), line
    (run / "archive.sqlite.damaged").unlink()  # kept aside, as other searches may have scores in it
    for end in ("-wal", "-shm"):
        (run / f"archive.sqlite.damaged{end}").unlink(missing_ok=True)
    assert differences(run, smallest_run) == ()


def test_a_single_stage_refuses_to_build_on_damage_and_says_what_mends_it(run, fairnas):
    (run / "archive.sqlite").unlink()
    outcome = fairnas("rank", "--run", run)
    assert outcome.code == 2
    assert outcome.err.splitlines() == [
        f"fairnas: {run}/archive.sqlite is lost or damaged; `fairnas search --run {run}` makes it again"
    ]


READERS = {
    "audit": (("audit",), "ledger.json", "train"),
    "audit, weights": (("audit",), "supernet/checkpoint.pt", "train"),
    "report, ledger": (("report",), "ledger.json", "train"),
    "report, search": (("report",), "search.json", "search"),
    "report, candidates": (("report",), "archive.sqlite", "search"),
    "report, study": (("report",), "ranking.json", "rank"),
    "report, data": (("report",), "data.json", "train"),
    "report, space": (("report",), "space.json", "train"),
    "rank": (("rank", "--show"), "ranking.json", "rank"),
    "search": (("search", "--show"), "search.json", "search"),
    "search to a file": (("search", "--show", "--csv", "new.csv"), "archive.sqlite", "search"),
}
"""Commands that only read a run, a file that they read, and the stage that makes it."""


def change_a_digit(path):
    """A change that leaves a file readable, with another number in it."""
    if path.suffix not in (".json", ".sqlite"):
        flip(path)
        return
    content = path.read_bytes()
    begin = content.index(b'"top1":') if path.suffix == ".sqlite" else 0
    place = next(place for place in range(begin, len(content)) if content[place : place + 1].isdigit())
    path.write_bytes(content[:place] + (b"1" if content[place : place + 1] == b"0" else b"0") + content[place + 1 :])


@pytest.mark.parametrize("reader", READERS)
def test_whoever_reads_a_run_looks_first(reader, run, fairnas):
    verb, name, stage = READERS[reader]
    change_a_digit(run / name)
    outcome = fairnas(*verb, "--run", run)
    assert outcome.code == 2, outcome
    line = outcome.err.splitlines()[-1]  # `report` says before what it does
    assert str(run / name) in line
    assert f"`fairnas {stage} --run {run}`" in line or "delete it to train again" in line


@pytest.mark.slow
def test_a_file_of_another_run_is_not_of_this_one(run, smallest_run, fairnas, tmp_path):
    """Swapped with its checksum: the ledger and the weights of two runs, each whole and unchanged."""
    ledger = Ledger.from_dict(json.loads((run / "ledger.json").read_text()))
    ledger.steps, ledger.chain = ledger.steps + 1, ()
    ledger.seal("0" * 64)  # of other weights
    rewrite_text(run / "ledger.json", json.dumps(ledger.to_dict()))
    outcome = fairnas("audit", "--run", run)
    assert outcome.code == 2
    assert outcome.err.splitlines() == [
        f"fairnas: {run}/ledger.json is not the ledger of {run}/supernet/checkpoint.pt: its counts of "
        f"{ledger.steps} steps belong to other weights; `fairnas train --run {run}` writes it again from the checkpoint"
    ]
    assert fairnas("train", "--run", run).code == 0
    assert fairnas("audit", "--run", run).code == 0
    assert (run / "ledger.json").read_bytes() == (smallest_run / "ledger.json").read_bytes()


@pytest.mark.slow
def test_the_comparison_of_runs_sees_a_change_in_every_file_that_counts(run):
    """`benchmarks.sameness` finds a difference, so the tests of kills and full disks can rely on it."""
    before = contents(run)
    for path in sorted(path for path in run.rglob("*") if path.is_file()):
        name, whole = str(path.relative_to(run)), path.read_bytes()
        if path.name.startswith(NOT_OF_THE_RUN) or name in ("stages.json", "config.toml"):
            continue
        flip(path)
        with contextlib.suppress(json.JSONDecodeError):  # it says as much
            assert contents(run)[name] != before[name], name
        path.write_bytes(whole)
    assert contents(run) == before


# Schemas ------------------------------------------------------------------------------------------------------


def change_schema(path, schema):
    path.write_text(path.read_text().replace("schema = 2\n", f"schema = {schema}\n", 1))


def change_pragma(path, version):
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {version}")
    database.commit()
    database.close()


def change_checkpoint(path, version):
    torch.save(torch.load(path, weights_only=True) | {"version": version}, path)
    (path.parents[1] / "stages.json").unlink()  # else its checksum says that it is damaged


SCHEMAS = {
    "run, newer": (
        lambda run: change_schema(run / "config.toml", 9),
        "is of schema 9, and this fairnas reads schema 2",
    ),
    "run, older": (
        lambda run: change_schema(run / "config.toml", 1),
        "is of schema 1, and this fairnas reads schema 2",
    ),
    "archive, newer": (lambda run: change_pragma(run / "archive.sqlite", 2), "use the newer fairnas that wrote it"),
    "archive, older": (lambda run: change_pragma(run / "archive.sqlite", 0), "use the older fairnas that wrote it"),
    "checkpoint, newer": (lambda run: change_checkpoint(run / "supernet" / "checkpoint.pt", 2), "has version 2, this"),
    "checkpoint, older": (lambda run: change_checkpoint(run / "supernet" / "checkpoint.pt", 0), "has version 0, this"),
    "configuration, newer": (
        lambda run: (run / "config.toml").write_text(
            (run / "config.toml").read_text().replace("\n", "\nspeed = 3\n", 1)
        ),
        "unknown key 'speed'",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("change", "message"), SCHEMAS.values(), ids=SCHEMAS)
def test_another_schema_is_one_clear_line_and_nothing_is_touched(change, message, run, fairnas):
    change(run)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    outcome = fairnas("run", "digits", "--out", run, *SMALLEST)
    assert outcome.code == 2
    last = outcome.err.splitlines()[-1]
    assert last.startswith("fairnas: ")
    assert message in last
    assert str(run) in last
    assert "Traceback" not in outcome.err
    after = {path: path.read_bytes() for path in before if path.exists()}
    assert {path for path in before if after.get(path) != before[path]} <= {run / "stages.json"}


def test_a_configuration_of_before_a_setting_takes_the_default(run, fairnas):
    text = (run / "config.toml").read_text()
    assert "bn_momentum = " in text
    (run / "config.toml").write_text("".join(row for row in text.splitlines(True) if "bn_momentum" not in row))
    outcome = fairnas("run", "digits", "--out", run, "--json", *SMALLEST)
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("done before") == 6
