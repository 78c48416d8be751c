"""The lock of a directory, in its hard cases; `benchmarks.locks` tries pairs of processes at length."""

import errno
import fcntl
import json
import os
import platform
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.locks import RIGHT
from fairnas.directory_lock import LOCK, held, require_in_place
from fairnas.errors import RunDirectoryError
from fairnas.paper.output_folder import claimed
from fairnas.recipes import digits
from fairnas.rundir import RunDirectory, is_run_directory

PAIRS = """
import json
from benchmarks.locks import forked_pairs, real_pairs
print(json.dumps([forked_pairs(150), real_pairs(3)]))
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", digits())


def refused(folder: Path, who: str) -> None:
    with pytest.raises(RunDirectoryError, match=f"^{folder} is in use by {who}; wait for it, or give another dir"):
        held(folder).__enter__()


# Pairs ------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_of_two_that_begin_at_once_one_holds_the_directory_and_the_other_changes_nothing() -> None:
    done = subprocess.run([sys.executable, "-c", PAIRS], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    forked, real = json.loads(done.stdout)
    assert [pair for pair in (*forked, *real) if set(pair) not in RIGHT] == []
    assert (len(forked), len(real)) == (150, 3)
    assert sum("refused" in pair for pair in forked) > 75  # they did meet


# What happens to the file and the directory meanwhile -------------------------------------------------------------


def test_a_lock_file_that_is_deleted_or_replaced_under_its_holder_lets_nobody_in(run: RunDirectory) -> None:
    with run.locked():
        (run.path / LOCK).unlink()
        refused(run.path, "another process")
        assert not (run.path / LOCK).exists()
        (run.path / "other").write_text("")
        (run.path / "other").rename(run.path / LOCK)
        refused(run.path, "another process")
    with run.locked():
        pass


def test_a_lock_file_that_is_replaced_while_it_is_opened_is_opened_again(run: RunDirectory, monkeypatch) -> None:
    flock, replaced = fcntl.flock, list[int]()

    def slow(handle: int, how: int) -> None:
        if not stat.S_ISDIR(os.fstat(handle).st_mode) and len(replaced) < 3:
            (run.path / LOCK).unlink()
            replaced.append(handle)
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", slow)
    with run.locked():
        assert len(replaced) == 3
        assert (run.path / LOCK).read_text().startswith(f"{os.getpid()} ")
        refused(run.path, f"process {os.getpid()}")


def test_a_directory_that_is_moved_while_it_is_held_stays_held_and_is_not_begun_anew(run: RunDirectory) -> None:
    there = run.path.with_name("there")
    said = f"^{run.path} was moved or removed while this command worked in it; put it back and run the same command"
    with run.locked():
        run.path.rename(there)
        for write in (
            lambda: run.write_json("search.json", {}),
            lambda: run.append_metrics("train", 1, {"loss": 1.0}),
            lambda: run.write_config(digits()),
            lambda: require_in_place(run.path / "models" / "a"),
        ):
            with pytest.raises(RunDirectoryError, match=said):
                write()
        assert not run.path.exists()
        refused(there, f"process {os.getpid()}")
        run.path.mkdir()  # another directory in its place is not it
        with pytest.raises(RunDirectoryError, match=said):
            run.write_json("search.json", {})
        assert not list(run.path.iterdir())
        run.path.rmdir()
        there.rename(run.path)
        run.write_json("search.json", {})
        require_in_place(run.path.parent / "elsewhere")


def test_a_link_in_place_of_the_lock_file_is_refused_and_not_followed(run: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    (run.path / LOCK).unlink(missing_ok=True)
    (run.path / LOCK).symlink_to(tmp_path / "precious")
    with pytest.raises(RunDirectoryError, match=r"^cannot write in .*run: Too many levels of symbolic links"):
        run.locked().__enter__()
    assert (tmp_path / "precious").read_text() == "mine"


# Fork -------------------------------------------------------------------------------------------------------------

FORKS = """
import os, signal, sys, time
from pathlib import Path
from fairnas.rundir import RunDirectory

