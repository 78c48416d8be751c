"""Recalibrated scores over the tree are those of recalibrating every genome by itself, and nothing else is touched."""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from fairnas.evaluate import OwnImagesCopy, RecalibratedCopy, score_genomes
from fairnas.nets import Supernet, batch_norms
from fairnas.space import get_space


def data(space, count, seed):
    rng = torch.Generator().manual_seed(seed)
    shape = (count, space.image_channels, space.image_size, space.image_size)
    images = torch.randn(shape, generator=rng, dtype=torch.float64)
    return images, torch.randint(space.num_classes, (count,), generator=rng)


def one_by_one(supernet: Supernet, genome, calibration, images, labels):
    """What SPOS does: forget the running statistics, run in training mode on the images, evaluate."""
    network = copy.deepcopy(supernet)
    for norm in batch_norms(network):
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        network.train()(calibration, genome)
        logits = network.eval()(images, genome)
    return functional.cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).double().mean().item()


@pytest.mark.parametrize("name", ["digits", "compact", "nas_bench_macro"])
def test_the_tree_recalibrates_as_one_by_one(name, make_lively) -> None:
    space = get_space(name).for_data(image_size=8)
    supernet = make_lively(Supernet(space, seed=1)).double().eval()
    rng = np.random.default_rng(0)
    genomes = [space.canonical(space.sample(rng)) for _ in range(5)]
    genomes += [(*genome[:-1], 0) for genome in genomes]  # shared prefixes
    genomes = [space.canonical(genome) for genome in genomes]
    calibration, _ = data(space, 7, 1)
    images, labels = data(space, 9, 2)
    before = {key: value.clone() for key, value in supernet.state_dict().items()}
    judge = RecalibratedCopy(supernet, calibration)
    batches = [(images[:5], labels[:5]), (images[5:], labels[5:])]
    scores = score_genomes(judge, genomes, batches)
    for genome, score in zip(genomes, scores, strict=True):
        loss, top1 = one_by_one(supernet, genome, calibration, images, labels)
        assert score.loss == pytest.approx(loss, rel=1e-9)
        assert score.top1 == pytest.approx(top1)
    assert score_genomes(judge, genomes[:3], batches) == scores[:3]  # what is known is used
    running = score_genomes(supernet, genomes, batches)
    assert all(abs(a.loss - b.loss) > 1e-3 for a, b in zip(running, scores, strict=True))
    assert all(torch.equal(value, before[key]) for key, value in supernet.state_dict().items())


def test_every_node_is_recalibrated_once(make_lively) -> None:
    space = get_space("digits")
    supernet = make_lively(Supernet(space)).double()
    calls = {"count": 0}

    class Counting(RecalibratedCopy):
        def _measured(self, part, key, features):
            calls["count"] += part is not self.head
            return super()._measured(part, key, features)

    genomes = [(0, 1, 2, 3, 4, 5, 0, last) for last in range(6)] + [(5,) * 8]
    judge = Counting(supernet, data(space, 4, 0)[0])
    judge.prepare(sorted(genomes))
    assert calls["count"] == 1 + 7 + 6 + 8  # the stem, a shared beginning, six ends, another path
    judge.prepare(sorted(genomes))
    assert calls["count"] == 22  # all is known
    judge.prepare([(5,) * 8])
    assert len(judge._known) == 1 + 8 + 1  # what no genome needs is forgotten: stem, layers, head
    assert not any(isinstance(part, nn.BatchNorm2d) and part.training for part in judge.head.modules())


@pytest.mark.parametrize("name", ["digits", "nas_bench_macro"])
def test_scores_do_not_depend_on_the_company_nor_on_what_was_scored_before(name, make_lively) -> None:
    space = get_space(name).for_data(image_size=8)
    supernet = make_lively(Supernet(space, seed=1))  # single precision: rounding would show
    rng = np.random.default_rng(0)
    genomes = [space.sample(rng) for _ in range(4)]
    genomes += [(*genome[:4], *genomes[0][4:]) for genome in genomes]
    calibration, batches = data(space, 9, 1)[0].float(), [(data(space, 9, 2)[0].float(), torch.arange(9))]

    def draw(genome):
        return calibration[[sum(genome) % 9, 4, 2, 7]]

    for make in (lambda: RecalibratedCopy(supernet, calibration), lambda: OwnImagesCopy(supernet, draw)):
        together = score_genomes(make(), genomes, batches)
        assert together == [score_genomes(make(), [genome], batches)[0] for genome in genomes]
        assert together == score_genomes(make(), genomes[::-1], batches)[::-1]
        judge = make()
        one_after_another = [score_genomes(judge, genomes[: count + 1], batches)[count] for count in range(8)]
        assert together == one_after_another


@pytest.mark.parametrize("name", ["digits", "compact", "nas_bench_macro"])
def test_with_images_of_its_own_every_genome_is_recalibrated_as_by_itself(name, make_lively) -> None:
    space = get_space(name).for_data(image_size=8)
    supernet = make_lively(Supernet(space, seed=1)).double().eval()
    rng = np.random.default_rng(0)
    genomes = [space.canonical(space.sample(rng)) for _ in range(3)]
    genomes += [space.canonical((*genome[:-1], 0)) for genome in genomes]
    pool, _ = data(space, 40, 1)
    asked = []

    def draw(genome):
        asked.append(genome)
        return pool[np.random.default_rng(list(genome)).choice(40, 7, replace=False)]

    images, labels = data(space, 9, 2)
    before = {key: value.clone() for key, value in supernet.state_dict().items()}
    judge = OwnImagesCopy(supernet, draw)
    batches = [(images[:5], labels[:5]), (images[5:], labels[5:])]
    scores = score_genomes(judge, genomes, batches)
    assert sorted(asked) == sorted(set(genomes))  # once each
    for genome, score in zip(genomes, scores, strict=True):
        loss, top1 = one_by_one(supernet, genome, draw(genome), images, labels)
        assert score.loss == pytest.approx(loss, rel=1e-9)
        assert score.top1 == pytest.approx(top1)
    shared = score_genomes(RecalibratedCopy(supernet, pool[:7]), genomes, batches)
    assert all(abs(a.loss - b.loss) > 1e-6 for a, b in zip(shared, scores, strict=True))
    assert all(torch.equal(value, before[key]) for key, value in supernet.state_dict().items())
    known = len(asked)
    assert score_genomes(judge, genomes[:2], batches) == scores[:2]
    assert len(asked) == known  # what is known is used
    assert len(judge._known) == 2  # and what no genome needs is forgotten
