"""Numbers as text for readers: suitable digits, a unit, and a dash for unknown values."""

import math
from collections.abc import Sequence

COST_NAMES = {"madds": "multiply-adds", "params": "parameters"}
"""Names of the costs of a network in sentences."""

PREDICTOR_NAMES = COST_NAMES | {"depth": "layers that are no skips"}
"""Names of the trivial predictors of a network's accuracy in sentences."""

UNKNOWN = "\u2013"
_PER_CENT = "\u00a0%"  # a no-break space, so that the unit stays with its number
_MANY_IMAGES = 10_000  # one image is then 0.01 %, so the second decimal means something
_Z_95 = 1.959964  # 97.5 % quantile of the normal distribution


def is_known(value: float | None) -> bool:
    """True for a finite number, False for None, NaN and infinities."""
    return value is not None and math.isfinite(value)


def percent(share: float | None, images: int | None = None) -> str:
    """Format a share as per cent, with one decimal; with two if it was measured on 10,000 images or more."""
    if share is None or not math.isfinite(share):
        return UNKNOWN
    digits = 2 if images is not None and images >= _MANY_IMAGES else 1
    return f"{100 * share:.{digits}f}{_PER_CENT}"


def millions(value: float | None) -> str:
    """Format multiply-adds or parameters in millions with three digits: `388 M`, `4.50 M`, `0.0731 M`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    scaled = value / 1e6
    magnitude = math.floor(math.log10(abs(scaled))) if scaled else 0
    return f"{scaled:,.{min(max(0, 2 - magnitude), 6)}f}\u00a0M"


def whole(value: float | None) -> str:
    """Format a count with separators: `12,800`."""
    return UNKNOWN if value is None or not math.isfinite(value) else f"{value:,.0f}"


def decimal(value: float | None, digits: int = 2) -> str:
    """Format a plain number such as tau, with a true minus sign."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"{value:.{digits}f}".replace("-", "\u2212")


def p_value(value: float | None) -> str:
    """Format a p-value for use after `p`: `= 0.043`, or `below 0.001`."""
    if value is None or not math.isfinite(value):
        return UNKNOWN
    return f"= {value:.3f}" if value >= 0.001 else "below 0.001"


def size(octets: int) -> str:
    """Format the size of a file: `412 kB`, `16.3 MB`."""
    if octets >= 1e6:
        return f"{octets / 1e6:.1f}\u00a0MB"
    return f"{max(1, round(octets / 1e3))}\u00a0kB"


def interval(low: str, high: str) -> str:
    """Format an interval in words, with the unit once: `95.5 to 99.0 %`."""
    return f"{low.removesuffix(_PER_CENT)} to {high}"


def counted(number: int, noun: str, plural: str = "") -> str:
    """Format a count with its noun: `1 network`, `13 networks`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(items: Sequence[str], word: str = "and") -> str:
    """Join items as prose: `a`, `a and b`, `a, b and c`."""
    return f" {word} ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)


def balanced_interval(hits: Sequence[int], images: Sequence[int]) -> tuple[float, float]:
    """Return a 95 % interval of a balanced accuracy, given hits and images of every class that has images.

    Combines Wilson's intervals of the classes (Zou and Donner's MOVER): distances of their ends from the shares add in
    quadrature. Unlike a normal approximation, it gives a class of four images, all right, some uncertainty.
    """
    counted = [(right / count, count) for right, count in zip(hits, images, strict=True) if count]
    ends = [(share, *wilson_interval(share, count)) for share, count in counted]
    accuracy = sum(share for share, _ in counted) / len(counted)
    below = math.hypot(*(share - low for share, low, _ in ends)) / len(counted)
    above = math.hypot(*(high - share for share, _, high in ends)) / len(counted)
    return max(0.0, accuracy - below), min(1.0, accuracy + above)


def effective_images(images: Sequence[int]) -> float:
    """Number of images that would measure accuracy as precisely as these classes measure balanced accuracy.

    Assumes classes of equal difficulty. Equals the number of images if classes are equally large; otherwise the
    smallest class dominates.
    """
    met = [count for count in images if count]
    return len(met) ** 2 / sum(1 / count for count in met)


def wilson_interval(share: float, images: float) -> tuple[float, float]:
    """Return Wilson's 95 % interval of an accuracy measured on this number of images.

    scipy accepts only whole counts, but a mean over seeds, or over classes, has no whole number of right answers.
    """
    z2 = _Z_95**2
    centre = (share + z2 / (2 * images)) / (1 + z2 / images)
    half = _Z_95 * math.sqrt(share * (1 - share) / images + z2 / (4 * images**2)) / (1 + z2 / images)
    return max(0.0, centre - half), min(1.0, centre + half)
