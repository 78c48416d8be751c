"""Folders of images of more than 8 bits: one range for all of them, told, stored, and never a silent loss."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fairnas.config import DataConfig
from fairnas.data import Dataset, load_dataset
from fairnas.errors import ConfigError, DataError
from tests.data.rawfiles import png_bytes, tiff_bytes


def load(path: Path, seed: int = 0, **settings) -> Dataset:
    config = DataConfig(f"folder:{path}", copies="none", validation_per_class=2, augmentation="none", **settings)
    return load_dataset(config, image_size=16, image_channels=None, seed=seed)


def told(dataset: Dataset) -> dict[str, str]:
    return {finding.id: finding.message for finding in dataset.findings}


def fill(path: Path, kind: type, low: float, high: float, classes: tuple[str, ...] = ("cat", "dog")) -> Path:
    """Eight images a class of evenly distributed values."""
    rng = np.random.default_rng(0)
    for name in classes:
        (path / name).mkdir(parents=True)
        for number in range(8):
            values = rng.uniform(low, high, (16, 16)).astype(kind)
            (path / name / f"{number}.tif").write_bytes(tiff_bytes(values))
    return path


def grey_levels(dataset: Dataset) -> int:
    ((pixels, _),) = dataset.train.batches([(0, np.arange(len(dataset.train)))], None, torch.device("cpu"))
    return len(np.unique(pixels.numpy()))


@pytest.mark.parametrize(
    ("kind", "low", "high"),
    [
        (np.uint16, 29_000, 33_000),
        (np.uint16, 0, 4095),
        (np.int16, -2000, 2000),
        (np.int32, -100_000, 3_000_000),
        (np.uint32, 2**31, 2**32 - 1),
        (np.float32, -20, 45),
        (np.float32, 0, 1),
        (np.int8, -128, 127),
    ],
)
def test_narrow_and_deep_images_keep_their_grey_levels(tmp_path, kind, low, high):
    dataset = load(fill(tmp_path / "a", kind, low, high))
    assert grey_levels(dataset) > 150
    found = dataset.value_range
    assert found is not None
    assert found[0] <= low + 0.05 * (high - low)
    assert found[1] >= high - 0.05 * (high - low)
    assert set(told(dataset)) == {"deep-range"}
    assert "12 of 12 images looked at" not in told(dataset)["deep-range"] or len(dataset.train) == 12
    assert "become 256 levels from black to white, chosen from" in told(dataset)["deep-range"]


def test_images_of_the_whole_range_keep_it(tmp_path):
    dataset = load(fill(tmp_path / "a", np.uint16, 0, 65_535))
    assert dataset.value_range == (0, 65_535)
    assert "values 0:65535 become" in told(dataset)["deep-range"]


def test_a_range_that_is_given_is_taken(tmp_path):
    folder = fill(tmp_path / "a", np.uint16, 29_000, 33_000)
    dataset = load(folder, range="28000:34000")
    assert dataset.value_range == (28_000, 34_000)
    assert "values 28000:34000 become 256 levels from black to white, as given" in told(dataset)["deep-range"]
    narrow = told(load(folder, range="30000:30500"))
    assert narrow["deep-clipped"].startswith("8")
    assert "of the pixels of images of more than 8 bits lie outside 30000:30500" in narrow["deep-clipped"]
    wide = told(load(folder, range="0:65535"))
    assert "nine tenths of the pixels fall on 14 of 256 levels in the range 0:65535" in wide["deep-narrow"]
    with pytest.raises(DataError, match=r"images of class 'cat' are corrupt.*lie above 50, outside the range"):
        load(folder, range="0:50")


def test_the_range_is_that_of_the_training_images_and_part_of_the_fingerprint(tmp_path):
    folder = fill(tmp_path / "a", np.uint16, 29_000, 33_000)
    first = load(folder)
    assert load(folder).value_range == first.value_range
    assert load(folder).fingerprint == first.fingerprint
    assert load(folder, range="28000:34000").fingerprint != first.fingerprint
    (folder / "train").mkdir()
    for name in ("cat", "dog"):
        (folder / name).rename(folder / "train" / name)
    fill(folder / "test", np.uint16, 10_000, 50_000)
    judged = load(folder)
    assert judged.value_range is not None
    assert judged.value_range[0] > 25_000  # test images have no say


def test_a_range_does_nothing_for_images_of_eight_bits(animals_of_eight_bits):
    dataset = load(animals_of_eight_bits, range="5:10")
    assert told(dataset) == {"setting-unused": "data.range is not used: no image looked at has more than 8 bits"}
    assert load(animals_of_eight_bits).value_range is None


@pytest.fixture
def animals_of_eight_bits(tmp_path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(8):
            Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(tmp_path / name / f"{number}.png")
    return tmp_path


def test_eight_bits_among_deep_images_are_told(animals_of_eight_bits):
    deep = png_bytes(np.random.default_rng(0).integers(0, 4096, (16, 16)).astype(np.uint16))
    for number in range(8):
        (animals_of_eight_bits / "dog" / f"{number}.png").write_bytes(deep)
    message = told(load(animals_of_eight_bits))["deep-mixed"]
    assert message.startswith("4 of 8 images looked at have 8 bits, the others more: those of 8 bits stay as they are")
    assert message.endswith("; class 'cat' has only images of 8 bits, so a network may tell classes by their files")


def test_a_deep_image_that_was_not_looked_at_is_told(animals_of_eight_bits, monkeypatch):
    monkeypatch.setattr("fairnas.data.ranges._LOOKED_AT", 0)
    deep = png_bytes(np.random.default_rng(0).integers(0, 65_536, (16, 16)).astype(np.uint16))
    (animals_of_eight_bits / "dog" / "3.png").write_bytes(deep)
    assert told(load(animals_of_eight_bits))["deep-mixed"].startswith(
        "1 image has more than 8 bits, the others 8: values 0:65535"
    )


def test_pixels_that_are_no_numbers_are_told(tmp_path):
    folder = fill(tmp_path / "a", np.float32, 0, 10)
    for name in ("cat", "dog"):
        for number in range(8):
            values = np.linspace(0, 10, 256, dtype=np.float32).reshape(16, 16)
            values[0] = np.nan
            (folder / name / f"{number}.tif").write_bytes(tiff_bytes(values))
    assert told(load(folder))["deep-range"].endswith("; pixels that are no numbers become black")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("5", "give two numbers, LOW:HIGH"),
        ("5:x", "give two numbers, LOW:HIGH"),
        ("5:5", "of which LOW is the smaller, both finite"),
        ("7:5", "of which LOW is the smaller"),
        ("0:inf", "both finite"),
        ("nan:1", "both finite"),
    ],
)
def test_a_range_that_is_none_is_refused(text, message):
    with pytest.raises(ConfigError, match=f"data.range is '{text}'; give .*{message.removeprefix('give ')}"):
        DataConfig(range=text)
