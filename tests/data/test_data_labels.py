"""Labels from a file beside the images: every way that people write them, and every fault in one line."""

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.config import DataConfig
from fairnas.data import labels as labels_module
from fairnas.data import load_dataset
from fairnas.data.finding import RefusedImages
from fairnas.data.folder_layout import Layout, read_layout
from fairnas.errors import DataError
from tests.data.trees import grow

FOUR = "filename,label\n000.jpg,cat\n001.jpg,cat\n002.jpg,dog\n003.jpg,dog\n"


def written(root: Path, text: str | bytes, name: str = "labels.csv", tree: str = ".*4") -> Path:
    grow(root, tree)
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return root


def files(layout: Layout, split: str = "train") -> dict[str, tuple[str, ...]]:
    return {each.name: each.files for each in getattr(layout, split).classes}


def ids(layout: Layout) -> list[str]:
    return [finding.id for finding in layout.findings]


def refused(root: Path, identifier: str, labels: str | None = None) -> str:
    with pytest.raises(RefusedImages) as caught:
        read_layout(root, labels=labels)
    assert caught.value.finding.id == identifier, str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        FOUR,
        FOUR.replace(",", ";"),
        FOUR.replace(",", "\t"),
        FOUR.replace(",", ", "),
        FOUR.replace("\n", "\r\n"),
        FOUR.replace("\n", "\n\n"),
        FOUR.replace(".jpg", ""),
        FOUR.replace(".jpg", ".JPG"),
        FOUR.replace("filename,label", "Image_ID , Class"),
        FOUR.replace("filename,label", "id,breed"),
        FOUR.replace("filename,label", "path,target").replace("00", "./00"),
        FOUR.replace("filename,label\n", ""),
        "label,file\n" + "".join(",".join(line.split(",")[::-1]) + "\n" for line in FOUR.split()[1:]),
        "".join(f"{line},x\n" for line in FOUR.split()).replace("label,x", "category,x"),
        "".join(f'"{line.replace(",", chr(34) + "," + chr(34))}"\n' for line in FOUR.split()),
        b"\xef\xbb\xbf" + FOUR.encode(),
        FOUR.encode("utf-16"),
    ],
)
def test_a_table_beside_flat_images_is_read(tmp_path, text):
    layout = read_layout(written(tmp_path, text))
    assert files(layout) == {"cat": ("000.jpg", "001.jpg"), "dog": ("002.jpg", "003.jpg")}
    assert ids(layout) == ["labels-file"]
    assert f"labels of 4 images in 2 classes come from {tmp_path / 'labels.csv'}" in layout.notes[0]
    assert layout.train.classes[0].sizes == (0, 0)


@pytest.mark.parametrize(
    ("tree", "name"),
    [("images*4", "labels.csv"), ("train*4 test*4", "train.csv"), ("train*4", "train.csv"), ("a*1 .*4", "photos.csv")],
)
def test_images_lie_in_a_folder_and_the_table_beside_it(tmp_path, tree, name):
    layout = read_layout(written(tmp_path, FOUR, name, tree))
    folder = tree.split("*")[0] if tree != "a*1 .*4" else ""
    assert files(layout)["dog"] == tuple(os.path.join(folder, each) for each in ("002.jpg", "003.jpg"))


def test_test_images_without_labels_are_named(tmp_path):
    root = written(tmp_path, FOUR, "train.csv", "train*4 test*5")
    (root / "test.csv").write_text("id\n000\n001\n002\n")
    (root / "sample_submission.csv").write_text("id,label\n000,cat\n001,cat\n002,cat\n003,cat\n004,cat\n")
    layout = read_layout(root)
    assert layout.test is None
    assert ids(layout) == ["labels-file", "test-unlabelled"]
    assert "test/ is not used: its 5 images have no row in" in layout.notes[1]


