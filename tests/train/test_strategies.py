"""The behaviour suite of strategies: each passes it by standing in the list."""

import dataclasses
import functools

import pytest
import torch

from fairnas.config import TrainConfig
from fairnas.data import training_batches
from fairnas.errors import ConfigError, UnfairTraining, UnknownNameError
from fairnas.fairness.ledger import SIGNIFICANCE
from fairnas.nets import Supernet
from fairnas.space import Stage, Stem, chain_space
from fairnas.train import STRATEGIES, LoopOptions, make_strategy, scoring_statistics, train, training_steps
from tests.train.conftest import weights_of

every_strategy = pytest.mark.parametrize("name", STRATEGIES)


for_longer = pytest.mark.parametrize("epochs", [3, pytest.param(12, marks=pytest.mark.full)])


@pytest.mark.slow
@every_strategy
def test_same_seed_same_weights_and_another_seed_others(name, make_training, dataset, undisturbed):
    """After two steps; that all later steps are the same, too, is shown by test_resume."""
    expected = undisturbed(name).weights_after[2]
    weights = []
    for seed in (0, 1):
        training, config = make_training(name, seed=seed)
        steps = iter((False, True))
        with pytest.raises(KeyboardInterrupt):
            train(training, dataset, config, seed, LoopOptions(stop=functools.partial(next, steps)))
        weights.append(weights_of(training))
    assert torch.equal(weights[0], expected)
    assert not torch.equal(weights[1], expected)


@pytest.mark.slow
@every_strategy
def test_the_ledger_counts_every_backward_pass(name, dataset, undisturbed):
    seen = undisturbed(name)
    training, config = seen.training, seen.config
    ledger, strategy = training.ledger, training.strategy
    assert ledger.steps == config.epochs * training_steps(training.images(dataset), config, strategy.batches_per_step)
    assert ledger.backward_passes == ledger.steps * strategy.passes_per_step > 0
    assert ledger.backward_passes + ledger.architecture_passes == seen.head_passes
    assert ledger.block_runs == sum(map(sum, seen.block_runs))
    if ledger.block_runs == sum(int(row.sum()) for row in ledger.passes):  # every run is that of a path
        assert [int(row.sum()) for row in ledger.passes] == [sum(row) for row in seen.block_runs]
        if not strategy.has_own_networks:  # theirs may run in the module of another block
            assert [row.tolist() for row in ledger.passes] == seen.block_runs


class GoneDown(Exception):
    """Ends a training that has shown what it should."""


@pytest.mark.slow
@every_strategy
@pytest.mark.parametrize("share", [0.95, pytest.param(0.85, marks=pytest.mark.full)])
def test_the_loss_goes_down(name, share, make_training, dataset):
    training, config = make_training(name, lr=0.2)
    config = dataclasses.replace(config, epochs=80 * training.batches_per_step)
    losses = []

    def look(epoch, step, values):
        losses.append(values["loss"])
        if epoch >= 8 and sum(losses[-4:]) < share * sum(losses[:4]):
            raise GoneDown

    with pytest.raises(GoneDown):
        train(training, dataset, config, 0, LoopOptions(on_epoch=look))


@pytest.mark.slow
@every_strategy
@for_longer
def test_what_a_strategy_promises_is_what_the_audit_finds(name, epochs, undisturbed):
    training = undisturbed(name, epochs).training
    verdict = training.ledger.audit()
    assert verdict.strategy == name
    together = {"one_shot", "darts", "darts_second_order", "fbnet"}  # blocks of a layer, in one pass
    assert verdict.single_paths is (name not in together)
    if training.strategy.fairness != "none":
        assert verdict.p_value >= SIGNIFICANCE
        assert verdict.expectation_fair is verdict.single_paths
        assert verdict.strict_fair is (training.strategy.fairness == "strict")


def test_strict_training_fails_loudly_when_a_block_is_missed(make_training, dataset, monkeypatch):
    training, config = make_training("strict")
    sampler = training.strategy.sampler
    honest = sampler.paths

    def one_path_short(step):
        return honest(step)[:-1] if step == 2 else honest(step)

    monkeypatch.setattr(sampler, "paths", one_path_short)
    with pytest.raises(UnfairTraining, match="after step 3"):
        train(training, dataset, config, 0, LoopOptions())


