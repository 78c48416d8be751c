"""Augmentation: what each kind does to an image, and that every image has draws of its own."""

import dataclasses
import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.config import Augmentation, DataConfig
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


AUGMENTATIONS = st.builds(
    Augmentation,
    st.sampled_from(("none", "shift", "padded", "resized")),
    st.sampled_from(("none", "horizontal", "vertical", "both")),
    st.sampled_from(("none", "quarter")),
    st.sampled_from((0.0, 0.25, 1.0)),
)


@settings(deadline=None)
@given(AUGMENTATIONS, st.integers(1, 40), st.integers(1, 6), st.sampled_from([1, 3]), st.integers(0, 2**30))
def test_any_augmentation_keeps_shape_and_range(augmentation, size, count, channels, seed):
    before = numbered(count, size, channels)
    after = augmented(before, Views(augmentation, size, seed, 0).draw(0, count))
    assert after.shape == before.shape
    assert after.dtype == (torch.float32 if augmentation.crop == "resized" else torch.uint8)
    assert after.min() >= 0
    assert after.max() <= 255
    assert torch.equal(before, numbered(count, size, channels))


def drawn(augmentation: Augmentation, size: int, place: tuple[int, int, int, int]) -> dict[str, bytes]:
    """The draws of each part as bytes, without what nothing is drawn for."""
    seed, epoch, batch, count = place
    draws = Views(augmentation, size, seed, epoch).draw(batch, count)
    rectangles = draws.rectangles and (draws.rectangles.areas, draws.rectangles.sides, draws.rectangles.places)
    factors = None if draws.factors is None or not augmentation.colour else (draws.factors - 1) / augmentation.colour
    parts = {
        "crop": rectangles or (draws.offsets,),
        "horizontal": (draws.flips,) if augmentation.horizontal else (),
        "vertical": () if draws.upturns is None else (draws.upturns,),
        "rotate": () if draws.turns is None else (draws.turns,),
        "colour": () if factors is None else (factors.round(3) + 0.0,),
    }
    return {name: b"".join(array.tobytes() for array in arrays) for name, arrays in parts.items() if arrays}


@pytest.mark.slow
@settings(deadline=None)
@given(AUGMENTATIONS, AUGMENTATIONS, st.sampled_from((8, 20, 96)), st.tuples(*[st.integers(0, 99)] * 3, st.just(7)))
def test_the_draws_of_a_part_do_not_depend_on_the_other_parts(one, other, size, place):
    other = dataclasses.replace(other, crop=one.crop)
    ours, theirs = drawn(one, size, place), drawn(other, size, place)
    for part in ours.keys() & theirs.keys():
        assert ours[part] == theirs[part], part


def test_what_the_presets_draw_is_what_they_drew_before_there_were_single_settings():
    """A training that is known by its settings must be the same training whatever parts are added."""
    digest = hashlib.sha256()
    for preset in PRESETS.values():
        for size in (8, 20, 32, 96):
            for part in ((0, 1), (1, 2)):
                draws = Views(preset, size, 3, 2, part).draw(5, 12)
                assert draws.upturns is draws.turns is draws.factors is None
                arrays = [draws.offsets, draws.flips]
                if draws.rectangles:
                    arrays += [draws.rectangles.areas, draws.rectangles.sides, draws.rectangles.places]
                for array in arrays:
                    digest.update(array.tobytes())
    assert digest.hexdigest() == "2acead2f6303999d624e9f8f93738aa42a26ffc666f48508278209a3dd6ccde2"


def test_single_settings_stand_over_the_preset():
    assert DataConfig().applied == Augmentation("resized", "horizontal", "none", 0.0)
    assert DataConfig(flip="none").applied == Augmentation("resized")
    assert DataConfig(augmentation="crop_flip", crop="none").applied == Augmentation("none", "horizontal")
    assert DataConfig(augmentation="none", flip="both", rotate="quarter", colour=0.4).applied == Augmentation(
        "none", "both", "quarter", 0.4
    )