told, tell = os.pipe()
with RunDirectory.begin(Path(sys.argv[1])):
    child = os.fork()
    if not child and sys.argv[2] == "leaves":
        sys.exit(0)  # through the end of `with`, as an error would
    if not child:
        os.write(tell, b"1")
        os.close(1)  # which the test reads to its end
        time.sleep(600)
    if sys.argv[2] == "leaves":
        os.waitpid(child, 0)
    else:
        os.read(told, 1)
    print(child, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
@pytest.mark.parametrize("child", ["leaves", "stays"])
def test_a_forked_process_neither_gives_the_lock_back_nor_keeps_it(child: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "run"
    command = [sys.executable, "-c", FORKS, str(path), child]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        number = int(holder.stdout.readline())
        assert (path / LOCK).exists()
        refused(path, f"process {holder.pid}")
        holder.kill()
        holder.wait()
        try:
            with held(path):  # while the child lives
                pass
        finally:
            if child == "stays":
                os.kill(number, 9)


# File systems and who is told -------------------------------------------------------------------------------------


def flock_like(monkeypatch, directory: int | None = None, file: int | None = None) -> None:
    """A file system whose locks answer with these errors."""
    flock = fcntl.flock

    def answer(handle: int, how: int) -> None:
        number = directory if stat.S_ISDIR(os.fstat(handle).st_mode) else file
        if number is not None:
            raise OSError(number, os.strerror(number))
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", answer)


@pytest.mark.parametrize("number", [errno.EBADF, errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP])
def test_where_directories_cannot_be_locked_the_file_is_enough(run: RunDirectory, number: int, monkeypatch) -> None:
    flock_like(monkeypatch, directory=number)  # as on NFS
    with run.locked():
        refused(run.path, f"process {os.getpid()}")


def test_a_file_system_that_denies_access_to_what_is_locked_says_in_use(run: RunDirectory, monkeypatch) -> None:
    flock_like(monkeypatch, errno.EBADF, errno.EACCES)  # as on SMB
    refused(run.path, "another process")


def test_a_file_system_without_locks_is_named(run: RunDirectory, monkeypatch) -> None:
    flock_like(monkeypatch, errno.ENOLCK, errno.ENOLCK)
    with pytest.raises(
        RunDirectoryError,
        match=f"^cannot lock {run.path / LOCK}: No locks available; give a directory on a file system that has file lo",
    ):
        run.locked().__enter__()


def test_a_holder_on_another_machine_is_named_and_one_that_is_gone_is_not(run: RunDirectory) -> None:
    with run.locked():
        (run.path / LOCK).write_text("12 gpu7.example\n")
        refused(run.path, "process 12 on gpu7.example")
        for text in (f"999999999 {platform.node()}\n", "", "1 2 3\n", "x" * 9999):
            (run.path / LOCK).write_text(text)
            refused(run.path, "another process")
        (run.path / LOCK).write_text(f"{os.getppid()}\n")  # by an earlier version
        refused(run.path, f"process {os.getppid()}")
    assert (run.path / LOCK).read_text() == ""


def test_a_lock_can_be_had_on_a_full_disk(run: RunDirectory, monkeypatch) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with run.locked():
        refused(run.path, "another process")


def test_readers_need_no_lock(run: RunDirectory) -> None:
    with run.locked():
        assert RunDirectory.open(run.path).config == digits()
        assert is_run_directory(str(run.path))


# What a beginning leaves ------------------------------------------------------------------------------------------


def test_who_gives_up_leaves_nothing_behind(tmp_path: Path) -> None:
    for path in (tmp_path / "a" / "b" / "run", tmp_path / "empty"):
        (tmp_path / "empty").mkdir(exist_ok=True)
        with RunDirectory.begin(path):
            assert is_run_directory(str(path))  # so that a search for images in a folder above passes it by
        assert [file.name for file in tmp_path.iterdir()] == ["empty"]
        assert not list((tmp_path / "empty").iterdir())


def test_somebody_elses_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_text("")
    before = os.stat(tmp_path / "photos")
    for begin in (RunDirectory.begin(tmp_path / "photos"), claimed(tmp_path / "photos", {"figure": 1})):
        with pytest.raises(RunDirectoryError, match="exists and is not "):
            begin.__enter__()
    assert os.listdir(tmp_path / "photos") == ["cat.jpg"]
    assert os.stat(tmp_path / "photos").st_mtime_ns == before.st_mtime_ns


def test_the_folder_of_a_figure_is_held_before_it_is_looked_at(tmp_path: Path) -> None:
    out = tmp_path / "figure"
    with claimed(out, {"figure": 1}):
        for settings in ({"figure": 1}, {"figure": 2}):
            with pytest.raises(RunDirectoryError, match="is in use by process"):
                claimed(out, settings).__enter__()
    with pytest.raises(RunDirectoryError, match=r"figure is 1, given 2"):
        claimed(out, {"figure": 2}).__enter__()
    assert json.loads((out / "figure.json").read_text()) == {"figure": 1}
    assert sorted(os.listdir(out)) == [LOCK, "figure.json"]


def test_a_run_that_begins_inside_its_folder_of_images_is_no_class(tmp_path: Path) -> None:
    from fairnas.data import scan_folder

    for name in "ab":
        (tmp_path / name).mkdir()
        for number in range(30):
            Image.new("L", (8, 8), number * 7 + ord(name)).save(tmp_path / name / f"{number}.png")
    for out in (tmp_path / "run", tmp_path / "runs" / "folder"):
        with RunDirectory.begin(out) as run:
            assert scan_folder(tmp_path, "auto", None).classes == ("a", "b")
            run.configure(digits())
            assert scan_folder(tmp_path, "auto", None).classes == ("a", "b")
