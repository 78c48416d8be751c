"""One supernet step: what gets which gradient (Algorithm 1)."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn import functional

from fairnas.config import TrainConfig
from fairnas.fairness import StrictSampler, UniformSampler
from fairnas.nets import Supernet, batch_norms, build
from fairnas.space import Stage, Stem, chain_space
from fairnas.train import StepContext, StepResult, supernet_step
from fairnas.train.loop import make_optimizer

SPACE = chain_space(
    "tiny", image_size=8, stem=Stem(4, 1), stages=(Stage(4, 2), Stage(6, 1, 2)), head=8, kernels=(3, 5), num_classes=3
)
CONFIG = TrainConfig(epochs=1, batch_size=6, lr=0.1, momentum=0.9, weight_decay=0.01)


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(6, 3, 8, 8, generator=generator).to(memory_format=torch.channels_last)
    return images, torch.tensor([0, 1, 2, 0, 1, 2])


def step(supernet, data, paths, optimizer, config=CONFIG) -> StepResult:
    return supernet_step(StepContext(supernet, optimizer, config), [(data, paths)])


def rows(counts) -> list[list[int]]:
    return [row.tolist() for row in np.split(counts, np.cumsum(SPACE.choices)[:-1])]


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
    config = dataclasses.replace(CONFIG, shared_gradient=shared_gradient)
    result = step(supernet, batch(), paths, frozen, config)
    alone = [gradients_of_one_path(genome) for genome in paths]
    for name, parameter in supernet.named_parameters():
        expected = sum(gradients[name] for gradients in alone if name in gradients)
        if not name.startswith("layers.") and shared_gradient == "mean":
            expected = expected / len(paths)
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-6)
        on_paths = sum(name in gradients for gradients in alone)
        assert on_paths == (1 if name.startswith("layers.") else len(paths))
    assert result.backward_passes == len(paths)
    assert rows(result.passes) == rows(result.updates) == [[1] * m for m in SPACE.choices]


def test_the_loss_is_the_mean_over_the_paths():
    paths = StrictSampler(SPACE.choices, 0).paths(0)
    supernet = Supernet(SPACE).train()
    images, labels = batch()
    expected = [functional.cross_entropy(Supernet(SPACE).train()(images, g), labels).item() for g in paths]
    result = step(supernet, (images, labels), paths, torch.optim.SGD(supernet.parameters(), lr=0.0))
    assert result.loss.item() == pytest.approx(sum(expected) / len(paths), rel=1e-5)


def test_bn_of_shared_layers_sees_every_path_and_that_of_a_block_sees_its_own():
    supernet = Supernet(SPACE).train()
    paths = StrictSampler(SPACE.choices, 0).paths(0)
    step(supernet, batch(), paths, make_optimizer(supernet, CONFIG))
    for name, buffer in supernet.named_buffers():
        if name.endswith("num_batches_tracked"):
            assert buffer.item() == (1 if name.startswith("layers.") else len(paths))


def test_neither_momentum_nor_decay_moves_an_idle_block():
    supernet = Supernet(SPACE).train()
    optimizer = make_optimizer(supernet, CONFIG)
    strict, uniform = StrictSampler(SPACE.choices, 0), UniformSampler(SPACE.choices, 0)
    step(supernet, batch(), strict.paths(0), optimizer)  # now every block has momentum
    before = {name: p.detach().clone() for name, p in supernet.named_parameters()}
    paths = uniform.paths(1)
    result = step(supernet, batch(1), paths, optimizer)
    for layer, row in enumerate(rows(result.updates)):
        assert row == [choice == paths[0][layer] for choice in range(len(row))]
    for name, parameter in supernet.named_parameters():
        on_path = not name.startswith("layers.") or int(name.split(".")[2]) == paths[0][int(name.split(".")[1])]
        assert torch.equal(parameter, before[name]) is not on_path, name


@pytest.mark.parametrize("idle_blocks", ["rest", "momentum", "decay", "both"])
def test_idle_blocks_do_what_the_setting_says(idle_blocks):
    config = dataclasses.replace(CONFIG, idle_blocks=idle_blocks)
    supernet = Supernet(SPACE).train()
    optimizer = make_optimizer(supernet, config)
    step(supernet, batch(), StrictSampler(SPACE.choices, 0).paths(0), optimizer, config)
    before = {name: p.detach().clone() for name, p in supernet.named_parameters()}
    momentum = {name: optimizer.state[p]["momentum_buffer"].clone() for name, p in supernet.named_parameters()}
    (path,) = UniformSampler(SPACE.choices, 0).paths(1)
    result = step(supernet, batch(1), [path], optimizer, config)
    for name, parameter in supernet.named_parameters():
        part, layer, choice = [*name.split("."), ""][:3]
        if part != "layers" or int(choice) == path[int(layer)]:
            continue
        old, speed, decay = before[name], momentum[name], config.weight_decay * before[name]
        moved = {
            "rest": 0 * old,
            "momentum": config.momentum * speed,
            "decay": decay,
            "both": config.momentum * speed + decay,
        }[idle_blocks]
        torch.testing.assert_close(parameter, old - config.lr * moved, rtol=1e-6, atol=1e-8)
        assert torch.equal(parameter, old) is (idle_blocks == "rest")
    assert sum(map(sum, rows(result.updates))) == SPACE.depth  # moved or not, an idle block was not trained


def test_long_gradients_are_cut_to_the_norm():
    supernet = Supernet(SPACE).train()
    frozen = torch.optim.SGD(supernet.parameters(), lr=0.0)
    paths = StrictSampler(SPACE.choices, 0).paths(0)
    free = step(supernet, batch(), paths, frozen)
    whole = torch.cat([p.grad.flatten() for p in supernet.parameters()])
    clipped = step(supernet, batch(), paths, frozen, dataclasses.replace(CONFIG, clip_norm=0.5))
    cut = torch.cat([p.grad.flatten() for p in supernet.parameters()])
    assert whole.norm() > 0.5
    assert cut.norm().item() == pytest.approx(0.5, rel=1e-4)
    torch.testing.assert_close(cut, whole * 0.5 / whole.norm(), rtol=1e-3, atol=1e-6)
    # the ledger hears of the gradients as they were
    torch.testing.assert_close(clipped.gradient_norms, free.gradient_norms, rtol=1e-3, atol=1e-6)


def test_gradient_norms_are_those_of_each_block():
    supernet = Supernet(SPACE).train()
    (path,) = UniformSampler(SPACE.choices, 0).paths(0)
    result = step(supernet, batch(), [path], torch.optim.SGD(supernet.parameters(), lr=0.0))
    position = 0
    for layer, count in enumerate(SPACE.choices):
        for choice in range(count):
            gradients = [p.grad.flatten() for p in supernet.block(layer, choice).parameters() if p.grad is not None]
            expected = torch.cat(gradients).norm().item() if gradients else 0.0
            assert result.gradient_norms[position].item() == pytest.approx(expected, rel=1e-5)
            assert (expected > 0) is (choice == path[layer])
            position += 1


def test_bn_of_the_supernet_is_as_configured():
    plain = Supernet(SPACE, bn_affine=False, bn_momentum=0.25)
    assert {norm.momentum for norm in batch_norms(plain)} == {0.25}
    assert all(norm.weight is None and norm.bias is None for norm in batch_norms(plain))
    step(plain.train(), batch(), StrictSampler(SPACE.choices, 0).paths(0), make_optimizer(plain, CONFIG))
    plain.eval()
    genome = (1, 2, 3)
    network = build(SPACE, genome, inherit=plain).eval()
    assert torch.equal(network(batch()[0]), plain(batch()[0], genome))
    assert all(norm.weight is not None for norm in batch_norms(network))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_fused_optimizer_is_plain_sgd(momentum):
    config = TrainConfig(lr=0.1, momentum=momentum, weight_decay=0.01)
    fused, plain = Supernet(SPACE).train(), Supernet(SPACE).train()
    ours = make_optimizer(fused, config)
    theirs = torch.optim.SGD(plain.parameters(), lr=0.1, momentum=momentum, weight_decay=0.01, foreach=False)
    sampler = UniformSampler(SPACE.choices, 0)
    for number in range(5):
        step(fused, batch(number), sampler.paths(number), ours, config)
        step(plain, batch(number), sampler.paths(number), theirs, config)
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(fused.get_parameter(name), parameter, rtol=1e-5, atol=1e-7)
