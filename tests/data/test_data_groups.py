"""`data.group`: which images belong together, by their names or by a table, and that no group is divided."""

import re
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import fairnas.data.groups
from fairnas.config import DataConfig
from fairnas.config.checks import quoted
from fairnas.data.finding import RefusedImages
from fairnas.data.groups import group_findings, read_groups
from fairnas.data.image_files import Files
from fairnas.data.load import load_dataset
from fairnas.errors import ConfigError, DataError


def files(names: list[str], folder: str = "pets/train") -> Files:
    array = np.array([name.encode() for name in names])
    return Files(folder, array, np.ones(len(names), np.int64), np.zeros(len(names), np.int64))


def keys(group: str, names: list[str]) -> list[str | None]:
    """The key of each image's group."""
    groups = read_groups(DataConfig(group=group), {"train": files(names)})["train"]
    assert len(np.unique(groups.ids[groups.ids < 0])) == (groups.ids < 0).sum()
    return [groups.names[number] if number >= 0 else None for number in groups.ids.tolist()]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        (r"video_(\d+)", ["1", "1", "12", None]),
        (r"video_\d+", ["video_1", "video_1", "video_12", None]),
        (r"^([^/]+)/video_(\d+)", ["cat/1", "dog/1", "dog/12", None]),
        (r"(?P<who>[a-z]+)/", ["cat", "dog", "dog", "dog"]),
        (r"video_(\d)?(x)?", ["1/", "1/", "1/", None]),
    ],
)
def test_a_pattern_finds_the_group_in_the_name(pattern, found):
    assert keys(pattern, ["cat/video_1_a.jpg", "dog/video_1_b.jpg", "dog/video_12.jpg", "dog/still.jpg"]) == found


@pytest.fixture
def table(tmp_path):
    def write(text: str, encoding: str = "utf-8") -> str:
        (tmp_path / "who.csv").write_text(text, encoding=encoding)
        return str(tmp_path / "who.csv")

    return write


@pytest.mark.parametrize(
    "rows",
    [
        "filename,patient\ncat/1.jpg,anna\ncat/2.jpg,anna\ndog/3.jpg,\n",
        "patient;File;age\r\nanna;train/cat/1.jpg;4\r\nanna;.\\cat\\2.jpg;5\r\n",
        "image_id\tpatient\n1\tanna\n2\tanna\n\n",
        "where,patient\n1.jpg,anna\n2.jpg,anna\n77.jpg,otto\n",
        '\ufefffilename,patient\n"cat/1.jpg","anna"\n"cat/2.jpg","anna"\n',
    ],
)
def test_a_table_gives_the_group(table, rows):
    assert keys(f"{table(rows)}:patient", ["cat/1.jpg", "cat/2.jpg", "dog/3.jpg"]) == ["anna", "anna", None]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (None, r"data.group: cannot read .*who.csv: No such file or directory; give FILE.csv:COLUMN"),
        ("filename,patients\n1.jpg,a\n", r"unknown column 'patient'; did you mean 'patients'\? .* in .*who.csv"),
        ("", r"unknown column 'patient'"),
        ("patient\nanna\n", "no column with file names beside 'patient'; name one 'filename'"),
        ("filename,patient\n1.jpg,a\n1.jpg,b\n", r"gives '1.jpg' the groups 'a' and 'b'; keep one"),
        ("filename,patient\n1.jpg,a,c\n", r"line 2 of .*who.csv has 3 cells, its header 2; mend it"),
        ('filename,patient\n"1.jpg,a', "is no CSV file: unexpected end of data; save it as one"),
        ("filename,patient\n3.jpg,a\n", r"gives none of 3 images a group; it is compared with names such as cat/1.jpg"),
        (
            "filename,patient\n1.jpg,a\n",
            r"'1.jpg' in .*who.csv may be train/cat/1.jpg or train/dog/1.jpg; name",
        ),
    ],
)
def test_a_table_that_cannot_be_used(table, tmp_path, rows, message):
    file = str(tmp_path / "who.csv") if rows is None else table(rows)
    with pytest.raises(DataError, match=message) as caught:
        keys(f"{file}:patient", ["cat/1.jpg", "cat/2.jpg", "dog/1.jpg"])
    assert "\n" not in str(caught.value)


