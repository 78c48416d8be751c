"""Images of more than 8 bits: the values of every kind of file arrive as they are, or the file is refused."""

import itertools
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from fairnas.data.decode import deep_values, look, quiet_pillow, read_square
from fairnas.data.decoding import Decoding
from fairnas.data.formats import CorruptImageError
from fairnas.data.values import WHOLE, Sample, chosen_range, clipped_share, levels_used, shown_range, to_levels
from tests.data.rawfiles import png_bytes, ppm_bytes, tiff_bytes

RNG = np.random.default_rng(0)


def random_values(kind: str, *shape: int) -> np.ndarray:
    if kind.startswith("f"):
        return RNG.normal(0, 1000, shape).astype(kind)
    return RNG.integers(np.iinfo(kind).min, np.iinfo(kind).max, shape, dtype=kind, endpoint=True)


def written(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    return str(path)


def as_read(path: str) -> np.ndarray | str:
    """The values of an image, or why there are none."""
    try:
        with quiet_pillow():
            values = deep_values(path)
    except CorruptImageError as error:
        return str(error)
    assert values is not None
    return values


GREY = list(itertools.product(["u2", "i2", "u4", "i4", "f4", "i1"], [False, True], [False, True]))
UNREAD = {("u4", True, False), ("u4", True, True)}


@pytest.mark.parametrize(("kind", "big_endian", "deflated"), GREY)
def test_grey_tiffs_of_every_kind_arrive_as_they_are(tmp_path, kind, big_endian, deflated):
    values = random_values(kind, 9, 13)
    path = written(tmp_path / "a.tif", tiff_bytes(values, big_endian=big_endian, deflated=deflated))
    found = as_read(path)
    if (kind, big_endian, deflated) in UNREAD:
        assert found == (
            "it is not an image of a known format, but a TIFF file of one channel of 32 bits (unsigned); "
            "save it as 8 or 16 bits, unsigned"
        )
        return
    assert isinstance(found, np.ndarray), found
    np.testing.assert_array_equal(found, values)
    assert look(path).grey
    assert look(path).deep


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((4, 4), np.float64), "one channel of 64 bits (floating point)"),
        (np.zeros((4, 4), np.float16), "one channel of 16 bits (floating point)"),
        (np.zeros((4, 4, 3), np.float32), "3 channels of 32 bits (floating point)"),
        (np.zeros((4, 4, 3), np.int16), "3 channels of 16 bits (signed)"),
        (np.zeros((4, 4, 5), np.uint16), "5 channels of 16 bits (unsigned)"),
    ],
    ids=["float64", "float16", "colours of float32", "colours of int16", "five channels"],
)
def test_what_pillow_does_not_read_is_named(tmp_path, values, said):
    found = as_read(written(tmp_path / "a.tif", tiff_bytes(values)))
    assert isinstance(found, str)
    assert f"but a TIFF file of {said}; save it as 8 or 16 bits" in found


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    ("big_endian", "deflated", "planes"), list(itertools.product([False, True], [False, True], [False, True]))
)
def test_colours_of_sixteen_bits_keep_all_of_them(tmp_path, channels, big_endian, deflated, planes):
    values = random_values("u2", 9, 13, channels)
    options = {"big_endian": big_endian, "deflated": deflated, "planes": planes}
    alpha = 2 if channels == 4 else None
    path = written(tmp_path / "a.tif", tiff_bytes(values, alpha=alpha, **options))
    found = as_read(path)
    if deflated and planes:
        assert found == "its 16-bit colours lie in compressed planes, each by itself; save it as PNG"
        return
    assert isinstance(found, np.ndarray), found
    np.testing.assert_array_equal(found, values[..., :3])
    assert not look(path).grey


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pngs_of_sixteen_bits_keep_all_of_them(tmp_path, channels):
    values = random_values("u2", 9, 13, channels)
    path = written(tmp_path / "a.png", png_bytes(values))
    colours = values[..., 0] if channels < 3 else values[..., :3]
    found = as_read(path)
    assert isinstance(found, np.ndarray), found
    np.testing.assert_array_equal(found, colours)
    assert look(path).grey == (channels < 3)


def test_interlaced_pngs_keep_all_bits(tmp_path):
    values = np.arange(3 * 64, dtype=np.uint16).reshape(8, 8, 3) * 300
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]
    lines = b"".join(
        b"\0" + line.astype(">u2").tobytes()
        for top, left, down, across in passes
        for line in values[top::down, left::across]
    )

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 16, 2, 0, 0, 1))
    content = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    found = as_read(written(tmp_path / "a.png", content))
    assert isinstance(found, np.ndarray), found
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("largest", [65535, 4095, 1000])
def test_ppms_are_scaled_by_their_own_largest_value(tmp_path, largest):
    for shape in ((9, 13), (9, 13, 3)):
        values = RNG.integers(0, largest, shape, endpoint=True).astype(np.uint16)
        found = as_read(written(tmp_path / "a.ppm", ppm_bytes(values, largest)))
        assert isinstance(found, np.ndarray), found
        np.testing.assert_allclose(found, values / largest * 65535, atol=0.5001)


