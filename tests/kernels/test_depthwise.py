"""The fast weight gradient against float64, and everything the module must leave alone."""

import copy
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.utils.flop_counter import FlopCounterMode

from fairnas.kernels import depthwise_cpu, llvm
from fairnas.kernels.depthwise import DepthwiseConv2d
from fairnas.kernels.depthwise_cpu import input_gradient, weight_gradient

FAST = "_DepthwiseBackward"


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def layer(channels: int = 20, kernel: int = 5, stride: int = 1) -> DepthwiseConv2d:
    """Layer with the same weights at every call."""
    made = DepthwiseConv2d(channels, channels, kernel, stride, kernel // 2, groups=channels, bias=False)
    with torch.no_grad():
        made.weight.copy_(noise(*made.weight.shape, seed=1))
    return made


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def torch_gradients(x: Tensor, weight: Tensor, grad: Tensor, stride: int) -> list[Tensor]:
    """Gradients of input and weight, by torch."""
    channels, padding = weight.shape[0], weight.shape[-1] // 2
    x, weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    nn.functional.conv2d(x, weight, None, stride, padding, 1, channels).backward(grad)
    return [x.grad, weight.grad]


@pytest.mark.slow
@settings(deadline=None, max_examples=80)
@given(
    batch=st.integers(1, 5),
    channels=st.integers(1, 70),
    height=st.integers(1, 17),
    width=st.integers(1, 17),
    kernel=st.sampled_from([5, 7]),
    stride=st.integers(1, 3),
    channels_last=st.booleans(),
    seed=st.integers(0, 99),
)
def test_gradients_are_those_of_float64(
    batch: int, channels: int, height: int, width: int, kernel: int, stride: int, channels_last: bool, seed: int
) -> None:
    conv = layer(channels, kernel, stride)
    x = noise(batch, channels, height, width, seed=seed)
    if channels_last:
        x = x.contiguous(memory_format=torch.channels_last)
    x.requires_grad_()
    output = conv(x)
    grad = noise(*output.shape, seed=seed + 1)
    output.backward(grad)
    of_input, of_weight = torch_gradients(x.detach().double(), conv.weight.detach().double(), grad.double(), stride)
    torch.testing.assert_close(x.grad.double(), of_input, rtol=1e-5, atol=2e-5)
    torch.testing.assert_close(conv.weight.grad.double(), of_weight, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("kernel", [3, 9, 11])
def test_other_odd_kernels(kernel: int) -> None:
    x, grad = noise(2, 16, 12, 9), noise(2, 16, 6, 5, seed=1)
    weight = torch.zeros(16, 1, kernel, kernel)
    expected = torch_gradients(x.double(), weight.double(), grad.double(), 2)[1]
    torch.testing.assert_close(weight_gradient(x, grad, kernel, 2).double(), expected, rtol=1e-5, atol=1e-4)


def test_accurate_over_many_pixels() -> None:
    x, grad = noise(64, 16, 24, 24), noise(64, 16, 24, 24, seed=1)
    exact = torch_gradients(x.double(), torch.zeros(16, 1, 5, 5).double(), grad.double(), 1)[1]
    assert (weight_gradient(x, grad, 5, 1) - exact).abs().max() < 1e-5 * exact.abs().max()


def test_finite_differences() -> None:
    conv = layer(channels=2, kernel=5, stride=2)
    x = noise(1, 2, 6, 5).requires_grad_()
    mask = noise(1, 2, 3, 3, seed=2)

    def loss() -> Tensor:
        return (conv(x) * mask).sum()

    loss().backward()
    for tensor, gradient in ((x, x.grad), (conv.weight, conv.weight.grad)):
        flat = tensor.data.view(-1)
        for place in range(flat.numel()):
            value = flat[place].item()
            flat[place] = value + 0.5  # the loss is linear in each number, so the step may be large
            above = loss().item()
            flat[place] = value - 0.5
            assert gradient.view(-1)[place].item() == pytest.approx(above - loss().item(), abs=2e-5)
            flat[place] = value


@pytest.mark.parametrize("channels", [16, 40, 67])
def test_same_bits_again_and_with_any_number_of_threads(channels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llvm, "_WORK_OF_A_THREAD", 1)
    x, grad = noise(6, channels, 9, 9), noise(6, channels, 9, 9, seed=1)
    results = []
    for count in (1, 1, 2, 3, 8):
        torch.set_num_threads(count)
        results.append(weight_gradient(x, grad, 7, 1))
    assert all(torch.equal(results[0], other) for other in results[1:])


def test_a_channel_does_not_depend_on_the_others() -> None:
    x, grad = noise(3, 39, 8, 8), noise(3, 39, 8, 8, seed=1)
    whole = weight_gradient(x, grad, 5, 1)
    for first, last in ((0, 5), (7, 30), (30, 39)):
        assert torch.equal(whole[first:last], weight_gradient(x[:, first:last], grad[:, first:last], 5, 1))


@pytest.mark.parametrize(("work", "expected"), [(0, 1), (31_999_999, 1), (64_000_000, 2), (10**12, 4)])
def test_threads_only_where_there_is_work(work: int, expected: int) -> None:
    torch.set_num_threads(4)
    calls: list[tuple[int, int, int]] = []
    llvm.share_out(lambda first, last: calls.append((first, last, threading.get_ident())), blocks=7, work=work)
    assert len(calls) == expected
    assert sorted(block for first, last, _ in calls for block in range(first, last)) == list(range(7))
    assert any(ident == threading.get_ident() for *_, ident in calls)


def test_what_one_thread_raises_is_raised_when_all_have_ended() -> None:
    torch.set_num_threads(4)
    done: list[int] = []

    def failing(first: int, last: int) -> None:
        if first == 3:
            raise MemoryError("no room")
        time.sleep(0.01)
        done.append(first)

    with pytest.raises(MemoryError, match="no room"):
        llvm.share_out(failing, blocks=7, work=10**12)
    assert sorted(done) == [0, 1, 5]


def test_calls_from_several_threads() -> None:
    depthwise_inputs = [(noise(4, 24, 8, 8, seed=n), noise(4, 24, 8, 8, seed=n + 9)) for n in range(4)]
    found: dict[int, Tensor] = {}

    def work(n: int) -> None:
        found[n] = weight_gradient(*depthwise_inputs[n], 5, 1)

    workers = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(torch.equal(found[n], weight_gradient(*depthwise_inputs[n], 5, 1)) for n in range(4))


def test_formats_of_memory() -> None:
    """Gradients that are expanded, transposed or have gaps are read as what they are."""
    x = noise(2, 20, 8, 8)
    ones = torch.ones(1).expand(2, 20, 8, 8)
    assert torch.equal(weight_gradient(x, ones, 5, 1), weight_gradient(x, ones.contiguous(), 5, 1))
    turned = x.transpose(2, 3)
    assert torch.equal(weight_gradient(turned, x, 5, 1), weight_gradient(turned.contiguous(), x, 5, 1))
    gaps = noise(2, 40, 8, 8)[:, ::2]
    assert torch.equal(weight_gradient(gaps, x, 5, 1), weight_gradient(gaps.contiguous(), x, 5, 1))


def test_no_images_no_gradient() -> None:
    assert torch.equal(weight_gradient(noise(0, 20, 8, 8), noise(0, 20, 8, 8), 5, 1), torch.zeros(20, 1, 5, 5))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("kernel", [5, 7])
def test_forward_is_torchs_to_the_bit(kernel: int, stride: int) -> None:
    conv, x = layer(48, kernel, stride), noise(8, 48, 15, 15).contiguous(memory_format=torch.channels_last)
    expected = nn.functional.conv2d(x, conv.weight, None, stride, kernel // 2, 1, 48)
    output = conv(x)
    assert output.grad_fn.name() == FAST
    assert torch.equal(output, expected)
    assert output.stride() == expected.stride()


PLAIN: dict[str, tuple[Callable[[], DepthwiseConv2d], Callable[[], Tensor]]] = {
    "evaluation": (lambda: layer().eval(), lambda: noise(2, 20, 8, 8)),
    "frozen weight": (lambda: layer().requires_grad_(False), lambda: noise(2, 20, 8, 8).requires_grad_()),
    "kernel 3": (lambda: layer(kernel=3), lambda: noise(2, 20, 8, 8)),
    "float64": (lambda: layer().double(), lambda: noise(2, 20, 8, 8).double()),
    "bfloat16": (lambda: layer().bfloat16(), lambda: noise(2, 20, 8, 8).bfloat16()),
    "meta": (lambda: layer().to("meta"), lambda: noise(2, 20, 8, 8).to("meta")),
    "one image": (layer, lambda: noise(20, 8, 8)),
    "bias": (lambda: DepthwiseConv2d(20, 20, 5, 1, 2, groups=20), lambda: noise(2, 20, 8, 8)),
    "dilation": (lambda: DepthwiseConv2d(20, 20, 5, 1, 2, 2, 20, bias=False), lambda: noise(2, 20, 9, 9)),
    "padding": (lambda: DepthwiseConv2d(20, 20, 5, 1, 0, groups=20, bias=False), lambda: noise(2, 20, 8, 8)),
    "padding same": (lambda: DepthwiseConv2d(20, 20, 5, 1, "same", groups=20, bias=False), lambda: noise(2, 20, 8, 8)),
    "reflection": (
        lambda: DepthwiseConv2d(20, 20, 5, 1, 2, groups=20, bias=False, padding_mode="reflect"),
        lambda: noise(2, 20, 8, 8),
    ),
    "few groups": (lambda: DepthwiseConv2d(20, 20, 5, 1, 2, groups=10, bias=False), lambda: noise(2, 20, 8, 8)),
    "more outputs": (lambda: DepthwiseConv2d(20, 40, 5, 1, 2, groups=20, bias=False), lambda: noise(2, 20, 8, 8)),
    "not square": (
        lambda: DepthwiseConv2d(20, 20, (5, 3), 1, (2, 1), groups=20, bias=False),
        lambda: noise(2, 20, 8, 8),
    ),
    "two strides": (lambda: DepthwiseConv2d(20, 20, 5, (1, 2), 2, groups=20, bias=False), lambda: noise(2, 20, 8, 8)),
}


@pytest.mark.parametrize("case", PLAIN)
def test_everything_else_is_the_plain_convolution(case: str) -> None:
    make_conv, make_input = PLAIN[case]
    conv, x = make_conv(), make_input()
    plain = nn.Conv2d.forward(conv, x)
    output = conv(x)
    assert output.grad_fn.name() == plain.grad_fn.name() != FAST
    assert output.device.type == "meta" or torch.equal(output, plain)


def test_no_gradient_no_autocast_no_fast_path() -> None:
    conv, x = layer(), noise(2, 20, 8, 8)
    assert conv(x).grad_fn.name() == FAST
    with torch.no_grad():
        assert conv(x).grad_fn is None
    with torch.inference_mode():
        assert conv(x).grad_fn is None
    with torch.autocast("cpu", torch.bfloat16):
        assert conv(x).grad_fn.name() != FAST


def test_tensors_without_memory() -> None:
    with FakeTensorMode():
        output = DepthwiseConv2d(20, 20, 5, 1, 2, groups=20, bias=False)(torch.empty(2, 20, 8, 8))
        output.sum().backward()
    assert output.grad_fn.name() != FAST


@pytest.mark.filterwarnings("default")
def test_torch_export_in_both_modes() -> None:
    for conv in (layer(), layer().eval()):
        exported = torch.export.export(conv, (noise(2, 20, 8, 8),))
        assert "conv2d" in str(exported.graph)
        assert torch.equal(exported.module()(noise(2, 20, 8, 8)), conv(noise(2, 20, 8, 8)))


def test_evaluation_is_bit_equal_and_folds_with_bn() -> None:
    conv, x = layer().eval(), noise(2, 20, 8, 8)
    plain = nn.Conv2d(20, 20, 5, 1, 2, groups=20, bias=False).eval()
    plain.load_state_dict(conv.state_dict())
    assert torch.equal(conv(x), plain(x))
    bn = nn.BatchNorm2d(20).eval()
    bn.running_mean.copy_(noise(20))
    assert torch.equal(fuse_conv_bn_eval(conv, bn)(x), fuse_conv_bn_eval(plain, bn)(x))


def test_copies_train_on_their_own() -> None:
    conv, x = layer(), noise(2, 20, 8, 8)
    twin = copy.deepcopy(conv)
    assert list(twin.state_dict()) == ["weight"]
    twin(x).sum().backward()
    assert conv.weight.grad is None
    conv(x).sum().backward()
    assert torch.equal(conv.weight.grad, twin.weight.grad)


def test_multiply_adds_of_the_forward_pass_are_counted() -> None:
    with FlopCounterMode(display=False) as counter:
        layer()(noise(2, 20, 8, 8))
    assert counter.get_total_flops() == 2 * 2 * 20 * 8 * 8 * 25


def test_a_compiler_sees_the_plain_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    assert layer()(noise(2, 20, 8, 8)).grad_fn.name() != FAST


def test_no_gradient_of_an_input_that_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    conv, x = layer(), noise(2, 20, 8, 8)
    calls: list[int] = []
    monkeypatch.setattr(depthwise_cpu, "input_gradient", lambda *given: calls.append(1) or input_gradient(*given))
    conv(x).sum().backward()
    assert not calls
    conv(x.requires_grad_()).sum().backward()
    assert calls == [1]


def test_second_derivatives_are_refused() -> None:
    conv, x = layer(), noise(2, 20, 8, 8).requires_grad_()
    (first,) = torch.autograd.grad(conv(x).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


@pytest.mark.slow
def test_llvm_is_loaded_by_training_only() -> None:
    program = (
        "import sys, torch; from fairnas.kernels.depthwise import DepthwiseConv2d;"
        "conv = DepthwiseConv2d(20, 20, 5, 1, 2, groups=20, bias=False).eval(); conv(torch.ones(1, 20, 8, 8));"
        "print('llvmlite' in sys.modules); conv.train()(torch.ones(1, 20, 8, 8)); print('llvmlite' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "True"]
