"""The run directory: atomic writes, the lock, finished stages, measurements."""

import dataclasses
import errno
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnas.atomic_files import checksum, temporary_folder, write_atomically
from fairnas.config import DataConfig, RunConfig
from fairnas.configfile import read_config
from fairnas.errors import ConfigError, RunDirectoryError
from fairnas.recipes import digits, get_recipe
from fairnas.rundir import SCHEMA, RunDirectory, is_run_directory


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", digits())


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# Atomic writes ------------------------------------------------------------------------------------------------


def test_writing_makes_folders_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file.bin"
    write_atomically(path, b"old")
    write_atomically(path, b"new \x00")
    assert path.read_bytes() == b"new \x00"
    assert _files(path.parent) == ["file.bin"]


@pytest.mark.parametrize("function", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_temporary_one(tmp_path: Path, monkeypatch, function: str) -> None:
    path = tmp_path / "file.json"
    write_atomically(path, b"old")

    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, function, fail)
    with pytest.raises(RunDirectoryError) as caught:
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert str(caught.value) == (
        f"cannot write {path}: No space left on device; what was there before is untouched, "
        "make room or permission and run the same command again"
    )
    assert path.read_bytes() == b"old"
    assert _files(tmp_path) == ["file.json"]


def test_content_is_on_the_disk_before_the_name_is(tmp_path: Path, monkeypatch) -> None:
    """Renaming before flushing could leave an empty file after a power cut."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: (done.append("flush"), fsync(handle)))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("rename"), replace(a, b)))
    write_atomically(tmp_path / "x", b"1")
    assert done[:2] == ["flush", "rename"]


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(RunDirectoryError, match=r"cannot write .*file/x: (Not a directory|File exists)"):
        write_atomically(tmp_path / "file" / "x", b"1")


@given(st.binary(max_size=200))
def test_checksums_are_sha_256_of_the_content(tmp_path_factory, content: bytes) -> None:
    import hashlib

    path = tmp_path_factory.mktemp("sum") / "x"
    path.write_bytes(content)
    assert checksum(path) == hashlib.sha256(content).hexdigest()


# Creating and opening -----------------------------------------------------------------------------------------


def test_creating_writes_the_configuration_and_creating_again_goes_on(tmp_path: Path) -> None:
    config = dataclasses.replace(digits(), seed=7)
    run = RunDirectory.create(tmp_path / "new" / "run", config)
    assert run.config == config
    assert RunDirectory.create(run.path, config) == RunDirectory.open(run.path) == run
    other = dataclasses.replace(config, resources=dataclasses.replace(config.resources, device="cpu", processes=3))
    assert RunDirectory.create(run.path, other) == run
    (tmp_path / "empty").mkdir()
    assert RunDirectory.create(tmp_path / "empty", config).config == config


def test_resources_may_change_when_a_run_goes_on(run: RunDirectory) -> None:
    changed = dataclasses.replace(run.config, resources=dataclasses.replace(run.config.resources, executor="lockstep"))
    assert RunDirectory.create(run.path, changed).config == changed


def test_a_run_is_known_as_one_from_its_beginning_on(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(RunDirectory, "write_config", lambda run, config: pytest.fail("killed here"))
    with pytest.raises(pytest.fail.Exception):
        RunDirectory.create(tmp_path / "run", digits())
    monkeypatch.undo()
    RunDirectory.create(tmp_path / "run", digits())  # which is not another's directory
    assert is_run_directory(str(tmp_path / "run"))


def test_a_kill_while_the_run_is_begun_does_not_block_it(tmp_path: Path) -> None:
    (tmp_path / ".config.toml.12345.tmp").write_text("recipe = ")
    assert RunDirectory.create(tmp_path, digits()).config == digits()


def test_another_configuration_is_refused_with_all_that_differs(run: RunDirectory) -> None:
    config = digits()
    other = dataclasses.replace(
        config,
        space="compact",
        data=dataclasses.replace(config.data, root="/data"),
        stand_alone=dataclasses.replace(config.stand_alone, genomes=("01", "10")),
    )
    with pytest.raises(RunDirectoryError) as caught:
        RunDirectory.create(run.path, other)
    assert str(caught.value) == (
        f'{run.path} holds a run of another configuration (space is "digits", given "compact", '
        'data.root is None, given "/data", stand_alone.genomes is [], given ["01", "10"]); '
        "use another --out, or the same settings"
    )


def test_what_is_no_run_directory(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"")
    for path in (tmp_path / "photos", tmp_path / "photos" / "cat.jpg"):
        with pytest.raises(
            RunDirectoryError, match=r"exists and is not a run directory; give a new or an empty directory"
        ):
            RunDirectory.create(path, digits())
    for path in (tmp_path / "photos", tmp_path / "none"):
        with pytest.raises(
            RunDirectoryError,
            match=f"^{path} is not a run directory; `fairnas run RECIPE --out {path}` makes one$",
        ):
            RunDirectory.open(path)


def test_a_damaged_configuration_names_its_file(run: RunDirectory) -> None:
    path = run.path / "config.toml"
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ConfigError, match=re.escape(str(path))):
        _ = run.config
    path.write_bytes(b"\xff\xff")
    with pytest.raises(RunDirectoryError, match=r"cannot read .*config.toml: .*; restore it or start a new run"):
        _ = run.config


@pytest.mark.parametrize(
    ("schema", "which"),
    [
        ("schema = 1\n", "schema 1"),
        (f"schema = {SCHEMA + 1}\n", f"schema {SCHEMA + 1}"),
        ('schema = "2"\n', "schema '2'"),
        ("", "an earlier version of fairnas, without a schema"),
    ],
)
def test_a_run_of_another_schema_is_refused(run: RunDirectory, schema: str, which: str) -> None:
    path = run.path / "config.toml"
    text = path.read_text()
    assert text.startswith(f"schema = {SCHEMA}\n")
    path.write_text(schema + text.partition("\n")[2])
    message = (
        f"the run in {run.path} is of {which}, and this fairnas reads schema {SCHEMA}; use the fairnas that wrote it, "
        "or start a new run in another directory"
    )
    for act in (lambda: RunDirectory.open(run.path), lambda: RunDirectory.create(run.path, digits())):
        with pytest.raises(RunDirectoryError, match=f"^{re.escape(message)}$"):
            act()
    assert path.read_text() == schema + text.partition("\n")[2]


def test_the_configuration_of_a_run_is_a_file_for_another(run: RunDirectory) -> None:
    assert read_config(run.path / "config.toml") == run.config


# Temporary folders --------------------------------------------------------------------------------------------


def _folder_used(octets: int = 0, error: OSError | None = None) -> None:
    with temporary_folder("ours-", octets) as folder:
        assert folder.name.startswith("ours-")
        assert folder.is_dir()
        if error is not None:
            raise error


def test_temporary_files_that_cannot_be_written_are_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    _folder_used()
    cure = "make room there, or set TMPDIR to another folder, and run the same command again"
    full = re.escape(f"cannot write temporary files in {tmp_path}: {os.strerror(errno.ENOSPC)}; {cure}")
    for used in (
        lambda: _folder_used(octets=10**18),
        lambda: _folder_used(error=OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))),
    ):
        with pytest.raises(RunDirectoryError, match=f"^{full}$"):
            used()
    with pytest.raises(PermissionError):  # of another file
        _folder_used(error=PermissionError(errno.EACCES, "no"))
    assert _files(tmp_path) == []
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.raises(RunDirectoryError, match=r"cannot write temporary files in .*absent: No such file .*TMPDIR"):
        _folder_used()
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._get_default_tempdir", _no_folder)
    with pytest.raises(RunDirectoryError, match=r"cannot write temporary files: No usable .* found; make room there"):
        _folder_used()


def _no_folder() -> str:
    raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")


# The lock -----------------------------------------------------------------------------------------------------


def test_a_system_without_file_locks_is_refused_before_anything_is_written(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setattr("platform.system", lambda: "Windows")
    new = tmp_path / "new"
    said = "^runs and latency tables need file locks as Linux and macOS have them, and Windows does not; .* use WSL$"
    for refused in (
        lambda: RunDirectory.create(new, digits()),
        lambda: RunDirectory.open(run.path),
        lambda: RunDirectory(new).locked().__enter__(),
    ):
        with pytest.raises(RunDirectoryError, match=said):
            refused()
    assert not new.exists()


HOLD = """
import sys
from pathlib import Path
from fairnas.rundir import RunDirectory
with RunDirectory(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_process_is_refused_until_the_first_ends_even_by_a_kill(run: RunDirectory) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(
                RunDirectoryError,
                match=f"^{run.path} is in use by process {holder.pid}; wait for it, or give another directory$",
            ),
            run.locked(),
        ):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        assert holder.wait(30) == -signal.SIGKILL
        with run.locked():
            assert (run.path / ".lock").read_text().startswith(f"{os.getpid()} ")
    finally:
        holder.kill()
        holder.communicate()


