"""Recalibrated scores over the tree are those of recalibrating every genome by itself, and nothing else is touched."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from fairnas.evaluate import EvaluationCopy, OwnImagesCopy, RecalibratedCopy, score_genomes
from fairnas.evaluate.folding import normalised_by_batch
from fairnas.evaluate.normalised import measure, run_with
from fairnas.kernels import batch_norm_cpu
from fairnas.nets import Supernet, batch_norms, build
from fairnas.nets.blocks import make_block, materialise
from fairnas.space import (
    Identity,
    InvertedResidual,
    Layer,
    SearchSpace,
    Separable,
    ShuffleUnit,
    ShuffleXception,
    get_space,
)
from fairnas.space.catalog import CATALOG
from tests.examples import examples
from tests.small_spaces import SHORT_OR_WHOLE, shortened

small_spaces = pytest.mark.parametrize(
    "name", ["digits", "nas_bench_macro", pytest.param("compact", marks=pytest.mark.full)]
)


def data(space, count, seed):
    rng = torch.Generator().manual_seed(seed)
    shape = (count, space.image_channels, space.image_size, space.image_size)
    images = torch.randn(shape, generator=rng, dtype=torch.float64)
    return images, torch.randint(space.num_classes, (count,), generator=rng)


def one_by_one(supernet: Supernet, genome, calibration, images, labels):
    """Recalibration as in SPOS: reset the running statistics, run in training mode on the images, evaluate."""
    network = copy.deepcopy(supernet)
    for norm in batch_norms(network):
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        network.train()(calibration, genome)
        logits = network.eval()(images, genome)
    return functional.cross_entropy(logits, labels).item(), (logits.argmax(1) == labels).double().mean().item()


@pytest.mark.slow
@small_spaces
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
    scorer = RecalibratedCopy(supernet, calibration)
    batches = [(images[:5], labels[:5]), (images[5:], labels[5:])]
    scores = score_genomes(scorer, genomes, batches)
    for genome, score in zip(genomes, scores, strict=True):
        loss, top1 = one_by_one(supernet, genome, calibration, images, labels)
        assert score.loss == pytest.approx(loss, rel=1e-9)
        assert score.top1 == pytest.approx(top1)
    assert score_genomes(scorer, genomes[:3], batches) == scores[:3]  # what is known is used
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
    scorer = Counting(supernet, data(space, 4, 0)[0])
    scorer.prepare(sorted(genomes))
    assert calls["count"] == 1 + 7 + 6 + 8  # the stem, a shared beginning, six ends, another path
    scorer.prepare(sorted(genomes))
    assert calls["count"] == 22  # all is known
    scorer.prepare([(5,) * 8])
    assert len(scorer._known) == 1 + 8 + 1  # what no genome needs is forgotten: stem, layers, head
    assert not any(isinstance(part, nn.BatchNorm2d) and part.training for part in scorer.head.modules())


@pytest.mark.slow
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
        scorer = make()
        one_after_another = [score_genomes(scorer, genomes[: count + 1], batches)[count] for count in range(8)]
        assert together == one_after_another


@pytest.mark.slow
@small_spaces
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
    scorer = OwnImagesCopy(supernet, draw)
    batches = [(images[:5], labels[:5]), (images[5:], labels[5:])]
    scores = score_genomes(scorer, genomes, batches)
    assert sorted(asked) == sorted(set(genomes))  # once each
    for genome, score in zip(genomes, scores, strict=True):
        loss, top1 = one_by_one(supernet, genome, draw(genome), images, labels)
        assert score.loss == pytest.approx(loss, rel=1e-9)
        assert score.top1 == pytest.approx(top1)
    shared = score_genomes(RecalibratedCopy(supernet, pool[:7]), genomes, batches)
    assert all(abs(a.loss - b.loss) > 1e-6 for a, b in zip(shared, scores, strict=True))
    assert all(torch.equal(value, before[key]) for key, value in supernet.state_dict().items())
    known = len(asked)
    assert score_genomes(scorer, genomes[:2], batches) == scores[:2]
    assert len(asked) == known  # what is known is used
    assert len(scorer._known) == 2  # and what no genome needs is forgotten


BLOCKS = (
    InvertedResidual(5, 3),
    InvertedResidual(3, 2, groups=2),
    InvertedResidual(3, 2, squeeze=0.5, activation="swish"),
    Separable(3),
    ShuffleUnit(5),
    ShuffleXception(),
    Identity(),
)
KINDS = [(block, Layer(8, width, stride, (block,))) for block in BLOCKS for width, stride in ((8, 1), (24, 2))]


def recalibrated_twin(network: nn.Module, images: torch.Tensor) -> nn.Module:
    """A copy in eval mode whose running statistics are those of some images, taken in training mode."""
    twin = copy.deepcopy(network).train()
    for norm in batch_norms(twin):
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        twin(images)
    return twin.eval()


@pytest.mark.parametrize(("block", "layer"), KINDS, ids=[f"{b.label} {each.stride}" for b, each in KINDS])
def test_every_kind_of_block_keeps_each_statistic_with_its_own_bn(block, layer, make_lively) -> None:
    with torch.device("meta"):
        module = make_block(block, layer, "relu")
    materialise(module, torch.Generator().manual_seed(0))
    module = make_lively(module, 1).double()
    rng = torch.Generator().manual_seed(2)
    taken, others = (torch.randn(n, 8, 6, 6, generator=rng, dtype=torch.float64) for n in (7, 3))
    with torch.inference_mode():
        part = normalised_by_batch(module)
        output, known = measure(part, taken)
        assert len(known) == len(batch_norms(module))
        plain = recalibrated_twin(module, taken)
        torch.testing.assert_close(output, module.train()(taken), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(run_with(part, known, others), plain(others), rtol=1e-10, atol=1e-10)


def require_path_by_path(space: SearchSpace, make_lively, genomes, count: int = 3) -> None:
    """Recalibrated logits are those of a network whose running statistics are those of the same images."""
    supernet = make_lively(Supernet(space, seed=1)).double().eval()
    (calibration, _), (images, _) = data(space, count, 1), data(space, 2, 2)
    genomes = sorted({space.canonical(genome) for genome in genomes})
    for scorer in (RecalibratedCopy(supernet, calibration), OwnImagesCopy(supernet, lambda _: calibration)):
        found = {}
        scorer.prepare(genomes)
        with torch.inference_mode():
            scorer.logits(genomes, images, found.__setitem__)
        for genome in genomes:
            network = build(space, genome, inherit=supernet).double()  # single precision holds the weights exactly
            with torch.no_grad():
                wanted = recalibrated_twin(network, calibration)(images)
            torch.testing.assert_close(found[genome], wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@SHORT_OR_WHOLE
@pytest.mark.parametrize("name", list(CATALOG))
def test_on_every_space_recalibration_is_path_by_path(name, layers, make_lively) -> None:
    space = shortened(get_space(name), layers, num_classes=4)
    space = space.for_data(image_size=min(space.image_size, 2 * space.reduction))
    rng = np.random.default_rng(0)
    require_path_by_path(space, make_lively, [space.sample(rng), space.sample(rng)])


@pytest.mark.slow
@given(drawn=st.data())
@settings(max_examples=examples(15), phases=(Phase.explicit, Phase.generate))
def test_on_random_spaces_recalibration_is_path_by_path(chain_spaces, make_lively, drawn) -> None:
    space = drawn.draw(chain_spaces)
    space = space.for_data(image_size=max(space.image_size, 2 * space.reduction))
    rng = np.random.default_rng(drawn.draw(st.integers(0, 9)))
    require_path_by_path(space, make_lively, [space.sample(rng), space.sample(rng)])


@pytest.mark.parametrize(("channels", "images"), [(16, 80), (24, 60), (96, 24), (8, 200)])
@pytest.mark.parametrize("act", [None, nn.ReLU6(), nn.ReLU(), nn.SiLU()], ids=str)
def test_the_fast_statistics_are_those_of_double_precision(channels, images, act) -> None:
    rng = torch.Generator().manual_seed(0)
    conv, norm = nn.Conv2d(3, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels)
    with torch.no_grad():
        for weight in (conv.weight, norm.weight, norm.bias):
            weight.normal_(1, 1, generator=rng)
    module = nn.Sequential(conv, norm, *([] if act is None else [act]))
    taken = torch.randn(images, 3, 14, 14, generator=rng).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        plain = normalised_by_batch(copy.deepcopy(module).double())
        (wanted, exact), fast = measure(plain, taken.double()), normalised_by_batch(module)
        used = []
        with pytest.MonkeyPatch.context() as patch:
            usual = batch_norm_cpu.batch_constants
            patch.setattr(batch_norm_cpu, "batch_constants", lambda *given: used.append(1) or usual(*given))
            found, known = measure(fast, taken)
        assert len(used) == (channels >= 16)  # with fewer, the plain way
        torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-5)
        for name in known:
            torch.testing.assert_close(known[name].scale.double(), exact[name].scale, rtol=2e-6, atol=0)
            torch.testing.assert_close(known[name].shift.double(), exact[name].shift, rtol=2e-6, atol=1e-6)
        after = run_with(fast, known, taken)
        torch.testing.assert_close(after.double(), run_with(plain, exact, taken.double()), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_on_the_images_themselves_recalibrated_statistics_are_those_of_the_batch(make_lively) -> None:
    space = get_space("shufflenet_v2").for_data(image_size=64, num_classes=4)
    supernet = make_lively(Supernet(space, seed=1)).eval()
    genome = space.sample(np.random.default_rng(0))
    images = data(space, 80, 1)[0].float().contiguous(memory_format=torch.channels_last)
    found = []
    for scorer in (RecalibratedCopy(supernet, images), EvaluationCopy(supernet, "batch")):
        scorer.prepare([genome])
        with torch.inference_mode():
            scorer.logits([genome], images, lambda _, logits: found.append(logits))
    assert (found[0] - found[1]).norm() < 0.1 * found[1].norm()  # variances with and without bias
    assert (found[1] - found[1].mean(0)).norm() > 0.5 * found[1].norm()
