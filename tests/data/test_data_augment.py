"""Augmentation: what each kind does to an image, and that every image has draws of its own."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.config.augmentation import PRESETS
from fairnas.data.augment import Draws, Rectangles, Views, augmented

KINDS = ("none", "shift", "crop_flip", "inception")


def numbered(count: int, size: int, channels: int = 1) -> torch.Tensor:
    """The same image `count` times, in which every pixel differs from its neighbours."""
    image = torch.arange(1, size * size + 1).remainder(251).add(1).to(torch.uint8).view(1, size, size, 1)
    return image.expand(count, size, size, channels).contiguous()


def moved(image: np.ndarray, down: int, across: int, flip: bool) -> np.ndarray:
    """One image, the slow way."""
    side = len(image)
    result = np.zeros_like(image)
    for row in range(side):
        for column in range(side):
            source = row - down, column - across
            if min(source) >= 0 and max(source) < side:
                result[row, column] = image[source]
    return result[:, ::-1] if flip else result


@settings(deadline=None)
@given(st.sampled_from(KINDS), st.integers(1, 40), st.integers(1, 6), st.sampled_from([1, 3]), st.integers(0, 2**30))
def test_shape_and_range_stay(kind, size, count, channels, seed):
    before = numbered(count, size, channels)
    after = augmented(before, Views(PRESETS[kind], size, seed, 0).draw(0, count))
    assert after.shape == before.shape
    assert after.dtype == (torch.float32 if kind == "inception" else torch.uint8)
    assert after.min() >= 0
    assert after.max() <= 255
    assert torch.equal(before, numbered(count, size, channels))


def test_none_does_nothing():
    images = numbered(3, 8)
    assert torch.equal(augmented(images, Views(PRESETS["none"], 8, 0, 0).draw(0, 3)), images)


@pytest.mark.parametrize(("kind", "size", "reach"), [("shift", 8, 1), ("shift", 20, 3), ("crop_flip", 32, 4)])
def test_shifts_and_flips_are_per_sample_and_as_large_as_promised(kind, size, reach):
    count = 400
    draws = Views(PRESETS[kind], size, 1, 2).draw(3, count)
    images = augmented(numbered(count, size), draws).numpy()
    one = numbered(1, size)[0].numpy()
    for place in range(20):
        expected = moved(one, *draws.offsets[place].tolist(), bool(draws.flips[place]))
        np.testing.assert_array_equal(images[place], expected)
    for axis in (0, 1):
        assert set(draws.offsets[:, axis].tolist()) == set(range(-reach, reach + 1))
    kinds = len(np.unique(images.reshape(count, -1), axis=0))
    assert kinds >= 0.7 * min(count, (2 * reach + 1) ** 2 * (2 if kind == "crop_flip" else 1))
    assert draws.flips.mean() == (pytest.approx(0.5, abs=0.1) if kind == "crop_flip" else 0)


def test_rectangles_cut_what_they_say():
    ramp = torch.arange(64, dtype=torch.uint8).view(1, 1, 64, 1).expand(2, 64, 64, 1)
    whole_image = np.ones((2, 1))
    quarter = Rectangles(areas=whole_image / 4, sides=whole_image, places=np.array([[1.0, 0.0], [1.0, 0.0]]))
    result = augmented(ramp, Draws(np.zeros((2, 2), np.int64), np.array([False, True]), quarter))
    expected = torch.linspace(32 - 0.25, 64 - 0.75, 64)  # the right half, sampled twice as densely
    torch.testing.assert_close(result[0, 5, 1:-1, 0], expected[1:-1], atol=0.02, rtol=0)
    torch.testing.assert_close(result[1, 5, :, 0], result[0, 5, :, 0].flip(0), atol=1e-3, rtol=0)


def test_the_whole_rectangle_changes_nothing():
    images = numbered(2, 16, 3)
    whole = Rectangles(np.ones((2, 1)), np.ones((2, 1)), np.zeros((2, 2)))
    result = augmented(images, Draws(np.zeros((2, 2), np.int64), np.zeros(2, bool), whole))
    torch.testing.assert_close(result, images.float(), atol=1e-2, rtol=0)


@settings(deadline=None)
@given(st.floats(0.1, 10), st.sampled_from([32, 96]), st.integers(0, 2**30))
def test_rectangles_lie_inside_and_have_the_promised_area_and_sides(proportion, size, seed):
    draws = Views(PRESETS["inception"], size, seed, 0).draw(0, 50)
    assert draws.rectangles is not None
    left, top, width, height = draws.rectangles.fitted(np.full(50, proportion)).T
    assert min(left.min(), top.min()) >= 0
    assert max((left + width).max(), (top + height).max()) <= 1 + 1e-9
    sides = width / height * proportion
    assert (sides >= 3 / 4 - 1e-9).all()
    assert (sides <= 4 / 3 + 1e-9).all()
    within = width * height >= (0.35 if size < 64 else 0.08) - 1e-9
    # a rectangle that fits in none of the tries is the middle of the image, which may be less of a long image
    assert (within | (width > 1 - 1e-9) | (height > 1 - 1e-9)).all()


def test_rectangles_are_distributed_as_in_torchvision():
    from torchvision.transforms.v2 import RandomResizedCrop

    count, width, height = 4000, 500, 375
    draws = Views(PRESETS["inception"], 224, 0, 0).draw(0, count).rectangles
    assert draws is not None
    ours = draws.fitted(np.full(count, width / height)) * (width, height, width, height)
    transform, image = RandomResizedCrop(224), torch.zeros(3, height, width)
    before = torch.get_rng_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        drawn = [transform.make_params([image]) for _ in range(count)]
    assert torch.equal(torch.get_rng_state(), before)
    theirs = np.array([[one["left"], one["top"], one["width"], one["height"]] for one in drawn])
    for quantile in (0.1, 0.5, 0.9):
        a, b = (np.quantile(boxes, quantile, axis=0) for boxes in (ours, theirs))
        np.testing.assert_allclose(a, b, atol=12)


def test_draws_depend_on_seed_epoch_and_batch_only():
    def drawn(seed, epoch, batch):
        return Views(PRESETS["crop_flip"], 32, seed, epoch).draw(batch, 64).offsets.tolist()

    assert drawn(0, 0, 0) == drawn(0, 0, 0)
    others = [drawn(1, 0, 0), drawn(0, 1, 0), drawn(0, 0, 1)]
    assert all(other != drawn(0, 0, 0) for other in others)
