"""Loading: what is left out, what is held out, what is refused, and that the same data are the same data."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import fairnas.data.images
from fairnas.config import DataConfig
from fairnas.data import Dataset, load_dataset, ordered_batches
from fairnas.data.images import ResidentImages, StreamedImages
from fairnas.errors import DataError

CPU = torch.device("cpu")
_SETTINGS = {"validation_per_class": 2, "augmentation": "none", "copies": "none"}  # copies: see test_data_copies


def load(path: Path, *, size: int = 16, channels: int | None = None, seed: int = 0, **settings) -> Dataset:
    config = DataConfig(name=f"folder:{path}", **(_SETTINGS | settings))
    return load_dataset(config, image_size=size, image_channels=channels, seed=seed)


def pixels(dataset: Dataset, split: str) -> torch.Tensor:
    images = getattr(dataset, split)
    batches = ordered_batches(images, dataset, batch_size=7, device=CPU)
    return torch.cat([images for images, _ in batches])


@pytest.fixture
def stream(monkeypatch):
    """Hold nothing in memory, as if every set were large."""
    monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", 0)


@pytest.fixture
def animals(tmp_path, make_split) -> Path:
    return make_split(tmp_path / "animals", {"cat": 20, "dog": 20})


def test_a_folder_without_splits(animals):
    dataset = load(animals, test_per_class=3, train_per_class=10)
    assert dataset.summary().to_dict()["counts"] == {"train": 20, "validation": 4, "test": 6}
    assert dataset.classes == ("cat", "dog")
    assert dataset.image_channels == 3
    assert dataset.notes == ()
    assert isinstance(dataset.train, ResidentImages)
    for images in (dataset.train, dataset.validation, dataset.test):
        assert images.labels.dtype == torch.int64
        assert torch.bincount(images.labels).tolist() == [len(images) // 2] * 2


def test_test_images_are_as_many_as_validation_images_by_default(animals):
    assert len(load(animals, validation_per_class=4).test) == 8


def test_summary_is_plain_data(animals):
    summary = load(animals).summary().to_dict()
    assert json.loads(json.dumps(summary)) == summary
    assert list(summary) == [
        "name",
        "classes",
        "image_size",
        "image_channels",
        "mean",
        "std",
        "counts",
        "class_counts",
        "augmentation",
        "fit",
        "value_range",
        "fingerprint",
        "findings",
    ]


def test_labels_belong_to_their_images(tmp_path, draw):
    for name, brightness in (("dark", 40), ("light", 220)):
        for number in range(10):
            path = draw(tmp_path / name / f"{number}.png")
            fairly = np.full((16, 16, 3), brightness + number, np.uint8)
            fairnas.data.decode.Image.fromarray(fairly).save(path)
    dataset = load(tmp_path, channels=1)
    for split in ("train", "validation", "test"):
        light = pixels(dataset, split).mean(dim=(1, 2, 3)) > 0
        assert torch.equal(light, getattr(dataset, split).labels == 1)


def test_official_splits_are_kept_apart(tmp_path, make_split):
    make_split(tmp_path / "train", {"cat": 6, "dog": 6})
    make_split(tmp_path / "val", {"cat": 3, "dog": 3})
    make_split(tmp_path / "test", {"cat": 4, "dog": 4})
    dataset = load(tmp_path, validation_per_class=50)
    assert dataset.summary().to_dict()["counts"] == {"train": 12, "validation": 6, "test": 8}
    assert dataset.summary().to_dict()["class_counts"] == {"train": [6, 6], "validation": [3, 3], "test": [4, 4]}


def test_a_setting_without_effect_is_noted(tmp_path, make_split):
    make_split(tmp_path / "train", {"cat": 6, "dog": 6})
    make_split(tmp_path / "test", {"cat": 4, "dog": 4})
    assert load(tmp_path).notes == ()
    assert load(tmp_path, test_per_class=3).notes == (
        "test_per_class is not used: the data set brings its test images",
    )


@pytest.mark.parametrize("kind", ["resident", "streamed"])
class TestCorruptFiles:
    """Both kinds treat damage alike."""

    @pytest.fixture(autouse=True)
    def _kind(self, kind, request):
        if kind == "streamed":
            request.getfixturevalue("stream")

    def test_they_are_left_out_with_a_note(self, animals):
        (animals / "cat" / "003.jpg").write_bytes(b"")
        whole = (animals / "cat" / "005.jpg").read_bytes()
        (animals / "cat" / "005.jpg").write_bytes(whole[: len(whole) // 2])
        (animals / "dog" / "lost.jpg").symlink_to(animals / "gone.jpg")
        dataset = load(animals)
        assert sum(dataset.summary().to_dict()["counts"].values()) == 38
        assert dataset.notes == (f"3 corrupt files left out of {animals}: cat/003.jpg, cat/005.jpg, dog/lost.jpg",)

    def test_the_first_five_are_named(self, tmp_path, make_split):
        make_split(tmp_path, {"cat": 60, "dog": 6}, size=(8, 8))
        for number in range(6):
            (tmp_path / "cat" / f"{number:03}.jpg").write_bytes(b"x")
        names = ", ".join(f"cat/{number:03}.jpg" for number in range(5))
        assert load(tmp_path, validation_per_class=1).notes == (
            f"6 corrupt files left out of {tmp_path}: {names}, ...",
        )

    def test_too_many_are_refused(self, animals):
        for number in (7, 4, 9):
            (animals / "dog" / f"{number:03}.jpg").write_bytes(b"x")
        with pytest.raises(DataError) as caught:
            load(animals)
        assert str(caught.value) == (
            "3 of 20 images of class 'dog' are corrupt, at most 10% may be; the first is "
            f"{animals}/dog/004.jpg (it is not an image of a known format); replace or remove them"
        )

    def test_those_of_the_test_set_too(self, tmp_path, make_split):
        make_split(tmp_path / "train", {"cat": 6, "dog": 6})
        make_split(tmp_path / "test", {"cat": 10, "dog": 10})
        (tmp_path / "test" / "cat" / "000.jpg").write_bytes(b"x")
        dataset = load(tmp_path)
        assert len(dataset.test) == 19
        assert dataset.notes == (f"1 corrupt file left out of {tmp_path}/test: cat/000.jpg",)

    def test_names_that_are_no_text_are_shown_as_well_as_possible(self, animals):
        with open(os.fsencode(animals) + b"/cat/\xe9.jpg", "wb") as file:
            file.write(b"x")
        (note,) = load(animals).notes
        assert note == f"1 corrupt file left out of {animals}: cat/\ufffd.jpg"


def test_a_file_that_breaks_later_is_named(animals, stream):
    dataset = load(animals)
    for path in animals.glob("*/*.jpg"):
        path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"animals/(cat|dog)/\d+\.jpg cannot be decoded: .*; put the original back"):
        pixels(dataset, "train")


def damage_in_the_middle(path: str) -> None:
    """Damage that only decoding finds: header and end stay as they were."""
    content = Path(path).read_bytes()
    middle = content.index(b"IDAT") + 40
    Path(path).write_bytes(content[:middle] + bytes(8) + content[middle + 8 :])


@pytest.fixture
def drawings(tmp_path, draw) -> Path:
    for name in ("cat", "dog"):
        for number in range(20):
            draw(tmp_path / name / f"{number}.png", seed=number)
    return tmp_path


def test_damage_in_the_middle_of_a_streamed_file_is_found_when_it_is_measured(drawings, stream):
    train = load(drawings).train
    assert isinstance(train, StreamedImages)
    damage_in_the_middle(train.files.path(3))
    with pytest.raises(DataError, match=r"\.png cannot be decoded: .*; replace or remove it"):
        load(drawings)


@pytest.mark.parametrize(("brought", "memory"), [(False, 0), (False, 30), (True, 0), (True, 60)])
def test_held_out_images_of_a_streamed_set_are_decoded_before_anything_starts(drawings, monkeypatch, brought, memory):
    if brought:
        for split in ("train", "val", "test"):
            shutil.copytree(drawings, drawings / "set" / split, ignore=shutil.ignore_patterns("set"))
    folder = drawings / "set" if brought else drawings
    monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", 0)
    before = load(folder)
    assert isinstance(before.validation, StreamedImages)
    assert isinstance(before.test, StreamedImages)
    bad = [images.files.path(1) for images in (before.validation, before.test)]
    sound = [Path(path).read_bytes() for path in bad]
    for path in bad:
        damage_in_the_middle(path)
    monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", memory * 16 * 16 * 3)
    dataset = load(folder)
    assert isinstance(dataset.train, StreamedImages)
    assert isinstance(dataset.validation, ResidentImages if memory else StreamedImages)
    for split, path in zip(("validation", "test"), bad, strict=True):
        assert len(getattr(dataset, split)) == len(getattr(before, split)) - 1
        root = Path(path).parents[1]
        assert f"1 corrupt file left out of {root}: {Path(path).relative_to(root)}" in dataset.notes
        assert len(pixels(dataset, split)) == len(getattr(dataset, split))
    for path, content in zip(bad, sound, strict=True):
        Path(path).write_bytes(content)
    assert load(folder).fingerprint == before.fingerprint


def test_too_many_damaged_held_out_images_are_refused(drawings, stream):
    validation = load(drawings, validation_per_class=3).validation
    assert isinstance(validation, StreamedImages)
    for place in np.flatnonzero(validation.files.labels == 1).tolist():
        damage_in_the_middle(validation.files.path(place))
    with pytest.raises(DataError, match="3 of 20 images of class 'dog' are corrupt, at most 10% may be; the first is"):
        load(drawings, validation_per_class=3)


def test_streamed_and_resident_images_are_the_same(tmp_path, make_split, draw, monkeypatch):
    make_split(tmp_path, {"cat": 12, "dog": 12}, size=(40, 31))
    draw(tmp_path / "cat" / "grey.png", mode="L", size=(20, 50))
    draw(tmp_path / "dog" / "print.jpg", mode="CMYK", size=(90, 50))
    draw(tmp_path / "dog" / "glass.png", mode="RGBA", size=(16, 16))
    resident = load(tmp_path)
    monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", 0)
    streamed = load(tmp_path)
    assert isinstance(resident.train, ResidentImages)
    assert isinstance(streamed.train, StreamedImages)
    assert streamed.fingerprint == resident.fingerprint
    np.testing.assert_allclose(streamed.mean, resident.mean, rtol=1e-6)
    np.testing.assert_allclose(streamed.std, resident.std, rtol=1e-6)
    for split in ("train", "validation", "test"):
        assert torch.equal(getattr(streamed, split).labels, getattr(resident, split).labels)
        torch.testing.assert_close(pixels(streamed, split), pixels(resident, split))


@pytest.mark.parametrize("memory", [32, 33])
def test_a_large_set_is_streamed_but_a_small_split_of_it_is_kept(animals, monkeypatch, memory):
    monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", memory * 16 * 16 * 3)
    dataset = load(animals)
    first = {split: pixels(dataset, split) for split in ("train", "validation")}
    for path in animals.glob("*/*.jpg"):
        path.unlink()
    assert torch.equal(pixels(dataset, "validation"), first["validation"])
    if memory > len(dataset.train):
        assert torch.equal(pixels(dataset, "train"), first["train"])
    else:
        with pytest.raises(DataError, match="link to nothing, or has vanished"):
            pixels(dataset, "train")


def test_mean_and_deviation_are_those_of_the_training_pixels(animals):
    dataset = load(animals)
    normalised = pixels(dataset, "train")
    assert normalised.mean(dim=(0, 2, 3)).abs().max() < 1e-4
    assert (normalised.std(dim=(0, 2, 3)) - 1).abs().max() < 1e-3
    assert pixels(dataset, "validation").mean().abs() > 1e-4  # measured on others, so not exactly 0


def test_images_that_are_all_alike_stay_finite(tmp_path, draw):
    for name in ("cat", "dog"):
        for number in range(6):
            fairnas.data.decode.Image.new("L", (8, 8), 9).save(draw(tmp_path / name / f"{number}.png"))
    assert pixels(load(tmp_path), "train").isfinite().all()


def test_channels_follow_what_is_found_or_asked_for(tmp_path, make_split, draw):
    make_split(tmp_path, {"cat": 8, "dog": 8}, mode="L")
    assert load(tmp_path).image_channels == 1
    assert pixels(load(tmp_path, channels=3), "train").shape[1:] == (3, 16, 16)
    draw(tmp_path / "cat" / "colour.jpg")
    mixed = load(tmp_path)
    assert mixed.image_channels == 3
    grey = load(tmp_path, channels=1)
    assert pixels(grey, "train").shape[1:] == (1, 16, 16)
    assert grey.notes == ("1 colour image turned to grey",)
    with pytest.raises(DataError, match=r"image_channels is 4; images have 1 \(grey\) or 3 \(colour\)"):
        load(tmp_path, channels=4)


def test_the_fingerprint_knows_data_and_seed_but_not_the_place(animals, tmp_path):
    first = load(animals)
    assert load(animals).fingerprint == first.fingerprint
    assert load(animals, seed=1).fingerprint != first.fingerprint
    assert load(animals, validation_per_class=3).fingerprint != first.fingerprint
    moved = animals.rename(tmp_path / "moved")
    assert load(moved).fingerprint == first.fingerprint
    (moved / "cat" / "000.jpg").write_bytes((moved / "cat" / "001.jpg").read_bytes() + b"\0")
    assert load(moved).fingerprint != first.fingerprint


def test_the_fingerprint_knows_the_official_test_set(tmp_path, make_split, draw):
    make_split(tmp_path / "train", {"cat": 6, "dog": 6})
    make_split(tmp_path / "test", {"cat": 4, "dog": 4})
    first = load(tmp_path).fingerprint
    draw(tmp_path / "test" / "cat" / "new.jpg")
    assert load(tmp_path).fingerprint != first


def test_too_few_images_for_the_carve(animals):
    with pytest.raises(DataError, match="give validation_per_class and test_per_class 9 or less each"):
        load(animals, validation_per_class=50)
    assert len(load(animals, validation_per_class=9).train) == 4


def test_with_few_training_images_only_few_files_are_opened(tmp_path, make_split, monkeypatch):
    make_split(tmp_path, {"cat": 100, "dog": 100}, size=(8, 8))
    whole = load(tmp_path, size=8)
    for path in sorted(tmp_path.glob("*/*.jpg"))[::2]:
        path.write_bytes(b"x")
    opened = []
    read = fairnas.data.image_files.read_image

    def counted(path, decoding):
        opened.append(path)
        return read(path, decoding)

    for path in sorted(tmp_path.glob("*/*.jpg"))[::2]:
        path.write_bytes(path.with_name("001.jpg").read_bytes())
    monkeypatch.setattr(fairnas.data.image_files, "read_image", counted)
    few = load(tmp_path, size=8, train_per_class=5)
    assert len(opened) == 20  # 9 and a tenth more, per class
    assert len(few.train) == 10
    assert torch.equal(few.validation.labels, whole.validation.labels)


def test_classes_of_very_different_sizes(tmp_path, make_split):
    make_split(tmp_path, {"cat": 21, "dog": 3, "fox": 31}, size=(8, 8))
    dataset = load(tmp_path, size=8, validation_per_class=4)
    assert dataset.summary().to_dict()["class_counts"] == {
        "train": [15, 1, 23],
        "validation": [3, 1, 4],
        "test": [3, 1, 4],
    }
    assert dataset.notes == (
        "class 'fox' has 31 training images, 'dog' only 3: in top-1, which counts images, small classes hardly count; "
        "balanced accuracy counts all classes alike",
        "class 'dog' is too small for the validation and test images wanted per class, "
        "so each class gives a seventh of its images at most",
    )


def test_unknown_names(tmp_path):
    for name in ("digit", "folder:"):
        with pytest.raises(DataError, match="data sets: digits, cifar10, imagenet, folder:PATH"):
            load_dataset(replace(DataConfig(), name=name), image_size=8, image_channels=None, seed=0)
    with pytest.raises(DataError, match=r"nowhere does not exist"):
        load(tmp_path / "nowhere")
