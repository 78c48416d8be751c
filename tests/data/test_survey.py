"""Images counted before they are decoded, and how many of each class are kept."""

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from fairnas.config import DataConfig
from fairnas.data import Survey, load_dataset
from fairnas.data.finding import RefusedImages

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Two classes of 40 and 23 images; and the same as `train/` beside `val/` and `test/`."""
    root = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for place in ("flat", "split/train", "split/val", "split/test"):
        for name, count in (("a", 40), ("b", 23)):
            folder = root / place / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    return root


def counts(dataset):
    return {split: torch.bincount(getattr(dataset, split).labels).tolist() for split in SPLITS}


@pytest.mark.parametrize("place", ["flat", "split"])
@pytest.mark.parametrize(
    "limits", [{}, {"train_per_class": 9}, {"held_out_per_class": 2}, {"train_per_class": 5, "held_out_per_class": 3}]
)
def test_a_survey_counts_what_is_loaded(photos, place, limits):
    config = DataConfig(f"folder:{photos / place}", validation_per_class=4, augmentation="none", **limits)
    counted, loaded = (
        Survey(config, 0).dataset(config, 8),
        load_dataset(config, image_size=8, image_channels=None, seed=0),
    )
    assert counts(counted) == counts(loaded)
    assert (counted.classes, counted.image_channels) == (loaded.classes, loaded.image_channels)


def test_a_class_that_is_a_copy_is_refused_before_anything_is_measured(photos, tmp_path):
    shutil.copytree(photos / "split", tmp_path / "set")
    shutil.copytree(tmp_path / "set" / "train" / "b", tmp_path / "set" / "train" / "c")
    for split in ("val", "test"):
        shutil.copytree(photos / "flat" / "a", tmp_path / "set" / split / "c")
    config = DataConfig(f"folder:{tmp_path / 'set'}", augmentation="none")
    with pytest.raises(RefusedImages, match=r"the classes 'b' and 'c' .* hold the same images"):
        Survey(config, 0)
    taken = DataConfig(f"folder:{tmp_path / 'set'}", augmentation="none", copies="none")
    assert Survey(taken, 0).dataset(taken, 8).classes == ("a", "b", "c")


@pytest.mark.parametrize("limits", [{}, {"held_out_per_class": 2}])
def test_groups_are_counted_as_they_are_loaded(photos, limits):
    settings = {"validation_per_class": 3, "augmentation": "none", "copies": "none", "group": r"(.)/\d*(\d)\."}
    config = DataConfig(f"folder:{photos / 'flat'}", **settings, **limits)
    counted = Survey(config, 0).dataset(config, 8)
    assert counts(counted) == counts(load_dataset(config, image_size=8, image_channels=None, seed=0))
    assert counts(counted)["validation"][0] == 4  # a whole group


def test_held_out_images_are_at_most_as_many_as_wanted_and_more_of_them_are_the_same_ones(photos):
    def loaded(most):
        config = DataConfig(f"folder:{photos / 'split'}", augmentation="none", held_out_per_class=most)
        return load_dataset(config, image_size=8, image_channels=None, seed=0)

    few, more, all_of_them = loaded(2), loaded(5), loaded(None)
    assert [counts(each)["test"] for each in (few, more, all_of_them)] == [[2, 2], [5, 5], [40, 23]]
    seen = [
        {bytes(image) for image in each.validation.pixels.numpy().reshape(len(each.validation), -1)}
        for each in (few, more, all_of_them)
    ]
    assert seen[0] < seen[1] < seen[2]


def test_digits_are_counted_without_loading_them_again():
    config = DataConfig("digits", validation_per_class=5, augmentation="shift")
    survey = Survey(config, 0)
    few = survey.dataset(DataConfig("digits", validation_per_class=5, train_per_class=7, held_out_per_class=3), 8)
    assert counts(few) == {split: [7 if split == "train" else 3] * 10 for split in SPLITS}
    assert survey.time_decoding(8, 1.0) == 0


def test_decoding_is_timed_in_no_more_than_its_time(photos, monkeypatch):
    config = DataConfig(f"folder:{photos / 'flat'}", augmentation="none")
    decoded = []
    from fairnas.data import survey as module

    monkeypatch.setattr(module, "read_square", lambda path, decoding: decoded.append(path))
    survey = Survey(config, 0)
    assert 0 < survey.time_decoding(8, 1.0) < 0.1
    assert len(set(decoded)) == len(decoded) == 63
    decoded.clear()
    assert survey.time_decoding(8, 0.0) > 0
    assert len(decoded) <= 8  # one by each thread
