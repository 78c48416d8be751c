"""BN on a GPU with its activation, against float64: in Triton's interpreter where there is no GPU."""

import copy
import sys
import types
from collections.abc import Iterator

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fairnas.kernels import batch_norm
from fairnas.kernels.batch_norm import BatchNorm2d
from fairnas.nets.blocks import ConvBN
from tests.examples import examples

norm_gpu = pytest.importorskip("fairnas.kernels.batch_norm_gpu", reason="there is no Triton for this platform")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FAST = "_NormaliseBackward"
ACTIVATIONS = {"none": nn.Identity, "relu": nn.ReLU, "relu6": nn.ReLU6}
ROUNDING = {torch.float32: 1e-5, torch.bfloat16: 8e-3, torch.float16: 1e-3}

one_kind_or_all = pytest.mark.parametrize(
    "kind", [torch.bfloat16, *(pytest.param(kind, marks=pytest.mark.full) for kind in (torch.float32, torch.float16))]
)


@pytest.fixture(autouse=True)
def triton_for_every_tensor_in_small_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use Triton for every tensor, in tiles of 16 channels by 16 rows or 32 by 8, up to 4 shares of 2 tiles or more."""
    monkeypatch.setattr(batch_norm, "passes_of", lambda input: norm_gpu)
    sizes = {"_TILE": 256, "_TILE_OF_TWO": 256, "_MOST_SHARES": 4, "_TILES_OF_A_SHARE": 2}
    for name, value in sizes.items():
        monkeypatch.setattr(norm_gpu, name, value)


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Random tensor, in channels_last format where that exists."""
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)
    return made.contiguous(memory_format=torch.channels_last) if made.dim() == 4 else made


def layer(channels: int = 24, seed: int = 7, **given) -> BatchNorm2d:
    """Activations of about half of the numbers, and running statistics that are not those of a new layer."""
    made = BatchNorm2d(channels, device=DEVICE, **given)
    with torch.no_grad():
        for number, tensor in enumerate([*made.parameters(), *made.buffers()]):
            if tensor.dim() > 0:
                tensor.copy_(noise(*tensor.shape, seed=seed + number).abs() * 2 + 0.1)
    return made


def plain_of(bn: BatchNorm2d) -> nn.BatchNorm2d:
    """torch's, with the same settings, parameters and statistics."""
    made = nn.BatchNorm2d(bn.num_features, bn.eps, bn.momentum, bn.affine, bn.track_running_stats, device=DEVICE)
    made.load_state_dict(bn.state_dict())
    return made.train(bn.training)


def outputs_and_gradients(bn: nn.BatchNorm2d, act: str, x: Tensor, grad: Tensor) -> list[Tensor]:
    """Output, gradient of the input, then of the parameters."""
    x = x.detach().clone().requires_grad_()
    module = ACTIVATIONS[act]()
    output = bn.followed_by(module, x) if isinstance(bn, BatchNorm2d) else module(bn(x))
    assert (output.grad_fn.name() == FAST) == isinstance(bn, BatchNorm2d) or act == "none"
    return [output.detach(), *torch.autograd.grad(output, [x, *bn.parameters()], grad)]


def error(found: Tensor, truth: Tensor) -> float:
    """Error of the whole, relative to its size: a gradient jumps where rounding decides whether a number is clamped."""
    return ((found.double() - truth).norm() / truth.norm().clamp(min=1e-30)).item()


@pytest.mark.slow
@settings(deadline=None, max_examples=examples(15), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch=st.integers(1, 5),
    octets=st.integers(2, 6),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    act=st.sampled_from(list(ACTIVATIONS)),
    affine=st.booleans(),
    kind=st.sampled_from(list(ROUNDING)),
    seed=st.integers(0, 99),
)
def test_outputs_and_gradients_are_those_of_float64(
    batch: int, octets: int, height: int, width: int, act: str, affine: bool, kind: torch.dtype, seed: int
) -> None:
    if batch * height * width < 8:
        batch = 8  # with two numbers the output is -1 and 1, and the gradient of the input nothing but rounding
    bn = layer(8 * octets, affine=affine, eps=1e-3)
    truth = plain_of(bn).double()
    x, grad = (noise(batch, 8 * octets, height, width, seed=seed + number).to(kind) for number in range(2))
    found = outputs_and_gradients(bn, act, x, grad)
    exact = outputs_and_gradients(truth, act, x.double(), grad.double())
    assert len(found) == len(exact) == (4 if affine else 2)
    assert [each.dtype for each in found] == [kind, kind, torch.float32, torch.float32][: len(found)]
    assert all(each.is_contiguous(memory_format=torch.channels_last) for each in found[:2])
    if act != "none" and ((exact[0] > 0) & (exact[0] < 1e-5) | ((exact[0] - 6).abs() < 1e-5) & (exact[0] < 6)).any():
        return  # rounding decides whether this number is clamped
    # what is computed in half precision is only rounded at the end; sums are not
    assert all(error(mine, true) < ROUNDING[kind] for mine, true in zip(found[:2], exact[:2], strict=True))
    assert all(error(mine, true) < 1e-5 for mine, true in zip(found[2:], exact[2:], strict=True))
    assert error(bn.running_mean, truth.running_mean) < 1e-6
    assert error(bn.running_var, truth.running_var) < 1e-6
    assert bn.num_batches_tracked == truth.num_batches_tracked == 1


