"""Placement of images that are not square in a square: the visible part, and its position. No torch.

| fit | evaluation sees | `inception` draws its rectangles from |
|---|---|---|
| `crop` | the largest square in the middle | the whole image where it is streamed, else that square |
| `pad` | the whole image, with black bars at its longer sides | the square with its bars |
| `squash` | the whole image, its longer side squeezed | the squeezed square |

Bars are black, because augmentation also fills edges with black, and because black, unlike the mean, is known before
any image is decoded.
"""

import math
from dataclasses import dataclass

from fairnas.config import Fit

Box = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels of an upright image; it may extend beyond the image, where all is black."""


def evaluation_box(fit: Fit, width: int, height: int) -> Box:
    """Part of an image that becomes the square when networks are evaluated."""
    if fit == "squash":
        return 0, 0, width, height
    side = max(width, height) if fit == "pad" else min(width, height)
    left, top = (width - side) / 2, (height - side) / 2
    if fit == "crop":
        left, top = math.floor(left), math.floor(top)  # whole pixels: halves would blur
    return left, top, left + side, top + side


def augmentation_frame(fit: Fit, width: int, height: int) -> tuple[Box, float]:
    """Part of an image that `inception` draws rectangles from, and its width over height for that purpose."""
    if fit == "crop":
        return (0, 0, width, height), width / height
    return evaluation_box(fit, width, height), 1.0


def inside(frame: Box, shares: Box) -> Box:
    """Part of a frame, with sides given as shares of the frame's width and height."""
    left, top, right, bottom = frame
    width, height = right - left, bottom - top
    return left + shares[0] * width, top + shares[1] * height, left + shares[2] * width, top + shares[3] * height


@dataclass(frozen=True)
class Placed:
    """Part of an image, and the pixels of a square that it fills; the rest of the square is black."""

    source: Box
    left: int
    top: int
    width: int
    height: int


def placed(box: Box, width: int, height: int, size: int) -> Placed | None:
    """Placement of a box of an image of `width` x `height` in a square of `size` pixels; None if outside."""
    left, right = max(box[0], 0), min(box[2], width)
    top, bottom = max(box[1], 0), min(box[3], height)
    if right <= left or bottom <= top:
        return None
    first, across = _pixels(left - box[0], right - box[0], box[2] - box[0], size)
    line, down = _pixels(top - box[1], bottom - box[1], box[3] - box[1], size)
    return Placed((left, top, right, bottom), first, line, across, down)


def _pixels(start: float, stop: float, whole: float, size: int) -> tuple[int, int]:
    """First pixel and number of pixels, at least one, of an interval on a line of `size` pixels."""
    first = min(round(start / whole * size), size - 1)
    return first, max(round(stop / whole * size) - first, 1)
