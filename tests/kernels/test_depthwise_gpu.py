"""Depthwise convolution on a GPU and its gradients, against float64: in Triton's interpreter where there is no GPU."""

import types
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fairnas.kernels import depthwise
from fairnas.kernels.depthwise import DepthwiseConv2d
from tests.examples import examples

depthwise_gpu = pytest.importorskip("fairnas.kernels.depthwise_gpu", reason="there is no Triton for this platform")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FAST = "_DepthwiseBackward"
ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 8e-3, torch.float16: 1e-3}


@pytest.fixture(autouse=True)
def triton_for_every_tensor_in_small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(depthwise, "gradients_of", lambda input, kernel: depthwise_gpu)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    monkeypatch.setattr(depthwise_gpu, "_TILE", 128)  # strips of 16 pixels by 16 channels, or 8 by 32


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Random tensor, in channels_last format where that exists."""
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)
    return made.contiguous(memory_format=torch.channels_last) if len(shape) == 4 and shape[1] > 1 else made


def layer(channels: int = 24, kernel: int = 5, stride: int = 1) -> DepthwiseConv2d:
    """Layer with the same weights at every call."""
    made = DepthwiseConv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False, device=DEVICE)
    with torch.no_grad():
        made.weight.copy_(noise(*made.weight.shape, seed=1))
    return made


def error(found: Tensor, truth: Tensor) -> float:
    """Error of the whole, relative to its size."""
    return ((found.double() - truth).norm() / truth.norm().clamp(min=1e-30)).item()


def torchs(x: Tensor, weight: Tensor, stride: int, grad: Tensor | None = None) -> list[Tensor]:
    """Output in float64; with the gradient of that, gradients of input and weight."""
    given = [each.detach().double().requires_grad_() for each in (x, weight)]
    output = nn.functional.conv2d(given[0], given[1], None, stride, weight.shape[-1] // 2, 1, weight.shape[0])
    return [output.detach(), *(torch.autograd.grad(output, given, grad.double()) if grad is not None else [])]


@pytest.mark.slow
@pytest.mark.cover("kernel", "stride", together=1)
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_every_kernel_and_stride(kernel: int, stride: int) -> None:
    x, weight = noise(1, 16, 6, 9), noise(16, 1, kernel, kernel, seed=1)
    output = torchs(x, weight, stride)[0]
    grad = noise(*output.shape, seed=2)
    truth = torchs(x, weight, stride, grad)
    found = [
        depthwise_gpu.convolution(x, weight, stride),
        depthwise_gpu.input_gradient(x, weight, grad, stride),
        depthwise_gpu.weight_gradient(x, grad, kernel, stride),
    ]
    assert all(error(mine, true) < 1e-6 for mine, true in zip(found, truth, strict=True))
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in found[:2])


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(12), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch=st.integers(1, 2),
    octets=st.integers(2, 3),
    height=st.integers(1, 5),
    width=st.integers(1, 10),
    stride=st.integers(1, 2),
    kind=st.sampled_from(list(ROUNDING)),
    seed=st.integers(0, 99),
)
def test_outputs_and_gradients_are_those_of_float64(
    batch: int, octets: int, height: int, width: int, stride: int, kind: torch.dtype, seed: int
) -> None:
    x, weight = noise(batch, 8 * octets, height, width, seed=seed).to(kind), noise(8 * octets, 1, 3, 3).to(kind)
    grad = noise(*torchs(x, weight, stride)[0].shape, seed=seed + 1).to(kind)
    output, of_input, _ = torchs(x, weight, stride, grad)
    found = depthwise_gpu.convolution(x, weight, stride), depthwise_gpu.input_gradient(x, weight, grad, stride)
    assert all(each.dtype == kind for each in found)
    assert all(error(mine, true) < ROUNDING[kind] for mine, true in zip(found, (output, of_input), strict=True))


@pytest.mark.slow
@pytest.mark.cover("precision", "stride", together=1)
@pytest.mark.parametrize("precision", [None, torch.bfloat16])
@pytest.mark.parametrize("stride", [1, 2])
def test_a_layer_is_torchs(stride: int, precision: torch.dtype | None) -> None:
    """The convolution to the bit, its gradients but for rounding; autocast rounds both what it takes and gives."""
    fast, x = layer(stride=stride), noise(1, 24, 5, 6).requires_grad_()
    plain = nn.Conv2d(24, 24, 5, stride, 2, groups=24, bias=False, device=DEVICE)
    plain.load_state_dict(fast.state_dict())
    results = []
    for conv in (fast, plain):
        with torch.autocast(DEVICE.type, dtype=precision, enabled=precision is not None):
            output = conv(x)
        assert (output.grad_fn.name() == FAST) == (conv is fast)
        grad = noise(*output.shape, seed=3).to(output.dtype)
        results.append([output.detach(), *torch.autograd.grad(output, [x, conv.weight], grad)])
    (mine, *my_gradients), (theirs, *their_gradients) = results
    assert mine.dtype == (precision or torch.float32)
    assert torch.equal(mine, theirs)
    for found, expected in zip(my_gradients, their_gradients, strict=True):
        assert found.dtype == torch.float32
        assert error(found, expected.double()) < (2e-2 if precision else 1e-6)


def test_walks_visit_every_pixel_once() -> None:
    for height, width, kernel, stride in ((7, 5, 3, 2), (1, 1, 7, 2), (4, 9, 5, 3), (2, 1, 3, 3), (6, 6, 7, 1)):
        visited = torch.zeros(height, width, dtype=torch.int64)
        for walk in depthwise_gpu.gradient_walks((height, width), kernel, stride):
            for row in range(walk.size[0]):
                for column in range(walk.size[1]):
                    visited[walk.at[0] + row * walk.spacing, walk.at[1] + column * walk.spacing] += 1
        assert torch.equal(visited, torch.ones_like(visited))


# -- who gets them


def tensor_of(kind: torch.dtype, *shape: int, last: bool = True) -> types.SimpleNamespace:
    """Stand-in for a GPU tensor, with the attributes that `gradients_of` reads."""
    numbers = int(torch.tensor(shape).prod())
    return types.SimpleNamespace(
        device=torch.device("cuda", 0),
        dtype=kind,
        shape=shape,
        numel=lambda: numbers,
        is_contiguous=lambda memory_format: last,
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The real choice, with trials on this machine's device."""
    monkeypatch.undo()
    depthwise._gradients_of_gpu.cache_clear()
    trial = depthwise.error_of
    monkeypatch.setattr(depthwise, "error_of", lambda gradients, device, kind: trial(gradients, DEVICE, kind))
    yield
    depthwise._gradients_of_gpu.cache_clear()