def test_the_lock_is_free_after_an_error_and_not_shared_within_a_process(run: RunDirectory) -> None:
    with pytest.raises(KeyboardInterrupt), run.locked():
        raise KeyboardInterrupt
    with (
        run.locked(),
        pytest.raises(RunDirectoryError, match=f"is in use by process {os.getpid()}; wait for it"),
        run.locked(),
    ):
        pass
    with run.locked():
        pass


def test_locking_where_nothing_is(tmp_path: Path) -> None:
    with (
        pytest.raises(RunDirectoryError, match=r"cannot write in .*none: No such file or directory; make it wri"),
        RunDirectory(tmp_path / "none").locked(),
    ):
        pass


# JSON ---------------------------------------------------------------------------------------------------------


def test_json_goes_round_and_its_absence_or_damage_names_the_remedy(run: RunDirectory) -> None:
    content = {"front": [{"genome": "01", "top1": 0.25}], "name": "Müller"}
    run.write_json("search.json", content)
    assert run.read_json("search.json") == content
    for name, verb in (
        ("search.json", "search"),
        ("ledger.json", "train"),
        ("data.json", "train"),
        ("stand_alone/01-s0.json", "retrain"),
        ("ranking.json", "rank"),
        ("models/01/model.json", "export"),
    ):
        (run.path / name).unlink(missing_ok=True)
        with pytest.raises(
            RunDirectoryError,
            match=f"^{run.path / name} is not there yet; `fairnas {verb} --run {run.path}` makes it$",
        ):
            run.read_json(name)
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        for damage in (b'{"a": 1', b"", b"\xff"):
            (run.path / name).write_bytes(damage)
            with pytest.raises(
                RunDirectoryError, match=f"{name} is damaged .*; delete it, then `fairnas {verb} --run "
            ):
                run.read_json(name)
    with pytest.raises(
        RunDirectoryError, match=f"other.json is not there yet; the `fairnas run digits` command that began {run.path}"
    ):
        run.read_json("other.json")