def test_an_unknown_strategy_is_refused_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match="unknown strategy 'stric'; did you mean 'strict'"):
        make_strategy(TrainConfig(strategy="stric"), (2, 2), 0)


@every_strategy
@for_longer
def test_every_block_has_gradients_and_steps_in_the_ledger(name, epochs, undisturbed):
    training = undisturbed(name, epochs).training
    training.extra_state()
    ledger = training.ledger
    for updates, norms, last in zip(ledger.updates, ledger.gradient_norms, ledger.last_step, strict=True):
        assert ((updates > 0) == (norms > 0)).all()
        assert ((updates > 0) == (last > 0)).all()
        assert last.max() <= ledger.steps
    if training.strategy.fairness == "strict":
        assert all((last == ledger.steps).all() for last in ledger.last_step)


@every_strategy
def test_scores_use_the_statistics_that_the_strategy_is_made_for(name):
    mixed = {"one_shot", "darts", "darts_second_order", "fbnet", "smash", "single_path_nas"}
    assert scoring_statistics(TrainConfig(strategy=name), "auto") == ("batch" if name in mixed else "running")
    assert scoring_statistics(TrainConfig(strategy=name), "recalibrated") == "recalibrated"


@pytest.mark.slow
def test_uniform_k_updates_k_times_on_one_batch_or_once_with_the_sum(make_training, dataset):
    for accumulate, updates in ((False, 4), (True, 1)):
        training, config = make_training("uniform_k", epochs=1, k=4, accumulate=accumulate)
        train(training, dataset, config, 0, LoopOptions())
        ledger = training.ledger
        assert ledger.backward_passes == 4 * ledger.steps
        assert sum(row.sum() for row in ledger.passes) == 4 * 3 * ledger.steps
        assert sum(row.sum() for row in ledger.updates) == updates * 3 * ledger.steps


def test_accumulated_passes_on_one_path_are_k_times_its_gradient(make_training, dataset):
    rate = 0.05
    plain, config = make_training("uniform", epochs=1, lr=rate)
    batch = next(iter(_batches(dataset)))
    others, _ = make_training("uniform_k", epochs=1, lr=rate, k=3, accumulate=True)
    before = [p.detach().clone() for p in plain.network.parameters()]
    for training in (plain, others):
        training.network.train()
        training.step([batch], 0, 10)
    for start, one, three in zip(before, plain.network.parameters(), others.network.parameters(), strict=True):
        if torch.equal(start, one):  # an idle block
            assert torch.equal(start, three)
            continue
        decay = rate * config.weight_decay * start
        torch.testing.assert_close(three - start + decay, 3 * (one - start + decay), rtol=1e-3, atol=1e-6)


