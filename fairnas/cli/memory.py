"""Out-of-memory errors as one line: how much was requested, and which settings to reduce."""

import re

from fairnas.errors import FairnasError

_OF_A_RUN = (
    "make --train.batch-size, --evaluate.batch-size, --data.image-size or --resources.processes smaller, "
    "keep fewer images (--data.train-per-class), or "
)
SMALLER = {
    **dict.fromkeys(("run", "plan", "train", "compare"), _OF_A_RUN),
    "search": "make --evaluate.batch-size or --resources.workers smaller, or ",
    "retrain": "make --resources.processes smaller, or with the recipe product --batch-size, or ",
    "rank": "make --resources.processes smaller, or ",
}
"""Advice, by verb, on which of its flags reduce memory."""
_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40, "P": 2**50, "E": 2**60}
_TORCH_CPU = re.compile(r"allocate memory: you tried to allocate (\d+) bytes")
_WITH_UNIT = re.compile(r"(?:tried to allocate|unable to allocate) ([\d.]+) ([KMGTPE]?)iB", re.IGNORECASE)


class TooLittleMemoryError(FairnasError):
    """The machine or GPU has less memory than the work needs."""


def too_little_memory(error: BaseException, verb: str) -> TooLittleMemoryError | None:
    """Return an error with advice for the user if an exception means too little memory; None for other exceptions.

    Python and numpy raise `MemoryError`; torch raises a `RuntimeError` on the CPU, and a class of its own for GPUs.
    """
    text = str(error)
    on_gpu = type(error).__name__ == "OutOfMemoryError"
    on_cpu = isinstance(error, RuntimeError) and "can't allocate memory" in text
    if not (isinstance(error, MemoryError) or on_gpu or on_cpu):
        return None
    place = "of the GPU " if on_gpu else ""
    size = _asked(text)
    wanted = f"another {size / 1e9:,.3g} GB " if size is not None else ""
    return TooLittleMemoryError(
        f"there is too little memory: {wanted}{place}could not be had; "
        f"{SMALLER.get(verb, '')}use a machine with more memory"
    )


def _asked(text: str) -> float | None:
    """Bytes that could not be allocated, if the message states them."""
    if found := _TORCH_CPU.search(text):
        return float(found[1])
    if found := _WITH_UNIT.search(text):
        return float(found[1]) * _UNITS[found[2].upper()]
    return None