def test_a_table_that_is_no_text(tmp_path):
    (tmp_path / "who.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"who.csv: it is not UTF-8 text"):
        keys(f"{tmp_path}/who.csv:patient", ["a/1.jpg"])


def test_a_table_may_lie_in_the_folder_of_the_images(videos, tmp_path, monkeypatch):
    rows = [f"{path.relative_to(videos)},{path.stem.split('_')[0]}" for path in sorted(videos.glob("*/*.png"))]
    (videos / "who.csv").write_text("\n".join(["filename,video", *rows]))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fairnas.data.images.RESIDENT_BYTES", 0)
    found = homes(load(videos, "who.csv:video"))
    assert not found["train"] & (found["validation"] | found["test"])
    placed = DataConfig(name=f"folder:{videos}", group="who.csv:video").absolute().group
    assert placed == f"{videos}/who.csv:video"
    (tmp_path / "who.csv").write_text("filename,video\n1.png,a\n")  # the one in the working directory counts
    assert DataConfig(name=f"folder:{videos}", group="who.csv:video").absolute().group == f"{tmp_path}/who.csv:video"


@pytest.mark.parametrize("pattern", ["video_(", "a{9999999999}", "*"])
def test_a_pattern_that_is_none_is_refused_in_one_line(pattern):
    with pytest.raises(
        ConfigError, match=r"data.group is .*, which is no regular expression \(.*\); give one"
    ) as caught:
        DataConfig(group=pattern)
    assert "\n" not in str(caught.value)


def test_a_pattern_is_named_as_it_was_given():
    with pytest.raises(ConfigError, match=re.escape(r"data.group is '(nope\d+_', which is no regular expression")):
        DataConfig(group=r"(nope\d+_")
    assert quoted("a\\d\n") == r"'a\d\n'"


def test_a_pattern_that_finds_nothing_is_refused():
    with pytest.raises(RefusedImages, match=re.escape(r"data.group is 'clip(\d+)', which gives none of 2 images")):
        keys(r"clip(\d+)", ["a/1.jpg", "a/2.jpg"])


def test_a_pattern_that_would_take_years_is_ended(monkeypatch):
    monkeypatch.setattr(fairnas.data.groups, "_SECONDS", 0.1)
    begun = time.process_time()
    with pytest.raises(DataError, match=r"takes more than 0 s over the names of the images; give a simpler pattern"):
        keys(r"(a+)+b", [f"a/{'a' * 60}.jpg"])
    assert time.process_time() - begun < 5


def test_a_pattern_can_be_used_in_any_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(keys(r"(\d)", ["a/1.jpg"])))
    thread.start()
    thread.join()
    assert found == [["1"]]


def findings(group: str, **splits: list[str]) -> dict[str, str]:
    these = {split: files(names, f"pets/{split}") for split, names in splits.items()}
    found = group_findings(read_groups(DataConfig(group=group), these), these)
    told = {finding.id: finding.message for finding in found}
    assert next(iter(told)) == "image-groups"
    return {id_: message for id_, message in told.items() if id_ != "image-groups"}


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (r"v(\d)_", "5 images lie in 2 groups by data.group, the largest with 3 images (2); no group is divided"),
        (r"(v)", "5 images lie in 1 group by data.group, the largest with 5 images (v)"),
        (r"_(\d)", "each of 5 images a group of its own (0, 1, 2, ...), so nothing is kept together; give one that"),
    ],
)
def test_the_number_of_groups_is_told(group, message):
    names = ["a/v1_0.jpg", "a/v2_1.jpg", "b/v1_2.jpg", "b/v2_3.jpg", "b/v2_4.jpg"]
    these = {"train": files(names)}
    found = group_findings(read_groups(DataConfig(group=group), these), these)
    assert [finding.id for finding in found] == ["image-groups"]
    assert message in found[0].message


def test_images_without_a_group_are_told():
    names = ["a/v1_0.jpg", "a/v1_1.jpg", "a/w.jpg", "b/x.jpg"]
    assert findings(r"v(\d)_", train=names) == {
        "images-without-group": "2 of 4 images have no group by data.group, and may go into any split: "
        "pets/train/a/w.jpg, pets/train/b/x.jpg"
    }


def test_groups_in_several_splits_as_they_were_brought_are_told():
    found = findings(
        r"v(\d)_", train=["a/v1_0.jpg", "a/v2_0.jpg"], test=["a/v2_5.jpg", "a/v3_0.jpg", "a/v2_6.jpg", "a/v9_.jpg"]
    )
    assert found == {
        "groups-between-splits": "1 group of data.group lies in both test and training images (2), with 2 of 4 test "
        "images (50%), so accuracy on these is not that on new groups; move each group into one split"
    }
    assert findings(r"v(\d)_", train=["a/v1_0.jpg"], test=["a/v2_5.jpg"]) == {}


