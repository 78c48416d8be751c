"""Files of a folder: all that Pillow can read is read, the rest is counted, and disguises are named."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from fairnas.config import DataConfig
from fairnas.data import load_dataset
from fairnas.data.decode import look, quiet_pillow, read_square
from fairnas.data.decoding import Decoding
from fairnas.data.folder_layout import read_layout
from fairnas.data.formats import (
    CorruptImageError,
    by_ending,
    counted,
    endings,
    is_image_name,
    is_unread_image,
    no_images,
    readable_formats,
    remedy,
    unlike_its_ending,
)
from fairnas.errors import DataError

HAS_HEIC = importlib.util.find_spec("pillow_heif") is not None
PIXELS = np.tile(np.arange(0, 256, 16, dtype=np.uint8)[:, None, None], (1, 16, 3))


def save(path: Path, form: str, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(PIXELS).save(path, form, **options)
    return path


@pytest.mark.parametrize(
    ("name", "form", "feature"),
    [
        ("a.jpg", "JPEG", None),
        ("a.JPEG", "JPEG", None),
        ("a.jfif", "JPEG", None),
        ("a.jpe", "JPEG", None),
        ("a.mpo", "MPO", None),
        ("a.png", "PNG", None),
        ("a.apng", "PNG", None),
        ("a.bmp", "BMP", None),
        ("a.gif", "GIF", None),
        ("a.tif", "TIFF", None),
        ("a.tiff", "TIFF", None),
        ("a.ppm", "PPM", None),
        ("a.pnm", "PPM", None),
        ("a.webp", "WEBP", "webp"),
        ("a.avif", "AVIF", "avif"),
        ("a.jp2", "JPEG2000", "jpg_2000"),
        ("a.j2k", "JPEG2000", "jpg_2000"),
    ],
)
def test_what_the_installed_pillow_reads_is_read(tmp_path, name, form, feature):
    if feature and not features.check(feature):
        pytest.skip(f"this Pillow lacks {feature}")
    path = save(tmp_path / name, form)
    assert is_image_name(name)
    pixels, coloured = read_square(str(path), Decoding(16, 3))
    assert coloured
    assert np.abs(pixels.astype(int) - PIXELS).max() <= 16
    assert unlike_its_ending(name, look(str(path)).form) is None


@pytest.mark.skipif(not HAS_HEIC, reason="pillow-heif is not installed")
def test_heic_is_read_with_its_plug_in(tmp_path):
    assert "HEIF" in readable_formats()
    path = save(tmp_path / "a.heic", "HEIF", quality=100)
    pixels, _ = read_square(str(path), Decoding(16, 3))
    assert np.abs(pixels.astype(int) - PIXELS).max() <= 16
    assert is_image_name("a.HEIC")


@pytest.mark.skipif(HAS_HEIC, reason="pillow-heif is installed")
def test_heic_names_what_to_install():
    assert not is_image_name("a.heic")
    assert is_unread_image("a.HEIC")
    assert remedy(["a.heic"]) == "pip install 'fairnas[heic]' makes .heic readable"
    assert remedy(["a.heic", "b.psd"]) == (
        "pip install 'fairnas[heic]' makes .heic readable; convert .psd to JPEG or PNG"
    )
    assert remedy(["b.psd"]) == "convert .psd to JPEG or PNG"


def test_the_plug_in_is_registered_where_it_is_installed(monkeypatch):
    """Simulated, for machines without it."""
    asked = []
    fake = type(sys)("pillow_heif")
    fake.register_heif_opener = lambda: asked.append(Image.OPEN.setdefault("HEIF", Image.OPEN["PNG"]))  # pyright: ignore
    monkeypatch.setitem(sys.modules, "pillow_heif", fake)
    monkeypatch.setattr(Image, "OPEN", {**Image.OPEN})
    assert "HEIF" in readable_formats.__wrapped__()
    assert asked
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(Image, "OPEN", {name: each for name, each in Image.OPEN.items() if name != "HEIF"})
    assert "HEIF" not in readable_formats.__wrapped__()


def test_formats_that_nobody_vetted_are_not_opened():
    assert not {"EPS", "PDF", "WMF", "FPX", "TGA", "PSD"} & set(readable_formats())
    assert not {".eps", ".ps", ".pdf", ".wmf", ".emf", ".tga", ".psd", ".h5"} & endings()


def test_a_postscript_file_is_not_opened_whatever_its_name(tmp_path):
    for name in ("a.jpg", "a.heic", "a.avif", "a.jp2"):
        (tmp_path / name).write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n")
        with pytest.raises(CorruptImageError, match="not an image of a known format, but a PostScript document"):
            look(str(tmp_path / name))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "it is empty, so not an image of a known format"),
        (b"%PDF-1.7", "but a PDF document"),
        (b"<!DOCTYPE html><html><body>404", "but a web page"),
        (b"\xef\xbb\xbf  <?xml version='1.0'?>\n<svg width='3'>", "but an SVG drawing"),
        (b"PK\x03\x04....", "but a ZIP archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1", "`git lfs pull` brings the file"),
        (b"\0\0\0\x20ftypisom0000", "but a video"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "but a JPEG XL image"),
        (b"8BPS\0\1", "but a Photoshop document"),
        (b"II*\0", "it is not an image of a known format"),
        (b"II*\0\xff\xff\xff\xff", "it is not an image of a known format"),
        (b"hello", "it is not an image of a known format"),
    ],
)
def test_what_is_no_image_is_named_as_what_it_is(tmp_path, content, said):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(CorruptImageError) as caught, quiet_pillow():
        look(str(tmp_path / "a.jpg"))
    assert said in str(caught.value)
    assert said.startswith("but") or str(caught.value).endswith(said) or "git lfs" in said


@pytest.mark.skipif(HAS_HEIC, reason="pillow-heif is installed")
def test_a_photograph_of_a_phone_that_is_only_called_jpeg_says_what_to_install(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x28ftypheic\0\0\0\0mif1heic")
    with pytest.raises(CorruptImageError, match=r"but a HEIC image; pip install 'fairnas\[heic\]' reads it"):
        look(str(tmp_path / "a.jpg"))


def test_endings_are_counted():
    names = ["a.txt", "b.TXT", "c.heic", "README", "d.csv", "e.md", "f.py", "g.c", "h.h"]
    assert by_ending(names) == {
        ".txt": 2, ".c": 1, ".csv": 1, ".h": 1, ".heic": 1, ".md": 1, ".py": 1, "no ending": 1
    }  # fmt: skip
    assert counted(by_ending(names)) == "2 .txt, 1 .c, 1 .csv, 1 .h, 1 .heic, 1 .md, 2 others"
    assert no_images("here", ["a.nef"], "add some") == "here holds no images, but 1 .nef; convert .nef to JPEG or PNG"
    assert no_images("here", [], "add some").endswith(".webp); add some")


def animals(folder: Path) -> Path:
    for name in ("cat", "dog"):
        for number in range(6):
            save(folder / name / f"{number}.png", "PNG")
    return folder


def told(folder: Path, image_size: int = 8) -> dict[str, str]:
    config = DataConfig(f"folder:{folder}", copies="none", validation_per_class=1, augmentation="none")
    dataset = load_dataset(config, image_size=image_size, image_channels=3, seed=0)
    return {finding.id: finding.message for finding in dataset.findings}


def test_images_that_are_not_read_are_counted_by_ending(tmp_path):
    animals(tmp_path)
    for name in ("cat/a.NEF", "cat/b.nef", "dog/c.psd", "dog/notes.txt", "dog/.hidden.psd"):
        (tmp_path / name).write_bytes(b"x")
    assert told(tmp_path) == {
        "unread-images": f"3 images not read in {tmp_path}: 2 .nef, 1 .psd; convert .nef, .psd to JPEG or PNG",
        "no-images": f"1 file that is no image of a class ignored in {tmp_path}: dog/notes.txt",
    }


def test_a_class_of_images_that_are_not_read_says_so(tmp_path):
    animals(tmp_path)
    (tmp_path / "cow").mkdir()
    for number in range(3):
        (tmp_path / "cow" / f"{number}.cr2").write_bytes(b"x")
    with pytest.raises(DataError) as caught:
        read_layout(tmp_path)
    assert str(caught.value) == (
        f"class folder {tmp_path / 'cow'} holds no images, but 3 .cr2; convert .cr2 to JPEG or PNG"
    )


def test_disguised_images_are_used_and_named(tmp_path):
    animals(tmp_path)
    save(tmp_path / "cat" / "0.png", "JPEG")
    save(tmp_path / "cat" / "1.png", "JPEG")
    save(tmp_path / "cat" / "2.png", "WEBP")
    save(tmp_path / "cat" / "7.jpg", "MPO")  # cameras call them so
    assert told(tmp_path) == {
        "other-format": "2 .png files that are JPEG, 1 .png files that are WEBP; they are used as what they are"
    }


def test_streamed_disguises_are_named_once(tmp_path, monkeypatch):
    monkeypatch.setattr("fairnas.data.images.RESIDENT_BYTES", 0)
    animals(tmp_path)
    for path in tmp_path.glob("*/*.png"):
        save(path, "JPEG")
    assert told(tmp_path)["other-format"].startswith("12 .png files that are JPEG;")


def test_an_image_without_its_ending_is_left_out_and_counted(tmp_path):
    animals(tmp_path)
    save(tmp_path / "cat" / "a.dat", "PNG")
    save(tmp_path / "cat" / "b", "PNG")
    assert told(tmp_path)["no-images"].endswith("cat/a.dat, ... (1 .dat, 1 no ending)")
