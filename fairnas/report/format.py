"""Numbers as a reader wants them: sensible digits, the unit beside them, a dash for what is not known."""

import math
from collections.abc import Sequence

COST_NAMES = {"madds": "multiply-adds", "params": "parameters"}
"""How the costs of a network are called in sentences."""

PREDICTOR_NAMES = COST_NAMES | {"depth": "layers that are no skips"}
"""How the trivial predictors of a network's accuracy are called in sentences."""

UNKNOWN = "\u2013"
_PER_CENT = "\u00a0%"  # no line breaks before a unit
_MANY_IMAGES = 10_000
_Z_95 = 1.959964


def is_known(value: float | None) -> bool:
    """Whether there is a finite number."""
    return value is not None and math.isfinite(value)


def percent(share: float | None, images: int | None = None) -> str:
    """A share as per cent. One digit behind the point, two where 10,000 images or more carry them."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    digits = 2 if images is not None and images >= _MANY_IMAGES else 1
    return f"{100 * share:.{digits}f}{_PER_CENT}"


def millions(value: float | None) -> str:
    """Multiply-adds or parameters in millions, three digits: `388 M`, `4.50 M`, `0.0731 M`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    scaled = value / 1e6
    magnitude = math.floor(math.log10(abs(scaled))) if scaled else 0
    return f"{scaled:,.{min(max(0, 2 - magnitude), 6)}f}\u00a0M"


def whole(value: float | None) -> str:
    """A count with separators: `12,800`."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:,.0f}"


def decimal(value: float | None, digits: int = 2) -> str:
    """A plain number such as tau, with a real minus sign."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:.{digits}f}".replace("-", "\u2212")


def p_value(value: float | None) -> str:
    """What stands behind the p of a p-value: `= 0.043`, or `below 0.001`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"= {value:.3f}" if value >= 0.001 else "below 0.001"


def size(octets: int) -> str:
    """The size of a file: `412 kB`, `16.3 MB`."""
    if octets >= 1e6:
        return f"{octets / 1e6:.1f}\u00a0MB"
    return f"{max(1, round(octets / 1e3))}\u00a0kB"


def interval(low: str, high: str) -> str:
    """Two bounds in words, the unit written once: `95.5 to 99.0 %`."""
    return f"{low.removesuffix(_PER_CENT)} to {high}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """A count with its noun: `1 network`, `13 networks`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(items: Sequence[str], word: str = "and") -> str:
    """Items as prose: `a`, `a and b`, `a, b and c`."""
    return f" {word} ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def balanced_interval(hits: Sequence[int], images: Sequence[int]) -> tuple[float, float]:
    """A 95 % interval of a balanced accuracy, from the images of every class that has any and how many are right.

    Put together of Wilson's intervals of the classes (Zou and Donner's MOVER): their distances from the shares add as
    the legs of a right triangle do. So a class of four images that are all right does not pass for certain.
    """
    counted = [(right / count, count) for right, count in zip(hits, images, strict=True) if count]
    ends = [(share, *wilson_interval(share, count)) for share, count in counted]
    accuracy = sum(share for share, _ in counted) / len(counted)
    below = math.hypot(*(share - low for share, low, _ in ends)) / len(counted)
    above = math.hypot(*(high - share for share, _, high in ends)) / len(counted)
    return max(0.0, accuracy - below), min(1.0, accuracy + above)


def effective_images(images: Sequence[int]) -> float:
    """How many images tell accuracy as exactly as images of these classes tell balanced accuracy, all equally hard.

    As many as there are where classes are of one size; the smallest class decides where they are not.
    """
    met = [count for count in images if count]
    return len(met) ** 2 / sum(1 / count for count in met)


def wilson_interval(share: float, images: float) -> tuple[float, float]:
    """Wilson's 95 % interval of an accuracy that was measured on so many images.

    scipy has it for whole counts only, but a mean over seeds, or over classes, is of no whole number of images.
    """
    z2 = _Z_95**2
    centre = (share + z2 / (2 * images)) / (1 + z2 / images)
    half = _Z_95 * math.sqrt(share * (1 - share) / images + z2 / (4 * images**2)) / (1 + z2 / images)
    return max(0.0, centre - half), min(1.0, centre + half)
