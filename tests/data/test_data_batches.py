"""Batches: functions of seed, epoch and number, whatever the kind of images, the workers and where one starts."""

import multiprocessing
import os
import random
from pathlib import Path

import numpy as np
import pytest
import torch

import fairnas.data.images
from fairnas.config import DataConfig
from fairnas.data import Dataset, load_dataset, ordered_batches, steps_per_epoch, training_batches
from fairnas.data.images import StreamedImages
from fairnas.errors import DataError

CPU = torch.device("cpu")


@pytest.fixture
def animals(tmp_path, make_split) -> Path:
    return make_split(tmp_path / "animals", {"cat": 18, "dog": 18}, size=(24, 18))


@pytest.fixture(params=["resident", "streamed"])
def load(request, animals, monkeypatch):
    """Load the animals as one kind of images."""
    if request.param == "streamed":
        monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", 0)

    def make(augmentation: str = "crop_flip", size: int = 16) -> Dataset:
        config = DataConfig(name=f"folder:{animals}", validation_per_class=2, augmentation=augmentation)  # pyright: ignore
        dataset = load_dataset(config, image_size=size, image_channels=3, seed=0)
        assert isinstance(dataset.train, StreamedImages) == (request.param == "streamed")
        return dataset

    return make


def epoch(dataset: Dataset, *, batch_size: int = 6, seed: int = 0, number: int = 0, first: int = 0, workers: int = 0):
    dataset = dataset.decoded_by(workers)
    return list(training_batches(dataset, batch_size=batch_size, seed=seed, epoch=number, first=first, device=CPU))


def same(left, right) -> bool:
    return len(left) == len(right) and all(
        torch.equal(a, b) for one, other in zip(left, right, strict=True) for a, b in zip(one, other, strict=True)
    )


@pytest.mark.parametrize("augmentation", ["none", "shift", "crop_flip", "inception"])
def test_batches_are_what_a_network_takes(load, augmentation):
    dataset = load(augmentation)
    batches = epoch(dataset)
    assert len(batches) == steps_per_epoch(dataset, 6) == 4  # 28 images, the last 4 dropped
    for images, labels in batches:
        assert images.shape == (6, 3, 16, 16)
        assert images.dtype == torch.float32
        assert images.is_contiguous(memory_format=torch.channels_last)
        assert images.isfinite().all()
        assert labels.shape == (6,)
        assert labels.dtype == torch.int64


@pytest.mark.parametrize("augmentation", ["shift", "crop_flip", "inception"])
def test_a_resumed_epoch_sees_what_the_undisturbed_one_saw(load, augmentation):
    dataset = load(augmentation)
    whole = epoch(dataset)
    assert same(epoch(dataset), whole)
    for first in range(6):
        assert same(epoch(dataset, first=first), whole[first:])


@pytest.mark.parametrize("augmentation", ["none", "crop_flip"])
def test_epochs_and_seeds_differ(load, augmentation):
    dataset = load(augmentation)
    whole = epoch(dataset)
    assert not same(epoch(dataset, number=1), whole)
    assert not same(epoch(dataset, seed=1), whole)


def test_an_epoch_shows_every_image_once(load):
    dataset = load("none")
    everything = torch.cat([images for images, _ in epoch(dataset, batch_size=7)])
    ordered = torch.cat([x for x, _ in ordered_batches(dataset.train, dataset, batch_size=9, device=CPU)])
    assert len(everything) == 28
    keys = {image.numpy().tobytes() for image in everything}
    assert len(keys) == 28
    assert keys == {image.numpy().tobytes() for image in ordered}


def test_labels_follow_their_images(load):
    dataset = load("none")
    batches = ordered_batches(dataset.train, dataset, batch_size=5, device=CPU)
    labels = {x.numpy().tobytes(): y.item() for images, many in batches for x, y in zip(images, many, strict=True)}
    for images, many in epoch(dataset):
        assert [labels[image.numpy().tobytes()] for image in images] == many.tolist()
    augmented = epoch(load("crop_flip"))
    assert [many.tolist() for _, many in augmented] == [many.tolist() for _, many in epoch(dataset)]


def test_a_set_smaller_than_a_batch_gives_one_smaller_batch(load):
    dataset = load()
    assert steps_per_epoch(dataset, 100) == 1
    ((images, _),) = epoch(dataset, batch_size=100)
    assert len(images) == 28
    assert epoch(dataset, batch_size=100, first=1) == []


def test_evaluation_sees_all_images_in_fixed_order(load):
    dataset = load("inception")
    batches = list(ordered_batches(dataset.train, dataset, batch_size=10, device=CPU))
    assert [len(labels) for _, labels in batches] == [10, 10, 8]
    assert torch.equal(torch.cat([labels for _, labels in batches]), dataset.train.labels)
    assert same(list(ordered_batches(dataset.train, dataset, batch_size=10, device=CPU)), batches)
    at_once = next(iter(ordered_batches(dataset.train, dataset, batch_size=28, device=CPU)))[0]
    assert torch.equal(at_once, torch.cat([images for images, _ in batches]))
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images, _ in batches)


@pytest.mark.parametrize(
    ("batch_size", "sizes"),
    [(9, [7, 7, 7, 7]), (10, [10, 9, 9]), (13, [10, 9, 9]), (14, [14, 14]), (27, [14, 14]), (28, [28]), (99, [28])],
)
def test_batches_can_be_as_equal_as_can_be(load, batch_size, sizes):
    dataset = load()
    batches = list(ordered_batches(dataset.train, dataset, batch_size=batch_size, device=CPU, equal=True))
    assert [len(labels) for _, labels in batches] == sizes
    assert torch.equal(torch.cat([labels for _, labels in batches]), dataset.train.labels)
    if len(set(sizes)) == 1:
        assert same(list(ordered_batches(dataset.train, dataset, batch_size=sizes[0], device=CPU)), batches)


