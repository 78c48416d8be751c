"""Images that are not square: what is seen of them, in evaluation and training, resident and streamed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import fairnas.data.images
from fairnas.config import DataConfig
from fairnas.config.augmentation import PRESETS
from fairnas.data import load_dataset, training_batches
from fairnas.data.augment import Draws, Rectangles, Views, augmented
from fairnas.data.decode import read_square
from fairnas.data.decoding import Decoding
from fairnas.data.fitting import augmentation_frame, evaluation_box, inside, placed
from fairnas.data.image_files import Files
from fairnas.data.images import StreamedImages
from fairnas.randomness import generator

FITS = ("crop", "pad", "squash")


def smooth(width: int, height: int) -> np.ndarray:
    """Pixels (H, W, 3) that tell where they are, without an edge."""
    across, down = np.meshgrid(np.linspace(20, 250, width), np.linspace(20, 250, height))
    return np.stack([across, down, (across + down) / 2], axis=2).round().astype(np.uint8)


@pytest.mark.parametrize("shape", [(96, 32), (32, 96)])
def test_padding_shows_the_whole_image_between_black_bars(tmp_path, shape):
    width, height = shape
    pixels = smooth(width, height)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found, _ = read_square(str(tmp_path / "a.png"), Decoding(96, 3, "pad"))
    rows, columns = slice((96 - height) // 2, (96 + height) // 2), slice((96 - width) // 2, (96 + width) // 2)
    np.testing.assert_array_equal(found[rows, columns], pixels)
    found[rows, columns] = 0
    assert not found.any()


def test_squashing_shows_the_whole_image_and_nothing_else(tmp_path):
    pixels = smooth(96, 32)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found, _ = read_square(str(tmp_path / "a.png"), Decoding(32, 3, "squash"))
    expected = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(found, np.asarray(expected))


@pytest.mark.parametrize("fit", FITS)
def test_a_square_is_the_same_for_every_fit(tmp_path, fit):
    pixels = smooth(40, 40)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    crop, other = (read_square(str(tmp_path / "a.png"), Decoding(16, 3, each))[0] for each in ("crop", fit))
    np.testing.assert_array_equal(crop, other)


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("size", [(1500, 500), (500, 1500), (900, 800)])
def test_photographs_that_are_reduced_while_decoding_are_what_they_would_be(tmp_path, fit, orientation, size):
    pixels = smooth(*size)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95, exif=exif)
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    reduced, whole = (read_square(str(tmp_path / f"a.{form}"), Decoding(32, 3, fit))[0] for form in ("jpg", "png"))
    assert np.abs(reduced.astype(int) - whole).max() <= 12
    np.testing.assert_array_equal((reduced == 0).all(2), (whole == 0).all(2))


def test_deep_images_are_padded_with_black_whatever_their_range(tmp_path):
    Image.fromarray(np.full((4, 12), 31_000, np.uint16)).save(tmp_path / "a.png")
    found, _ = read_square(str(tmp_path / "a.png"), Decoding(12, 1, "pad", (29_000, 33_000)))
    assert (found[4:8] == 128).all()
    assert not found[:4].any()
    assert not found[8:].any()


SIDES = st.integers(1, 5000)


@given(st.sampled_from(FITS), SIDES, SIDES, st.integers(1, 300))
def test_evaluation_sees_what_the_fit_promises(fit, width, height, size):
    box = evaluation_box(fit, width, height)
    seen = placed(box, width, height, size)
    assert seen is not None
    assert 0 <= seen.left < seen.left + seen.width <= size
    assert 0 <= seen.top < seen.top + seen.height <= size
    if fit == "crop":
        assert (seen.width, seen.height) == (size, size)
        assert seen.source == box
        assert box[2] - box[0] == box[3] - box[1] == min(width, height)
    else:
        assert seen.source == (0, 0, width, height)
    if fit == "pad":
        assert max(seen.width, seen.height) == size
        assert abs(seen.width - size * width / max(width, height)) <= 1
        assert abs(seen.left + seen.width / 2 - size / 2) <= 1
    if fit == "squash":
        assert (seen.width, seen.height) == (size, size)


@given(st.data(), SIDES, SIDES, st.integers(1, 300))
def test_every_rectangle_of_a_padded_image_shows_some_of_it(data, width, height, size):
    seed = data.draw(st.integers(0, 2**32))
    rectangles = Views(PRESETS["inception"], 224, seed, 0, fit="pad").draw(0, 4).rectangles
    assert rectangles is not None
    frame, proportions = augmentation_frame("pad", width, height)
    for left, top, across, down in rectangles.fitted(np.full(4, proportions)):
        assert placed(inside(frame, (left, top, left + across, top + down)), width, height, size) is not None


@pytest.mark.parametrize("fit", ["pad", "squash"])
def test_streamed_rectangles_are_those_of_the_resident_square(tmp_path, fit):
    """The same draws show the same, so networks learn from what they are judged by."""
    Image.fromarray(smooth(300, 100)).save(tmp_path / "a.png")
    (size, count) = (64, 8)
    draws = Views(PRESETS["inception"], size, 3, 0, fit=fit).draw(0, count)
    square, _ = read_square(str(tmp_path / "a.png"), Decoding(size, 3, fit))
    resident = augmented(torch.from_numpy(square).expand(count, -1, -1, -1), draws).numpy()
    files = Files(str(tmp_path), np.array([b"a.png"] * count), np.zeros(count, np.int64), np.zeros(count, np.int64))
    streamed = StreamedImages(files, Decoding(size, 3, fit), torch.zeros(count, dtype=torch.int64))
    found = streamed.read(np.arange(count), draws).numpy()
    difference = np.abs(found.astype(float) - resident)
    assert np.median(difference) <= 2
    assert (difference > 20).mean() < 0.1  # at the edges of the bars only


def test_a_streamed_crop_still_sees_what_lies_outside_the_middle(tmp_path):
    Image.fromarray(smooth(300, 100)).save(tmp_path / "a.png")
    files = Files(str(tmp_path), np.array([b"a.png"]), np.zeros(1, np.int64), np.zeros(1, np.int64))
    left = Rectangles(np.full((1, 10), 0.2), np.ones((1, 10)), np.zeros((1, 2)))
    draws = Draws(np.zeros((1, 2), np.int64), np.zeros(1, bool), left)
    images = StreamedImages(files, Decoding(16, 3), torch.zeros(1, dtype=torch.int64))
    assert images.read(np.array([0]), draws)[0, 0, 0, 0] < 30


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("limit", [0, 10**9], ids=["streamed", "resident"])
def test_a_data_set_keeps_its_fit(tmp_path, monkeypatch, fit, limit):
    monkeypatch.setattr(fairnas.data.images, "RESIDENT_BYTES", limit)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(6):
            Image.fromarray(smooth(48, 16) - number).save(tmp_path / name / f"{number}.png")
    config = DataConfig(f"folder:{tmp_path}", copies="none", validation_per_class=1, augmentation="none", fit=fit)
    dataset = load_dataset(config, image_size=16, image_channels=3, seed=0)
    expected = {read_square(str(path), Decoding(16, 3, fit))[0].tobytes() for path in sorted(tmp_path.glob("*/*.png"))}
    for part in (dataset.train, dataset.validation, dataset.test):
        ((pixels, _),) = part.batches([(0, np.arange(len(part)))], None, torch.device("cpu"))
        assert {each.numpy().tobytes() for each in pixels} <= expected
    assert dataset.summary().to_dict()["fit"] == fit
    cut = [finding.message for finding in dataset.findings if finding.id == "cut-away"]
    assert cut == (
        [
            "the square in the middle leaves out 67% of the typical image (48 x 16 pixels); --data.fit pad keeps all "
            "of it between black bars, --data.fit squash squeezes it"
        ]
        if fit == "crop"
        else []
    )


def test_the_fit_is_part_of_the_fingerprint_unless_it_is_the_usual_one(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.fromarray(smooth(24, 16) - number).save(tmp_path / name / f"{number}.png")
    found = {}
    for fit in FITS:
        config = DataConfig(f"folder:{tmp_path}", copies="none", validation_per_class=1, fit=fit)
        dataset = load_dataset(config, image_size=16, image_channels=3, seed=0)
        found[fit] = dataset.fingerprint
        assert "cut-away" not in {finding.id for finding in dataset.findings}  # a third is not more than a third
    assert len(set(found.values())) == 3


def test_images_without_files_have_no_fit():
    config = DataConfig("digits", fit="pad", range="0:5", augmentation="none")
    dataset = load_dataset(config, image_size=8, image_channels=1, seed=0)
    assert [finding.id for finding in dataset.findings] == ["setting-unused"] * 2
    assert dataset.decoding == Decoding(8, 1)


def test_batches_of_padded_images_draw_by_their_fit(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for number in range(4):
            Image.fromarray(smooth(96, 32) - number).save(tmp_path / name / f"{number}.png")
    config = DataConfig(
        f"folder:{tmp_path}", copies="none", validation_per_class=1, augmentation="inception", fit="pad"
    )
    dataset = load_dataset(config, image_size=64, image_channels=3, seed=0)
    ((images, _),) = training_batches(dataset, batch_size=4, seed=5, epoch=0, device=torch.device("cpu"))
    views = Views(PRESETS["inception"], 64, 5, 0, fit="pad")
    order = generator(5, "order", 0).permutation(len(dataset.train))
    ((plain, _),) = dataset.train.batches([(0, order[:4])], None, torch.device("cpu"))
    expected = augmented(plain, views.draw(0, 4)).permute(0, 3, 1, 2)
    mean, std = (torch.tensor(values)[:, None, None] * 255 for values in (dataset.mean, dataset.std))
    torch.testing.assert_close(images, (expected - mean) / std, rtol=1e-4, atol=1e-4)
