"""The same image twice: found, told in one line each, and kept in one split."""

import io
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance

import fairnas.data.images
from fairnas.config import DataConfig
from fairnas.data import Dataset, load_dataset
from fairnas.data.arrays import Arrays
from fairnas.data.digits import read_digits
from fairnas.data.duplicates import content_ids, row_ids
from fairnas.data.finding import RefusedImages
from fairnas.data.images import ResidentImages, StreamedImages
from fairnas.errors import DataError


def load(path: Path, *, size: int = 16, seed: int = 0, **settings) -> Dataset:
    config = DataConfig(name=f"folder:{path}", **({"validation_per_class": 4, "augmentation": "none"} | settings))
    return load_dataset(config, image_size=size, image_channels=None, seed=seed)


def told(dataset: Dataset) -> dict[str, str]:
    return {finding.id: finding.message for finding in dataset.findings}


def drawn(name: str, size: int = 32) -> Image.Image:
    """A picture of few colours and shapes, a function of its name."""
    small = np.random.default_rng(list(name.encode())).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(small).resize((size, size), Image.Resampling.BICUBIC)


def draw_all(folder: Path, names, suffix: str = "png") -> Path:
    for name in names:
        path = folder / f"{name}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        drawn(str(name)).save(path)
    return folder


@pytest.fixture
def pets(tmp_path) -> Path:
    return draw_all(tmp_path / "pets", [f"{name}/{number}" for name in ("cat", "dog") for number in range(20)])


@pytest.fixture
def three(tmp_path) -> Path:
    """A set that brings all its splits."""
    for split, count in (("train", 10), ("val", 4), ("test", 4)):
        names = [f"{split}/{name}/{number}" for name in ("cat", "dog") for number in range(count)]
        draw_all(tmp_path / "set", names)
    return tmp_path / "set"


@pytest.fixture(params=["resident", "streamed"])
def kind(request, monkeypatch) -> str:
    if request.param == "streamed":
        monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", 0)
    return request.param


# Exact copies --------------------------------------------------------------------------------------------------


def test_images_that_all_differ_are_not_mentioned(pets, three, kind):
    assert told(load(pets)) == {}
    assert set(told(load(three))) == {"val-is-val"}


def test_contents_are_equal_only_if_all_bytes_are(tmp_path):
    end = os.urandom(5000)
    contents = [b"", b"", b"a" * 10, b"b" * 10, b"a" * 10, b"1" + end, b"2" + end, b"1" + end, end, b"lonely"]
    for place, content in enumerate(contents):
        (tmp_path / str(place)).write_bytes(content)
    paths = [str(tmp_path / str(place)) for place in range(len(contents))]
    ids = content_ids([*paths, str(tmp_path / "gone")], np.array([*map(len, contents), 10]))
    equal = {(one, other) for one in range(11) for other in range(one) if ids[one] == ids[other]}
    assert equal == {(4, 2), (7, 5)}


def test_an_image_under_two_names(pets, kind):
    shutil.copy(pets / "cat" / "3.png", pets / "cat" / "same.png")
    (pets / "cat" / "linked.png").symlink_to(pets / "cat" / "5.png")
    dataset = load(pets)
    assert told(dataset) == {
        "copies-within-class": "2 images are copies of another image of the same class: "
        "cat/linked.png = cat/5.png, cat/same.png = cat/3.png; they stay in one split"
    }
    assert told(load(pets, copies="none")) == {}


def pixel_sets(dataset: Dataset) -> list[set[bytes]]:
    parts = [getattr(dataset, part) for part in ("train", "validation", "test")]
    assert all(isinstance(part, ResidentImages) for part in parts)
    return [{row.tobytes() for row in part.pixels.numpy()} for part in parts]


def test_copies_are_never_in_two_splits(pets):
    for number in range(10):
        shutil.copy(pets / "cat" / f"{number}.png", pets / "cat" / f"copy{number}.png")
    mixed = 0
    for seed in range(6):
        train, validation, test = pixel_sets(load(pets, seed=seed))
        assert not train & validation
        assert not (train | validation) & test
        train, validation, test = pixel_sets(load(pets, seed=seed, copies="none"))
        mixed += bool(train & validation or (train | validation) & test)
    assert mixed == 6


