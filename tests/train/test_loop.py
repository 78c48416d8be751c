"""The loop: schedule, divergence."""

import gc
import math
import re
import weakref

import pytest
import torch

from fairnas.config import TrainConfig
from fairnas.train import STRATEGIES, DivergedError, Group, LoopOptions, read_checkpoint, stand_alone_training, train
from fairnas.train.loop import FINITE_CHECK_STEPS, learning_rate


def test_the_rate_falls_as_half_a_cosine():
    config = TrainConfig(lr=0.045)
    assert learning_rate(config, 0, 100) == 0.045
    assert learning_rate(config, 50, 100) == pytest.approx(0.0225)
    assert learning_rate(config, 100, 100) == pytest.approx(0.0)
    rates = [learning_rate(config, step, 100) for step in range(101)]
    assert rates == sorted(rates, reverse=True)


@pytest.mark.slow
def test_what_was_trained_is_let_go_while_the_group_stays(make_training, dataset):
    """A run has one group for all its stages; on a GPU a training holds the memory of its activations."""
    training, config = make_training(epochs=1)
    group = Group()

    def measuring(what):
        return lambda epoch, step, values: what.network.eval()

    train(training, dataset, config, 0, LoopOptions(on_epoch=measuring(training)), group)
    known = weakref.ref(training)
    del training
    gc.collect()
    assert known() is None
    assert group.due() in (True, False)


def test_a_loss_that_is_no_number_is_noticed_and_the_checkpoint_is_from_before(make_training, dataset, tmp_path):
    training, config = make_training(epochs=30)
    honest = training.step

    def explode(batches, step, total):
        loss = honest(batches, step, total)
        return loss * math.nan if step >= 6 else loss

    training.step = explode
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(
        DivergedError, match=r"loss is nan at step \d+ with train.lr = 0.05; try a lower rate"
    ) as caught:
        train(training, dataset, config, 0, LoopOptions(checkpoint=checkpoint, steps=2))
    at = int(str(caught.value).split("at step ")[1].split()[0])
    assert at <= 6 + FINITE_CHECK_STEPS
    content = read_checkpoint(checkpoint, "supernet")
    assert content["step"] <= 6
    assert all(torch.isfinite(value).all() for value in content["network"].values())


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_training_that_explodes_is_noticed_within_50_steps_and_a_good_checkpoint_stays(
    strategy, make_training, dataset, tmp_path
):
    """Every strategy, at a rate that no training survives; saved after every step, so that nothing good is long ago."""
    training, config = make_training(strategy, epochs=60, lr=1e4)
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(DivergedError, match=r"train.lr = 10000.0; try a lower rate, such as 3.3e\+03") as caught:
        train(training, dataset, config, 0, LoopOptions(checkpoint=checkpoint, steps=1))
    assert "\n" not in str(caught.value)
    at = int(re.findall(r"step (\d+)", str(caught.value))[0])
    assert at <= 50
    if checkpoint.exists():  # else the very first step was the last
        content = read_checkpoint(checkpoint, "supernet")
        assert content["step"] == at - 1
        assert all(torch.isfinite(value).all() for value in content["network"].values())


def exploding(loss, network):
    return loss * 1e7


def ruining(loss, network):
    next(network.parameters()).data.fill_(math.inf)
    return loss


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            exploding,
            r"the loss is \d\S*e\+07 at step 8 with train.lr = 0.05; try a lower rate, such as 0.017, in a new",
        ),
        (ruining, r"weights are NaN or infinite after step 8 with train.lr = 0.05; try a lower rate, such as 0.017"),
    ],
)
def test_what_is_about_to_be_saved_is_looked_at(change, message, make_training, dataset, tmp_path):
    """A step's loss is of the weights before it, so a checkpoint of weights that it ruined would look good."""
    training, config = make_training(epochs=30)
    honest = training.step

    def spoil(batches, step, total):
        loss = honest(batches, step, total)
        return change(loss, training.network) if step == 7 else loss

    training.step = spoil
    checkpoint = tmp_path / "checkpoint.pt"
    with pytest.raises(DivergedError, match=message):
        train(training, dataset, config, 0, LoopOptions(checkpoint=checkpoint, steps=4))
    assert read_checkpoint(checkpoint, "supernet")["step"] == 4


def test_a_stand_alone_training_names_its_own_rate(space, dataset):
    config = TrainConfig(epochs=1, batch_size=40, lr=1e30)
    training = stand_alone_training(space, (0,) * space.depth, config, 0, torch.device("cpu"))
    with pytest.raises(DivergedError, match=r"with stand_alone.lr = 1e\+30; try a lower rate, such as 3.3e\+29, in a"):
        train(training, dataset, config, 0, LoopOptions())