# Finished stages ----------------------------------------------------------------------------------------------


def test_stages_are_remembered_with_checksums(run: RunDirectory) -> None:
    assert not run.is_finished("search")
    assert run.damaged_files("search") == ()
    for name in ("a.json", "b.json"):
        run.write_json(name, {"name": name})
    run.finish_stage("train", ("a.json",))
    run.finish_stage("search", ("a.json", "b.json"))
    again = RunDirectory.open(run.path)
    assert again.is_finished("train")
    assert again.is_finished("search")
    assert again.damaged_files("search") == ()
    again.forget_stages(("search", "never heard of"))
    assert (run.is_finished("train"), run.is_finished("search")) == (True, False)


@pytest.mark.parametrize("damage", ["flip", "cut", "gone", "folder"])
def test_damage_is_noticed_wherever_it_is(run: RunDirectory, damage: str) -> None:
    path = run.path / "b.bin"
    (run.path / "a.json").write_text("{}")
    path.write_bytes(bytes(range(256)) * 8)
    run.finish_stage("train", ("a.json", "b.bin"))
    assert run.damaged_files("train") == ()
    content = bytearray(path.read_bytes())
    path.unlink()
    if damage == "flip":
        content[1000] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[:-1])
    elif damage == "folder":
        path.mkdir()
    assert run.damaged_files("train") == ("b.bin",)
    assert run.is_finished("train")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "stages.json is damaged; delete it and run the same command again"),
        ('{"stages": ', "stages.json is damaged (Expecting"),
        ("", "stages.json is damaged (Expecting"),
        ("{}", "stages.json is damaged; delete it and run the same command again"),
        ('{"stages": []}', "stages.json is damaged; delete it"),
        ('{"stages": {"train": 3}}', "stages.json is damaged; delete it"),
        ('{"stages": {"train": {"files": ["a"]}}}', "stages.json is damaged; delete it"),
        ('{"stages": {"train": {"files": {}, "metrics": 3}}}', "stages.json is damaged; delete it"),
    ],
)
def test_damaged_records_are_refused(run: RunDirectory, content: str, message: str) -> None:
    (run.path / "stages.json").write_text(content)
    (run.path / "a").write_text("")
    for act in (
        lambda: run.is_finished("train"),
        lambda: run.damaged_files("train"),
        lambda: run.finish_stage("train", ("a",)),
        lambda: run.forget_stages(("train",)),
    ):
        with pytest.raises(RunDirectoryError, match=re.escape(message)):
            act()
    assert (run.path / "stages.json").read_text() == content