def test_one_image_in_two_classes(pets):
    shutil.copy(pets / "cat" / "3.png", pets / "dog" / "stray.png")
    dataset = load(pets)
    assert told(dataset) == {
        "copies-between-classes": "2 images lie in several classes, so that labels contradict each other: "
        "cat/3.png = dog/stray.png; remove those with the wrong label"
    }
    train, validation, test = pixel_sets(dataset)
    assert len(train | validation | test) == len(train) + len(validation) + len(test)


def test_a_test_set_that_is_the_training_set(tmp_path, pets, kind):
    for split in ("train", "test"):
        shutil.copytree(pets, tmp_path / "set" / split)
    assert told(load(tmp_path / "set"))["copies-between-splits"] == (
        "40 of 40 test images (100%) are copies of training images, accuracy on them says nothing about new images; "
        "give other test images (test/cat/0.png = train/cat/0.png, test/cat/1.png = train/cat/1.png, "
        "test/cat/10.png = train/cat/10.png, ...)"
    )


def test_a_few_test_images_that_are_training_images(three):
    shutil.copy(three / "train" / "cat" / "3.png", three / "test" / "cat" / "x.png")
    shutil.copy(three / "val" / "dog" / "2.png", three / "test" / "dog" / "y.png")
    messages = [finding.message for finding in load(three).findings if finding.id == "copies-between-splits"]
    assert messages == [
        "1 of 10 test images (10%) are copies of training images: test/cat/x.png = train/cat/3.png; "
        "remove them from one of the two",
        "1 of 10 test images (10%) are copies of validation images: test/dog/y.png = val/dog/2.png; "
        "remove them from one of the two",
    ]


@pytest.mark.parametrize("how", ["copied", "linked", "part"])
def test_a_class_that_is_another_is_refused(pets, how):
    if how == "linked":
        (pets / "kitten").symlink_to(pets / "cat")
    else:
        shutil.copytree(pets / "cat", pets / "kitten")
    if how == "part":
        (pets / "kitten" / "3.png").unlink()
    with pytest.raises(RefusedImages) as caught:
        load(pets)
    assert caught.value.finding.id == "class-copied"
    expected = {
        "copied": f"the classes 'cat' and 'kitten' in {pets} hold the same images, so that nothing tells them apart; "
        "remove one of the two, or give it images of its own",
        "linked": f"the class folders 'cat' and 'kitten' in {pets} are one, by a link; remove the link",
        "part": f"every image of class 'kitten' in {pets} lies in class 'cat', too, so that nothing tells them "
        "apart; leave these images in one of the two folders (19 files)",
    }
    assert str(caught.value) == expected[how]
    assert len(load(pets, copies="none").classes) == 3


def test_a_class_of_test_images_that_is_another_is_refused_and_one_shared_image_is_not(three):
    shutil.copy(three / "test" / "cat" / "0.png", three / "test" / "dog" / "0.png")
    assert "copies-between-classes" in told(load(three))
    for number in range(1, 4):
        shutil.copy(three / "test" / "cat" / f"{number}.png", three / "test" / "dog" / f"{number}.png")
    with pytest.raises(RefusedImages, match=r"classes 'cat' and 'dog' in .*test hold the same images"):
        load(three)


def test_a_copied_class_is_found_where_few_training_images_are_wanted(pets):
    shutil.copytree(pets / "cat", pets / "kitten")
    with pytest.raises(RefusedImages):
        load(pets, validation_per_class=1, train_per_class=2)


def test_a_class_of_one_image_many_times_is_refused(pets):
    for number in range(1, 20):
        shutil.copy(pets / "cat" / "0.png", pets / "cat" / f"{number}.png")
    with pytest.raises(DataError, match=r"the 20 usable training images of class 'cat' are 1 group that stay"):
        load(pets)


def test_the_fingerprint_knows_what_copies_change(pets):
    """Splits that differ have different fingerprints, and equal ones the same, whatever made them."""
    prints = {copies: load(pets, copies=copies).fingerprint for copies in ("near", "exact", "none")}
    assert len(set(prints.values())) == 1
    for number in range(10):
        shutil.copy(pets / "cat" / f"{number}.png", pets / "cat" / f"copy{number}.png")
    prints = {copies: load(pets, copies=copies).fingerprint for copies in ("near", "exact", "none")}
    assert prints["near"] == prints["exact"] != prints["none"]


def test_corrupt_files_are_not_copies_of_each_other(pets):
    for name in ("a", "b"):
        (pets / "cat" / f"{name}.png").write_bytes(b"<html>not found</html>")
    assert set(told(load(pets))) == {"corrupt-files"}