def test_the_random_number_of_a_group_is_its_own():
    """New frames in one video, and new videos, leave all other images in their splits."""
    few, many = ["a/v1_0.jpg", "a/v2_0.jpg", "a/x.jpg"], ["a/v1_0.jpg", "a/v1_7.jpg", "a/v2_0.jpg", "a/v0_0.jpg"]
    found = []
    for names in (few, many):
        groups = read_groups(DataConfig(group=r"v(\d)_"), {"train": files(names)})["train"]
        rank = np.arange(len(names), dtype=np.uint64)
        found.append(dict(zip(names, groups.ranks(rank, 3).tolist(), strict=True)))
        assert not np.array_equal(groups.ranks(rank, 3), groups.ranks(rank, 4))
    assert found[0]["a/v1_0.jpg"] == found[1]["a/v1_0.jpg"] == found[1]["a/v1_7.jpg"]
    assert found[0]["a/v2_0.jpg"] == found[1]["a/v2_0.jpg"] != found[0]["a/v1_0.jpg"]
    assert found[0]["a/x.jpg"] == 2


@pytest.fixture
def videos(tmp_path, draw) -> Path:
    """12 videos of 4 images in each of two classes."""
    for name in ("cat", "dog"):
        for number in range(48):
            draw(tmp_path / "pets" / name / f"video{name[0]}{number // 4}_{number % 4}.png", seed=name == "cat")
    return tmp_path / "pets"


def load(path: Path, group: str | None, seed: int = 0, **settings):
    config = DataConfig(name=f"folder:{path}", validation_per_class=8, copies="none", group=group, **settings)
    return load_dataset(config, image_size=8, image_channels=None, seed=seed)


def test_only_images_that_are_used_are_counted(videos, tmp_path):
    for split in ("train", "val", "test"):
        shutil.copytree(videos, tmp_path / "set" / split)
    dataset = load(tmp_path / "set", r"video(\w\d+)_", held_out_per_class=20, train_per_class=40)
    told = [finding.message for finding in dataset.findings if finding.id == "groups-between-splits"]
    assert len(told) == 3
    assert all("with 40 of 40 " in message for message in told[1:])
    (counted,) = (finding.message for finding in dataset.findings if finding.id == "image-groups")
    assert counted.startswith("160 images lie in ")


def homes(dataset) -> dict[str, set[str]]:
    parts = {part: getattr(dataset, part) for part in ("train", "validation", "test")}
    return {
        part: {re.findall(r"video\w\d+", each.files.path(place))[0] for place in range(len(each))}
        for part, each in parts.items()
    }


def test_no_video_is_divided(videos, monkeypatch):
    monkeypatch.setattr("fairnas.data.images.RESIDENT_BYTES", 0)
    for settings in ({}, {"train_per_class": 6}):
        found = homes(load(videos, r"(video\w\d+)", **settings))
        assert not found["train"] & found["validation"]
        assert not (found["train"] | found["validation"]) & found["test"]
        found = homes(load(videos, None, **settings))
        assert found["train"] & found["validation"]


def test_classes_get_what_is_wanted_and_groups_count_in_the_fingerprint(videos):
    grouped, single = load(videos, r"(video\w\d+)"), load(videos, None)
    assert grouped.summary().to_dict()["class_counts"] == single.summary().to_dict()["class_counts"]
    assert grouped.fingerprint != single.fingerprint
    assert load(videos, r"(\w+)_\d").fingerprint == grouped.fingerprint
    assert load(videos, r"(video\w\d+_\d)").fingerprint != grouped.fingerprint


def test_a_table_in_a_folder_that_moved_gives_the_same_splits(videos, tmp_path):
    rows = [f"{path.relative_to(videos)},{path.stem.split('_')[0]}" for path in videos.glob("*/*.png")]
    (videos / "videos.csv").write_text("\n".join(["file,video", *rows]))
    before = load(videos, f"{videos}/videos.csv:video").fingerprint
    assert before == load(videos, r"(video\w\d+)").fingerprint
    moved = videos.rename(tmp_path / "moved")
    assert load(moved, f"{moved}/videos.csv:video").fingerprint == before


def test_images_without_files_have_no_groups():
    with pytest.raises(DataError, match=r"data.group is '\(a\)', but digits has no files to group; leave it out"):
        load_dataset(DataConfig(group="(a)"), image_size=8, image_channels=None, seed=0)


def test_where_a_table_lies_is_not_what_a_run_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    here, there = DataConfig("folder:a", group="a/x.csv:who"), DataConfig("folder:b", group="b/x.csv:who")
    assert here.absolute().group == f"{tmp_path}/a/x.csv:who"
    assert here.where(there) == there
    assert here.where(DataConfig("folder:b", group="b/x.csv:when")).group == here.group
    assert DataConfig(group=r"v(\d)").absolute().group == r"v(\d)"
