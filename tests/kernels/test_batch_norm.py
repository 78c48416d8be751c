"""BN with its activation against float64, and everything the module must leave to torch."""

import copy
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode

from fairnas.kernels import batch_norm, batch_norm_cpu, llvm
from fairnas.kernels.batch_norm import BatchNorm2d
from fairnas.kernels.llvm import LANES
from fairnas.kernels.running_statistics import FEWEST_CHANNELS
from fairnas.nets.blocks import ConvBN

FAST = "_NormaliseBackward"
ACTIVATIONS = {"none": nn.Identity, "relu": nn.ReLU, "relu6": nn.ReLU6}


@pytest.fixture(autouse=True)
def small_tensors_and_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(batch_norm, "_FEWEST_NUMBERS", 1)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Random tensor, in channels_last format where that exists."""
    made = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return made.contiguous(memory_format=torch.channels_last) if made.dim() == 4 else made


def layer(channels: int = 20, seed: int = 7, **settings) -> BatchNorm2d:
    """Activations of about half of the numbers, and running statistics that are not those of a new layer."""
    made = BatchNorm2d(channels, **settings)
    with torch.no_grad():
        for number, tensor in enumerate([*made.parameters(), *made.buffers()]):
            if tensor.dim() > 0:
                tensor.copy_(noise(*tensor.shape, seed=seed + number).abs() * 2 + 0.1)
    return made


def plain_of(bn: BatchNorm2d) -> nn.BatchNorm2d:
    """torch's, with the same settings, parameters and statistics."""
    made = nn.BatchNorm2d(bn.num_features, bn.eps, bn.momentum, bn.affine, bn.track_running_stats)
    made.load_state_dict(bn.state_dict())
    return made.train(bn.training)


def outputs_and_gradients(bn: nn.BatchNorm2d, act: str, x: Tensor, grad: Tensor) -> list[Tensor]:
    """Output, gradient of the input, then of the parameters."""
    x = x.detach().clone().requires_grad_()
    module = ACTIVATIONS[act]()
    output = bn.followed_by(module, x) if isinstance(bn, BatchNorm2d) else module(bn(x))
    assert (output.grad_fn.name() == FAST) == isinstance(bn, BatchNorm2d) or act == "none"
    return [output.detach(), *torch.autograd.grad(output, [x, *bn.parameters()], grad)]


def distance(found: Tensor, truth: Tensor) -> float:
    """Largest difference, relative to the largest number."""
    return ((found - truth).abs().max() / truth.abs().max().clamp(min=1e-30)).item()


@pytest.mark.slow
@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    batch=st.integers(1, 5),
    channels=st.integers(16, 70),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    act=st.sampled_from(list(ACTIVATIONS)),
    affine=st.booleans(),
    seed=st.integers(0, 99),
)
def test_outputs_and_gradients_are_those_of_float64(
    batch: int, channels: int, height: int, width: int, act: str, affine: bool, seed: int
) -> None:
    if batch * height * width < 4:
        batch = 4  # with two numbers the output is -1 and 1, and the gradient of the input nothing but rounding
    bn = layer(channels, affine=affine, eps=1e-3)
    truth = plain_of(bn).double()
    x, grad = (noise(batch, channels, height, width, seed=seed + number) for number in range(2))
    found = outputs_and_gradients(bn, act, x, grad)
    exact = outputs_and_gradients(truth, act, x.double(), grad.double())
    near = (exact[0].abs() < 1e-5) | ((exact[0] - 6).abs() < 1e-5)
    assert len(found) == len(exact) == (4 if affine else 2)
    if act != "none" and (near & (exact[0] != 0) & (exact[0] != 6)).any():
        return  # rounding decides whether this number is clamped
    assert all(distance(mine, true) < 1e-5 for mine, true in zip(found, exact, strict=True))
    assert distance(bn.running_mean, truth.running_mean) < 1e-6
    assert distance(bn.running_var, truth.running_var) < 1e-6


