"""Every family of networks of the zoo computes the same in onnxruntime."""

import pytest
import torch
from torch import nn

from fairnas import zoo
from fairnas.export import Preprocessing, Product, check_parity
from fairnas.export.graph import graph_of, to_onnx
from fairnas.nets import StandAlone
from fairnas.zoo.darts import DartsImageNet

SIZE = 32
BUILT = [name for name, entry in zoo.NETWORKS.items() if entry.architecture is not None]
OF_THE_SAME_MODULES = [
    "fairnas_a",
    "fairnas_b",
    "fairnas_b_se",
    "fairnas_c_se",
    "proxyless_cpu",
    "proxyless_gpu",
    "fbnet_b",
]
"""Networks of the same families as others that are tested, of other widths and orders; exporting takes seconds each."""
WITH_HALF_THE_SQUEEZE = [name for name in BUILT if name.endswith("_05")]  # the same modules as those without _05


@pytest.mark.parametrize("name", [name for name in BUILT if name not in OF_THE_SAME_MODULES + WITH_HALF_THE_SQUEEZE])
def test_onnx_computes_the_same(name: str) -> None:
    # fewer cells of the same kinds, as exporting takes a second for each
    network = DartsImageNet(5, depth=6) if name == "darts" else zoo.create(name, 5, image_size=SIZE)
    images = torch.randn(64, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        settle(network, images)
        assert network(images).std(dim=0).min() > (0.5 if name == "darts" else 1)
    if isinstance(network, StandAlone):
        product = Product(network, tuple("abcde"), Preprocessing(SIZE, 3, (0.5,) * 3, (0.25,) * 3), {}, {})
        check_parity(network, to_onnx(product))  # raises above 1e-4
    else:
        assert largest_error(network) < 3e-4  # in so deep a network, float32 itself is off by 4e-5


def settle(network: nn.Module, images: torch.Tensor) -> None:
    """Give BN the statistics of some images; without them none would reach the logits of a new network."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    network.train()(images)
    for norm in norms:
        assert norm.running_var is not None
        # channels that are nearly dead amplify rounding errors
        norm.running_var.clamp_(min=0.1 * float(norm.running_var.mean()))
    network.eval()


def largest_error(network: nn.Module) -> float:
    """Error of a network that is no chain, at two batch sizes, relative to the largest output."""
    import onnxruntime

    model = graph_of(network, (3, SIZE, SIZE), ("logits",))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    worst = 0.0
    for batch in (1, 7):
        images = torch.randn(batch, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(batch))
        with torch.no_grad():
            expected = network(images)
        found = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: images.numpy()})[0])
        assert found.shape == expected.shape
        worst = max(worst, float((found - expected).abs().max() / max(1.0, expected.abs().max())))
    return worst
