"""Values of images of more than 8 bits, and their mapping to 256 levels. No torch.

Values up to LOW become black, values from HIGH on white, and those between are mapped linearly. If the user does not
give LOW and HIGH, they are chosen so that few pixels of the training images lie outside. Extremes would not do: a
single hot pixel of a camera would make everything else black.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairnas.data.formats import CorruptImageError

ValueRange = tuple[float, float]
"""LOW and HIGH, in values as stored in the files."""

WHOLE: ValueRange = (0.0, 65535.0)
"""Range of 16 bits."""

_OUTSIDE = 0.1  # per cent of the pixels that may lie below LOW, and above HIGH, before the margin is added
_MARGIN = 0.1  # share of the range added at both ends, because other images have other extremes
_NARROW = 1 / 4
"""Share of the 16-bit range below which a range is chosen: these images would lose three quarters of the 256 levels."""
_PIXELS = 65_536  # largest number of pixels sampled per image
_BLOCK = 1 << 20  # values that are scaled at a time
_WIDE_TABLE = 65_536  # values of 16 bits: scaling each once in a table is faster than scaling every pixel


def to_levels(values: np.ndarray, value_range: ValueRange | None) -> np.ndarray:
    """Levels 0 to 255 (uint8) of values of any shape. NaN becomes black.

    Raises:
        CorruptImageError: if all values lie on one side of the range, or if the range is unknown (None) and the values
            are not those of 16 bits. The levels would then be meaningless.
    """
    low, high = _extremes(values)
    if value_range is None and (values.dtype.kind == "f" or low < WHOLE[0] or high > WHOLE[1]):
        kind = "floating point numbers" if values.dtype.kind == "f" else "values"
        raise CorruptImageError(
            f"its {kind}, from {_number(low)} to {_number(high)}, are not those of 8 or 16 bits, and no range is known "
            "that they belong to"
        )
    below, above = value_range or WHOLE
    if high < below or low > above:
        side = f"below {_number(below)}" if high < below else f"above {_number(above)}"
        raise CorruptImageError(
            f"all its values, from {_number(low)} to {_number(high)}, lie {side}, outside the range of the training"
        )
    if values.dtype.kind == "u" and values.dtype.itemsize == 2:
        return _scaled(np.arange(_WIDE_TABLE), below, above)[values]
    flat, levels = values.reshape(-1), np.empty(values.size, np.uint8)
    for start in range(0, len(flat), _BLOCK):
        levels[start : start + _BLOCK] = _scaled(flat[start : start + _BLOCK], below, above)
    return levels.reshape(values.shape)


def _scaled(values: np.ndarray, low: float, high: float) -> np.ndarray:
    with np.errstate(over="ignore", invalid="ignore"):  # values near the limits of the dtype may overflow
        share = ((values.astype(np.float64) - low) / (high - low)).clip(0, 1)
    return np.rint(np.nan_to_num(share) * 255).astype(np.uint8)


def _extremes(values: np.ndarray) -> tuple[float, float]:
    """Smallest and largest finite value."""
    if values.dtype.kind == "f":
        values = values[np.isfinite(values)]
    if not values.size:
        raise CorruptImageError("its pixels hold no number")
    return float(values.min()), float(values.max())


@dataclass(frozen=True, eq=False)
class Sample:
    """Sample of the values of one image, in ascending order."""

    values: np.ndarray  # (n,), float64, finite
    is_float: bool
    strange: bool
    """True if some of its pixels are not numbers."""

    @staticmethod
    def of(values: np.ndarray) -> "Sample | None":
        """Evenly spaced values of an image; None if none of them is a number."""
        flat = values.reshape(-1)
        some = flat[:: math.ceil(flat.size / _PIXELS)].astype(np.float64)
        finite = some[np.isfinite(some)]
        return Sample(np.sort(finite), values.dtype.kind == "f", len(finite) < len(some)) if len(finite) else None

    @property
    def trimmed(self) -> np.ndarray:
        """Values without a few of the lowest and highest, at least one at each end: a pixel may be dead or hot."""
        cut = math.ceil(len(self.values) * _OUTSIDE / 100)
        return self.values[cut:-cut] if len(self.values) > 2 * cut else self.values


def chosen_range(samples: Sequence[Sample]) -> ValueRange:
    """Range for images like the samples: that of 16 bits if they use a quarter of it or more, else their own."""
    low, high = _bulk(samples)
    if any(sample.is_float for sample in samples):
        if low >= 0 and _NARROW < high <= 1:
            return 0.0, 1.0
        return _widened(low, high)
    all_values = [sample.values for sample in samples]
    inside = min(each[0] for each in all_values) >= WHOLE[0] and max(each[-1] for each in all_values) <= WHOLE[1]
    if inside and (high - low >= _NARROW * (WHOLE[1] + 1) or high == low):
        return WHOLE
    low, high = (math.floor(value) for value in _widened(low, high))
    return (float(max(low, 0) if min(each[0] for each in all_values) >= 0 else low), float(high + 1))


def _bulk(samples: Sequence[Sample]) -> ValueRange:
    low, high = np.percentile(np.concatenate([sample.trimmed for sample in samples]), [_OUTSIDE, 100 - _OUTSIDE])
    return float(low), float(high)


def _widened(low: float, high: float) -> ValueRange:
    margin = _MARGIN * (high - low) or max(abs(high), 1.0) / 2
    return _rounded(low - margin), _rounded(high + margin)


def _rounded(value: float) -> float:
    """Value rounded to six digits, which can be given as it is printed."""
    return float(f"{value:.6g}")


def clipped_share(samples: Sequence[Sample], value_range: ValueRange) -> float:
    """Share of the pixels that lie outside a range."""
    low, high = value_range
    outside = sum(int(((sample.values < low) | (sample.values > high)).sum()) for sample in samples)
    return outside / sum(len(sample.values) for sample in samples)


def levels_used(samples: Sequence[Sample], value_range: ValueRange) -> tuple[int, int]:
    """Number of levels, and number of different original values, that make up nine tenths of the pixels."""
    pooled = np.concatenate([sample.values for sample in samples])
    return _commonest(_scaled(pooled, *value_range)), _commonest(pooled)


def _commonest(values: np.ndarray) -> int:
    counts = np.sort(np.unique(values, return_counts=True)[1])[::-1].cumsum()
    return int(np.searchsorted(counts, 0.9 * counts[-1])) + 1  # nine tenths: rare values, as of noise, do not count


def shown_range(value_range: ValueRange) -> str:
    """Range as text: `LOW:HIGH`."""
    return ":".join(_number(value).replace(",", "") for value in value_range)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e15 else f"{value:.6g}"
