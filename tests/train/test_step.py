"""One supernet step: what gets which gradient (Algorithm 1)."""

import pytest
import torch
from torch.nn import functional

from fairnas.config import TrainConfig
from fairnas.fairness import StrictSampler, UniformSampler
from fairnas.nets import Supernet
from fairnas.space import Stage, Stem, chain_space
from fairnas.train import supernet_step
from fairnas.train.loop import make_optimizer

SPACE = chain_space(
    "tiny", image_size=8, stem=Stem(4, 1), stages=(Stage(4, 2), Stage(6, 1, 2)), head=8, kernels=(3, 5), num_classes=3
)
CONFIG = TrainConfig(epochs=1, batch_size=6, lr=0.1, momentum=0.9, weight_decay=0.01)


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(6, 3, 8, 8, generator=generator).to(memory_format=torch.channels_last)
    return images, torch.tensor([0, 1, 2, 0, 1, 2])


def gradients_of_one_path(genome):
    supernet = Supernet(SPACE).train()
    images, labels = batch()
    functional.cross_entropy(supernet(images, genome), labels).backward()
    return {name: p.grad for name, p in supernet.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("shared_gradient", ["sum", "mean"])
def test_a_block_gets_the_gradient_of_its_path_and_shared_weights_get_all(shared_gradient):
    paths = StrictSampler(SPACE.choices, 0).paths(0)
    supernet = Supernet(SPACE).train()
    frozen = torch.optim.SGD(supernet.parameters(), lr=0.0)
    result = supernet_step(supernet, *batch(), paths, frozen, shared_gradient)
    alone = [gradients_of_one_path(genome) for genome in paths]
    for name, parameter in supernet.named_parameters():
        expected = sum(gradients[name] for gradients in alone if name in gradients)
        if not name.startswith("layers.") and shared_gradient == "mean":
            expected = expected / len(paths)
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-6)
        on_paths = sum(name in gradients for gradients in alone)
        assert on_paths == (1 if name.startswith("layers.") else len(paths))
    assert result.paths == paths
    assert all(all(row) for row in result.trained)


def test_the_loss_is_the_mean_over_the_paths():
    paths = StrictSampler(SPACE.choices, 0).paths(0)
    supernet = Supernet(SPACE).train()
    images, labels = batch()
    expected = [functional.cross_entropy(Supernet(SPACE).train()(images, g), labels).item() for g in paths]
    result = supernet_step(supernet, images, labels, paths, torch.optim.SGD(supernet.parameters(), lr=0.0))
    assert result.loss.item() == pytest.approx(sum(expected) / len(paths), rel=1e-5)


def test_bn_of_shared_layers_sees_every_path_and_that_of_a_block_sees_its_own():
    supernet = Supernet(SPACE).train()
    paths = StrictSampler(SPACE.choices, 0).paths(0)
    supernet_step(supernet, *batch(), paths, make_optimizer(supernet, CONFIG))
    for name, buffer in supernet.named_buffers():
        if name.endswith("num_batches_tracked"):
            assert buffer.item() == (1 if name.startswith("layers.") else len(paths))


def test_neither_momentum_nor_decay_moves_an_idle_block():
    supernet = Supernet(SPACE).train()
    optimizer = make_optimizer(supernet, CONFIG)
    strict, uniform = StrictSampler(SPACE.choices, 0), UniformSampler(SPACE.choices, 0)
    supernet_step(supernet, *batch(), strict.paths(0), optimizer)  # now every block has momentum
    before = {name: p.detach().clone() for name, p in supernet.named_parameters()}
    paths = uniform.paths(1)
    result = supernet_step(supernet, *batch(1), paths, optimizer)
    for layer, row in enumerate(result.trained):
        assert row == tuple(choice == paths[0][layer] for choice in range(len(row)))
    for name, parameter in supernet.named_parameters():
        on_path = not name.startswith("layers.") or int(name.split(".")[2]) == paths[0][int(name.split(".")[1])]
        assert torch.equal(parameter, before[name]) is not on_path, name


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_fused_optimizer_is_plain_sgd(momentum):
    config = TrainConfig(lr=0.1, momentum=momentum, weight_decay=0.01)
    fused, plain = Supernet(SPACE).train(), Supernet(SPACE).train()
    ours = make_optimizer(fused, config)
    theirs = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=momentum, weight_decay=0.01, foreach=False)
    sampler = UniformSampler(SPACE.choices, 0)
    for step in range(5):
        supernet_step(fused, *batch(step), sampler.paths(step), ours)
        supernet_step(plain, *batch(step), sampler.paths(step), theirs)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(fused.get_parameter(name), parameter, rtol=1e-5, atol=1e-7)
