import math
import os
import sqlite3
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.errors import RunDirectoryError
from fairnas.search import Archive, Candidate

ROW = {"top1": 0.1 + 0.2, "loss": 1e-300, "madds": 2**53 + 1}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "archive.sqlite"


def filled(path: Path) -> Path:
    with Archive(path, "s") as archive:
        archive.add({(0, 35): ROW, (2, 1): {"top1": math.nan}}, 4)
    return path


def test_what_is_added_comes_back_exactly_in_order_after_reopening(path: Path) -> None:
    filled(path)
    with Archive(path, "s") as archive:
        archive.add({(1, 1): {"top1": 0.5}}, 5)
    with Archive(path, "s") as archive:
        assert len(archive) == 3
        assert archive.candidates() == (
            Candidate.of((0, 35), ROW, 4),
            Candidate.of((2, 1), {"top1": math.nan}, 4),
            Candidate.of((1, 1), {"top1": 0.5}, 5),
        )
        assert archive.get([(1, 1), (9, 9), (0, 35)]) == {(1, 1): {"top1": 0.5}, (0, 35): ROW}
        assert list(archive.get([(1, 1), (0, 35)])) == [(1, 1), (0, 35)]
        assert archive.candidates()[1].failed


def test_an_empty_archive_answers_nothing(path: Path) -> None:
    with Archive(path, "s") as archive:
        assert (len(archive), archive.candidates(), archive.get([]), archive.get([(1,)])) == (0, (), {}, {})
        archive.add({}, 0)
        assert len(archive) == 0


def test_settings_share_the_file_and_nothing_else(path: Path) -> None:
    with Archive(path, "a") as a, Archive(path, "b") as b:
        a.add({(1,): {"top1": 0.1}}, 0)
        b.add({(1,): {"top1": 0.9}, (2,): {"top1": 0.5}}, 0)
        assert a.get([(1,), (2,)]) == {(1,): {"top1": 0.1}}
        assert b.get([(1,), (2,)]) == {(1,): {"top1": 0.9}, (2,): {"top1": 0.5}}
        assert (len(a), len(b)) == (1, 2)


def test_the_first_score_of_a_genome_stays(path: Path) -> None:
    with Archive(path, "s") as archive:
        archive.add({(1,): {"top1": 0.1}}, 0)
        archive.add({(1,): {"top1": 0.9}}, 1)
        assert archive.candidates() == (Candidate.of((1,), {"top1": 0.1}, 0),)


def test_the_fingerprint_is_of_the_first_rows_and_later_ones_do_not_change_it(path: Path) -> None:
    with Archive(path, "s") as archive:
        archive.add({(1,): ROW, (2,): ROW}, 0)
        kept = archive.fingerprint()
        archive.add({(3,): ROW}, 1)
        archive.add({(4,): ROW}, 0, setting="other")
        assert kept.rows == 2
        assert archive.fingerprint(2) == kept
        assert archive.fingerprint() != kept
    change(path, "UPDATE candidate SET measures = replace(measures, '0.', '1.') WHERE genome = '2'")
    assert Archive(path, "s", read_only=True).fingerprint(2) != kept


def test_many_genomes_at_once(path: Path) -> None:
    genomes = [(a, b, c) for a in range(36) for b in range(36) for c in range(3)]
    with Archive(path, "s") as archive:
        archive.add({genome: {"top1": sum(genome) / 100} for genome in genomes}, 0)
        assert list(archive.get(genomes)) == genomes


values = st.one_of(st.floats(), st.integers(-(2**53), 2**53))


@pytest.mark.slow
@given(rows=st.dictionaries(st.tuples(st.integers(0, 35), st.integers(0, 35)), st.dictionaries(st.text(), values)))
@settings(deadline=None, max_examples=30)
def test_any_measures_survive(rows: dict, tmp_path_factory: pytest.TempPathFactory) -> None:
    with Archive(tmp_path_factory.mktemp("law") / "a", "s") as archive:
        archive.add(rows, 7)
        assert archive.candidates() == tuple(Candidate.of(genome, measures, 7) for genome, measures in rows.items())


def test_half_a_generation_is_never_stored(path: Path) -> None:
    with Archive(path, "s") as archive, pytest.raises(TypeError):
        archive.add({(1,): {"top1": 0.1}, (2,): {"top1": "high"}}, 0)  # type: ignore[dict-item]
    with Archive(path, "s") as archive:
        assert len(archive) == 0


def test_read_only_reads_and_writes_nothing(path: Path) -> None:
    filled(path)
    before = path.read_bytes()
    with Archive(path, "s", read_only=True) as archive:
        assert len(archive) == 2
        with pytest.raises(RunDirectoryError, match="readonly"):
            archive.add({(1,): {"top1": 0.1}}, 0)
    assert path.read_bytes() == before


def test_read_only_beside_a_search_that_goes_on(path: Path) -> None:
    with Archive(path, "s") as writer:
        writer.add({(1,): {"top1": 0.1}}, 0)
        with Archive(path, "s", read_only=True) as reader:
            assert len(reader) == 1
            writer.add({(2,): {"top1": 0.1}}, 1)
            assert len(reader) == 2


def test_read_only_of_nothing_says_what_makes_it(path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"there is no archive .*archive.sqlite; `fairnas search` makes it"):
        Archive(path, "s", read_only=True)
    assert not path.exists()


