"""The behaviour suite of strategies: each passes it by standing in the list."""

import pytest
import torch

from fairnas.config import TrainConfig
from fairnas.data import steps_per_epoch
from fairnas.errors import UnfairTraining, UnknownNameError
from fairnas.train import STRATEGIES, Pace, make_strategy, train

every_strategy = pytest.mark.parametrize("name", STRATEGIES)


@every_strategy
def test_same_seed_same_weights_and_another_seed_others(name, make_training, dataset):
    weights = []
    for seed in (0, 0, 1):
        training, config = make_training(name, epochs=1, seed=seed)
        train(training, dataset, config, seed, Pace())
        weights.append(torch.cat([p.detach().flatten() for p in training.network.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@every_strategy
def test_the_ledger_counts_every_backward_pass(name, make_training, dataset):
    training, config = make_training(name)
    calls = 0

    def count(*_):
        nonlocal calls
        calls += 1

    training.network.head.register_forward_hook(count)
    seen = [[0] * len(layer) for layer in training.network.layers]
    for layer, blocks in enumerate(training.network.layers):
        for choice, block in enumerate(blocks):

            def hook(*_, layer=layer, choice=choice):
                seen[layer][choice] += 1

            block.register_full_backward_hook(hook)
    train(training, dataset, config, 0, Pace())
    ledger = training.ledger
    assert ledger.steps == config.epochs * steps_per_epoch(dataset, config.batch_size)
    assert ledger.backward_passes == calls == ledger.steps * training.strategy.passes_per_step
    assert [row.tolist() for row in ledger.passes] == seen


@every_strategy
def test_the_loss_goes_down(name, make_training, dataset):
    training, config = make_training(name, epochs=40, lr=0.2)
    losses = []
    train(training, dataset, config, 0, Pace(on_epoch=lambda epoch, step, values: losses.append(values["loss"])))
    assert len(losses) == 40
    assert sum(losses[-5:]) < 0.85 * sum(losses[:5])


@every_strategy
def test_what_a_strategy_promises_is_what_the_audit_finds(name, make_training, dataset):
    training, config = make_training(name, epochs=5)
    train(training, dataset, config, 0, Pace())
    verdict = training.ledger.audit()
    assert verdict.strategy == name
    assert verdict.expectation_fair
    assert verdict.strict_fair is (training.strategy.promise == "strict")


def test_strict_training_fails_loudly_when_a_block_is_missed(make_training, dataset, monkeypatch):
    training, config = make_training("strict")
    honest = training.strategy.sampler.paths

    def one_path_short(step):
        return honest(step)[:-1] if step == 2 else honest(step)

    monkeypatch.setattr(training.strategy.sampler, "paths", one_path_short)
    with pytest.raises(UnfairTraining, match="after step 3"):
        train(training, dataset, config, 0, Pace())


def test_an_unknown_strategy_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match="unknown strategy 'stric'; did you mean 'strict'"):
        make_strategy(TrainConfig(strategy="stric"), (2, 2), 0)
