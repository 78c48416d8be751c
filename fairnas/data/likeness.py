"""Near copies: images that are the same after encoding, resizing or a change of brightness. No torch.

Two images are near copies if their thumbnails are. Thumbnails are compared after normalising brightness and contrast;
the lowest frequencies of their cosine transform, a perceptual hash in real numbers, select the pairs to compare. Images
without detail (plain walls, clear skies, empty fields of a microscope) all look alike and are ignored.

The thresholds were chosen by inspecting pairs: on CIFAR-10 as JPEG they accept the closest pairs, each of which shows
one picture twice, all copies at JPEG quality 75, and more than nine in ten at quality 50.
"""

from dataclasses import dataclass

import numpy as np
from scipy.fft import dctn
from scipy.spatial import KDTree

from fairnas.data.duplicates import row_ids
from fairnas.data.image_files import CORES
from fairnas.data.joining import components
from fairnas.data.progress import Progress, silent

SIDE = 16
"""Side of a thumbnail in pixels. Smaller images show too little to distinguish a copy from a similar image."""

_DISTANCE = 0.02  # squared distance of thumbnails with mean 0 and norm 1: a correlation of 0.99
_LARGEST = 0.75  # difference at any pixel, in standard deviations; a small object on the same background exceeds it
_DETAIL = 0.15  # squared distance after removing shading, as a share of what remains
_LEAST_DETAIL = 1.0  # standard deviation after removing shading, in grey levels
_COLOUR = 8.0  # mean difference of the colours, in 0 to 255; the same sign in red and in blue exceeds it
_LARGEST_COLOUR = 48.0  # difference at any pixel
_COLOUR_SHARE = 0.25  # or this share of the colours' own strength, if larger; twice that at any pixel
_CONTRAST = 1.6  # largest ratio of contrasts
_BRIGHTNESS = 64  # largest difference of mean brightness, in 0 to 255
_NEIGHBOURS = 9  # nearest thumbnails of an image, including itself, that are compared with it
_KEPT = 5  # frequencies per axis used to select pairs
_CHUNK = 4096  # images of 32 x 32 pixels at a time, fewer of larger ones, to bound the memory


def thumbnails(pixels: np.ndarray, parts: np.ndarray | None = None) -> np.ndarray:
    """Reduce squares to thumbnails by averaging.

    Args:
        pixels: (N, S, S, C) uint8; S is 16 or more.
        parts: (N, 4) integers: left, top, width and height of the part that each thumbnail shows; None: everything.

    Returns:
        (N, 16, 16, C) uint8.
    """
    count, side, _, channels = pixels.shape
    assert side >= SIDE
    if parts is not None:
        small = np.empty((count, SIDE, SIDE, channels), np.uint8)
        for left, top, width, height in np.unique(parts, axis=0).tolist():
            places = np.flatnonzero((parts == (left, top, width, height)).all(1))
            small[places] = _reduced(pixels[places, top : top + height, left : left + width])
        return small
    return pixels if side == SIDE else _reduced(pixels)


