"""The named data sets: digits, CIFAR-10 in its two layouts, ImageNet."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import fairnas.data.cifar10
from fairnas.config import DataConfig
from fairnas.data import Dataset, load_dataset, ordered_batches
from fairnas.data.arrays import Arrays
from fairnas.data.digits import read_digits
from fairnas.errors import DataError

CPU = torch.device("cpu")


def load(name: str, root: Path | None = None, *, size: int = 32, channels: int | None = None, **settings) -> Dataset:
    config = DataConfig(name=name, root=str(root) if root else None, **settings)
    return load_dataset(config, image_size=size, image_channels=channels, seed=0)


def pixels(dataset: Dataset, images) -> torch.Tensor:
    """Back to 0..255."""
    batches = [batch for batch, _ in ordered_batches(images, dataset, batch_size=100, device=CPU)]
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (dataset.mean, dataset.std))
    return (torch.cat(batches) * std + mean) * 255


# Digits -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_digits_hold_out_the_other_writers():
    from sklearn.datasets import load_digits

    dataset = load("digits", size=8)
    assert dataset.summary().to_dict()["counts"] == {"train": 500, "validation": 500, "test": 797}
    assert dataset.image_channels == 1
    given = load_digits()
    expected = torch.tensor(given["images"][1000:]).unsqueeze(1) * 255 / 16
    torch.testing.assert_close(pixels(dataset, dataset.test), expected.round().float(), atol=1e-2, rtol=0)
    assert dataset.test.labels.tolist() == given["target"][1000:].tolist()
    assert torch.bincount(dataset.validation.labels).tolist() == [50] * 10


def test_digits_need_no_import_of_scikit_learn_unless_its_file_moves(monkeypatch):
    with monkeypatch.context() as patched:
        patched.setitem(sys.modules, "sklearn.datasets", None)  # importing it fails
        found = read_digits()
    monkeypatch.setattr("fairnas.data.digits._FILE", "datasets/data/elsewhere")
    for ours, theirs in zip(found, read_digits(), strict=True):
        assert ours.pixels.dtype == theirs.pixels.dtype
        assert np.array_equal(ours.pixels, theirs.pixels)
        assert np.array_equal(ours.labels, theirs.labels)


def test_digits_grow_and_take_colour():
    small, large = load("digits", size=8), load("digits", size=16, channels=3)
    assert large.image_channels == 3
    images = pixels(large, large.test)
    assert images.shape == (797, 3, 16, 16)
    assert torch.equal(images[:, 0], images[:, 2])
    assert (images.mean(dim=(2, 3))[:, :1] - pixels(small, small.test).mean(dim=(2, 3))).abs().max() < 2


def test_digits_have_too_few_for_a_large_carve():
    with pytest.raises(DataError, match=r"class '4' has 98 usable training images.*validation_per_class 97 or less"):
        load("digits", size=8, validation_per_class=100)


# CIFAR-10 -----------------------------------------------------------------------------------------------------


@pytest.fixture
def binary(tmp_path, monkeypatch) -> Path:
    """A small CIFAR-10 in the binary version: 40 images per file, of one colour each."""
    monkeypatch.setattr(fairnas.data.cifar10, "RECORDS", 40)
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for number, name in enumerate([*(f"data_batch_{n}.bin" for n in range(1, 6)), "test_batch.bin"]):
        records = np.zeros((40, 3073), np.uint8)
        records[:, 0] = np.arange(40) % 10
        records[:, 1:1025] = 10 + records[:, :1]  # red tells the label
        records[:, 1025:2049] = 100 + number  # green tells the file
        records[:, 2049:] = np.tile(np.arange(32), 32)  # blue tells the column
        (folder / name).write_bytes(records.tobytes())
    return folder


@pytest.mark.parametrize("inner", [False, True])
def test_binary_cifar10(binary, inner):
    dataset = load("cifar10", binary if inner else binary.parent, validation_per_class=3, copies="none")
    assert dataset.summary().to_dict()["counts"] == {"train": 170, "validation": 30, "test": 40}
    assert dataset.classes[3] == "cat"
    for images, files in ((dataset.train, range(5)), (dataset.validation, range(5)), (dataset.test, [5])):
        seen = pixels(dataset, images).round()
        assert torch.equal(seen[:, 0, 0, 0], 10 + images.labels.float())
        assert set(seen[:, 1].unique().tolist()) == {100.0 + number for number in files}
        assert torch.equal(seen[0, 2, 7], torch.arange(32.0))


def test_binary_cifar10_is_resized_where_it_is_used(binary):
    dataset = load("cifar10", binary, size=64, validation_per_class=3)
    assert pixels(dataset, dataset.test).shape == (40, 3, 64, 64)


def test_binary_cifar10_in_grey(binary):
    dataset = load("cifar10", binary, channels=1, validation_per_class=3)
    seen = pixels(dataset, dataset.test)
    assert seen.shape == (40, 1, 32, 32)
    expected = 0.299 * (10 + dataset.test.labels) + 0.587 * 105
    assert (seen[:, 0, 0, 0] - expected).abs().max() < 1  # blue is 0 in column 0


def test_grey_is_what_pillow_makes_of_a_colour():
    from PIL import Image

    pixels = np.random.default_rng(0).integers(0, 256, (5, 9, 9, 3), dtype=np.uint8)
    grey = Arrays(pixels, np.zeros(5, np.int64), np.arange(5)).with_channels(1)
    for square, expected in zip(grey.pixels, pixels, strict=True):
        np.testing.assert_array_equal(square[..., 0], np.asarray(Image.fromarray(expected).convert("L")))


def test_damaged_binary_files(binary):
    path = binary / "data_batch_2.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(DataError, match=r"data_batch_2\.bin has 122,820 bytes, 122,920 are expected; unpack it again"):
        load("cifar10", binary)
    path.write_bytes(b"\x0b" + content[1:])
    with pytest.raises(DataError, match=r"data_batch_2\.bin holds the label 11, 0 to 9 are expected"):
        load("cifar10", binary)
    path.unlink()
    with pytest.raises(DataError, match=r"cannot read .*data_batch_2\.bin: No such file.*cifar-10-binary\.tar\.gz"):
        load("cifar10", binary)


def test_absent_cifar10_says_what_to_download(tmp_path):
    remedy = r"download cifar-10-binary\.tar\.gz \(the binary version, .*train/<class>/ and test/<class>/"
    with pytest.raises(DataError, match=rf"cifar10 needs data\.root, the folder that holds it; {remedy}"):
        load("cifar10")
    with pytest.raises(DataError, match=rf"there is no CIFAR-10 in {tmp_path}; {remedy}"):
        load("cifar10", tmp_path)
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"\x80\x02")
    with pytest.raises(DataError, match=rf"holds the pickled version of CIFAR-10, which is unsafe to read; {remedy}"):
        load("cifar10", tmp_path)


def test_cifar10_in_folders(tmp_path, make_split):
    ten = {name: 4 for name in fairnas.data.cifar10.CLASSES}
    make_split(tmp_path / "train", ten)
    make_split(tmp_path / "test", dict.fromkeys(ten, 1))
    dataset = load("cifar10", tmp_path, validation_per_class=1)
    assert dataset.summary().to_dict()["counts"] == {"train": 30, "validation": 10, "test": 10}
    assert dataset.classes == fairnas.data.cifar10.CLASSES
    for path in (*(tmp_path / "train" / "frog").iterdir(), *(tmp_path / "test" / "frog").iterdir()):
        path.unlink()
    for split in ("train", "test"):
        (tmp_path / split / "frog").rmdir()
    with pytest.raises(DataError, match="has 9 class folders, CIFAR-10 has 10; complete it, or give it as folder:"):
        load("cifar10", tmp_path)


def test_the_real_cifar10(tmp_path):
    """A few of the real JPEG files: the loader's squares are the files' own pixels."""
    import tarfile

    from PIL import Image

    home = os.environ.get("FAIRNAS_DATA")
    root = Path(home) if home else Path(__file__).parents[2].parent / "shared" / "data"
    archive = root / "cifar10-jpeg.tar.gz"
    if not archive.is_file():
        assert os.environ.get("CI") != "true", f"{archive} must be there in CI"
        pytest.skip(f"{archive} is absent; set FAIRNAS_DATA to the folder that holds it")
    wanted: dict[tuple[str, str], int] = {}
    with tarfile.open(archive) as members:
        for member in members:  # in order of the archive, only as far as needed: its test images come first
            parts = Path(member.name).parts
            if not member.isfile() or wanted.setdefault(parts[1:3], 0) == 6:
                continue
            wanted[parts[1:3]] += 1
            members.extract(member, tmp_path, filter="data")
            if sum(count == 6 for count in wanted.values()) == 10:
                break
    (folder,) = tmp_path.glob("*/*")
    dataset = load(f"folder:{folder}", validation_per_class=1)
    assert dataset.classes == fairnas.data.cifar10.CLASSES
    assert dataset.notes == ()
    assert dataset.summary().to_dict()["counts"] == {"train": 40, "validation": 10, "test": 10}
    assert all(0.35 < mean < 0.6 for mean in dataset.mean)
    assert all(0.2 < std < 0.3 for std in dataset.std)
    real = {Image.open(path).convert("RGB").tobytes() for path in folder.glob("*/*.jpg")}
    for images in (dataset.train, dataset.validation, dataset.test):
        squares = pixels(dataset, images).round().to(torch.uint8).permute(0, 2, 3, 1)
        assert all(square.numpy().tobytes() in real for square in squares)


# ImageNet -----------------------------------------------------------------------------------------------------


def test_imagenet(tmp_path, make_split):
    with pytest.raises(DataError, match=r"imagenet needs data\.root, a folder with train/<wnid>/ and val/<wnid>/"):
        load("imagenet")
    make_split(tmp_path / "train", {"n01440764": 5, "n01443537": 5}, size=(50, 37))
    with pytest.raises(DataError, match="val does not exist"):
        load("imagenet", tmp_path)
    make_split(tmp_path / "val", {"n01440764": 2, "n01443537": 2}, size=(50, 37))
    (tmp_path / "test").mkdir()  # unlabelled, of no use
    dataset = load("imagenet", tmp_path, validation_per_class=2)
    assert dataset.name == "imagenet"
    assert dataset.summary().to_dict()["counts"] == {"train": 6, "validation": 4, "test": 4}
