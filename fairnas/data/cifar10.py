"""CIFAR-10 in its binary version. The pickled version is refused, because unpickling runs code from the file."""

from pathlib import Path

import numpy as np

from fairnas.data.arrays import Arrays
from fairnas.errors import DataError

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
RECORDS = 10_000
"""Images per file; each is one byte for the label and 32x32 bytes each of red, green and blue."""

_FOLDER = "cifar-10-batches-bin"
_FILES = (*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin")
_BYTES = 1 + 3 * 32 * 32
_REMEDY = (
    "download cifar-10-binary.tar.gz (the binary version, https://www.cs.toronto.edu/~kriz/cifar.html), "
    "unpack it and let data.root name the folder; or give a folder with train/<class>/ and test/<class>/"
)


def find_binary(root: Path) -> Path | None:
    """Folder of the binary files: `root`, or the folder that the archive unpacks to; else None."""
    for folder in (root, root / _FOLDER):
        if any((folder / name).is_file() for name in _FILES):
            return folder
    return None


def absent(root: str | None) -> DataError:
    """Error for a root that contains neither version; it says what to download."""
    if root is None:
        return DataError(f"cifar10 needs data.root, the folder that holds it; {_REMEDY}")
    if any((Path(root) / part / "data_batch_1").is_file() for part in ("", "cifar-10-batches-py")):
        return DataError(f"{root} holds the pickled version of CIFAR-10, which is unsafe to read; {_REMEDY}")
    return DataError(f"there is no CIFAR-10 in {root}; {_REMEDY}")


def read_binary(folder: Path) -> tuple[Arrays, Arrays]:
    """Read training and test images, (N, 32, 32, 3) uint8, in the files' order.

    Raises:
        DataError: if a file is missing, truncated or of another kind.
    """
    *training, test = [_read_file(folder / name, RECORDS * place) for place, name in enumerate(_FILES)]
    pixels, labels, numbers = (
        np.concatenate([getattr(part, name) for part in training]) for name in ("pixels", "labels", "numbers")
    )
    return Arrays(pixels, labels, numbers), test


def _read_file(path: Path, first: int) -> Arrays:
    try:
        content = np.fromfile(path, np.uint8)
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; {_REMEDY}") from None
    if content.size != RECORDS * _BYTES:
        raise DataError(f"{path} has {content.size:,} bytes, {RECORDS * _BYTES:,} are expected; unpack it again")
    records = content.reshape(RECORDS, _BYTES)
    labels = records[:, 0].astype(np.int64)
    if labels.max() >= len(CLASSES):
        raise DataError(f"{path} holds the label {labels.max()}, 0 to 9 are expected; unpack it again")
    pixels = records[:, 1:].reshape(RECORDS, 3, 32, 32).transpose(0, 2, 3, 1)
    return Arrays(np.ascontiguousarray(pixels), labels, first + np.arange(RECORDS))
