"""Mean and deviation of pixels per channel, by counting: exact, and equal on every machine."""

import numpy as np

_CHUNK = 4096  # images counted at a time, because counting widens every pixel to 8 bytes
_LEAST = 1 / 255  # deviation of images that are all alike, to avoid a division by zero


def channel_statistics(pixels: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of (N, s, s, C) uint8 pixels, scaled to [0, 1]."""
    means, deviations = [], []
    for channel in range(pixels.shape[3]):
        counts = np.zeros(256, np.int64)
        for start in range(0, len(pixels), _CHUNK):
            counts += np.bincount(pixels[start : start + _CHUNK, ..., channel].ravel(), minlength=256)
        values = np.arange(256) / 255
        mean = float(counts @ values / counts.sum())
        means.append(mean)
        deviations.append(max(_LEAST, float(np.sqrt(counts @ (values - mean) ** 2 / counts.sum()))))
    return tuple(means), tuple(deviations)
