"""The loop: schedule, divergence."""

import math

import pytest
import torch

from fairnas.config import TrainConfig
from fairnas.train import DivergedError, Pace, read_checkpoint, train
from fairnas.train.loop import FINITE_CHECK_STEPS, learning_rate


def test_the_rate_falls_as_half_a_cosine():
    config = TrainConfig(lr=0.045)
    assert learning_rate(config, 0, 100) == 0.045
    assert learning_rate(config, 50, 100) == pytest.approx(0.0225)
    assert learning_rate(config, 100, 100) == pytest.approx(0.0)
    rates = [learning_rate(config, step, 100) for step in range(101)]
    assert rates == sorted(rates, reverse=True)


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
        train(training, dataset, config, 0, Pace(checkpoint=checkpoint, steps=2))
    at = int(str(caught.value).split("at step ")[1].split()[0])
    assert at <= 6 + FINITE_CHECK_STEPS
    content = read_checkpoint(checkpoint, "supernet")
    assert content["step"] <= 6
    assert all(torch.isfinite(value).all() for value in content["network"].values())
