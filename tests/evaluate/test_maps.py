"""Feature maps of all blocks of a layer: those that the supernet itself gives on every path."""

import numpy as np
import pytest
import torch

from fairnas.evaluate import EvaluationCopy, RecalibratedCopy
from fairnas.evaluate.maps import block_maps
from fairnas.nets import Supernet, batch_norms
from fairnas.space import ShuffleUnit, ShuffleXception, Stage, Stem, chain_space

SPACE = chain_space(
    "unequal", image_size=8, stem=Stem(4, 1), stages=(Stage(4, 2), Stage(6, 2, 2)), head=8, skip=True, num_classes=3
)
PATHS = ((0, 1, 2, 3), (0, 1, 0, 0), (5, 6, 1, 6))


@pytest.fixture(scope="module")
def supernet():
    torch.manual_seed(0)
    made = Supernet(SPACE, seed=3).eval()
    for norm in batch_norms(made):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        norm.running_mean.normal_(0, 0.3)
        norm.running_var.uniform_(0.5, 2)
    return made


def images(count, seed=0):
    return torch.randn(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))


@torch.inference_mode()
def plain(supernet, prefix, choice, pixels):
    features = supernet.stem(pixels)
    for layer, chosen in enumerate(prefix):
        features = supernet.block(layer, chosen)(features)
    return supernet.block(len(prefix), choice)(features)


def test_every_block_gets_the_output_of_the_path_before_it(supernet):
    assert SPACE.choices == (7, 7, 6, 7)
    found = list(block_maps(EvaluationCopy(supernet), images(2), PATHS, range(4)))
    assert [(maps.layer, maps.prefix) for maps in found] == [
        (0, ()),
        (1, (0,)), (1, (5,)),
        (2, (0, 1)), (2, (5, 6)),
        (3, (0, 1, 2)), (3, (0, 1, 0)), (3, (5, 6, 1)),
    ]  # fmt: skip
    for maps in found:
        assert len(maps.outputs) == SPACE.choices[maps.layer]
        for choice, output in enumerate(maps.outputs):
            torch.testing.assert_close(output, plain(supernet, maps.prefix, choice, images(2)), rtol=1e-4, atol=1e-4)
        assert (maps.shortcut is None) == (maps.layer == 2)
        if maps.shortcut is not None:
            assert torch.equal(maps.outputs[6], maps.shortcut)  # the identity


def test_only_the_wanted_layers_are_run(supernet):
    found = list(block_maps(EvaluationCopy(supernet), images(1), PATHS[:1], (2,)))
    assert [maps.layer for maps in found] == [2]


def test_statistics_of_companions_are_those_of_recalibration(supernet):
    path, others = PATHS[0], images(9, seed=1)
    recalibrated = RecalibratedCopy(supernet, others)
    recalibrated.prepare([path])
    copied = EvaluationCopy(supernet, "batch")
    with torch.inference_mode():
        features = recalibrated.run((), images(2))
        for maps in block_maps(copied, images(2), [path], range(4), others):
            features = recalibrated.run(path[: maps.layer + 1], features)
            torch.testing.assert_close(maps.outputs[path[maps.layer]], features)
    assert np.isfinite(features.numpy()).all()


def test_units_that_pass_half_of_their_input_on_have_no_shortcut_to_take_away():
    space = chain_space(
        "shuffle",
        image_size=8,
        stem=Stem(8, 1),
        stages=(Stage(8, 2),),
        choices=(ShuffleUnit(3), ShuffleXception()),
        head=8,
        num_classes=3,
    )
    found = list(block_maps(EvaluationCopy(Supernet(space)), images(2), [(0, 0)], range(2)))
    assert [maps.shortcut for maps in found] == [None, None]
