"""Folders: every layout is recognised, every wrong one refused with a line that says what to do."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from fairnas.data import FolderFacts, scan_folder
from fairnas.data.folder_layout import read_layout, read_train_and_test
from fairnas.errors import DataError

TWO = {"cat": 3, "dog": 2}


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        scan_folder(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_classes_directly_in_the_folder(tmp_path, make_split):
    facts = scan_folder(make_split(tmp_path, TWO, size=(40, 30)))
    assert facts == FolderFacts(
        ("cat", "dog"), 5, 0, 0, smallest_class=2, largest_class=3, median_side=30, image_channels=3
    )


def test_a_tilde_is_the_home_folder(tmp_path, make_split, monkeypatch):
    make_split(tmp_path / "pets", TWO)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert scan_folder(Path("~/pets")).train == 5


def test_looking_at_a_folder_needs_no_torch():
    code = "import sys, fairnas.data.folder_scan; fairnas.data.scan_folder; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Val"])
def test_a_validation_folder_alone_is_the_test_set(tmp_path, make_split, name):
    make_split(tmp_path / "train", TWO)
    make_split(tmp_path / name, {"cat": 1, "dog": 1})
    layout = read_layout(tmp_path)
    assert layout.validation is None
    assert layout.test is not None
    assert layout.test.count == 2
    assert f"{name.lower()}/ is the test set; validation images are carved out of train/" in layout.notes


def test_with_both_each_is_what_its_name_says(tmp_path, make_split):
    make_split(tmp_path / "train", TWO)
    make_split(tmp_path / "val", {"cat": 1, "dog": 2})
    make_split(tmp_path / "test", {"cat": 4, "dog": 2})
    facts = scan_folder(tmp_path)
    assert (facts.train, facts.validation, facts.test) == (5, 3, 6)
    assert "validation images are those of val/; validation_per_class is not used" in read_layout(tmp_path).notes


def test_a_class_may_be_called_train(tmp_path, make_split):
    make_split(tmp_path, {"bus": 2, "train": 2})
    assert scan_folder(tmp_path).classes == ("bus", "train")


def test_other_folders_beside_train_are_noted(tmp_path, make_split):
    make_split(tmp_path / "train", TWO)
    (tmp_path / "labels").mkdir()
    assert read_layout(tmp_path).notes == ("folders beside train/ not used: labels",)


def test_folders_inside_a_class_belong_to_it(tmp_path, make_split):
    make_split(tmp_path, TWO)
    make_split(tmp_path / "cat", {"indoors": 2})
    cat = read_layout(tmp_path).train.classes[0]
    assert cat.files == ("cat/000.jpg", "cat/001.jpg", "cat/002.jpg", "cat/indoors/000.jpg", "cat/indoors/001.jpg")
    assert cat.sizes == tuple((tmp_path / file).stat().st_size for file in cat.files)


def test_other_files_are_ignored_with_a_note_and_hidden_ones_silently(tmp_path, make_split):
    make_split(tmp_path, TWO)
    for name in ("cat/labels.csv", "dog/notes.txt", "README", ".DS_Store", "cat/.hidden.jpg", "dog/Thumbs.db"):
        (tmp_path / name).write_text("x")
    for name in (".cache", "__MACOSX"):
        (tmp_path / name).mkdir()
    layout = read_layout(tmp_path)
    assert layout.train.count == 5
    assert layout.notes == (
        f"3 files that are no images of a class ignored in {tmp_path}: README, ... (1 .csv, 1 .txt, 1 no ending)",
    )


def test_links_that_go_round_in_circles_do_not_hang(tmp_path, make_split):
    make_split(tmp_path, TWO)
    (tmp_path / "everything").symlink_to(tmp_path)
    (tmp_path / "cat" / "up").symlink_to(tmp_path)
    (tmp_path / "cat" / "self").symlink_to(tmp_path / "cat" / "self")
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    layout = read_layout(tmp_path)
    assert layout.train.names == ("cat", "dog")
    assert layout.train.count == 5
    assert f"linked folders not followed in {tmp_path}: cat/up, everything" in layout.notes


@pytest.mark.parametrize("split", ["", "train"])
def test_runs_beside_or_among_the_images_are_no_classes(tmp_path, make_split, draw, split):
    make_split(tmp_path / split, TWO)
    before = read_layout(tmp_path).train
    for run in ("runs/folder", "runs/more/folder", "here", "cat/run"):
        draw(tmp_path / split / run / "models" / "drawing.png")
        for name in ("config.toml", ".lock"):  # as of the moment when it begins
            (tmp_path / split / run / name).touch()
    (tmp_path / split / "runs" / "notes.txt").touch()
    layout = read_layout(tmp_path)
    assert layout.train.classes == before.classes
    note = "run directories left out of {}: cat/run, here, runs/folder, runs/more/folder"
    assert any(sorted(each.split(": ")[1].split(", ")) == note.split(": ")[1].split(", ") for each in layout.notes)
    for run in ("runs/folder", "runs/more/folder", "here", "cat/run"):  # and when a copy of it has lost the lock
        (tmp_path / split / run / ".lock").rename(tmp_path / split / run / "stages.json")
    assert read_layout(tmp_path).train.classes == before.classes


def test_a_run_beside_the_splits_is_named(tmp_path, make_split):
    make_split(tmp_path / "train", TWO)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "stages.json").touch()
    assert f"run directories left out of {tmp_path}: run" in read_layout(tmp_path).notes


def test_a_class_may_hold_a_configuration(tmp_path, make_split):
    make_split(tmp_path, TWO)
    (tmp_path / "cat" / "config.toml").touch()
    assert scan_folder(tmp_path).train == 5


def test_linked_class_folders_and_files_are_followed(tmp_path, make_split, draw):
    elsewhere = make_split(tmp_path / "elsewhere", {"x": 2})
    make_split(tmp_path / "set", TWO)
    (tmp_path / "set" / "fox").symlink_to(elsewhere / "x")
    (tmp_path / "set" / "cat" / "link.jpg").symlink_to(draw(tmp_path / "elsewhere" / "one.jpg"))
    layout = read_layout(tmp_path / "set")
    assert layout.train.names == ("cat", "dog", "fox")
    assert layout.train.count == 8
    assert 0 not in layout.train.classes[0].sizes


def test_pipes_are_not_opened(tmp_path, make_split):
    make_split(tmp_path, TWO)
    os.mkfifo(tmp_path / "cat" / "pipe.jpg")
    (tmp_path / "dog" / "link.jpg").symlink_to(tmp_path / "cat" / "pipe.jpg")
    assert scan_folder(tmp_path).train == 5


def test_grey_sets_are_recognised(tmp_path, make_split, draw):
    make_split(tmp_path, {"cat": 150, "dog": 150}, mode="L", size=(8, 8))
    assert scan_folder(tmp_path).image_channels == 1
    make_split(tmp_path, {"cat": 150})
    assert scan_folder(tmp_path).image_channels == 3


def test_corrupt_files_do_not_disturb_a_quick_look(tmp_path, make_split):
    make_split(tmp_path, TWO)
    (tmp_path / "cat" / "000.jpg").write_bytes(b"")
    assert scan_folder(tmp_path).train == 5
    for path in tmp_path.glob("*/*.jpg"):
        path.write_bytes(b"broken")
    message = refused(tmp_path)
    assert "can be used" in message
    assert "000.jpg" in message


def test_absent_and_wrong_paths(tmp_path):
    assert "does not exist; give a folder" in refused(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    assert "is a file; give a folder" in refused(tmp_path / "file")


def test_no_class_folders(tmp_path, draw):
    draw(tmp_path / "a.jpg")
    line = f"{tmp_path} has no class folders; put the images of each class into its own subfolder"
    assert refused(tmp_path).startswith(line)


def test_one_class_only(tmp_path, make_split):
    make_split(tmp_path, {"cat": 3})
    assert f"{tmp_path} has one class folder only, 'cat'; give two classes or more" in refused(tmp_path)


def test_an_archive_unpacked_into_a_folder_of_its_own(tmp_path, make_split):
    make_split(tmp_path / "archive", TWO)
    assert refused(tmp_path).endswith(f"or {tmp_path / 'archive'} if the classes are in there")


@pytest.mark.parametrize("split", ["train", "test"])
def test_empty_class_folders_are_named(tmp_path, make_split, split):
    make_split(tmp_path / "train", TWO)
    make_split(tmp_path / "test", TWO)
    (tmp_path / split / "fox").mkdir()
    (tmp_path / split / "fox" / "notes.txt").write_text("x")
    fox = tmp_path / split / "fox"
    assert refused(tmp_path).startswith(
        f"class folder {fox} holds no images, but 1 .txt; images are files that end in .ap"
    )
    (fox / "notes.txt").unlink()
    assert refused(tmp_path).startswith(f"class folder {fox} holds no images (.apng, ")


def test_differing_classes_are_named(tmp_path, make_split):
    make_split(tmp_path / "train", {"cat": 1, "dog": 1, "fox": 1})
    make_split(tmp_path / "test", {"cat": 1, "dog": 1, "owl": 1, "rat": 1})
    message = refused(tmp_path)
    assert f"the class folders under {tmp_path} differ: test/ lacks fox; train/ lacks owl, rat" in message


def test_of_many_differing_classes_the_first_are_named(tmp_path, make_split):
    make_split(tmp_path / "train", dict.fromkeys("abcdefgh", 1))
    make_split(tmp_path / "test", dict.fromkeys("ab", 1))
    assert "test/ lacks c, d, e, f, g, ... (6); give every split" in refused(tmp_path)


def test_two_validation_folders(tmp_path, make_split):
    for name in ("train", "val", "valid"):
        make_split(tmp_path / name, TWO)
    assert refused(tmp_path) == f"{tmp_path} has both val/ and valid/; keep one of them"


def test_test_images_without_classes_are_not_used(tmp_path, make_split, draw):
    make_split(tmp_path / "train", TWO)
    make_split(tmp_path / "val", {"cat": 1, "dog": 1})
    draw(tmp_path / "test" / "0.jpg")
    layout = read_layout(tmp_path)
    assert layout.test is not None
    assert layout.test.folder.name == "val"
    assert "test/ is not used: its images lie in no class folders, so nobody knows their classes" in layout.notes
    (tmp_path / "test" / "0.jpg").unlink()
    assert refused(tmp_path).startswith(f"{tmp_path / 'test'} has no class folders")


def test_validation_images_without_class_folders(tmp_path, make_split, draw):
    make_split(tmp_path / "train", TWO)
    draw(tmp_path / "val" / "0.jpg")
    assert refused(tmp_path).startswith(f"{tmp_path / 'val'} has no class folders")


def test_held_out_folders_without_a_training_folder(tmp_path, make_split):
    make_split(tmp_path / "val", TWO)
    make_split(tmp_path / "test", TWO)
    assert re.search(r"has (val|test)/ with class folders but no train/", refused(tmp_path))


@pytest.mark.parametrize("names", [("Testing", "Training"), ("dev", "eval"), ("extra", "test_set", "train_set")])
def test_splits_of_unknown_names_are_not_taken_for_classes(tmp_path, make_split, names):
    for name in names:
        make_split(tmp_path / name, TWO)
    message = refused(tmp_path)
    line = f"{', '.join(names)} in {tmp_path} look like splits, not classes; name them train, val and test"
    assert message.startswith(line)


@pytest.mark.parametrize("names", [("healthy", "sick"), ("bus", "trains"), ("development", "value")])
def test_classes_may_hold_the_same_folders(tmp_path, make_split, names):
    for name in names:
        make_split(tmp_path / name, {"2023": 2, "2024": 1})
    assert scan_folder(tmp_path).classes == names
    assert scan_folder(tmp_path).train == 6


def test_a_class_name_that_is_no_text(tmp_path, make_split):
    make_split(tmp_path, TWO)
    os.mkdir(os.fsencode(tmp_path) + b"/caf\xe9")
    assert "has a name that is not UTF-8 text; rename it" in refused(tmp_path)


def test_a_folder_that_cannot_be_read(tmp_path, make_split, monkeypatch):
    make_split(tmp_path, TWO)

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    assert refused(tmp_path) == f"cannot read the folder {tmp_path}: Permission denied; make it readable"


def test_a_layout_of_two_named_folders(tmp_path, make_split):
    make_split(tmp_path / "train", TWO)
    with pytest.raises(DataError, match="val does not exist"):
        read_train_and_test(tmp_path, "val")
    make_split(tmp_path / "val", TWO)
    layout = read_train_and_test(tmp_path, "val")
    assert layout.validation is None
    assert layout.test is not None
    assert layout.test.folder == tmp_path / "val"