def test_text_ppms_of_more_than_eight_bits_are_refused(tmp_path):
    assert "PPM text file of more than 8 bits" in str(as_read(written(tmp_path / "a.ppm", b"P3\n1 1\n4095\n1 2 3\n")))


def test_jpeg_2000_of_sixteen_bits(tmp_path):
    values = np.arange(64 * 64, dtype=np.uint16).reshape(64, 64) * 16
    Image.fromarray(values).save(tmp_path / "a.jp2")
    found = as_read(str(tmp_path / "a.jp2"))
    assert isinstance(found, np.ndarray), found
    np.testing.assert_array_equal(found, values)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "b.jp2")
    assert deep_values(str(tmp_path / "b.jp2")) is None
    content = bytearray((tmp_path / "b.jp2").read_bytes())
    size = content.find(b"\xff\x4f\xff\x51")
    content[size + 4 + 38 : size + 4 + 47 : 3] = b"\x0f" * 3  # as if its colours had 16 bits
    (tmp_path / "c.jp2").write_bytes(content)
    assert "JPEG 2000 image of more than 8 bits per colour" in str(as_read(str(tmp_path / "c.jp2")))


def test_white_is_zero_is_turned_round(tmp_path):
    values = random_values("u2", 9, 13)
    found = as_read(written(tmp_path / "a.tif", tiff_bytes(values, white_is_zero=True)))
    np.testing.assert_array_equal(found, 65535 - values)


# On white --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["png", "tif"])
@pytest.mark.parametrize("channels", [2, 4])
def test_what_is_transparent_lies_on_white_at_sixteen_bits_as_at_eight(tmp_path, form, channels):
    small = RNG.integers(0, 256, (16, 16, channels), dtype=np.uint8)
    small[:4, ..., -1], small[4:8, ..., -1] = 0, 255
    Image.fromarray(small, mode="LA" if channels == 2 else "RGBA").save(tmp_path / "small.png")
    wide = small.astype(np.uint16) * 257
    content = png_bytes(wide) if form == "png" else tiff_bytes(wide, alpha=2)
    path = written(tmp_path / f"wide.{form}", content)
    if (form, channels) == ("tif", 2):
        with pytest.raises(CorruptImageError, match=r"2 channels of 16 bits \(unsigned\)"):
            read_square(path, Decoding(16, 3))
        return
    for channel_count in (1, 3):
        expected = read_square(str(tmp_path / "small.png"), Decoding(16, channel_count))[0]
        np.testing.assert_array_equal(read_square(path, Decoding(16, channel_count))[0], expected)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_transparent_value_of_a_png_becomes_white(tmp_path, channels):
    values = np.full((4, 4, channels), 1000, np.uint16)
    values[:2] = 1001  # the same upper byte
    path = written(tmp_path / "a.png", png_bytes(values, transparent=(1000,) * channels))
    pixels, _ = read_square(path, Decoding(4, 1))
    assert (pixels[2:] == 255).all()
    assert (pixels[:2] == 4).all()


# The range -------------------------------------------------------------------------------------------------------


def test_values_become_levels_within_the_range(tmp_path):
    values = np.array([[28_000, 29_000, 31_000, 33_000]] * 4, np.uint16)
    for name, content in (("a.png", png_bytes(values)), ("a.tif", tiff_bytes(values.astype(np.float32)))):
        pixels, _ = read_square(written(tmp_path / name, content), Decoding(4, 1, value_range=(29_000, 33_000)))
        assert pixels[0, :, 0].tolist() == [0, 0, 128, 255]


def test_eight_bits_do_not_know_the_range(tmp_path):
    pixels = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found, _ = read_square(str(tmp_path / "a.png"), Decoding(8, 3, value_range=(1000, 2000)))
    np.testing.assert_array_equal(found, pixels)


def test_the_whole_range_of_sixteen_bits_is_that_of_eight(tmp_path):
    small = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path = written(tmp_path / "a.png", png_bytes(small.astype(np.uint16) * 257))
    for value_range in (None, WHOLE):
        found, _ = read_square(path, Decoding(8, 3, value_range=value_range))
        np.testing.assert_array_equal(found, small)


@pytest.mark.parametrize(
    ("values", "value_range", "message"),
    [
        (np.ones((2, 2), np.float32), None, "floating point numbers, from 1 to 1, are not those of 8 or 16 bits"),
        (np.full((2, 2), -1, np.int32), None, "its values, from -1 to -1, are not those of 8 or 16 bits"),
        (np.full((2, 2), 2**31, np.uint32), None, "its values, from 2,147,483,648 to 2,147,483,648, are not"),
        (np.full((2, 2), 5, np.uint16), (6.0, 9.0), "all its values, from 5 to 5, lie below 6, outside the range"),
        (np.full((2, 2), 10, np.uint16), (6.0, 9.0), "all its values, from 10 to 10, lie above 9, outside the range"),
        (np.full((2, 2), np.nan, np.float32), (6.0, 9.0), "its pixels hold no number"),
    ],
)
def test_values_that_would_show_nothing_are_refused(values, value_range, message):
    with pytest.raises(CorruptImageError, match=message):
        to_levels(values, value_range)


