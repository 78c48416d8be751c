"""One file: every kind of image becomes the right pixels, every kind of damage is recognised."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fairnas.data.decode import check, look, quiet_pillow, read_part, read_square
from fairnas.data.decoding import Decoding
from fairnas.data.formats import CorruptImageError
from fairnas.errors import DataError


def write_pixels(path: Path, pixels: np.ndarray, **options) -> str:
    Image.fromarray(pixels).save(path, **options)
    return str(path)


def test_pixels_arrive_untouched_when_nothing_has_to_change(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    result, coloured = read_square(write_pixels(tmp_path / "a.png", pixels), Decoding(8, 3))
    assert coloured
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, pixels)


@pytest.mark.parametrize(("shape", "middle"), [((8, 13), np.s_[:, 2:10]), ((21, 8), np.s_[6:14, :])])
def test_the_centre_is_cropped_on_whole_pixels(tmp_path, shape, middle):
    pixels = np.random.default_rng(1).integers(0, 256, (*shape, 3), dtype=np.uint8)
    result, _ = read_square(write_pixels(tmp_path / "a.png", pixels), Decoding(8, 3))
    np.testing.assert_array_equal(result, pixels[middle])


def test_the_shorter_side_is_resized_with_antialiasing(tmp_path):
    stripes = np.zeros((64, 96, 3), np.uint8)
    stripes[::2] = 200  # without antialiasing, every second line would vanish
    result, _ = read_square(write_pixels(tmp_path / "a.png", stripes), Decoding(8, 3))
    assert result.shape == (8, 8, 3)
    assert np.abs(result.astype(int) - 100).max() <= 20


def test_grey_and_colour_are_converted_to_what_is_asked_for(tmp_path, draw):
    grey = draw(tmp_path / "grey.png", mode="L")
    red = write_pixels(tmp_path / "red.png", np.full((8, 8, 3), (255, 0, 0), np.uint8))
    as_colour, coloured = read_square(str(grey), Decoding(16, 3))
    assert not coloured
    assert (as_colour == as_colour[:, :, :1]).all()
    as_grey, coloured = read_square(red, Decoding(8, 1))
    assert coloured
    assert as_grey.shape == (8, 8, 1)
    assert (as_grey == 76).all()  # luma of pure red


def test_transparent_images_lie_on_white(tmp_path):
    pixels = np.zeros((4, 4, 4), np.uint8)
    pixels[:2] = (255, 0, 0, 255)
    result, _ = read_square(write_pixels(tmp_path / "a.png", pixels), Decoding(4, 3))
    assert (result[:2] == (255, 0, 0)).all()
    assert (result[2:] == 255).all()


def test_grey_with_transparency_lies_on_white(tmp_path):
    Image.fromarray(np.zeros((4, 4, 2), np.uint8), mode="LA").save(tmp_path / "a.png")
    result, coloured = read_square(str(tmp_path / "a.png"), Decoding(4, 1))
    assert not coloured
    assert (result == 255).all()


def test_palettes_with_transparent_entries_lie_on_white(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([0, 0, 255, 9, 9, 9])
    image.paste(1, (0, 0, 4, 2))
    image.save(tmp_path / "a.png", transparency=bytes([255, 0]))
    result, _ = read_square(str(tmp_path / "a.png"), Decoding(4, 3))
    assert (result[:2] == 255).all()
    assert (result[2:] == (0, 0, 255)).all()


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", "jpg"), ("CMYK", "tif"), ("RGB", "webp"), ("RGB", "bmp")])
def test_other_formats_and_modes_are_read(tmp_path, draw, mode, suffix):
    path = draw(tmp_path / f"a.{suffix}", mode=mode)
    with Image.open(path) as image:
        expected = np.asarray(image.convert("RGB"))
    result, coloured = read_square(str(path), Decoding(16, 3))
    assert coloured
    np.testing.assert_array_equal(result, expected)


@pytest.mark.parametrize("suffix", ["png", "tif", "pgm"])
def test_sixteen_bits_keep_their_brightness(tmp_path, suffix):
    wide = np.linspace(0, 65535, 64).round().astype(np.uint16).reshape(8, 8)
    result, coloured = read_square(write_pixels(tmp_path / f"a.{suffix}", wide), Decoding(8, 1))
    assert not coloured
    np.testing.assert_array_equal(result[..., 0], np.rint(wide / 257).astype(np.uint8))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_orientation_notes_are_obeyed(tmp_path, orientation, suffix):
    upright = np.zeros((16, 24, 3), np.uint8)
    upright[:8, :8] = (250, 0, 0)
    upright[8:, 16:] = (0, 250, 0)
    # how a camera stores the upright image under each orientation
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: upright.swapaxes(0, 1)[::-1],
        7: upright.swapaxes(0, 1)[::-1, ::-1],
        8: upright.swapaxes(0, 1)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = write_pixels(tmp_path / f"a.{suffix}", np.ascontiguousarray(stored), exif=exif)
    seen: list[tuple[int, int]] = []

    def left_half(width: int, height: int):
        seen.append((width, height))
        return 0, 0, width / 2, height

    result, _ = read_part(path, Decoding(8, 3), left_half)
    assert seen == [(24, 16)]
    assert result[1, 2, 0] > 180  # red is at the top left
    assert result[6].max() < 60
    square, _ = read_square(path, Decoding(16, 3))
    assert square[2, 1, 0] > 180
    assert square[13, 14, 1] > 180


@pytest.mark.parametrize("note", [b"\x13" * 40, b"II*\0\x08\0\0\0"], ids=["nonsense", "cut short"])
def test_a_camera_note_that_cannot_be_read_is_no_damage(tmp_path, draw, note):
    path = draw(tmp_path / "a.jpg")
    broken = b"Exif\0\0" + note
    content = path.read_bytes()
    path.write_bytes(content[:2] + b"\xff\xe1" + struct.pack(">H", len(broken) + 2) + broken + content[2:])
    with quiet_pillow():
        result, _ = read_square(str(path), Decoding(16, 3))
    assert result.shape == (16, 16, 3)


def test_large_photographs_are_reduced_while_decoding_without_a_visible_difference(tmp_path, draw):
    path = draw(tmp_path / "a.jpg", size=(1200, 900), quality=95)
    with Image.open(path) as image:
        whole = image.convert("RGB").resize((32, 32), Image.Resampling.BILINEAR, box=(150, 0, 1050, 900))
    result, _ = read_square(str(path), Decoding(32, 3))
    assert np.abs(result.astype(int) - np.asarray(whole).astype(int)).max() <= 4


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "tif", "webp", "bmp"])
@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_truncated_files_are_corrupt(tmp_path, draw, suffix, share):
    path = draw(tmp_path / f"a.{suffix}", size=(64, 64))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(CorruptImageError), quiet_pillow():
        read_square(str(path), Decoding(16, 3))
    with pytest.raises(CorruptImageError), quiet_pillow():
        check(str(path))


@pytest.mark.parametrize("content", [b"", b"not an image", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"])
@pytest.mark.parametrize(
    "read", [look, check, lambda path: read_square(path, Decoding(8, 3))], ids=["look", "check", "read"]
)
def test_other_content_is_corrupt(tmp_path, content, read):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(CorruptImageError, match="not an image of a known format"):
        read(str(path))


@pytest.mark.parametrize("side", [12_000, 60_000])  # above Pillow's warning, above its error
def test_images_that_explode_when_decoded_are_corrupt(tmp_path, side):
    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    path = tmp_path / "a.png"
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with quiet_pillow():
        for read in (look, check, lambda path: read_square(path, Decoding(8, 3))):
            with pytest.raises(CorruptImageError, match="pixels"):
                read(str(path))


def test_floating_point_pixels_are_refused(tmp_path):
    path = write_pixels(tmp_path / "a.tif", np.zeros((4, 4), np.float32))
    with pytest.raises(CorruptImageError, match="floating point"):
        read_square(path, Decoding(4, 1))


def test_links_to_nothing_are_corrupt(tmp_path):
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "b.jpg")
    for name in ("a.jpg", "b.jpg"):
        with pytest.raises(CorruptImageError, match="link to nothing"):
            read_square(str(tmp_path / name), Decoding(8, 3))


def test_what_the_system_refuses_is_a_data_error(tmp_path):
    (tmp_path / "a.jpg").mkdir()  # stands for every complaint of the system; rights mean nothing to an administrator
    with pytest.raises(DataError, match=r"cannot read .*a\.jpg: Is a directory; make it readable or remove it"):
        read_square(str(tmp_path / "a.jpg"), Decoding(8, 3))


def test_sound_files_pass_the_check(tmp_path, draw):
    for suffix in ("jpg", "png", "gif", "webp", "bmp", "tif"):
        header = check(str(draw(tmp_path / f"a.{suffix}", size=(20, 10))))
        assert (header.width, header.height) == (20, 10)
    assert check(str(draw(tmp_path / "grey.jpg", mode="L"))).grey
    assert not look(str(draw(tmp_path / "colour.jpg"))).grey


def test_a_photograph_with_bytes_behind_its_end_passes_the_check(tmp_path, draw):
    path = draw(tmp_path / "a.jpg")
    path.write_bytes(path.read_bytes() + b"\0" * 5000)
    check(str(path))