def _reduced(pixels: np.ndarray) -> np.ndarray:
    """Rectangles (N, H, W, C) uint8 to (N, 16, 16, C) uint8."""
    count, height, width, channels = pixels.shape
    small, down, across = np.empty((count, SIDE, SIDE, channels), np.uint8), _averaging(height), _averaging(width)
    step = max(1, _CHUNK * 32 * 32 // (height * width))
    for start in range(0, count, step):
        some = pixels[start : start + step].astype(np.float32)
        rows = (down @ some.reshape(len(some), height, -1)).reshape(len(some), SIDE, width, channels)
        small[start : start + step] = np.rint(across @ rows)
    return small


def likeness_ids(small: np.ndarray, progress: Progress = silent) -> np.ndarray:
    """Find near copies among thumbnails.

    Args:
        small: (N, 16, 16, C) uint8.
        progress: receives the number of images compared.

    Returns:
        A number (N,) per image, shared by near copies, also indirectly.
    """
    ids = row_ids(small)
    chosen = np.unique(ids)
    shapes = _Shapes.of(small[chosen])
    detailed = np.flatnonzero(shapes.detail >= _LEAST_DETAIL)
    chosen, shapes = chosen[detailed], shapes.take(detailed)
    pairs = chosen[_pairs(small[chosen], shapes, progress)]
    same = np.stack([np.arange(len(ids)), ids], axis=1)
    same = same[np.isin(ids, chosen)]  # equal thumbnails without detail are no evidence
    return components(len(small), np.concatenate([pairs, same]))


def _shading() -> np.ndarray:
    """(256, 15) orthonormal: polynomials of degree 4 or less, like the shading by a lens and a lamp."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    powers = [x**across * y**down for across in range(5) for down in range(5 - across)]
    return np.linalg.qr(np.stack([each.ravel() for each in powers], axis=1))[0].astype(np.float32)


_SHADING = _shading()


@dataclass(frozen=True, eq=False)
class _Shapes:
    """Content of thumbnails, apart from brightness and contrast."""

    pixels: np.ndarray  # (N, 256) grey values, mean 0 and norm 1
    mean: np.ndarray  # (N,) of the grey values
    contrast: np.ndarray  # (N,) standard deviation of the grey values
    detail: np.ndarray  # (N,) the same without shading

    @staticmethod
    def of(small: np.ndarray) -> "_Shapes":
        grey = _grey(small).reshape(len(small), SIDE**2)
        mean, contrast = grey.mean(1), grey.std(1)
        pixels = (grey - mean[:, None]) / (SIDE * np.maximum(contrast, 1e-6))[:, None]  # 1e-6: an image of one colour
        return _Shapes(pixels, mean, contrast, contrast * np.sqrt(_unshaded(pixels)))

    def take(self, places: np.ndarray) -> "_Shapes":
        return _Shapes(*(each[places] for each in (self.pixels, self.mean, self.contrast, self.detail)))


def _unshaded(pixels: np.ndarray) -> np.ndarray:
    """Squared norms (N,) of (N, 256) after removing the shading."""
    return np.maximum(0, (pixels**2).sum(1) - ((pixels @ _SHADING) ** 2).sum(1))


def _pairs(small: np.ndarray, shapes: _Shapes, progress: Progress) -> np.ndarray:
    """Pairs (P, 2) of positions of near copies."""
    if len(small) < 2:
        return np.empty((0, 2), np.int64)
    frequencies = np.asarray(dctn(shapes.pixels.reshape(-1, SIDE, SIDE), axes=(1, 2), norm="ortho"))
    # without the mean, which is 0
    lowest = frequencies[:, :_KEPT, :_KEPT].reshape(len(small), -1)[:, 1:17].astype(np.float64)
    tree, found = KDTree(lowest), [np.empty((0, 2), np.int64)]
    for start in range(0, len(small), _CHUNK):
        some = lowest[start : start + _CHUNK]
        # leaving out frequencies never increases a distance, so no pair within the threshold is missed here
        near, places = tree.query(some, _NEIGHBOURS, distance_upper_bound=_DISTANCE**0.5, workers=min(8, CORES))
        row, column = np.nonzero(np.isfinite(near))
        pairs = np.sort(np.stack([start + row, np.asarray(places)[row, column]], axis=1), axis=1)
        found.append(pairs[pairs[:, 0] < pairs[:, 1]])
        progress(start + len(some), len(small), "looking for images that look the same")
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[_alike(small, shapes, pairs)]


def _alike(small: np.ndarray, shapes: _Shapes, pairs: np.ndarray) -> np.ndarray:
    """Mask of the pairs that are near copies, (P,) bool."""
    verdicts = [np.empty(0, bool)]
    for start in range(0, len(pairs), _CHUNK):
        first, second = pairs[start : start + _CHUNK].T
        one, other = shapes.take(first), shapes.take(second)
        own, others = _colours(small[first]) / one.contrast[:, None], _colours(small[second]) / other.contrast[:, None]
        contrast = np.sqrt(one.contrast * other.contrast)
        verdicts.append(_alike_shapes(one, other) & _alike_colours(own, others, contrast))
    return np.concatenate(verdicts)


def _alike_shapes(one: _Shapes, other: _Shapes) -> np.ndarray:
    difference = one.pixels - other.pixels
    detail = np.minimum(one.detail / one.contrast, other.detail / other.contrast)
    low, high = np.minimum(one.contrast, other.contrast), np.maximum(one.contrast, other.contrast)
    return (
        ((difference**2).sum(1) <= _DISTANCE)
        & (np.abs(difference).max(1) * SIDE <= _LARGEST)
        & (_unshaded(difference) <= _DETAIL * detail**2)
        & (high <= _CONTRAST * low)
        & (np.abs(one.mean - other.mean) <= _BRIGHTNESS)
    )


def _alike_colours(one: np.ndarray, other: np.ndarray, contrast: np.ndarray) -> np.ndarray:
    """True for colours (P, 256 C), in standard deviations of the grey values, that look the same."""
    difference, strength = np.abs(one - other), np.maximum(np.abs(one), np.abs(other))
    mean, largest = difference.mean(1) * contrast, difference.max(1) * contrast
    return (mean <= np.maximum(_COLOUR, _COLOUR_SHARE * strength.mean(1) * contrast)) & (
        largest <= np.maximum(_LARGEST_COLOUR, 2 * _COLOUR_SHARE * strength.max(1) * contrast)
    )


def _colours(small: np.ndarray) -> np.ndarray:
    """(N, 16, 16, C) to (N, 256 C): difference of each channel from grey."""
    return (small - _grey(small)[..., None]).reshape(len(small), -1)


def _grey(small: np.ndarray) -> np.ndarray:
    """(N, 16, 16, C) to (N, 16, 16) float32."""
    if small.shape[3] == 1:
        return small[..., 0].astype(np.float32)
    return small.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)  # luma, as in `augment`


def _averaging(side: int) -> np.ndarray:
    """(16, side): weights of the pixels of a row in each of 16 equal intervals."""
    edges = np.arange(SIDE + 1) * (side / SIDE)
    pixels = np.arange(side)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = np.maximum(overlap, 0)
    return (weights / weights.sum(1, keepdims=True)).astype(np.float32)
