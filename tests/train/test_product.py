"""The product recipe: each of its tricks against a second, plain computation of it."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fairnas.config import RetrainConfig, TrainConfig
from fairnas.nets import batch_norms, build
from fairnas.train import DivergedError, LoopOptions, train
from fairnas.train.average import MovingAverage
from fairnas.train.mixture import blanked, mixture
from fairnas.train.product import global_seed, product_optimizer, product_schedule, product_training
from fairnas.train.rmsprop import RMSProp
from fairnas.train.schedule import WarmStaircase

CPU = torch.device("cpu")
PLAIN = RetrainConfig(recipe="product", label_smoothing=0, dropout=0, average=0)
GENOME = (0, 1, 2)


def make(space, settings=PLAIN, config=None, teacher=None, seed=0):
    return product_training(space, GENOME, settings, config or TrainConfig(), seed, CPU, teacher=teacher)


@pytest.fixture(scope="module")
def batch():
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(12, 1, 8, 8, generator=rng).contiguous(memory_format=torch.channels_last)
    return images, torch.randint(0, 10, (12,), generator=rng)


@pytest.mark.parametrize("weight_decay", [0.0, 0.01])
def test_rmsprop_is_tensorflows(weight_decay):
    rng = np.random.default_rng(0)
    w = rng.normal(size=5)
    parameter = nn.Parameter(torch.tensor(w))
    ours = RMSProp([parameter], 0.1, decay=0.9, momentum=0.8, epsilon=1e-3, weight_decay=weight_decay)
    square, momentum = np.ones(5), np.zeros(5)
    for lr in (0.1, 0.1, 0.05, 0.2, 0.0):
        gradient = rng.normal(size=5) * 0.01
        parameter.grad = torch.tensor(gradient)
        ours.param_groups[0]["lr"] = lr
        ours.step()
        gradient = gradient + weight_decay * w
        square = 0.9 * square + 0.1 * gradient**2
        momentum = 0.8 * momentum + lr * gradient / np.sqrt(square + 1e-3)
        w = w - momentum
        np.testing.assert_allclose(parameter.detach().numpy(), w, rtol=1e-12)


def test_weight_decay_is_on_all_but_bn(space):
    network = build(space, GENOME)
    decayed, spared = product_optimizer(network, RetrainConfig(weight_decay=0.5, recipe="product")).param_groups
    names = {parameter: name for name, parameter in network.named_parameters()}
    of_bn = {name for name, part in network.named_modules() if isinstance(part, nn.BatchNorm2d)}
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.5, 0)
    assert {names[parameter].rpartition(".")[0] for parameter in spared["params"]} == of_bn
    assert len(decayed["params"]) + len(spared["params"]) == len(names)
    assert "head.classifier.bias" in {names[parameter] for parameter in decayed["params"]}


def test_the_rate_warms_up_and_falls_in_stairs_as_mnasnets():
    settings = RetrainConfig(recipe="product")
    schedule = product_schedule(settings, TrainConfig(epochs=350, batch_size=4096))
    assert schedule == WarmStaircase(0.256, 5, 2.4, 0.97, schedule.remedy)
    known = {0: 0.0, 250: 0.128, 499: 0.256 * 499 / 500, 500: 0.256 * 0.97**2, 719: 0.256 * 0.97**2}
    known |= {720: 0.256 * 0.97**3, 34_999: 0.256 * 0.97**145}
    for step, rate in known.items():
        assert schedule.rate(step, 35_000, 100) == pytest.approx(rate)
    shorter = product_schedule(settings, TrainConfig(epochs=35, batch_size=4096))
    assert [shorter.rate(step, 3500, 100) for step in (25, 49, 50, 71, 73)] == pytest.approx(
        [schedule.rate(step, 35_000, 100) for step in (250, 490, 500, 710, 730)]
    )
    longer = dataclasses.replace(settings, warmup_epochs=0, decay_epochs=10, decay=0.5)
    schedule = product_schedule(longer, TrainConfig(epochs=35, batch_size=256))
    assert [schedule.rate(step, 0, 1) for step in (0, 9, 10, 34)] == [0.016, 0.016, 0.008, 0.002]


def test_the_average_follows_weights_and_statistics(space, batch):
    training = make(space, dataclasses.replace(PLAIN, average=0.25))
    expected = {name: value.double() for name, value in training.network.state_dict().items()}
    for step, kept in enumerate((2 / 11, 3 / 12, 0.25, 0.25)):
        training.step([batch], step, 10)
        for name, value in training.network.state_dict().items():
            counts = name.endswith("num_batches_tracked")
            expected[name] = value.double() if counts else kept * expected[name] + (1 - kept) * value.double()
    assert training.average is not None
    assert not training.average.module.training
    assert not any(parameter.requires_grad for parameter in training.average.module.parameters())
    for name, value in training.average.module.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-7)
    assert MovingAverage(nn.Linear(1, 1), 0.9999).kept_at(10**6) == 0.9999


TRICKS = {
    "none": {},
    "label smoothing": {"label_smoothing": 0.3},
    "mixup": {"mixup": 0.8, "label_smoothing": 0.1},
    "cutout": {"cutout": 4},
    "distillation": {"distillation": 0.7, "temperature": 3.0},
    "all": {"label_smoothing": 0.2, "mixup": 0.4, "cutout": 3, "distillation": 0.4, "temperature": 2.0},
}


def plain_loss(network, settings, mixed, teacher):
    """Loss computed from targets written out as shares of all classes."""
    logits = network(mixed.images).detach().double()
    classes = torch.eye(10, dtype=torch.float64)
    wanted = mixed.share * classes[mixed.labels] + (1 - mixed.share) * classes[mixed.others]
    wanted = (1 - settings.label_smoothing) * wanted + settings.label_smoothing / 10
    loss = -(wanted * logits.log_softmax(1)).sum(1).mean()
    if not settings.distillation:
        return loss
    hot = settings.temperature
    taught, ours = ((each.detach().double() / hot).softmax(1) for each in (teacher(mixed.images), logits))
    distance = hot**2 * (taught * (taught / ours).log()).sum(1).mean()
    return (1 - settings.distillation) * loss + settings.distillation * distance


@pytest.mark.parametrize("changes", TRICKS.values(), ids=TRICKS)
def test_the_loss_has_every_trick(changes, space, batch):
    settings = dataclasses.replace(PLAIN, **changes)
    other = build(space, (1, 1, 1), seed=3).eval()
    teacher = other if settings.distillation else None
    training = make(space, settings, teacher=teacher, seed=5)
    network = copy.deepcopy(training.network).train()
    mixed = mixture(*batch, mixup=settings.mixup, cutout=settings.cutout, seed=5, step=7)
    expected = plain_loss(network, settings, mixed, other)
    before = plain_loss(network, PLAIN, mixture(*batch, mixup=0, cutout=0, seed=5, step=7), other)
    assert (abs(float(expected - before)) > 1e-3) == bool(changes)
    assert float(training.step([batch], 7, 10)) == pytest.approx(float(expected), rel=1e-5)


def test_dropout_is_a_function_of_seed_and_step(space, batch):
    settings = dataclasses.replace(PLAIN, dropout=0.5)
    untouched = torch.get_rng_state()
    losses = {}
    for seed, step in ((0, 1), (0, 1), (0, 2), (1, 1)):
        training = make(space, settings)
        training.seed = seed
        losses.setdefault((seed, step), set()).add(float(training.step([batch], step, 10)))
    assert torch.equal(torch.get_rng_state(), untouched)
    assert all(len(found) == 1 for found in losses.values())
    assert len(set.union(*losses.values(), {float(make(space).step([batch], 1, 10))})) == 4
    with pytest.raises(RuntimeError, match="out of memory"), global_seed(1, CPU):
        raise RuntimeError("out of memory")
    assert torch.equal(torch.get_rng_state(), untouched)


@pytest.mark.parametrize(
    ("least", "steps", "share"), [(0.03, 10**5, 0.03), (0.01, 10**5, 0.01), (0.01, 2000, 0.05), (0.01, 396, 0.1)]
)
def test_bn_statistics_look_back_over_a_hundredth_of_the_training_at_most(least, steps, share, space, batch):
    training = make(space, dataclasses.replace(PLAIN, bn_momentum=least))
    training.step([batch], 0, steps)
    assert {norm.momentum for norm in batch_norms(training.network)} == {share}


def test_clipping_is_the_setting(space, batch):
    training = make(space, dataclasses.replace(PLAIN, clip_norm=1e-4, weight_decay=0))
    training.step([batch], 0, 1)
    gradients = [parameter.grad for parameter in training.network.parameters() if parameter.grad is not None]
    assert float(torch.stack([each.norm() for each in gradients]).norm()) == pytest.approx(1e-4, rel=1e-3)


@given(st.integers(0, 99), st.integers(0, 10**6), st.floats(0.5, 3), st.integers(0, 7))
def test_mixing_is_a_function_of_seed_and_step_and_keeps_what_it_does_not_name(seed, step, alpha, side):
    images, labels = torch.rand(6, 3, 8, 8) + 1, torch.arange(6)
    mixed = mixture(images, labels, mixup=alpha, cutout=side, seed=seed, step=step)
    again = mixture(images, labels, mixup=alpha, cutout=side, seed=seed, step=step)
    assert torch.equal(mixed.images, again.images)
    assert mixed.share == again.share != mixture(images, labels, mixup=alpha, cutout=0, seed=seed, step=step + 1).share
    assert sorted(mixed.others.tolist()) == labels.tolist()
    cut = mixture(images, labels, mixup=0, cutout=side, seed=seed, step=step)
    assert (cut.share, cut.labels is labels) == (1.0, True)
    torch.testing.assert_close(mixed.images, mixed.share * cut.images + (1 - mixed.share) * cut.images[mixed.others])
    blank = cut.images == 0
    assert torch.equal(cut.images[~blank], images[~blank])
    for each in blank[:, 0]:
        down, across = each.any(1).sum(), each.any(0).sum()
        assert int(each.sum()) == int(down * across) <= side**2
        assert bool(each.any()) == (side > 0)
        assert max(int(down), int(across)) >= min(side, 1)


def test_a_square_is_whole_inside_the_image_and_its_place_differs():
    images = torch.ones(200, 1, 9, 9)
    blank = blanked(images, 3, np.random.default_rng(0)) == 0
    sizes = blank.sum(dim=(1, 2, 3))
    assert set(sizes.tolist()) == {4, 6, 9}  # in a corner, at a border, inside
    assert (blank[:, 0].float().mean(0) > 0).all()


def test_of_equally_good_weights_the_latest_are_kept(space, batch):
    training = make(space, dataclasses.replace(PLAIN, average=0.5))
    kept = []
    for epoch, top1 in enumerate((0.2, 0.4, 0.4, 0.3), start=1):
        training.step([batch], epoch, 9)
        training.consider(epoch, top1)
        kept.append({name: value.clone() for name, value in training.kept.state_dict().items()})
    assert training.best is not None
    assert (training.best.epoch, training.best.accuracy) == (3, 0.4)
    assert all(torch.equal(training.best.weights[name], value) for name, value in kept[2].items())


def test_a_diverged_training_names_the_setting(space, dataset):
    training = make(space, dataclasses.replace(PLAIN, lr=1e30), TrainConfig(epochs=9, batch_size=30))
    with pytest.raises(DivergedError, match=r"with retrain.lr = 1e\+30; try a lower rate, such as 3.3e\+29$"):
        train(training, dataset, training.config, 0, LoopOptions())


def test_the_loop_sets_the_rates_of_the_schedule(space, dataset, monkeypatch):
    training = make(space, PLAIN, TrainConfig(epochs=4, batch_size=30))
    rows, rates, step = [], [], training.step

    def noting(*arguments):
        rates.append({group["lr"] for group in training.optimizer.param_groups})
        return step(*arguments)

    monkeypatch.setattr(training, "step", noting)
    train(training, dataset, training.config, 0, LoopOptions(on_epoch=lambda *values: rows.append(values[2])))
    assert rates == [{training.schedule.rate(number, 16, 4)} for number in range(16)]
    assert [{row["lr"]} for row in rows] == rates[3::4]