@pytest.mark.parametrize("mean", [0, 3, 300])
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_closer_to_the_truth_than_torch(act: str, mean: float) -> None:
    normal = noise(32, 32, 24, 24)
    x, grad = normal * 2 + mean, normal + noise(32, 32, 24, 24, seed=1)
    bn = layer(32)
    plain, truth = plain_of(bn), plain_of(bn).double()
    found = outputs_and_gradients(bn, act, x, grad)
    torchs = outputs_and_gradients(plain, act, x, grad)
    exact = outputs_and_gradients(truth, act, x.double(), grad.double())
    # a gradient of the input jumps where an output is at a bound, so it is compared as a whole, not at its worst
    errors, torchs_errors = (
        [((mine - true).norm() / true.norm()).item() for mine, true in zip(results, exact, strict=True)]
        for results in (found, torchs)
    )
    assert all(mine < 1e-6 and mine < other for mine, other in zip(errors, torchs_errors, strict=True))
    assert distance(found[0], exact[0]) < 1e-6
    assert distance(bn.running_var, truth.running_var) < 1e-7 < distance(plain.running_var, truth.running_var)


@pytest.mark.parametrize("size", [0.0, 0.1, 1e3, 1e7])
def test_a_constant_has_no_variance(size: float) -> None:
    bn, x = layer(200), (noise(8, 200, 9, 9) * 0 + noise(1, 200, 1, 1, seed=1) * size).requires_grad_()
    output = bn(x)
    assert torch.allclose(output, bn.bias[:, None, None].expand_as(output), atol=1e-5)
    output.backward(noise(8, 200, 9, 9))
    assert x.grad.isfinite().all()


@pytest.mark.parametrize(("act", "bound"), [("relu", 0.0), ("relu6", 0.0), ("relu6", 6.0)])
def test_no_gradient_at_a_bound(act: str, bound: float) -> None:
    bn = layer()
    with torch.no_grad():
        bn.weight.zero_()
        bn.bias.fill_(bound)
    x, grad = noise(4, 20, 5, 5), noise(4, 20, 5, 5, seed=1)
    for gradient in outputs_and_gradients(bn, act, x, grad)[1:]:
        assert torch.equal(gradient, torch.zeros_like(gradient))
    assert all(
        torch.equal(gradient, torch.zeros_like(gradient))
        for gradient in outputs_and_gradients(plain_of(bn), act, x, grad)[1:]
    )


def test_no_number_is_lost() -> None:
    """NaN and infinity spoil their own channel and no other, in both directions, as in torch."""
    for bad in (float("nan"), float("inf")):
        x, grad = noise(4, 20, 5, 5), noise(4, 20, 5, 5, seed=1)
        x[1, 3, 2, 2] = bad
        bn = layer()
        found = outputs_and_gradients(bn, "relu6", x, grad)
        torchs = outputs_and_gradients(plain_of(bn), "relu6", x, grad)
        assert found[0].isnan().any()
        assert all(torch.equal(mine.isnan(), other.isnan()) for mine, other in zip(found, torchs, strict=True))
    x, grad = noise(4, 20, 5, 5), noise(4, 20, 5, 5, seed=1)
    grad[0, 17, 0, 0] = float("nan")
    bn = layer()
    spoilt = outputs_and_gradients(bn, "none", x, grad)[1].isnan().any(dim=(0, 2, 3))
    assert spoilt.nonzero().flatten().tolist() == [17]