def test_what_is_no_number_is_black():
    values = np.array([np.nan, -np.inf, np.inf, 0.5], np.float32)
    assert to_levels(values, (0.0, 1.0)).tolist() == [0, 0, 255, 128]


KINDS = st.sampled_from([np.uint16, np.int16, np.uint32, np.int32, np.float32])


@given(st.data(), KINDS)
def test_levels_rise_with_values_and_reach_both_ends(data, kind):
    numbers = {"allow_nan": False, "allow_infinity": False} if kind is np.float32 else {}
    values = np.sort(
        data.draw(arrays.arrays(kind, st.integers(2, 30), elements=arrays.from_dtype(np.dtype(kind), **numbers)))
    )
    low, high = float(values[0]), float(values[-1])
    if low == high:
        return
    levels = to_levels(values, (low, high))
    assert (np.diff(levels.astype(int)) >= 0).all()
    assert levels[0] == 0
    assert levels[-1] == 255


@given(arrays.arrays(np.uint16, 20), st.integers(0, 60_000), st.integers(1, 5000))
def test_sixteen_bits_by_table_are_what_they_are_by_formula(values, low, width):
    for value_range in ((float(low), float(low + width)), None):
        one, other = (_levels_or_reason(kind, value_range) for kind in (values, values.astype(np.int32)))
        np.testing.assert_array_equal(one, other)


def _levels_or_reason(values: np.ndarray, value_range: tuple[float, float] | None) -> np.ndarray | str:
    try:
        return to_levels(values, value_range)
    except CorruptImageError as error:
        return str(error)


# The choice of a range -------------------------------------------------------------------------------------------


def samples(*images: np.ndarray) -> list[Sample]:
    found = [Sample.of(image) for image in images]
    assert all(found)
    return [sample for sample in found if sample]


def test_a_narrow_range_is_found_and_a_wide_one_left_alone():
    thermal = [RNG.integers(29_000, 33_000, (64, 64)).astype(np.uint16) for _ in range(5)]
    low, high = chosen_range(samples(*thermal))
    assert 28_000 < low < 29_000
    assert 33_000 < high < 34_000
    photographs = [RNG.integers(0, 65_536, (64, 64)).astype(np.uint16) for _ in range(5)]
    assert chosen_range(samples(*photographs)) == WHOLE


@pytest.mark.parametrize("side", [8, 64, 600])
def test_one_hot_and_one_dead_pixel_change_nothing(side):
    image = RNG.integers(1000, 4000, (side, side)).astype(np.uint16)
    hurt = image.copy()
    hurt[3, 3], hurt[5, 5] = 65_535, 0
    images = [image] * 3
    low, high = chosen_range(samples(*images, hurt))
    assert 500 < low < 1100
    assert 3500 < high < 4500


def test_floats_from_zero_to_one_keep_zero_and_one():
    assert chosen_range(samples(RNG.random((50, 50)).astype(np.float32))) == (0.0, 1.0)
    low, high = chosen_range(samples((RNG.random((50, 50)) * 40 - 20).astype(np.float32)))
    assert -25 < low < -20
    assert 20 < high < 25


def test_values_below_zero_and_beyond_sixteen_bits_find_their_range():
    low, high = chosen_range(samples(RNG.integers(-500, 500, (50, 50)).astype(np.int16)))
    assert -700 < low < -450
    assert 450 < high < 700
    low, high = chosen_range(samples(RNG.integers(2**31, 2**32, (50, 50)).astype(np.uint32)))
    assert low < 2**31 * 1.001
    assert high > 2**32 * 0.999


@given(arrays.arrays(st.sampled_from([np.uint16, np.int32, np.float32]), (6, 6)))
def test_whatever_the_values_there_is_a_range_that_can_be_given_again(values):
    sample = Sample.of(values)
    if sample is None:
        return
    low, high = chosen_range([sample])
    assert low < high
    assert high - low < np.inf
    assert 0 <= clipped_share([sample], (low, high)) <= 1
    given_low, given_high = (float(part) for part in shown_range((low, high)).split(":"))
    assert (given_low, given_high) == pytest.approx((low, high), rel=1e-5)


def test_levels_that_are_used_are_counted_without_outliers():
    image = RNG.integers(1000, 2000, (64, 64)).astype(np.uint16)
    levels, values = levels_used(samples(image), WHOLE)
    assert levels <= 5
    assert values > 700
    assert levels_used(samples(image), (1000.0, 2000.0))[0] > 200
