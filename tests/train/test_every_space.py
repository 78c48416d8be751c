"""Strict fairness in every search space of the catalog, whatever its blocks and however many a layer offers."""

import dataclasses
import math

import pytest
import torch

from fairnas.config import TrainConfig
from fairnas.fairness import Ledger
from fairnas.nets import Supernet
from fairnas.space import CATALOG
from fairnas.train import StepContext
from fairnas.train.loop import make_optimizer
from fairnas.train.strategies import make_strategy

CONFIG = TrainConfig(epochs=1, batch_size=4, lr=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("name", CATALOG)
def test_a_cycle_of_strict_steps_leaves_the_ledger_level(name: str) -> None:
    layers = CATALOG[name].layers[-5:]  # they offer all kinds of blocks
    space = dataclasses.replace(
        CATALOG[name],
        **{"image_size": 8, "num_classes": 3, "head_channels": 16},
        **{"stem_channels": layers[0].in_channels, "stem_stride": 1, "fixed": (), "layers": layers},
    )
    supernet = Supernet(space).train()
    strategy = make_strategy(CONFIG, space.choices, seed=0)
    context = StepContext(supernet, make_optimizer(supernet, CONFIG), CONFIG)
    ledger = Ledger("strict", space.choices, strategy.fairness_period)
    images = torch.randn(4, space.image_channels, 8, 8, generator=torch.Generator().manual_seed(0))
    before = {key: value.clone() for key, value in supernet.named_parameters()}
    for step in range(strategy.fairness_period):
        batches = [(images, torch.tensor([0, 1, 2, 0]))] * strategy.batches_per_step
        result = strategy.step(context, batches, step, strategy.fairness_period)
        ledger.record(result.passes, result.updates, result.backward_passes)
    ledger.require_level()
    audit = ledger.audit()
    assert audit.strict_fair
    assert audit.level_at == strategy.fairness_period
    per_layer = [int(row[0]) for row in ledger.passes]
    assert [passes * count for passes, count in zip(per_layer, space.choices, strict=True)] == (
        [strategy.fairness_period * strategy.passes_per_step] * space.depth
    )
    assert all(not torch.equal(value, before[key]) for key, value in supernet.named_parameters()), "none stood still"
    assert math.isfinite(float(result.loss))


def test_the_space_with_skips_is_level_after_six_steps_of_seven_paths() -> None:
    strategy = make_strategy(CONFIG, CATALOG["proxyless_skip"].choices, seed=0)
    assert (strategy.passes_per_step, strategy.fairness_period) == (7, 6)
    for name in ("fbnet", "shufflenet_v2"):
        strategy = make_strategy(CONFIG, CATALOG[name].choices, seed=0)
        assert (strategy.passes_per_step, strategy.fairness_period) == (CATALOG[name].choices[0], 1)
