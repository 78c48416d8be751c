"""Self-check of our own GPU code on the GPU that is present.

Triton compiles for the GPU that it finds, with the compilers of the machine, and this can fail for many reasons. So our
code is checked on small examples before its first use; if it does not work, torch's is used.
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
"""Largest accepted error compared with float64 (`relative_error`), for each dtype that our code supports."""


def self_checked(
    what: str,
    load: Callable[[], Code],
    error_of: Callable[[Code, torch.device, torch.dtype], float],
    device: torch.device,
    dtype: torch.dtype,
) -> Code | None:
    """Code that passed the check; None, with a warning, if it failed; None without a warning for an unsupported dtype.

    Args:
        what: name of the operation, for the warning.
        load: imports the code.
        error_of: computes the error on examples. It runs in a thread of its own, so that settings of the training's
            thread, such as autocast and activation checkpointing, do not apply.
        device: of the examples.
        dtype: of the examples.

    Raises:
        OutOfMemoryError: because lack of memory says nothing about the code.
    """
    if dtype not in TOLERANCES:
        return None
    try:
        code = load()
        with ThreadPoolExecutor(1) as thread:
            error = thread.submit(error_of, code, device, dtype).result()
    except torch.OutOfMemoryError:
        raise
    except Exception as failure:  # failure of an import, a compiler or a driver
        reason = (str(failure) or type(failure).__name__).splitlines()[0]
    else:
        if error <= TOLERANCES[dtype]:
            return code
        reason = f"its results are off by {error:.2g}"
    message = f"{what} in {dtype} on {device} is torch's, which takes longer; Triton's does not work: {reason}"
    warnings.warn(message, stacklevel=2)
    return None


def example(*shape: int, first: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """Pseudo-random numbers between -1 and 1, equal on every machine; images in channels_last format."""
    numbers = torch.arange(first, first + math.prod(shape), device=device).sin().view(shape).to(dtype)
    return numbers.contiguous(memory_format=torch.channels_last) if len(shape) == 4 else numbers


def relative_error(found: Sequence[Tensor], truth: Sequence[Tensor]) -> float:
    """Largest distance between two tensors, divided by the size of the true one; infinite for NaN."""
    errors = [((mine - true).norm() / true.norm()).item() for mine, true in zip(found, truth, strict=True)]
    return max(errors) if all(math.isfinite(error) for error in errors) else math.inf
