"""Image formats that the installed Pillow reads, their extensions, and descriptions of other files. No torch."""

import functools
import os
import struct
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO

from PIL import Image, TiffImagePlugin, features

# Formats that are safe to decode wherever a file comes from. No others: Pillow would hand a disguised PostScript
# file to an interpreter, and formats without a signature, such as TGA, would claim any damaged file.
_VETTED = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "JPEG2000", "AVIF", "HEIF")
_FEATURES = {"WEBP": "webp", "JPEG2000": "jpg_2000", "AVIF": "avif"}
_CONTAINERS = {"MPO": "JPEG"}
"""Formats that are read as another: cameras write both as `.jpg`."""

_HEIC = (".heic", ".heics", ".heif", ".heifs", ".hif")
_HEIC_EXTRA = "pip install 'fairnas[heic]'"
_UNREAD = frozenset(
    {
        ".3fr", ".arw", ".avi", ".bpg", ".cr2", ".cr3", ".dcm", ".dng", ".emf", ".eps", ".erf", ".exr", ".fit",
        ".fits", ".hdr", ".ico", ".iiq", ".jxl", ".jxr", ".mov", ".mp4", ".mpg", ".nef", ".nii", ".npy", ".npz",
        ".orf", ".pdf", ".pef", ".psd", ".qoi", ".raf", ".raw", ".rw2", ".sgi", ".srw", ".svg", ".tga", ".webm",
        ".wmf", ".xcf",
    }
)  # fmt: skip
"""Extensions of files that contain images but are not read."""

_SIGNATURES = (
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"8BPS", "a Photoshop document"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    (0, b"version https://git-lfs", "the place holder of a file in Git LFS (`git lfs pull` brings the file)"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (4, b"JXL ", "a JPEG XL image"),
    (128, b"DICM", "a DICOM image"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"\x76\x2f\x31\x01", "an OpenEXR image"),
    (0, b"\x1aE\xdf\xa3", "a video"),
)
_BRANDS = {
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), "a HEIC image"),
    **dict.fromkeys((b"avif", b"avis"), "an AVIF image"),
}
_MARKUP = ((b"<svg", "an SVG drawing"), (b"<html", "a web page"), (b"<!doctype html", "a web page"))
_NAMED = 4  # endings in a remedy
_HEAD = 512
"""Bytes at the beginning of a file that identify its kind."""


class CorruptImageError(Exception):
    """A file that cannot be decoded, with the reason. Callers leave it out or name it in a `DataError`."""


@functools.cache
def readable_formats() -> tuple[str, ...]:
    """Names of the formats that the installed Pillow reads, including its HEIF plug-in if that is installed."""
    Image.init()
    try:
        import pillow_heif  # pyright: ignore[reportMissingImports]
    except ImportError:
        pass
    else:
        pillow_heif.register_heif_opener()
    return tuple(
        name for name in _VETTED if name in Image.OPEN and (name not in _FEATURES or features.check(_FEATURES[name]))
    )


@functools.cache
def endings() -> frozenset[str]:
    """Lower-case extensions of the files that are read as images."""
    known = readable_formats()
    return frozenset(end for end, name in Image.registered_extensions().items() if _CONTAINERS.get(name, name) in known)


def ending(name: str) -> str:
    """Extension of a file in lower case, such as `.jpg`; empty if it has none."""
    return os.path.splitext(name)[1].lower()


def is_image_name(name: str) -> bool:
    """True if a file is read as an image, judging by its name."""
    return ending(name) in endings()


def is_unread_image(name: str) -> bool:
    """True if a file is an image by its name, but of a kind that is not read."""
    return ending(name) not in endings() and (ending(name) in _UNREAD or ending(name) in _of_vetted())


def unlike_its_ending(name: str, form: str | None) -> str | None:
    """Description of a file whose format differs from its extension, such as `.jpg files that are PNG`; else None."""
    named = Image.registered_extensions().get(ending(name))
    found = _CONTAINERS.get(form or "", form)
    return f"{ending(name)} files that are {found}" if named and _CONTAINERS.get(named, named) != found else None


def by_ending(names: Iterable[str]) -> dict[str, int]:
    """Numbers of files by extension, the most common first."""
    counts = Counter(ending(name) or "no ending" for name in names)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))


def counted(numbers: Mapping[str, int], most: int = 6) -> str:
    """Numbers by extension as text: `12 .heic, 3 .psd`."""
    shown = [f"{count:,} {name}" for name, count in list(numbers.items())[:most]]
    left = sum(list(numbers.values())[most:])
    return ", ".join(shown) + (f", {left:,} others" if left else "")


def remedy(names: Iterable[str]) -> str:
    """Advice that makes unreadable images readable, given their names."""
    found = {ending(name) for name in names}
    heic, others = sorted(found.intersection(_HEIC)), sorted(found.difference(_HEIC))
    parts = [f"{_HEIC_EXTRA} makes {' and '.join(heic)} readable"] if heic else []
    if others:
        named = ", ".join(others) if len(others) <= _NAMED else "the images"
        parts.append(f"convert {named} to JPEG or PNG")
    return "; ".join(parts)


def no_images(place: str, others: Sequence[str], remedies: str) -> str:
    """Message that a place contains no images, given the names of what it contains instead."""
    if not others:
        return f"{place} holds no images ({', '.join(sorted(endings()))}); {remedies}"
    images = [name for name in others if is_unread_image(name)]
    what = remedy(images) if images else f"images are files that end in {', '.join(sorted(endings()))}"
    return f"{place} holds no images, but {counted(by_ending(others))}; {what}"


def reason_unknown(file: BinaryIO) -> str:
    """Reason that a file is not read as an image, found in its first bytes."""
    file.seek(0)
    head = file.read(_HEAD)
    if not head:
        return "it is empty, so not an image of a known format"
    if head[:4] in (b"II*\0", b"MM\0*"):
        return f"it is not an image of a known format{_tiff_kind(file, head)}"
    found = _what_is(head)
    if found == "a HEIC image":
        return f"it is not an image of a known format, but a HEIC image; {_HEIC_EXTRA} reads it"
    return f"it is not an image of a known format{f', but {found}' if found else ''}"


def _tiff_kind(file: BinaryIO, head: bytes) -> str:
    """Storage of the pixels of a TIFF file, as a phrase that continues a reason; empty if unknown."""
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(head[:8])
        file.seek(tags.next)
        tags.load(file)
        bits, kinds = tags[TiffImagePlugin.BITSPERSAMPLE], tags.get(TiffImagePlugin.SAMPLEFORMAT, (1,))
        kind = {1: "unsigned", 2: "signed", 3: "floating point"}.get(kinds[0], "unusual")
        channels = "one channel" if len(bits) == 1 else f"{len(bits)} channels"
        return f", but a TIFF file of {channels} of {int(bits[0])} bits ({kind}); save it as 8 or 16 bits, unsigned"
    except (EOFError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error):
        return ""


def _what_is(head: bytes) -> str | None:
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a video")
    for offset, mark, name in _SIGNATURES:
        if head[offset : offset + len(mark)] == mark:
            return name
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return next((name for mark, name in _MARKUP if text[:1] == b"<" and mark in text), None)


def _of_vetted() -> frozenset[str]:
    """Extensions of formats that another installation would read."""
    return frozenset(_HEIC) | {name for name, form in Image.registered_extensions().items() if form in _VETTED}