@pytest.mark.slow
def test_large_tensors_of_a_gpu_are_triton_s(asked: None) -> None:
    assert depthwise.gradients_of(tensor_of(torch.bfloat16, 128, 96, 32, 32), 3) is depthwise_gpu
    assert depthwise.gradients_of(tensor_of(torch.bfloat16, 128, 90, 32, 32), 3) is None
    assert depthwise.gradients_of(tensor_of(torch.bfloat16, 1, 96, 32, 32), 3) is None
    assert depthwise.gradients_of(tensor_of(torch.bfloat16, 128, 96, 32, 32, last=False), 3) is None
    assert depthwise.gradients_of(tensor_of(torch.float64, 128, 96, 32, 32), 3) is None


@pytest.mark.slow
def test_wrong_results_are_found_once_and_torchs_gradients_are_used(
    asked: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = depthwise_gpu.input_gradient
    monkeypatch.setattr(depthwise_gpu, "input_gradient", lambda *given: right(*given) * 1.01)
    given = tensor_of(torch.float32, 128, 96, 32, 32)
    with pytest.warns(UserWarning, match=r"gradient of depthwise .* torch's, .* its results are off by 0.01"):
        assert depthwise.gradients_of(given, 3) is None
    assert depthwise.gradients_of(given, 3) is None  # no second warning