@pytest.mark.slow
@pytest.mark.cover("act", "mean", together=1)
@pytest.mark.parametrize("mean", [0, 3, 300])
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_a_mean_that_is_large_beside_the_deviation_costs_little(act: str, mean: float) -> None:
    normal = noise(2, 32, 6, 6)
    x, grad = normal * 2 + mean, normal + noise(2, 32, 6, 6, seed=1)
    bn = layer(32)
    truth = plain_of(bn).double()
    found = outputs_and_gradients(bn, act, x, grad)
    exact = outputs_and_gradients(truth, act, x.double(), grad.double())
    # the mean itself is rounded: by 1e-5 of the deviation at most
    assert all(error(mine, true) < (1e-4 if mean == 300 else 1e-6) for mine, true in zip(found, exact, strict=True))
    assert error(bn.running_var, truth.running_var) < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("size", [0.0, 0.1, 1e7])
def test_a_constant_has_no_variance(size: float) -> None:
    bn, x = layer(), (noise(4, 24, 5, 5) * 0 + noise(1, 24, 1, 1, seed=1) * size).requires_grad_()
    output = bn(x)
    assert torch.allclose(output, bn.bias[:, None, None].expand_as(output), atol=1e-5)
    output.backward(noise(4, 24, 5, 5))
    assert x.grad.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize(("act", "bound"), [("relu", 0.0), ("relu6", 0.0), ("relu6", 6.0)])
def test_no_gradient_at_a_bound(act: str, bound: float) -> None:
    bn = layer()
    with torch.no_grad():
        bn.weight.zero_()
        bn.bias.fill_(bound)
    for gradient in outputs_and_gradients(bn, act, noise(4, 24, 5, 5), noise(4, 24, 5, 5, seed=1))[1:]:
        assert torch.equal(gradient, torch.zeros_like(gradient))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")  # of the interpreter
def test_no_number_is_lost() -> None:
    """NaN and infinity spoil their own channel and no other, in both directions, as in torch."""
    for bad in (float("nan"), float("inf")):
        x, grad = noise(4, 24, 5, 5), noise(4, 24, 5, 5, seed=1)
        x[1, 3, 2, 2] = bad
        bn = layer()
        found = outputs_and_gradients(bn, "relu6", x, grad)
        torchs = outputs_and_gradients(plain_of(bn), "relu6", x, grad)
        assert found[0].isnan().any()
        assert all(torch.equal(mine.isnan(), other.isnan()) for mine, other in zip(found, torchs, strict=True))
    x, grad = noise(4, 24, 5, 5), noise(4, 24, 5, 5, seed=1)
    grad[0, 17, 0, 0] = float("nan")
    spoilt = outputs_and_gradients(layer(), "none", x, grad)[1].isnan().any(dim=(0, 2, 3))
    assert spoilt.nonzero().flatten().tolist() == [17]


@pytest.mark.slow
@one_kind_or_all
def test_the_same_bits_again(kind: torch.dtype) -> None:
    x, grad = noise(3, 24, 5, 5).to(kind), noise(3, 24, 5, 5, seed=1).to(kind)
    first, second = (outputs_and_gradients(layer(), "relu6", x, grad) for _ in range(2))
    assert all(torch.equal(mine, other) for mine, other in zip(first, second, strict=True))


