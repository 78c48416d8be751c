"""A training cut off anywhere and resumed ends as the undisturbed one, bit for bit."""

import contextlib
import dataclasses

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairnas.errors import CheckpointError
from fairnas.train import STRATEGIES, LoopOptions, read_checkpoint, stand_alone_training, train


class Cut(Exception):
    """Stands for a kill: nothing after it runs."""


def state_of(training):
    optimizer = training.optimizer.state_dict()["state"]
    momentum = {key: value["momentum_buffer"] for key, value in optimizer.items()}
    return {**training.network.state_dict(), **momentum}, training.extra_state()


def same(a, b):
    tensors = all(
        (x is y) or (x is not None and y is not None and torch.equal(x, y))
        for x, y in ((a[0][key], b[0][key]) for key in a[0])
    )
    return a[0].keys() == b[0].keys() and tensors and alike(a[1], b[1])


def alike(a, b):
    """True if two trees of plain data and tensors are equal, bit for bit."""
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(alike, a, b))
    return a == b


def cut_after(steps: int):
    """A `stop` that kills the training after this number of steps."""
    remaining = steps

    def count() -> bool:
        nonlocal remaining
        remaining -= 1
        if remaining <= 0:
            raise Cut
        return False

    return count


def trained_with_cuts(name, cuts, every, make_training, dataset, checkpoint):
    """Train to the end, killed after each number of steps in `cuts`, saving after `every` steps.

    Returns the training, its curve, and the steps at which it went on.
    """
    rows, resumed = {}, []
    options = LoopOptions(
        checkpoint,
        "x",
        seconds=1e9,
        steps=every,
        on_resume=resumed.append,
        on_epoch=lambda *values: rows.update({values[0]: values}),
    )
    for cut in cuts:
        training, config = make_training(name)
        with contextlib.suppress(Cut):
            train(training, dataset, config, 0, dataclasses.replace(options, stop=cut_after(cut)))
    training, config = make_training(name)
    train(training, dataset, config, 0, options)
    return training, [rows[epoch] for epoch in sorted(rows)], resumed


@pytest.mark.slow
@pytest.mark.parametrize("name", STRATEGIES)
def test_stopped_and_killed_and_resumed_is_bit_identical(name, make_training, dataset, undisturbed, tmp_path):
    """Stopped after the first step, which saves it; then killed after the third, which is lost."""
    checkpoint = tmp_path / "checkpoint.pt"
    training, config = make_training(name)
    with pytest.raises(KeyboardInterrupt):
        train(training, dataset, config, 0, LoopOptions(checkpoint=checkpoint, identity="x", stop=lambda: True))
    assert read_checkpoint(checkpoint, "supernet")["step"] == 1
    training, curve, resumed = trained_with_cuts(name, (2,), 1, make_training, dataset, checkpoint)
    assert resumed == [1, 2]
    assert same(state_of(training), state_of(undisturbed(name).training))
    assert curve == undisturbed(name).curve[-len(curve) :]
    assert len(curve) > 1


@pytest.mark.slow
@pytest.mark.full
@pytest.mark.parametrize("name", STRATEGIES)
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(cuts=st.lists(st.integers(1, 9), min_size=1, max_size=2), every=st.integers(1, 5))
def test_killed_anywhere_and_resumed_is_bit_identical(
    name, cuts, every, make_training, dataset, undisturbed, tmp_path_factory
):
    checkpoint = tmp_path_factory.mktemp("run") / "checkpoint.pt"
    training, curve, _ = trained_with_cuts(name, cuts, every, make_training, dataset, checkpoint)
    assert same(state_of(training), state_of(undisturbed(name).training))
    assert curve == undisturbed(name).curve


def test_a_stand_alone_training_resumes_too(space, make_training, dataset, tmp_path):
    _, config = make_training()
    genome = (0, 1, 2)
    plain = stand_alone_training(space, genome, config, 0, torch.device("cpu"))
    train(plain, dataset, config, 0, LoopOptions())
    checkpoint = tmp_path / "checkpoint.pt"
    for _ in range(3):
        cut = stand_alone_training(space, genome, config, 0, torch.device("cpu"))
        with pytest.raises(KeyboardInterrupt):
            train(cut, dataset, config, 0, LoopOptions(checkpoint=checkpoint, identity="x", stop=lambda: True))
    resumed = stand_alone_training(space, genome, config, 0, torch.device("cpu"))
    train(resumed, dataset, config, 0, LoopOptions(checkpoint=checkpoint, identity="x"))
    assert same(state_of(resumed), state_of(plain))


def test_a_checkpoint_of_another_configuration_is_refused(make_training, dataset, tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    training, config = make_training(epochs=1)
    train(training, dataset, config, 0, LoopOptions(checkpoint=checkpoint, identity="one"))
    training, config = make_training(epochs=1)
    with pytest.raises(CheckpointError, match="another configuration"):
        train(training, dataset, config, 0, LoopOptions(checkpoint=checkpoint, identity="two"))
    steps = []
    known = LoopOptions(
        checkpoint=checkpoint, identity="two", legacy_identities=("zero", "one"), on_resume=steps.append
    )
    train(training, dataset, config, 0, known)
    assert steps == [read_checkpoint(checkpoint, "supernet")["step"]]  # nothing was left to do
