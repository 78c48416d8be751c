import pytest
import torch
from torch import Tensor, nn

from fairnas import zoo
from fairnas.errors import SpaceError, UnknownNameError
from fairnas.export import Preprocessing, Product, check_parity
from fairnas.export.graph import to_onnx
from fairnas.nets import build
from fairnas.space import get_space

NAMES = tuple(zoo.NETWORKS)

# multiply-adds and parameters, by arithmetic over the published layer lists
COUNTS = {
    "fairnas_a": (388_122_848, 4_651_352),
    "fairnas_b": (345_297_632, 4_506_272),
    "fairnas_c": (321_024_992, 4_397_864),
    "mobilenet_v2": (300_774_272, 3_504_872),
}


def test_the_networks_are_those_of_table_2_that_the_spaces_express() -> None:
    assert tuple(COUNTS) == NAMES
    assert all(entry.name == name for name, entry in zoo.NETWORKS.items())


@pytest.mark.parametrize("name", NAMES)
def test_counts_are_exact_and_those_of_an_independent_counter(name: str) -> None:
    madds, params = COUNTS[name]
    row = zoo.row(name)
    assert (row["madds"], row["params"]) == (madds, params)
    network = zoo.create(name)
    assert _count_by_hooks(network) == madds
    assert sum(parameter.numel() for parameter in network.parameters()) == params


def _count_by_hooks(network: nn.Module) -> int:
    total = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(module, nn.Conv2d):
            total += output.numel() * module.weight[0].numel()
        elif isinstance(module, nn.Linear):
            total += output.numel() * module.in_features

    for module in network.modules():
        module.register_forward_hook(count)
    network = network.to("meta").eval()
    network(torch.empty(1, 3, 224, 224, device="meta"))
    return total


@pytest.mark.parametrize(
    ("name", "verdict"),
    [
        ("fairnas_a", "match"),  # 4.651 M parameters are printed as 4.6: cut
        ("fairnas_b", "match"),
        ("fairnas_c", "match"),  # 4.398 M parameters are printed as 4.4: rounded
        ("mobilenet_v2", "differs by +3.1 % in params"),
    ],
)
def test_verdict_beside_the_paper(name: str, verdict: str) -> None:
    row = zoo.row(name)
    assert row["verdict"] == verdict
    assert set(row) == {"name", "madds", "params", "paper", "genome", "space", "source", "verdict"}
    assert set(row["paper"]) == {"madds_millions", "params_millions", "latency_ms", "top1", "top5"}
    assert row["source"]


def test_paper_figures_are_as_printed() -> None:
    assert zoo.row("fairnas_a")["paper"] == {
        "madds_millions": 388,
        "params_millions": 4.6,
        "latency_ms": 104,
        "top1": 75.34,
        "top5": 92.4,
    }


@pytest.mark.parametrize("name", NAMES)
def test_forward_at_two_sizes_and_gradient_everywhere(name: str) -> None:
    network = zoo.create(name, num_classes=5, seed=3).train()
    logits = network(torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert logits.shape == (2, 5)
    logits.square().sum().backward()
    silent = [key for key, value in network.named_parameters() if value.grad is None or not value.grad.any()]
    assert silent == []
    with torch.no_grad():
        assert network.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 5)


@pytest.mark.parametrize("name", NAMES)
def test_state_dict_goes_round(name: str) -> None:
    first, second = (zoo.create(name, num_classes=5, seed=seed).eval() for seed in (0, 1))
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert not torch.equal(first(images), second(images))
        second.load_state_dict(first.state_dict())
        assert torch.equal(first(images), second(images))


def test_seed_and_dropout_are_passed_on() -> None:
    one, same, other = (zoo.create("fairnas_c", 5, seed=seed) for seed in (4, 4, 5))
    weight = one.head.classifier.weight
    assert torch.equal(weight, same.head.classifier.weight)
    assert not torch.equal(weight, other.head.classifier.weight)
    assert zoo.create("fairnas_c", 5, dropout=0.2).head.dropout.p == 0.2


def test_onnx_computes_the_same() -> None:
    entry = zoo.NETWORKS["fairnas_c"]
    network = build(get_space(entry.space).for_data(image_size=32, num_classes=5), entry.genome)
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # statistics of the images below, without which none would reach the logits
    images = torch.randn(16, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        network.train()(images)
        for norm in norms:
            assert norm.running_var is not None
            norm.running_var.clamp_(min=1e-3)  # channels that are nearly dead would amplify rounding errors
        assert network.eval()(images).std(dim=0).min() > 0.05
    preprocessing = Preprocessing(32, 3, (0.5,) * 3, (0.25,) * 3)
    product = Product(network, tuple("abcde"), preprocessing, measures={}, provenance={})
    assert check_parity(network, to_onnx(product)) < 5e-5


def test_unknown_name_names_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown network 'fairnas_d'; did you mean 'fairnas_.'\?"):
        zoo.create("fairnas_d")
    with pytest.raises(UnknownNameError, match=r"unknown network 'vgg' \(networks: fairnas_a, .*mobilenet_v2\)"):
        zoo.row("vgg")


def test_impossible_number_of_classes() -> None:
    with pytest.raises(SpaceError, match="num_classes of space 'proxyless' is 0; give 1 or more"):
        zoo.create("fairnas_a", 0)