@pytest.mark.parametrize("channels", [16, 40, 67])
@pytest.mark.parametrize("act", ACTIVATIONS)
def test_same_bits_again_and_with_any_number_of_threads(
    channels: int, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(llvm, "_WORK_OF_A_THREAD", 1)
    monkeypatch.setattr(batch_norm_cpu, "_ROWS_OF_A_SHARE", 50)
    x, grad = noise(6, channels, 9, 9), noise(6, channels, 9, 9, seed=1)
    results = []
    for count in (1, 1, 2, 3, 8):
        torch.set_num_threads(count)
        bn = layer(channels)
        results.append([*outputs_and_gradients(bn, act, x, grad), bn.running_mean, bn.running_var])
    for others in results[1:]:
        assert all(torch.equal(mine, other) for mine, other in zip(results[0], others, strict=True))


def test_many_shares_of_rows() -> None:
    shape = (2, 16, 200, 200)  # 80,000 rows in 64 shares
    x, grad, bn = noise(*shape) + 1, noise(*shape, seed=1), layer(16)
    truth = plain_of(bn).double()
    found = outputs_and_gradients(bn, "none", x, grad)
    exact = outputs_and_gradients(truth, "none", x.double(), grad.double())
    assert all(distance(mine, true) < 1e-6 for mine, true in zip(found, exact, strict=True))
    totals, rows = batch_norm_cpu._totals(x)
    assert totals.shape == (64, 1, 2, 16)
    assert rows == 1250


def test_a_channel_does_not_depend_on_the_others() -> None:
    x, grad, whole = noise(3, 39, 8, 8), noise(3, 39, 8, 8, seed=1), layer(39)
    found = outputs_and_gradients(whole, "relu6", x, grad)
    for first, last in ((0, 16), (7, 30), (23, 39)):
        part = BatchNorm2d(last - first)
        part.load_state_dict(
            {name: value[first:last] if value.dim() else value for name, value in layer(39).state_dict().items()}
        )
        given = (tensor[:, first:last].contiguous(memory_format=torch.channels_last) for tensor in (x, grad))
        for mine, other in zip(found, outputs_and_gradients(part, "relu6", *given), strict=True):
            assert torch.equal(mine[:, first:last] if mine.dim() == 4 else mine[first:last], other)


@pytest.mark.parametrize("track", [True, False])
@pytest.mark.parametrize("momentum", [0.1, 1.0, 0.0, None])
def test_running_statistics_are_torchs(momentum: float | None, track: bool) -> None:
    bn = layer()
    plain = plain_of(bn)
    for step in range(3):
        for mine in (bn, plain):  # the loop of a training may change these at any time
            mine.momentum, mine.track_running_stats = momentum, track or step == 1
        x = noise(4, 20, 6, 6, seed=step) + step
        assert bn(x).grad_fn.name() == FAST
        plain(x)
        for mine, other in zip(bn.buffers(), plain.buffers(), strict=True):
            torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-6)
        assert bn.num_batches_tracked == plain.num_batches_tracked == (step + 1 if track else int(step > 0))


def test_without_statistics_from_the_start() -> None:
    bn = layer(track_running_stats=False)
    output = bn(noise(4, 20, 6, 6))
    assert output.grad_fn.name() == FAST
    torch.testing.assert_close(output, plain_of(bn)(noise(4, 20, 6, 6)), rtol=1e-5, atol=1e-5)
    assert bn.eval()(noise(4, 20, 6, 6)).grad_fn.name() != FAST


def test_statistics_do_not_depend_on_the_gradient() -> None:
    results = []
    for mode in (torch.enable_grad, torch.no_grad, torch.inference_mode):
        bn = layer()
        with mode():
            output = bn.followed_by(nn.ReLU6(), noise(4, 20, 6, 6))
        assert output.requires_grad == (mode is torch.enable_grad)
        results.append([output.detach(), bn.running_mean, bn.running_var])
    for others in results[1:]:
        assert all(torch.equal(mine, other) for mine, other in zip(results[0], others, strict=True))