def test_every_split_may_have_its_table(tmp_path):
    root = written(tmp_path, FOUR, "train.csv", "train*4 val*4 test*4")
    for name in ("val", "test"):
        (root / f"{name}.csv").write_text(FOUR)
    layout = read_layout(root)
    assert files(layout, "train")["cat"] == ("train/000.jpg", "train/001.jpg")
    assert files(layout, "validation")["cat"] == ("val/000.jpg", "val/001.jpg")
    assert files(layout, "test")["dog"] == ("test/002.jpg", "test/003.jpg")


def test_a_column_says_the_split(tmp_path):
    rows = ["filename,label,split"] + [
        f"{n:03}.jpg,{'cat' if n % 2 else 'dog'},{'train' if n < 4 else 'TEST'}" for n in range(8)
    ]
    layout = read_layout(written(tmp_path, "\n".join(rows), tree=".*8"))
    assert files(layout, "train") == {"cat": ("001.jpg", "003.jpg"), "dog": ("000.jpg", "002.jpg")}
    assert files(layout, "test") == {"cat": ("005.jpg", "007.jpg"), "dog": ("004.jpg", "006.jpg")}
    (tmp_path / "labels.csv").write_text("\n".join(rows).replace("TEST", "valid"))
    layout = read_layout(tmp_path)
    assert files(layout, "test")["cat"] == ("005.jpg", "007.jpg")
    assert layout.validation is None
    assert "val-is-test" in ids(layout)
    (tmp_path / "labels.csv").write_text("\n".join(rows).replace("TEST", "fold 3"))
    assert "has the split 'fold 3' in line 6; give train, val or test" in refused(tmp_path, "labels-unreadable")
    (tmp_path / "labels.csv").write_text("\n".join(rows).replace("train", "test"))
    assert "lists no training images" in refused(tmp_path, "labels-unreadable")


def test_without_such_a_column_the_folders_say_it(tmp_path):
    text = "path,label\n" + "".join(
        f"{split}/{n:03}.jpg,{'cat' if n % 2 else 'dog'}\n" for split in ("train", "test") for n in range(4)
    )
    layout = read_layout(written(tmp_path, text, tree="train*4 test*4"))
    assert files(layout, "test")["cat"] == ("test/001.jpg", "test/003.jpg")
    assert layout.train.count == 4


def test_splits_of_a_table_must_have_the_same_classes(tmp_path):
    text = "file,label,split\n000.jpg,cat,train\n001.jpg,dog,train\n002.jpg,Cat,test\n003.jpg,dog,test\n"
    message = refused(written(tmp_path, text), "classes-differ")
    assert "test lacks cat; training lacks Cat; rename 'Cat' in test to 'cat' (upper and lower case only)" in message


def test_a_validation_list_beside_class_folders(tmp_path):
    root = grow(tmp_path, "train/n01/images*3 train/n02/images*3 val/images*4 test/images*2")
    rows = "".join(f"{n:03}.jpg\tn0{n % 2 + 1}\t0\t0\t62\t62\n" for n in range(4))
    (root / "val" / "val_annotations.txt").write_text(rows)
    layout = read_layout(root)
    assert layout.test is not None
    assert files(layout, "test") == {
        "n01": ("images/000.jpg", "images/002.jpg"),
        "n02": ("images/001.jpg", "images/003.jpg"),
    }
    assert layout.test.folder == root / "val"
    assert ids(layout) == ["test-unlabelled", "labels-file", "val-is-test"]


def test_class_folders_count_more_than_a_table_beside_them(tmp_path):
    layout = read_layout(written(tmp_path, "filename,label\n000.jpg,x\n", tree="cat*2 dog*2"))
    assert layout.train.names == ("cat", "dog")
    assert ids(layout) == ["no-images"]


