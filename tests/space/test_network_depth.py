"""Layers of a network that are no skips."""

import numpy as np
import pytest

from fairnas.analysis.ranking import kendall_tau
from fairnas.space import get_space


@pytest.mark.slow
def test_depth_orders_nas_bench_macro_as_is_known(macro_truth):
    """0.68 for counting inverted residuals; projections where a skip changes the shape are none (0.34 with them)."""
    space = get_space("nas_bench_macro")
    distinct = [text for text in macro_truth if space.canonical(space.parse(text)) == space.parse(text)]
    depths = np.array([space.network_depth(space.parse(text)) for text in distinct], dtype=float)
    truth = np.array([macro_truth[text]["mean_acc"] for text in distinct])
    assert len(distinct) == 3969
    assert kendall_tau(depths, truth) == pytest.approx(0.679, abs=0.0005)


def test_a_space_without_skips_has_one_depth():
    space = get_space("digits")
    assert {space.network_depth(space.sample(np.random.default_rng(seed))) for seed in range(20)} == {space.depth}
