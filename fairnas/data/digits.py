"""The embedded default: scikit-learn's handwritten digits, 1,797 real images of 8x8 pixels. No download."""

import numpy as np

from fairnas.data.arrays import Arrays

CLASSES = tuple("0123456789")
_TRAINING = 1000  # of other writers than the 797 images behind them, so these are really held out


def read_digits() -> tuple[Arrays, Arrays]:
    """Training and test images, (N, 8, 8, 1) uint8."""
    from sklearn.datasets import load_digits  # a second that the other data sets need not pay

    flat, target = load_digits(return_X_y=True)  # (1797, 64), 0 to 16
    pixels = np.rint(np.asarray(flat) * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = np.asarray(target).astype(np.int64)
    everything = Arrays(pixels, labels, np.arange(len(labels)))
    return everything.take(np.arange(_TRAINING)), everything.take(np.arange(_TRAINING, len(labels)))