def test_a_table_that_is_given_counts_more_than_folders(tmp_path):
    text = "filename,label\na/000.jpg,cat\na/001.jpg,dog\nb/000.jpg,dog\nb/001.jpg,cat\n"
    root = written(tmp_path / "set", text, "lists/of_vet.csv", "a*2 b*2")
    for labels in ("lists/of_vet.csv", str(root / "lists" / "of_vet.csv")):
        assert files(read_layout(root, labels=labels))["cat"] == ("a/000.jpg", "b/001.jpg")
    with pytest.raises(DataError, match=r"set/absent\.csv does not exist; data\.labels is the path of a file in"):
        read_layout(root, labels="absent.csv")
    with pytest.raises(DataError, match=r"data\.labels gives the classes, but data\.layout is 'classes'"):
        read_layout(root, "classes", "lists/of_vet.csv")


# What does not fit.


def test_rows_without_images_and_images_without_rows_are_told(tmp_path):
    rows = "".join(f"{n:03}.jpg,{'cat' if n % 2 else 'dog'}\n" for n in range(1, 21))
    layout = read_layout(written(tmp_path, "filename,label\n" + rows, tree=".*20"))
    assert ids(layout) == ["labels-file", "labels-no-image", "labels-unlisted"]
    table = tmp_path / "labels.csv"
    assert layout.notes[1] == f"1 of 20 rows of {table} have no image: '020.jpg' in line 21"
    assert layout.notes[2] == f"1 image has no row in {table} and is not used: 000.jpg"


def test_too_many_rows_without_images_are_refused(tmp_path):
    message = refused(written(tmp_path, FOUR.replace("003", "elsewhere/9")), "labels-no-image")
    assert "1 of 4 rows of" in message
    assert "the first is 'elsewhere/9.jpg' in line 5" in message


def test_rows_that_stand_there_twice(tmp_path):
    layout = read_layout(written(tmp_path, FOUR + "003.jpg,dog\n"))
    assert ids(layout) == ["labels-file", "labels-repeated"]
    message = refused(written(tmp_path, FOUR + "003,cat\n"), "labels-contradict")
    assert "says two things about 003.jpg: 'dog' in line 5 and 'cat' in line 6; keep one" in message


def test_an_image_in_two_tables(tmp_path):
    root = written(tmp_path, FOUR, "train.csv", "train*4 test/x.jpg")
    (root / "test.csv").write_text("filename,label\ntrain/000.jpg,cat\nx.jpg,dog\n")
    assert "train/000.jpg is listed for train and for test" in refused(root, "labels-contradict")


def test_names_that_several_images_have(tmp_path):
    root = written(tmp_path, FOUR, tree="train*4 test*4")
    message = refused(root, "labels-unreadable")
    assert "means several images by '000.jpg' in line 2: test/000.jpg, train/000.jpg; write their paths" in message


@pytest.mark.parametrize(
    "row", ["../000.jpg,cat", "/etc/000.jpg,cat", "a/../../000.jpg,cat", "C:\\x\\000.jpg,cat", "./,cat"]
)
def test_rows_that_lead_out_of_the_folder(tmp_path, row):
    assert "leads out of the folder with " in refused(written(tmp_path, FOUR + row), "labels-unreadable")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"", "is empty; a labels file is read"),
        ("filename,label\n", "has a header and no rows"),
        ("width,height,depth\n1,2,3\n", "has no columns for files and classes; its header is width, height, depth"),
        ("filename\n000.jpg\n", "its header is filename"),
        (b"filename,label\n000.jpg,caf\xe9\n", "is not UTF-8 text (byte 26); save it as UTF-8"),
        (b"filename,label\n000.jpg,c\0t\n", "holds zero bytes"),
        (b"\xff\xfe\x00", "is not UTF-8 text"),
        ("filename,label\n000.jpg\n", "has no label in line 2"),
        ("filename,label\n,cat\n", "has no file name in line 2"),
        (f"filename,label\n000.jpg,{'c' * 201}\n", "has no class name in line 2"),
        ('filename,label\n000.jpg,"c\nat"\n', "has no class name in line 3"),
        ('filename,label\n000.jpg,"cat\n', "is no table (line 2: unexpected end of data)"),
        (f"filename,label\n000.jpg,{'c' * 200_000}\n", "is no table (line 2: field larger than field limit (131072))"),
    ],
)
def test_files_that_are_no_tables_of_labels(tmp_path, text, words):
    message = refused(written(tmp_path, text), "labels-unreadable")
    assert words in message
    assert message.startswith(str(tmp_path / "labels.csv"))