def test_digits_hold_no_copies_and_copies_in_arrays_are_found(monkeypatch):
    digits = read_digits()
    assert len(np.unique(row_ids(*(part.pixels for part in digits)))) == 1797
    pool, test = digits
    pixels = pool.pixels.copy()
    pixels[10:60] = pixels[60:110]
    pixels[7] = test.pixels[3]
    labels = pool.labels.copy()
    labels[10:60] = labels[60:110]
    copied = Arrays(pixels, labels, pool.numbers), test
    monkeypatch.setattr("fairnas.data.digits.read_digits", lambda: copied)
    dataset = load_dataset(DataConfig(validation_per_class=20), image_size=8, image_channels=None, seed=0)
    found = told(dataset)
    assert found["copies-within-class"].startswith("50 images are copies of another image of the same class: train")
    assert found["copies-between-splits"].startswith("1 of 797 test images (0.13%) are copies of training images: test")
    fewer = DataConfig(validation_per_class=20, held_out_per_class=79)
    few = told(load_dataset(fewer, image_size=8, image_channels=None, seed=0))
    assert re.match("1 of 7[78][0-9] test images", few["copies-between-splits"])
    train, validation, _ = pixel_sets(dataset)
    assert not train & validation


# Near copies ---------------------------------------------------------------------------------------------------


def encoded(image: Image.Image, quality: int, kind: str = "JPEG") -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, kind, quality=quality)
    return Image.open(buffer).convert("RGB")


CHANGES = {
    "jpeg": lambda image: encoded(image, 60),
    "webp": lambda image: encoded(image, 70, "WEBP"),
    "larger": lambda image: image.resize((image.width * 3, image.height * 3), Image.Resampling.LANCZOS),
    "brighter": lambda image: ImageEnhance.Brightness(image).enhance(1.1),
    "duller": lambda image: ImageEnhance.Contrast(image).enhance(0.8),
}


@pytest.mark.parametrize("change", CHANGES)
def test_near_copies_are_found_and_stay_in_one_split(pets, kind, change):
    for number in range(8):
        CHANGES[change](drawn(f"cat/{number}")).save(pets / "cat" / f"again{number}.png")
    dataset = load(pets, size=32, test_per_class=3)
    assert told(dataset) == {
        "near-copies-within-class": "8 images look the same as another image of the same class, as after encoding or "
        "resizing: cat/again0.png = cat/0.png, cat/again1.png = cat/1.png, cat/again2.png = cat/2.png, ...; "
        "they stay in one split"
    }
    assert told(load(pets, size=32, test_per_class=3, copies="exact")) == {}
    if kind == "streamed":
        files = {part: getattr(dataset, part) for part in ("train", "validation", "test")}
        assert all(isinstance(each, StreamedImages) for each in files.values())
        homes = {os.path.basename(each.files.path(place)): part for part, each in files.items()
                 for place in range(len(each)) if each.labels[place] == 0}  # fmt: skip
        assert all(homes[f"again{number}.png"] == homes[f"{number}.png"] for number in range(8))


def test_black_bars_make_no_copies_and_hide_none(tmp_path, kind):
    """Only the image is compared: between bars, all images of one shape would look much alike."""
    for name in ("cat", "dog"):
        for number in range(20):
            noise = np.random.default_rng([len(name), ord(name[0]), number]).integers(90, 166, (5, 15, 3), np.uint8)
            image = Image.fromarray(noise).resize((90, 30), Image.Resampling.BICUBIC)
            image = image if number % 2 else image.rotate(90, expand=True)
            (tmp_path / name).mkdir(exist_ok=True)
            image.save(tmp_path / name / f"{number}.png")
    assert told(load(tmp_path, size=32, fit="pad")) == {}
    with Image.open(tmp_path / "cat" / "4.png") as image:
        CHANGES["jpeg"](image).save(tmp_path / "dog" / "again.png")
    assert set(told(load(tmp_path, size=32, fit="pad"))) == {"near-copies-between-classes"}


