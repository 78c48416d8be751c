"""Whether code of our own for a GPU works on the one that is there.

Triton compiles for the GPU that it finds, with what else the machine has, and that may fail for many reasons. So our
code is tried out on small examples before it is used for the first time; where it does not work, torch's is used.
"""

import math
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

Code = TypeVar("Code")

TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 0.02, torch.float16: 0.005}
"""Kinds of numbers that our code takes, and how far it may be from float64 (`relative_error`)."""


def self_checked(
    what: str,
    load: Callable[[], Code],
    error_of: Callable[[Code, torch.device, torch.dtype], float],
    device: torch.device,
    dtype: torch.dtype,
) -> Code | None:
    """Code that works, or None and a warning; None alone for a kind of numbers that it does not take.

    Args:
        what: to be named in the warning.
        load: imports the code.
        error_of: lets it compute examples. In a thread of its own, because what a training has set up in its thread,
            such as autocast and activation checkpointing, would take part.
        device: of the examples.
        dtype: of the examples.

    Raises:
        OutOfMemoryError: which says nothing about the code.
    """
    if dtype not in TOLERANCES:
        return None
    try:
        code = load()
        with ThreadPoolExecutor(1) as thread:
            error = thread.submit(error_of, code, device, dtype).result()
    except torch.OutOfMemoryError:
        raise
    except Exception as failure:  # of an import, a compiler, a driver
        reason = (str(failure) or type(failure).__name__).splitlines()[0]
    else:
        if error <= TOLERANCES[dtype]:
            return code
        reason = f"its results are off by {error:.2g}"
    message = f"{what} in {dtype} on {device} is torch's, which takes longer; Triton's does not work: {reason}"
    warnings.warn(message, stacklevel=2)
    return None


def example(*shape: int, first: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Numbers between -1 and 1 that look like chance, the same everywhere; images in channels_last format."""
    numbers = torch.arange(first, first + math.prod(shape), device=device).sin().view(shape).to(dtype)
    return numbers.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else numbers


def relative_error(found: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    """The largest distance between two tensors, as a share of the size of the true one; infinite for NaN."""
    errors = [((mine - true).norm() / true.norm()).item() for mine, true in zip(found, truth, strict=True)]
    return max(errors) if all(math.isfinite(error) for error in errors) else math.inf