def some(count: int, **draws: np.ndarray) -> Draws:
    """Draws that do nothing but what is given."""
    return dataclasses.replace(Draws(np.zeros((count, 2), np.int64), np.zeros(count, bool)), **draws)


IMAGES = st.tuples(st.integers(1, 9), st.integers(1, 5), st.sampled_from([1, 3]), st.integers(0, 2**30))


def random_images(size: int, count: int, channels: int, seed: int) -> torch.Tensor:
    rng = np.random.default_rng(seed)
    return torch.from_numpy(rng.integers(0, 256, (count, size, size, channels), dtype=np.uint8))


@settings(deadline=None)
@given(IMAGES, st.sampled_from(("flips", "upturns")), st.data())
def test_a_flip_undoes_itself(shape, kind, data):
    images = random_images(*shape)
    chosen = np.array(data.draw(st.lists(st.booleans(), min_size=len(images), max_size=len(images))))
    draws = some(len(images), **{kind: chosen})
    once = augmented(images, draws)
    assert torch.equal(augmented(once, draws), images)
    for image, before, flipped in zip(once, images, chosen, strict=True):
        assert torch.equal(image, before.flip(1 if kind == "flips" else 0) if flipped else before)


@pytest.mark.slow
@settings(deadline=None)
@given(IMAGES, st.data())
def test_four_quarter_turns_are_none_and_two_are_both_flips(shape, data):
    images = random_images(*shape)
    turns = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(images), max_size=len(images))))
    once = augmented(images, some(len(images), turns=turns))
    expected = torch.stack([image.rot90(int(count), (0, 1)) for image, count in zip(images, turns, strict=True)])
    assert torch.equal(once, expected)
    assert torch.equal(augmented(once, some(len(images), turns=(4 - turns) % 4)), images)
    two, every = np.full(len(images), 2), np.ones(len(images), bool)
    flipped = augmented(images, some(len(images), flips=every, upturns=every))
    assert torch.equal(augmented(images, some(len(images), turns=two)), flipped)


def test_flips_and_turns_are_as_frequent_as_promised():
    draws = Views(Augmentation("none", "both", "quarter"), 8, 0, 0).draw(0, 2000)
    assert draws.upturns is not None
    assert draws.turns is not None
    for share in (draws.flips.mean(), draws.upturns.mean(), (draws.flips == draws.upturns).mean()):
        assert share == pytest.approx(0.5, abs=0.04)
    assert np.bincount(draws.turns) == pytest.approx([500] * 4, abs=80)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("factors", [(0.6, 1.0, 1.0), (1.0, 1.4, 1.0), (1.0, 1.0, 0.3), (1.3, 0.7, 1.8)])
def test_colours_change_as_in_torchvision(channels, factors):
    from torchvision.transforms.v2 import functional

    images = random_images(12, 3, channels, 5)
    each = np.tile(np.array(factors, np.float32), (3, 1))
    expected = images.permute(0, 3, 1, 2).float() / 255
    for change, factor in zip(
        (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation), factors, strict=True
    ):
        expected = change(expected, factor)
    expected = expected.permute(0, 2, 3, 1) * 255
    torch.testing.assert_close(augmented(images.float(), some(3, factors=each)), expected, atol=0.1, rtol=0)
    rounded = augmented(images, some(3, factors=each))
    assert rounded.dtype == torch.uint8
    torch.testing.assert_close(rounded.float(), expected, atol=0.6, rtol=0)


@settings(deadline=None)
@given(st.floats(0.01, 1), st.integers(0, 2**30))
def test_colours_change_as_much_as_promised(strength, seed):
    factors = Views(Augmentation(colour=strength), 8, seed, 0).draw(0, 500).factors
    assert factors is not None
    assert factors.shape == (500, 3)
    assert np.abs(factors - 1).max() <= strength + 1e-6
    assert (np.abs(factors - 1).max(axis=0) > 0.9 * strength).all()