def test_near_copies_between_classes_and_splits(three):
    CHANGES["jpeg"](drawn("train/cat/3")).save(three / "train" / "dog" / "x.png")
    CHANGES["jpeg"](drawn("train/dog/5")).save(three / "test" / "dog" / "y.png")
    found = told(load(three, size=32))
    assert found["near-copies-between-classes"] == (
        "2 images look the same as an image of another class: train/cat/3.png = train/dog/x.png; "
        "see which label is right"
    )
    assert found["near-copies-between-splits"] == (
        "1 of 9 test images (11%) look the same as training images: test/dog/y.png = train/dog/5.png; "
        "remove them from one of the two"
    )


def test_a_smaller_test_set_of_the_training_images_is_told_strongly(three):
    for path in (three / "test").glob("*/*.png"):
        CHANGES["jpeg"](drawn(f"train/{path.parent.name}/{path.stem}")).save(path)
    message = told(load(three, size=32))["near-copies-between-splits"]
    assert message.startswith(
        "8 of 8 test images (100%) look the same as training images, accuracy on them says nothing about new images;"
    )


def test_other_pictures_are_no_near_copies(tmp_path):
    """Flat, dark and vignetted images, glyphs of one shape in two colours, and an object that moves over one place."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:32j, -1:1:32j]
    vignette = 160 * (1 - 0.2 * (x**2 + y**2))
    scene = np.asarray(drawn("scene")).astype(float)
    for number in range(12):
        made = {
            "flat": np.full((32, 32), 10 * number),
            "dark": rng.normal(6, 2, (32, 32)),
            "field": vignette + rng.normal(0, 2, (32, 32)),
        }
        moved = scene.copy()
        row, column = 6 * (number // 4), 6 * (number % 4)
        moved[row + 4 : row + 9, column + 4 : column + 9] = (255, 0, 255) if number % 2 else (0, 255, 0)
        spot = 60 + scene / 2
        spot[row + 6 : row + 8, column + 6 : column + 8] += 20
        glyph = np.full((32, 32, 3), 255.0)
        glyph[8:24, 12:20] = [(200, 0, 0), (0, 102, 0), (0, 60, 213), (110, 0, 235)][number % 4]
        glyph[2 + 2 * (number // 4) : 6 + 2 * (number // 4), 4:28] = 0
        for name, pixels in (made | {"moved": moved, "glyph": glyph, "spot": spot}).items():
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / name / f"{number}.png")
    assert told(load(tmp_path, size=32, validation_per_class=2)) == {}


def test_pictures_of_one_place_are_no_copies(pets):
    scene = np.asarray(drawn("scene")).astype(int)
    for number in range(20):
        noise = np.random.default_rng(number).integers(-3, 4, scene.shape)
        Image.fromarray((scene + noise).clip(0, 255).astype(np.uint8)).save(pets / "cat" / f"{number}.png")
    dataset = load(pets, size=32)
    assert told(dataset) == {
        "near-copies-too-many": "20 of 20 images of class 'cat' look the same, as pictures of one place do, so they do "
        "not count as copies of each other; where some belong together, data.group can say so"
    }
    assert torch.bincount(dataset.validation.labels).tolist() == [4, 4]


def test_images_of_fewer_than_sixteen_pixels_are_compared_exactly(pets):
    for number in range(8):
        CHANGES["jpeg"](drawn(f"cat/{number}")).save(pets / "cat" / f"again{number}.png")
    assert told(load(pets, size=15)) == {}


def test_somebody_is_told_how_far_it_is(pets):
    seen = []
    config = DataConfig(name=f"folder:{pets}", validation_per_class=4)
    load_dataset(config, image_size=16, image_channels=None, seed=0, progress=lambda *args: seen.append(args))
    assert {text for _, _, text in seen} >= {"decoding images", "looking for images that look the same"}
    assert all(0 < done <= total for done, total, _ in seen)


def test_only_images_that_are_used_are_counted(tmp_path, pets):
    for split in ("train", "val", "test"):
        shutil.copytree(pets, tmp_path / "set" / split)
    dataset = load(tmp_path / "set", train_per_class=20, held_out_per_class=2)
    messages = [finding.message for finding in dataset.findings if finding.id == "copies-between-splits"]
    assert len(dataset.validation) == len(dataset.test) == 4
    assert len(messages) == 3
    assert all(message.startswith(("4 of 4 validation", "4 of 4 test")) for message in messages)
    few = load(tmp_path / "set", train_per_class=2, held_out_per_class=20)
    counted = [finding.message for finding in few.findings if "copies of training" in finding.message]
    assert [message.split(" (")[0] for message in counted] == ["4 of 40 validation images", "4 of 40 test images"]