PLAIN: dict[str, tuple[Callable[[], BatchNorm2d], Callable[[], Tensor]]] = {
    "evaluation": (lambda: layer().eval(), lambda: noise(2, 20, 8, 8)),
    "NCHW": (layer, lambda: noise(2, 20, 8, 8).contiguous()),
    "gaps": (layer, lambda: noise(2, 40, 8, 8)[:, ::2]),
    "few channels": (lambda: layer(15), lambda: noise(2, 15, 8, 8)),
    "float64": (lambda: layer().double(), lambda: noise(2, 20, 8, 8).double()),
    "bfloat16": (lambda: layer().bfloat16(), lambda: noise(2, 20, 8, 8).bfloat16()),
    "mixed": (layer, lambda: noise(2, 20, 8, 8).bfloat16()),
    "meta": (lambda: layer().to("meta"), lambda: noise(2, 20, 8, 8).to("meta")),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", PLAIN)
def test_everything_else_is_the_plain_bn(case: str) -> None:
    make_bn, make_input = PLAIN[case]
    bn, x, act = make_bn(), make_input(), nn.ReLU6()
    expected = act(nn.BatchNorm2d.forward(copy.deepcopy(bn), x))
    output = bn.followed_by(act, x)
    assert bn(x).grad_fn.name() != FAST
    assert output.grad_fn.name() == expected.grad_fn.name() != FAST
    assert output.device.type == "meta" or torch.equal(output, expected)


def test_small_tensors_are_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert layer(16)(noise(63, 16, 8, 8)).grad_fn.name() != FAST
    assert layer(16)(noise(64, 16, 8, 8)).grad_fn.name() == FAST


def test_errors_are_torchs() -> None:
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        layer()(noise(1, 20, 1, 1))
    with pytest.raises(ValueError, match="expected 4D input"):
        layer()(noise(4, 20))
    with pytest.raises(RuntimeError, match="should contain 24 elements"):
        layer()(noise(2, 24, 4, 4))


def test_no_fast_path_under_autocast_and_compilers(monkeypatch: pytest.MonkeyPatch) -> None:
    bn, x = layer(), noise(2, 20, 8, 8)
    assert bn(x).grad_fn.name() == FAST
    with torch.autocast("cpu", torch.bfloat16):
        assert bn(x).grad_fn.name() != FAST
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert bn(x).grad_fn.name() != FAST


def test_tensors_without_memory() -> None:
    with FakeTensorMode():
        output = BatchNorm2d(20)(torch.empty(2, 20, 8, 8).contiguous(memory_format=torch.channels_last))
        output.sum().backward()
    assert output.grad_fn.name() != FAST


def test_defaults_of_device_and_precision_do_not_matter() -> None:
    x, grad = noise(4, 20, 6, 6), noise(4, 20, 6, 6, seed=1)
    expected = outputs_and_gradients(layer(), "relu6", x, grad)
    bn = layer()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            found = outputs_and_gradients(bn, "relu6", x, grad)
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(mine, other) for mine, other in zip(found, expected, strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("act", ["relu6", None])
def test_torch_export_in_both_modes(act) -> None:
    x = noise(2, 24, 8, 8)
    for training in (True, False):
        block = ConvBN(24, 24, 3, act=act).train(training)
        exported = torch.export.export(block, (x,))
        assert "batch_norm" in str(exported.graph)
        expected = copy.deepcopy(block)(x)
        torch.testing.assert_close(exported.module()(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("act", ["relu6", "relu", None])
def test_a_block_is_the_sequence_of_its_parts(act) -> None:
    block, x = ConvBN(24, 40, 1, act=act), noise(4, 24, 8, 8)
    with torch.no_grad():
        block[1].bias.fill_(3.0)
    twin = nn.Sequential(*copy.deepcopy(block))
    twin[1] = plain_of(block[1])
    assert list(block.state_dict()) == list(twin.state_dict())
    assert [type(part) for part in block][2:] == ([] if act is None else [ACTIVATIONS[act]])
    for training in (False, True):
        block.train(training), twin.train(training)
        output, expected = block(x), twin(x)
        assert (output.grad_fn.name() == FAST) == training
        torch.testing.assert_close(output, expected, rtol=1e-5, atol=1e-5)
        assert training or torch.equal(output, expected)


def test_a_block_whose_parts_were_replaced() -> None:
    x = noise(4, 24, 8, 8)
    for index, part in ((1, nn.Identity()), (1, nn.BatchNorm2d(24)), (2, nn.Identity()), (2, nn.SiLU())):
        block = ConvBN(24, 24, 1, act="relu6")
        block[index] = part
        twin = nn.Sequential(*copy.deepcopy(block))
        torch.testing.assert_close(block(x), twin(x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("index", [1, 2])
def test_hooks_see_what_they_wait_for(index: int) -> None:
    block, x = ConvBN(24, 24, 1, act="relu6"), noise(4, 24, 8, 8)
    seen: list[Tensor] = []
    handle = block[index].register_forward_hook(lambda module, inputs, output: seen.append(output.detach().clone()))
    output = block(x)
    assert len(seen) == 1
    assert (seen[0].min() < 0) == (index == 1)
    handle.remove()
    torch.testing.assert_close(block(x), output, rtol=1e-5, atol=1e-5)
    assert len(seen) == 1
    assert block(x).grad_fn.name() == FAST


def test_nothing_that_backward_needs_is_overwritten() -> None:
    x = noise(4, 20, 6, 6).requires_grad_()
    features = x * 1
    before = features.detach().clone()
    output = layer().followed_by(nn.ReLU6(inplace=True), features)
    assert torch.equal(features, before)
    changed = output.add_(1)  # allowed: the backward pass does not read the output
    (again,) = torch.autograd.grad(changed.sum(), x, retain_graph=True)
    (expected,) = torch.autograd.grad(layer().followed_by(nn.ReLU6(), x).sum(), x)
    assert torch.equal(again, expected)
    features.add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        changed.sum().backward()


def test_gradients_in_any_format_are_read_as_what_they_are() -> None:
    x, grad = noise(4, 20, 6, 6), noise(4, 20, 6, 6, seed=1)
    expected = outputs_and_gradients(layer(), "relu6", x, grad)
    for other in (grad.contiguous(), torch.cat([grad, grad], 1)[:, 20:]):
        found = outputs_and_gradients(layer(), "relu6", x, other)
        assert all(torch.equal(mine, true) for mine, true in zip(found, expected, strict=True))
    ones = torch.ones(1).expand(4, 20, 6, 6)
    for mine, true in zip(
        outputs_and_gradients(layer(), "relu6", x, ones),
        outputs_and_gradients(layer(), "relu6", x, torch.ones_like(x)),
        strict=True,
    ):
        assert torch.equal(mine, true)


def test_frozen_parameters_and_inputs() -> None:
    x = noise(4, 20, 6, 6)
    bn = layer()
    bn.bias.requires_grad_(False)
    bn(x).sum().backward()
    assert bn.bias.grad is None
    assert bn.weight.grad is not None
    frozen = layer().requires_grad_(False)
    assert frozen(x).grad_fn is None
    (of_input,) = torch.autograd.grad(frozen(x.requires_grad_()).square().sum(), x)
    assert torch.equal(of_input, torch.autograd.grad(layer()(x).square().sum(), x)[0])


def test_copies_train_on_their_own() -> None:
    bn, x = layer(), noise(2, 20, 8, 8)
    twin = copy.deepcopy(bn)
    assert list(twin.state_dict()) == list(nn.BatchNorm2d(20).state_dict())
    twin(x).sum().backward()
    assert bn.weight.grad is None
    assert torch.equal(bn.running_mean, layer().running_mean)


def test_second_derivatives_are_refused() -> None:
    x = noise(2, 20, 8, 8).requires_grad_()
    (first,) = torch.autograd.grad(layer()(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_a_block_of_channels_is_the_kernels() -> None:
    assert FEWEST_CHANNELS == LANES


@pytest.mark.slow
def test_llvm_is_loaded_by_training_only() -> None:
    program = (
        "import sys, torch; from fairnas.nets.blocks import ConvBN;"
        "block, x = ConvBN(3, 16, 1), torch.ones(16, 3, 16, 16).contiguous(memory_format=torch.channels_last);"
        "block.eval()(x); before = 'llvmlite' in sys.modules; block.train()(x);"
        "print(before, 'llvmlite' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True"]
