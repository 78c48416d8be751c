"""Code for a GPU is tried out before it is used, whatever its user is in the middle of."""

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from fairnas.kernels import self_check

CPU = torch.device("cpu")


def gradient_error(code: object, device: torch.device, dtype: torch.dtype) -> float:
    """An example with a backward pass; 1 if what its caller has set up takes part."""
    x = torch.ones(3, device=device, requires_grad=True)
    (gradient,) = torch.autograd.grad((x * x).sum(), x)
    return float(torch.is_autocast_enabled("cpu") or not torch.equal(gradient, 2 * x))


def test_in_the_middle_of_a_forward_pass_under_activation_checkpointing() -> None:
    found = []

    class Layer(nn.Module):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            if not found:
                found.append(self_check.self_checked("it", object, gradient_error, CPU, torch.float32))
            return input.exp().exp()

    x = torch.zeros(2, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        output = checkpoint(Layer(), x, use_reentrant=False)
    output.sum().backward()
    assert found[0] is not None  # and no warning, which would be an error
    assert x.grad is not None


def test_without_memory_nothing_is_known_of_the_code() -> None:
    def fails(*given: object) -> float:
        raise torch.OutOfMemoryError("full")

    with pytest.raises(torch.OutOfMemoryError, match="full"):
        self_check.self_checked("it", object, fails, CPU, torch.float32)
