"""The chain of a ledger: no number of it changes unnoticed, and its counts belong to certain weights."""

import copy
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.errors import CheckpointError
from fairnas.fairness import Ledger, StrictSampler, UniformSampler, count_passes

CHOICES = (3, 2)
UNIFORM = UniformSampler(CHOICES, 0)


def trained(sampler, *, epochs=3, steps=4) -> Ledger:
    """A ledger of a training of `epochs` epochs, sealed after each."""
    ledger = Ledger("any", CHOICES)
    for step in range(epochs * steps):
        passes = count_passes(sampler.paths(step), CHOICES)
        ledger.record(passes, np.minimum(passes, 1), int(passes[:3].sum()))
        if (step + 1) % steps == 0:
            ledger.set_gradient_norms(passes * 0.5 + step)
            ledger.seal(f"{step:064x}")
    return ledger


def leaves(plain, path=()):
    """The paths of all numbers and texts in plain data."""
    if isinstance(plain, dict | list):
        items = plain.items() if isinstance(plain, dict) else enumerate(plain)
        for key, value in items:
            yield from leaves(value, (*path, key))
    else:
        yield path


def changed(plain, path, change):
    edited = copy.deepcopy(plain)
    place = edited
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = change(place[path[-1]])
    return edited


def other(value):
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1] != "0" else "1")
    return value + 1


PLAIN = trained(UNIFORM).to_dict()


@pytest.mark.parametrize("path", list(leaves(PLAIN)), ids=lambda path: ".".join(map(str, path)))
def test_no_number_changes_unnoticed(path) -> None:
    with pytest.raises(CheckpointError) as refused:
        Ledger.of_finished_training(changed(PLAIN, path, other))
    assert "\n" not in str(refused.value)


@settings(max_examples=40)
@given(st.data())
def test_no_records_go_or_change_places_unnoticed(data) -> None:
    chain = PLAIN["chain"]
    kept = data.draw(st.lists(st.sampled_from(range(len(chain))), max_size=4).filter(lambda rows: rows != [0, 1, 2]))
    with pytest.raises(CheckpointError):
        Ledger.of_finished_training(PLAIN | {"chain": [chain[row] for row in kept]})


def test_an_edit_of_the_counts_alone_is_told_from_one_of_the_chain() -> None:
    with pytest.raises(CheckpointError, match="its counts are not those of the last record in its chain"):
        Ledger.from_dict(PLAIN | {"level_at": 12})
    with pytest.raises(CheckpointError, match="record 2 of 3 in its chain was changed, or one before it is missing"):
        Ledger.from_dict(changed(PLAIN, ("chain", 1, "step"), other))
    with pytest.raises(CheckpointError, match="the chain of this ledger ends before its last step, 12; train again"):
        Ledger.of_finished_training(PLAIN | {"chain": PLAIN["chain"][:-1]})


def test_a_chain_that_was_made_anew_has_to_grow() -> None:
    """Whoever computes all links of an edited chain still cannot let counts shrink."""
    ledger = trained(UNIFORM, epochs=1)
    ledger._passes[0] -= 1
    ledger.steps += 1
    ledger.seal("0" * 64)
    with pytest.raises(CheckpointError, match="record 2 of 2 in its chain counts less than the one before"):
        Ledger.from_dict(ledger.to_dict())


def test_counts_belong_to_the_weights_they_were_sealed_with() -> None:
    ledger = trained(UNIFORM)
    ledger.require_sealed(f"{11:064x}")
    for weights in (f"{7:064x}", f"{12:064x}"):  # of an earlier epoch, and of no epoch
        with pytest.raises(ValueError, match="its counts of 12 steps belong to other weights"):
            ledger.require_sealed(weights)


def test_a_training_that_goes_on_from_the_middle_of_an_epoch_ends_with_the_same_chain() -> None:
    sampler, whole = StrictSampler(CHOICES, 0), trained(StrictSampler(CHOICES, 0))
    ledger = Ledger("any", CHOICES)
    for step in range(12):
        passes = count_passes(sampler.paths(step), CHOICES)
        ledger.record(passes, np.minimum(passes, 1), int(passes[:3].sum()))
        if (step + 1) % 4 == 0:
            ledger.set_gradient_norms(passes * 0.5 + step)
            ledger.seal(f"{step:064x}")
        ledger = Ledger.from_dict(json.loads(json.dumps(ledger.to_dict())))
    assert ledger.to_dict() == whole.to_dict()