@pytest.mark.slow
def test_fresh_batches_make_an_epoch_shorter_and_separate_updates_do_not(make_training, dataset):
    fresh, config = make_training("strict_fresh_batches")
    assert (fresh.batches_per_step, fresh.strategy.passes_per_step) == (4, 4)
    seen = []
    honest = fresh.step
    fresh.step = lambda batches, step, total: (
        seen.append([labels for _, labels in batches]) or honest(batches, step, total)
    )
    train(fresh, dataset, config, 0, LoopOptions())
    whole = len(dataset.train) // config.batch_size // 4
    assert len(seen) == config.epochs * whole
    assert all(len({tuple(labels.tolist()) for labels in each}) == 4 for each in seen)
    separate, config = make_training("strict_separate_updates")
    train(separate, dataset, config, 0, LoopOptions())
    assert separate.ledger.steps == config.epochs * (len(dataset.train) // config.batch_size)


def test_too_few_images_for_a_step_of_fresh_batches_are_refused(make_training, dataset):
    training, config = make_training("strict_fresh_batches", batch_size=60)
    with pytest.raises(ConfigError, match=r"takes 4 mini-batches, but 120 training images make 2 of 60; give a small"):
        train(training, dataset, config, 0, LoopOptions())


def test_one_shot_with_one_block_left_trains_that_path(make_training, dataset):
    """The mixture of one block per layer is the path: same loss, same gradients."""
    one, _ = make_training("one_shot", path_dropout=1.0)
    other, _ = make_training("uniform")
    images, labels = next(iter(_batches(dataset)))
    active = one.strategy.dropout.active(9, 1.0)
    genome = tuple(kept[0] for kept in active)
    results = []
    for network, logits in ((one.network, "mixture"), (other.network, "path")):
        network.train()
        output = network.mixture(images, active) if logits == "mixture" else network(images, genome)
        torch.nn.functional.cross_entropy(output, labels).backward()
        results.append([p.grad for p in network.parameters()])
    for ours, theirs in zip(*results, strict=True):
        assert (ours is None) == (theirs is None)
        if ours is not None:
            torch.testing.assert_close(ours, theirs)


def test_path_dropout_ramps_up_from_nothing_to_its_chance(make_training, dataset):
    training, config = make_training("one_shot", epochs=2, path_dropout=0.4)
    honest, asked = training.strategy.dropout, []

    class Listening:
        def active(self, step, chance):
            asked.append((step, chance))
            return honest.active(step, chance)

    training.strategy.dropout = Listening()
    train(training, dataset, config, 0, LoopOptions())
    total = training.ledger.steps
    assert asked == [(step, pytest.approx(0.4 * step / total)) for step in range(total)]


def test_a_mixture_takes_the_shortcut_once():
    space = chain_space("t", image_size=4, stem=Stem(4, 1), stages=(Stage(4, 2),), head=4, kernels=(3,), skip=True)
    supernet = Supernet(space).eval()
    images = torch.randn(2, 3, 4, 4)
    features = supernet.stem(images)
    for layer, count in enumerate(space.choices):
        added = [supernet.block(layer, c)(features) - features for c in range(count)]
        features = features + sum(added)
    everything = [range(count) for count in space.choices]
    torch.testing.assert_close(supernet.mixture(images, everything), supernet.head(features))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"strategy": "strict", "k": 3},
            "train.k is 3, which means nothing to strategy 'strict'; leave it out, or use",
        ),
        (
            {"strategy": "one_shot", "accumulate": True},
            "train.accumulate is True, which means nothing to strategy 'one_",
        ),
        ({"strategy": "uniform", "path_dropout": 0.1}, "train.path_dropout is 0.1, which means nothing to strategy"),
    ],
)
def test_settings_of_other_strategies_are_refused(settings, message):
    with pytest.raises(ConfigError) as caught:
        make_strategy(TrainConfig(**settings), (2, 2), 0)
    assert str(caught.value).startswith(message)


def _batches(dataset):
    return training_batches(dataset, batch_size=30, seed=0, epoch=0, device=torch.device("cpu"))


OWN = """
from fairnas.train.strategies import PathStrategy, StrategyEntry
from fairnas.fairness.samplers import UniformSampler

mine = StrategyEntry("uniform again", "here", lambda choices, config, seed: PathStrategy(UniformSampler(choices, seed)))
"""


def test_a_strategy_of_the_users_own_trains_as_one_of_the_list(make_training, dataset, tmp_path):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    weights = []
    for name in ("uniform", f"{file}:mine"):
        training, config = make_training(name, epochs=1)
        train(training, dataset, config, 0, LoopOptions())
        weights.append(weights_of(training))
    assert torch.equal(*weights)
    assert training.ledger.audit().strategy == f"{file}:mine"


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (None, "mine", "there is no strategy file"),
        ("mine = 3", "mine", r"does not define a StrategyEntry called 'mine'; see docs/strategies.md"),
        (OWN, "yours", r"does not define a StrategyEntry called 'yours'"),
        ("1 / 0", "mine", "raises ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_without_the_strategy_is_refused_in_one_line(content, name, message, tmp_path):
    file = tmp_path / "own.py"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=message) as caught:
        make_strategy(TrainConfig(strategy=f"{file}:{name}"), (2, 2), 0)
    assert "\n" not in str(caught.value)