def test_read_only_in_a_folder_where_nobody_can_write() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = filled(Path(folder) / "archive.sqlite")
        path.chmod(0o444)
        path.parent.chmod(0o555)
        user = os.geteuid()
        if user == 0:
            os.seteuid(65534)  # root may write anywhere
        try:
            with Archive(path, "s", read_only=True) as archive:
                assert len(archive) == 2
            with pytest.raises(RunDirectoryError, match="check that its folder exists and may be written"):
                Archive(path, "s")
        finally:
            os.seteuid(user)
            path.parent.chmod(0o755)


# What can be wrong with the file --------------------------------------------------------------------------


@pytest.mark.parametrize("read_only", [False, True])
def test_text_is_no_archive(path: Path, read_only: bool) -> None:
    path.write_text("this is not a database at all\n" * 100)
    with pytest.raises(
        RunDirectoryError, match=r"archive.sqlite is damaged \(file is not a database\); restore it, or"
    ):
        Archive(path, "s", read_only=read_only)
    assert path.read_text().startswith("this is not")


def test_a_truncated_archive_is_damaged(path: Path) -> None:
    with Archive(path, "s") as archive:
        archive.add({(a, b): ROW for a in range(36) for b in range(36)}, 0)
    path.write_bytes(path.read_bytes()[:-20_000])
    with pytest.raises(RunDirectoryError, match="is damaged"):
        Archive(path, "s")


def test_a_page_of_garbage_is_damaged(path: Path) -> None:
    with Archive(path, "s") as archive:
        archive.add({(a, b): ROW for a in range(36) for b in range(36)}, 0)
    content = bytearray(path.read_bytes())
    content[4096 * 3 : 4096 * 4] = b"\x5a" * 4096
    path.write_bytes(content)
    with pytest.raises(RunDirectoryError, match="is damaged"):
        Archive(path, "s")


def change(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute(statement)
    database.close()


@pytest.mark.parametrize("measures", ["{", "[1]", "3", '{"top1": "high"}'])
def test_measures_of_another_form_are_damage(path: Path, measures: str) -> None:
    change(filled(path), f"UPDATE candidate SET measures = '{measures}'")
    with Archive(path, "s") as archive:
        with pytest.raises(RunDirectoryError, match="is damaged"):
            archive.candidates()
        with pytest.raises(RunDirectoryError, match="is damaged"):
            archive.get([(0, 35)])


def test_a_genome_of_another_form_is_damage(path: Path) -> None:
    change(filled(path), "UPDATE candidate SET genome = 'A!' WHERE id = 1")
    with Archive(path, "s") as archive, pytest.raises(RunDirectoryError, match=r"is damaged.*'A!'"):
        archive.candidates()


def test_a_missing_table_is_damage(path: Path) -> None:
    change(filled(path), "DROP TABLE candidate")
    with pytest.raises(RunDirectoryError, match="is damaged"):
        Archive(path, "s")


@pytest.mark.parametrize(("version", "age"), [(2, "newer"), (0, "older")])
@pytest.mark.parametrize("read_only", [False, True])
def test_another_schema_is_left_alone(path: Path, version: int, age: str, read_only: bool) -> None:
    change(filled(path), f"PRAGMA user_version = {version}")
    with pytest.raises(RunDirectoryError, match=f"has schema {version}, this fairnas reads 1; use the {age} fairnas"):
        Archive(path, "s", read_only=read_only)


@pytest.mark.parametrize("read_only", [False, True])
def test_a_database_of_somebody_else_is_left_alone(path: Path, read_only: bool) -> None:
    change(path, "CREATE TABLE music (title TEXT)")
    before = path.read_bytes()
    with pytest.raises(RunDirectoryError, match="is not an archive of fairnas; move it away"):
        Archive(path, "s", read_only=read_only)
    assert path.read_bytes() == before


def test_a_full_disk_keeps_earlier_generations(path: Path) -> None:
    with Archive(path, "s") as archive:
        archive.add({(1,): {"top1": 0.1}}, 0)
        pages = archive._database.execute("PRAGMA page_count").fetchone()[0]
        archive._database.execute(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(RunDirectoryError, match="no space left; earlier generations are kept, make room and run"):
            archive.add({(a, b): ROW for a in range(36) for b in range(36)}, 1)
        assert len(archive) == 1
        archive.add({(2,): {"top1": 0.1}}, 1)
    with Archive(path, "s") as archive:
        assert len(archive) == 2


def test_a_locked_archive_is_waited_for_and_then_reported(path: Path) -> None:
    filled(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with Archive(path, "s", wait_seconds=0.05) as archive:
        with pytest.raises(RunDirectoryError, match="is in use by another process; wait for it to end"):
            archive.add({(1,): {"top1": 0.1}}, 0)
        assert len(archive) == 2
        other.execute("COMMIT")
        archive.add({(1,): {"top1": 0.1}}, 0)
    other.close()


def test_a_short_lock_is_waited_for(path: Path) -> None:
    filled(path)
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.2, other.execute, ("COMMIT",))
    with Archive(path, "s", wait_seconds=30) as archive:
        release.start()
        archive.add({(1,): {"top1": 0.1}}, 0)
        assert len(archive) == 3
    release.join()
    other.close()


def test_an_old_sqlite_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 1))
    monkeypatch.setattr(sqlite3, "sqlite_version", "3.34.1")
    with pytest.raises(RunDirectoryError, match=r"this Python has SQLite 3.34.1; the archive needs 3.37 or newer"):
        Archive(path, "s")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(RunDirectoryError, match=r"cannot use .*unable to open database file; check that its folder"):
        Archive(tmp_path / "no" / "archive.sqlite", "s")


def test_odd_characters_in_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "50% of #1? ä"
    folder.mkdir()
    assert len(Archive(filled(folder / "a b?.sqlite"), "s").candidates()) == 2
