"""Similarity of feature maps: laws of the cosine, and the same numbers as a plain loop."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from fairnas.analysis.similarity import FeatureMapsError, Spread, layer_similarity

MAPS = arrays.arrays(
    np.float32,
    arrays.array_shapes(min_dims=4, max_dims=4, min_side=1, max_side=4),
    elements=st.floats(-100, 100, width=32),
)
FEW = settings(max_examples=40, deadline=None)


def plain(first, second):
    """The cosine of two maps, one number after another."""
    a, b = first.ravel().tolist(), second.ravel().tolist()
    sizes = math.sqrt(math.fsum(x * x for x in a)) * math.sqrt(math.fsum(x * x for x in b))
    return math.fsum(x * y for x, y in zip(a, b, strict=True)) / sizes if sizes else math.nan


@given(MAPS)
@FEW
def test_the_laws_of_the_cosine(maps):
    cosines = layer_similarity([maps]).cosines
    m, channels = maps.shape[:2]
    table = cosines.reshape(m * channels, -1)
    np.testing.assert_array_equal(table, table.T)
    known = table[~np.isnan(table)]
    assert (np.abs(known) <= 1).all()
    alive = np.abs(maps).max(axis=(2, 3)).ravel() > 0
    np.testing.assert_allclose(np.diag(table)[alive], 1, atol=1e-12)
    assert np.isnan(table[~alive]).all()
    np.testing.assert_allclose(layer_similarity([-3 * maps]).cosines, cosines, atol=1e-5)
    scales = np.linspace(0.5, 2, m * channels, dtype=np.float32).reshape(m, channels, 1, 1)
    np.testing.assert_allclose(layer_similarity([maps * scales]).cosines, cosines, atol=1e-5)


@given(MAPS, st.randoms(use_true_random=False))
@FEW
def test_permuting_channels_or_blocks_permutes(maps, random):
    m, channels = maps.shape[:2]
    blocks, order = list(range(m)), list(range(channels))
    random.shuffle(blocks)
    random.shuffle(order)
    found, moved = layer_similarity([maps]), layer_similarity([maps[blocks][:, order]])
    np.testing.assert_allclose(moved.cosines, found.cosines[blocks][:, order][:, :, blocks][:, :, :, order], atol=1e-12)
    for name in ("aligned", "cross_channel", "cross_both"):
        ours, theirs = getattr(found, name), getattr(moved, name)
        assert ours.n == theirs.n
        assert ours.mean == pytest.approx(theirs.mean, abs=1e-12, nan_ok=True)


def test_every_comparison_is_that_of_a_plain_loop():
    rng = np.random.default_rng(0)
    samples = rng.normal(0.4, 1, (5, 3, 4, 6, 5)).astype(np.float32)
    samples[:, 1, 2] = 0
    samples[3, 0, 0] = 0
    found = layer_similarity(samples)

    def mean(a, c, b, d):
        values = [plain(maps[a, c], maps[b, d]) for maps in samples]
        known = [value for value in values if not math.isnan(value)]
        return math.fsum(known) / len(known) if known else math.nan

    close = {"rel": 1e-9, "nan_ok": True}
    pairs = [(a, b) for a in range(3) for b in range(a + 1, 3)]
    for a in range(3):
        for b in range(3):
            same = [mean(a, c, b, c) for c in range(4)]
            assert found.same_channel[:, a, b].tolist() == pytest.approx(same, **close)
            assert found.across_blocks[a, b] == pytest.approx(np.nanmean(same), rel=1e-9)
            for c in range(4):
                between = [mean(a, c, b, d) for d in range(4)]
                assert found.between(a, b)[c].tolist() == pytest.approx(between, **close)
        within = found.within(a)
        assert within[1, 3] == pytest.approx(mean(a, 1, a, 3), rel=1e-9)
    aligned = [mean(a, c, b, c) for a, b in pairs for c in range(4)]
    cross = [mean(a, c, a, d) for a in range(3) for c in range(4) for d in range(c + 1, 4)]
    both = [mean(a, c, b, d) for a, b in pairs for c in range(4) for d in range(4) if c != d]
    for spread, values in ((found.aligned, aligned), (found.cross_channel, cross), (found.cross_both, both)):
        known = np.array([value for value in values if not math.isnan(value)])
        assert spread.n == len(known) < len(values)
        assert spread.mean == pytest.approx(known.mean())
        assert spread.mean_absolute == pytest.approx(np.abs(known).mean())
        assert spread.std == pytest.approx(known.std())
        assert spread.quartiles == pytest.approx(np.quantile(known, (0.25, 0.5, 0.75)))
        assert spread.lowest == pytest.approx(known.min())
    per_sample = [np.nanmean([plain(maps[a, c], maps[b, c]) for a, b in pairs for c in range(4)]) for maps in samples]
    assert found.samples == pytest.approx(per_sample)
    assert found.dead == (1, 5, 0)


def test_identical_blocks_are_alike_and_orthogonal_ones_are_not():
    maps = np.zeros((3, 2, 2, 2), np.float32)
    maps[:, 0, 0, 0] = maps[:, 1, 1, 1] = 1
    found = layer_similarity([maps])
    assert (found.aligned.mean, found.aligned.lowest) == (1, 1)
    assert (found.cross_channel.mean, found.cross_both.mean_absolute) == (0, 0)
    maps[2] *= -1
    assert layer_similarity([maps]).aligned.mean == pytest.approx(-1 / 3)


def test_tiny_and_huge_maps_have_a_direction():
    maps = np.ones((2, 1, 2, 2), np.float64)
    maps[0] *= 1e-200
    maps[1] *= 1e200
    assert layer_similarity([maps]).aligned.mean == pytest.approx(1)


def test_a_single_block_or_channel_has_nothing_to_compare():
    found = layer_similarity([np.ones((1, 1, 2, 2), np.float32)])
    assert found.aligned.n == found.cross_channel.n == found.cross_both.n == 0
    assert math.isnan(found.aligned.mean)
    assert math.isnan(Spread.of(np.array([np.nan])).mean)


def test_maps_that_cannot_be_compared_are_refused():
    good = np.ones((2, 3, 2, 2), np.float32)
    bad = good.copy()
    bad[0, 0, 0, 0] = np.nan
    for samples, message in (
        ([], "no feature maps"),
        ([bad], "not finite"),
        ([good, good[:, :2]], r"\(2, 3\) and \(2, 2\)"),
        ([good[0]], "shape"),
    ):
        with pytest.raises(FeatureMapsError, match=message):
            layer_similarity(samples)