def test_files_that_are_no_files(tmp_path, monkeypatch):
    grow(tmp_path, ".*4")
    os.mkfifo(tmp_path / "labels.csv")
    assert "is not a file" in refused(tmp_path, "labels-unreadable")
    (tmp_path / "labels.csv").unlink()
    (tmp_path / "labels.csv").symlink_to("nowhere")
    assert "does not exist" in refused(tmp_path, "labels-unreadable")
    (tmp_path / "labels.csv").unlink()
    monkeypatch.setattr(labels_module, "MOST_BYTES", 10)
    assert "bytes, 10 are read" in refused(written(tmp_path, FOUR), "labels-unreadable")


def test_numbers_that_are_no_classes(tmp_path):
    rows = "".join(f"{n:03}.jpg,{n / 7:.3f}\n" for n in range(30))
    message = refused(written(tmp_path, "filename,target\n" + rows, tree=".*30"), "labels-no-classes")
    assert "30 different labels for 30 images ('0.000', '0.143', '0.286', ...)" in message


def test_a_list_of_something_else_hides_no_advice(tmp_path):
    root = written(tmp_path, "ClassId,Name\n0,stop\n1,yield\n", tree="signs/0*2 signs/1*2")
    assert "signs if the classes are in there" in refused(root, "one-class")


def test_one_class_only(tmp_path):
    assert "has images of one class only, 'cat'" in refused(written(tmp_path, FOUR.replace("dog", "cat")), "one-class")


@given(content=st.binary(max_size=200) | st.text(max_size=200).map(lambda text: (FOUR + text).encode(errors="replace")))
@settings(max_examples=60, deadline=None)
def test_whatever_a_file_holds_is_read_or_refused(tmp_path_factory, content):
    root = written(tmp_path_factory.mktemp("set"), content)
    with contextlib.suppress(DataError):  # anything else is our fault
        read_layout(root)


# Down the line.


@pytest.fixture
def photos(tmp_path, draw) -> Path:
    for number in range(24):
        draw(tmp_path / "set" / "photos" / f"{number}.png", seed=number)
    rows = "".join(f"{number},{'odd' if number % 2 else 'even'}\n" for number in range(24))
    (tmp_path / "set" / "labels.csv").write_text("id,label\n" + rows)
    return tmp_path / "set"


def load(path: Path, **settings):
    config = DataConfig(name=f"folder:{path}", validation_per_class=3, augmentation="none", **settings)
    return load_dataset(config, image_size=16, image_channels=None, seed=0)


def test_listed_images_become_a_data_set(photos):
    dataset = load(photos)
    assert dataset.classes == ("even", "odd")
    assert dataset.summary().to_dict()["class_counts"] == {"train": [6, 6], "validation": [3, 3], "test": [3, 3]}
    assert dataset.findings[0].id == "labels-file"


def test_the_fingerprint_is_of_the_labels_too_and_not_of_their_place(photos):
    before = load(photos)
    photos.rename(photos.with_name("moved"))
    moved = photos.with_name("moved")
    assert load(moved).fingerprint == before.fingerprint
    (moved / "labels.csv").rename(moved / "other.csv")
    assert load(moved, labels="other.csv").fingerprint == before.fingerprint
    text = (moved / "other.csv").read_text()
    (moved / "other.csv").write_text(text.replace("\n0,even\n1,odd\n", "\n0,odd\n1,even\n"))
    assert load(moved, labels="other.csv").fingerprint != before.fingerprint


def test_other_data_sets_take_no_labels():
    with pytest.raises(DataError, match=r"data\.layout and data\.labels are for folder:PATH, not for 'digits'"):
        load_dataset(DataConfig("digits", labels="x.csv"), image_size=8, image_channels=None, seed=0)
