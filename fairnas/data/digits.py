"""Embedded default data set: scikit-learn's handwritten digits, 1,797 real images of 8x8 pixels. No download."""

import importlib.util
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fairnas.data.arrays import Arrays

CLASSES = tuple("0123456789")
_TRAINING = 1000  # the other 797 images are by other writers, so they are really held out
_FILE = "datasets/data/digits.csv.gz"


def read_digits() -> tuple[Arrays, Arrays]:
    """Read training and test images, (N, 8, 8, 1) uint8."""
    rows = _rows()  # (1797, 65): pixels from 0 to 16, and the digit
    pixels = np.rint(rows[:, :-1] * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = rows[:, -1].astype(np.int64)
    everything = Arrays(pixels, labels, np.arange(len(labels)))
    return everything.take(np.arange(_TRAINING)), everything.take(np.arange(_TRAINING, len(labels)))


def _rows() -> NDArray[np.float64]:
    """Rows of scikit-learn's file, read without importing the library, which takes two seconds in every process."""
    found = importlib.util.find_spec("sklearn")
    for folder in (found and found.submodule_search_locations) or ():
        file = Path(folder) / _FILE
        if file.is_file():
            return np.loadtxt(file, delimiter=",")
    from sklearn.datasets import load_digits  # for versions that keep the file elsewhere

    flat, target = load_digits(return_X_y=True)
    return np.column_stack([np.asarray(flat), np.asarray(target)])