@pytest.mark.slow
@pytest.mark.cover("momentum", "track", together=1)
@pytest.mark.parametrize("track", [True, False])
@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0, None])
def test_running_statistics_are_torchs(momentum: float | None, track: bool) -> None:
    bn = layer()
    plain = plain_of(bn)
    for step in range(3):
        for mine in (bn, plain):  # the loop of a training may change these at any time
            mine.momentum, mine.track_running_stats = momentum, track or step == 1
        x = noise(4, 24, 6, 6, seed=step) + step
        assert bn(x).grad_fn.name() == FAST
        plain(x)
        for mine, other in zip(bn.buffers(), plain.buffers(), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)
        assert bn.num_batches_tracked == plain.num_batches_tracked == (step + 1 if track else int(step > 0))


@pytest.mark.slow
def test_a_block_is_the_sequence_of_its_parts() -> None:
    block, x = ConvBN(24, 40, 1, act="relu6").to(DEVICE), noise(4, 24, 8, 8)
    twin = nn.Sequential(*copy.deepcopy(block))
    twin[1] = plain_of(block[1])
    output, expected = block(x), twin(x)
    assert output.grad_fn.name() == FAST != expected.grad_fn.name()
    torch.testing.assert_close(output, expected, rtol=1e-4, atol=1e-5)


def test_tiles_cover_every_channel_with_little_waste() -> None:
    for channels in range(16, 2048, 8):
        rows, width = norm_gpu._shape(channels, 4096)
        assert rows * width == 4096
        padded = -(-channels // width) * width
        assert padded <= 1.34 * channels  # three octets in a tile for four
        assert channels < 64 or padded <= 1.2 * channels


# -- who gets them


def tensor_of(kind: torch.dtype, *shape: int) -> types.SimpleNamespace:
    """Stand-in for a GPU tensor, with the attributes that `passes_of` reads."""
    numbers = int(torch.tensor(shape).prod())
    return types.SimpleNamespace(device=torch.device("cuda", 0), dtype=kind, shape=shape, numel=lambda: numbers)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The real choice, with trials on this machine's device."""
    monkeypatch.undo()
    batch_norm._passes_of_gpu.cache_clear()
    trial = batch_norm.error_of
    monkeypatch.setattr(batch_norm, "error_of", lambda passes, device, dtype: trial(passes, DEVICE, dtype))
    yield
    batch_norm._passes_of_gpu.cache_clear()


@pytest.mark.slow
@one_kind_or_all
def test_large_tensors_of_a_gpu_are_triton_s(kind: torch.dtype, asked: None) -> None:
    assert batch_norm.passes_of(tensor_of(kind, 128, 96, 32, 32)) is norm_gpu
    assert batch_norm.passes_of(tensor_of(kind, 128, 90, 32, 32)) is None
    assert batch_norm.passes_of(tensor_of(kind, 1, 96, 32, 32)) is None
    assert batch_norm.passes_of(tensor_of(torch.float64, 128, 96, 32, 32)) is None


@pytest.mark.slow
def test_wrong_results_are_found_once_and_torchs_bn_is_used(asked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    right = norm_gpu.input_gradient
    monkeypatch.setattr(norm_gpu, "input_gradient", lambda *given: right(*given) * 1.01)
    with pytest.warns(UserWarning, match=r"torch's, which takes longer; .* its results are off by 0.01"):
        assert batch_norm.passes_of(tensor_of(torch.float32, 128, 96, 32, 32)) is None
    assert batch_norm.passes_of(tensor_of(torch.float32, 64, 96, 32, 32)) is None  # no second warning
    monkeypatch.setattr(norm_gpu, "normalise", lambda input, *others: input * float("nan"))
    with pytest.warns(UserWarning, match="off by inf"):
        assert batch_norm.passes_of(tensor_of(torch.float16, 128, 96, 32, 32)) is None


def test_what_cannot_be_compiled_is_named_once(asked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*given) -> None:
        raise OSError("no C compiler\nand more")

    monkeypatch.setattr(norm_gpu, "batch_constants", fails)
    with pytest.warns(UserWarning, match="does not work: no C compiler$"):
        assert batch_norm.passes_of(tensor_of(torch.bfloat16, 128, 96, 32, 32)) is None


def test_without_triton_torchs_bn_is_used(asked: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("fairnas.kernels.batch_norm_gpu")
    monkeypatch.setitem(sys.modules, "fairnas.kernels.batch_norm_gpu", None)
    with pytest.warns(UserWarning, match="does not work"):
        assert batch_norm.passes_of(tensor_of(torch.bfloat16, 128, 96, 32, 32)) is None