# Measurements -------------------------------------------------------------------------------------------------

ROWS = st.lists(
    st.tuples(
        st.sampled_from(("train", "search")),
        st.integers(0, 20),
        st.dictionaries(st.sampled_from(("loss", "lr", "top1")), st.floats(allow_nan=False)),
    ),
    max_size=6,
)


@pytest.mark.slow
@given(ROWS, st.integers(0, 400), st.integers(-1, 20))
def test_measurements_survive_kills_and_rewind(tmp_path_factory, rows, cut: int, step: int) -> None:
    """Rows come back in order; a kill in the midst of a line costs that line only, and none that follows."""
    run = RunDirectory(tmp_path_factory.mktemp("run"))
    assert run.metrics() == []
    for stage, number, values in rows:
        run.append_metrics(stage, number, values)
    expected = [{"stage": stage, "step": number, **values} for stage, number, values in rows]
    assert run.metrics() == expected
    assert run.metrics("search") == [row for row in expected if row["stage"] == "search"]
    path = run.path / "metrics.jsonl"
    if rows:
        text = path.read_text()[:cut]
        path.write_text(text)
        whole = [row for row in expected[: len(text.splitlines())]]
        if text.splitlines() and text.splitlines()[-1] != json.dumps(whole[-1]):
            whole.pop()
        assert run.metrics() == whole
        expected = whole
    run.append_metrics("train", 99, {"loss": 1.0})
    expected.append({"stage": "train", "step": 99, "loss": 1.0})
    assert run.metrics() == expected
    run.rewind_metrics("train", step)
    assert run.metrics() == [row for row in expected if row["stage"] != "train" or row["step"] <= step]
    assert path.read_text() == "".join(json.dumps(row) + "\n" for row in run.metrics())


def test_measurements_that_cannot_be_written(run: RunDirectory) -> None:
    (run.path / "metrics.jsonl").mkdir()
    with pytest.raises(RunDirectoryError, match=r"cannot write .*metrics.jsonl: Is a directory; make room and run it"):
        run.append_metrics("train", 1, {"loss": 1.0})


def test_settings_can_be_replaced_where_nothing_depends_on_them(run: RunDirectory) -> None:
    config = dataclasses.replace(get_recipe("digits"), seed=5)
    run.write_config(config)
    assert run.config == config


# Where the images lie ------------------------------------------------------------------------------------------


def _with_images(name: str, root: str | None = None) -> RunConfig:
    return dataclasses.replace(digits(), data=DataConfig(name, root=root))


def test_the_place_of_images_is_kept_as_an_absolute_path(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = RunDirectory.create(tmp_path / "run", _with_images("folder:images", "downloads"))
    assert (run.config.data.name, run.config.data.root) == (f"folder:{tmp_path}/images", f"{tmp_path}/downloads")
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    again = RunDirectory.create(run.path, _with_images("folder:../images/", "../downloads"))
    assert again.config == run.config
    assert RunDirectory.create(tmp_path / "other", digits()).config == digits()


def test_images_may_move_but_not_become_others(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "run", _with_images("folder:/here"))
    run.write_json("data.json", {"fingerprint": "abc"})
    text = (run.path / "config.toml").read_text()
    there = _with_images("folder:/there")
    for config, fingerprint, message in (
        (there, None, 'data.name is "folder:/here", given "folder:/there"'),
        (there, "xyz", "the images are not those that"),
        (_with_images("digits"), "abc", 'data.name is "folder:/here", given "digits"'),
        (dataclasses.replace(there, seed=1), "abc", r"\(seed is 0, given 1\)"),
    ):
        with pytest.raises(RunDirectoryError, match=message):
            RunDirectory.create(run.path, config, fingerprint)
        assert (run.path / "config.toml").read_text() == text
    with run.locked(), pytest.raises(RunDirectoryError, match=f"^{run.path} is in use by process"):
        RunDirectory.create(run.path, there, "abc")
    assert (run.path / "config.toml").read_text() == text
    assert not (run.path / "begun.json").exists()
    assert RunDirectory.create(run.path, there, "abc").config == there