@pytest.mark.parametrize(
    "parts", [{}, {"flip": "none"}, {"crop": "none", "flip": "both"}, {"rotate": "quarter", "colour": 0.5}]
)
def test_both_kinds_draw_the_same_augmentation(parts, animals, monkeypatch):
    config = DataConfig(name=f"folder:{animals}", validation_per_class=2, augmentation="crop_flip", **parts)
    resident = load_dataset(config, image_size=16, image_channels=3, seed=0)
    monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", 0)
    streamed = load_dataset(config, image_size=16, image_channels=3, seed=0)
    for (a, b), (c, d) in zip(epoch(resident), epoch(streamed), strict=True):
        torch.testing.assert_close(a, c)
        assert torch.equal(b, d)


@pytest.mark.parametrize("parts", [{}, {"flip": "both", "rotate": "quarter", "colour": 0.3}])
def test_a_random_area_is_nearly_the_same_for_square_images_of_both_kinds(parts, tmp_path, make_split, monkeypatch):
    make_split(tmp_path, {"cat": 8, "dog": 8}, size=(32, 32), quality=95)
    config = DataConfig(name=f"folder:{tmp_path}", validation_per_class=2, augmentation="inception", **parts)
    resident = load_dataset(config, image_size=32, image_channels=3, seed=0)
    monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", 0)
    streamed = load_dataset(config, image_size=32, image_channels=3, seed=0)
    for (a, _), (c, _) in zip(epoch(resident), epoch(streamed), strict=True):
        assert (a - c).abs().mean() < 0.03
        assert a.std() > 0.5


def test_workers_change_nothing(animals, monkeypatch):
    monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", 0)
    config = DataConfig(name=f"folder:{animals}", validation_per_class=2, augmentation="inception")
    dataset = load_dataset(config, image_size=16, image_channels=3, seed=0)
    assert same(epoch(dataset, workers=2), epoch(dataset))
    alone = list(ordered_batches(dataset.test, dataset, batch_size=3, device=CPU))
    assert same(list(ordered_batches(dataset.decoded_by(1).test, dataset, batch_size=3, device=CPU)), alone)


def test_a_daemon_decodes_by_itself(animals, monkeypatch):
    monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", 0)
    config = DataConfig(name=f"folder:{animals}", validation_per_class=2)
    dataset = load_dataset(config, image_size=16, image_channels=3, seed=0)
    monkeypatch.setitem(vars(multiprocessing.current_process())["_config"], "daemon", True)
    assert same(epoch(dataset, workers=2), epoch(dataset))


def test_workers_that_could_not_hand_anything_over_are_refused(animals, monkeypatch):
    monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", 0)
    config = DataConfig(name=f"folder:{animals}", validation_per_class=2)
    dataset = load_dataset(config, image_size=16, image_channels=3, seed=0)
    monkeypatch.setattr("multiprocessing.util.get_temp_dir", lambda: "/tmp/" + "x" * 81)
    with pytest.raises(DataError, match=r"in /tmp/x+, a name too long for one; set TMPDIR .*loader_workers = 0"):
        epoch(dataset, workers=1)
    assert len(epoch(dataset)) > 0
    monkeypatch.setattr("multiprocessing.util.get_temp_dir", lambda: "/tmp/" + "x" * 80)
    fairnas.data.images._require_room_for_sockets()


def test_what_goes_wrong_in_a_worker_is_one_line(animals, monkeypatch):
    monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", 0)
    config = DataConfig(name=f"folder:{animals}", validation_per_class=2)
    dataset = load_dataset(config, image_size=16, image_channels=3, seed=0)
    for path in animals.glob("*/*.jpg"):
        path.write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        epoch(dataset, workers=1)
    assert "cannot be decoded: it is not an image of a known format; put the original back" in str(caught.value)
    assert "\n" not in str(caught.value)


# The news of the death may reach torch's signal handler once more while its loader is being deleted; Python then only
# prints what the handler raises.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_worker_that_dies_is_explained(animals, monkeypatch):
    monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", 0)
    config = DataConfig(name=f"folder:{animals}", validation_per_class=2, augmentation="none")
    dataset = load_dataset(config, image_size=16, image_channels=3, seed=0)
    here = os.getpid()

    def die(path, decoding):
        assert os.getpid() != here
        os._exit(9)

    monkeypatch.setattr(fairnas.data.images, "read_square", die)
    with pytest.raises(DataError, match=r"a process that decodes images died.*resources\.loader_workers.*/dev/shm"):
        epoch(dataset, workers=1)


def test_nothing_touches_global_randomness(load):
    def state():
        kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - that it stays as it is, is the point
        return torch.get_rng_state().tolist(), random.getstate(), kind, np.asarray(keys).tolist(), rest

    before = state()
    dataset = load("inception")
    epoch(dataset)
    epoch(dataset, workers=2)
    list(ordered_batches(dataset.decoded_by(1).validation, dataset, batch_size=3, device=CPU))
    assert state() == before


def test_global_seeds_change_nothing(load):
    dataset = load("inception")
    whole = epoch(dataset)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(99)
        assert same(epoch(dataset, workers=1), whole)
