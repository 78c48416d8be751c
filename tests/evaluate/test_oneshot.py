"""One-shot scores over the prefix tree, against plain evaluation path by path."""

import collections
import copy
import functools
import math
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from fairnas.evaluate import EvaluationCopy, Score, Statistics, oneshot, score_genomes, score_network
from fairnas.nets import Supernet, build
from fairnas.space import CATALOG, Genome, SearchSpace, get_space
from tests.examples import examples
from tests.small_spaces import SHORT_OR_WHOLE, shortened

UNSHRUNK = (Phase.explicit, Phase.generate)  # to shrink a failure takes minutes where networks run

SMALL = {"digits": 8, "compact": 8, "nas_bench_macro": 8}
Batches = list[tuple[Tensor, Tensor]]


def batches_for(space: SearchSpace, sizes: tuple[int, ...], dtype: torch.dtype = torch.float32) -> Batches:
    rng = torch.Generator().manual_seed(1)
    shape = (sum(sizes), space.image_channels, space.image_size, space.image_size)
    images = torch.randn(shape, generator=rng, dtype=torch.float64).to(dtype)
    labels = torch.randint(space.num_classes, shape[:1], generator=rng)
    return list(zip(images.split(sizes), labels.split(sizes), strict=True))


def plain_scores(
    supernet: Supernet, genomes: list[Genome], batches: Batches, statistics: Statistics = "running"
) -> list[Score]:
    """Scores as a competent user computes them in an afternoon: every genome from the first layer, BN as it is."""
    network = copy.deepcopy(supernet).train(statistics == "batch")
    scores = []
    for genome in genomes:
        with torch.no_grad():
            logits = torch.cat([network(images, genome) for images, _ in batches])
        labels = torch.cat([labels for _, labels in batches])
        place = (logits > logits.gather(1, labels[:, None])).sum(1)
        top1, top5 = ((place < k).double().mean().item() for k in (1, 5))
        losses = functional.cross_entropy(logits.double(), labels, reduction="none")
        classes = labels.unique()  # a class without images has no accuracy
        right = (logits.argmax(1) == labels).double()
        balanced = torch.stack([right[labels == each].mean() for each in classes]).mean().item()
        of_classes = torch.stack([losses[labels == each].mean() for each in classes]).mean().item()
        scores.append(Score(top1, top5, losses.mean().item(), len(labels), balanced, of_classes))
    return scores


def assert_same(found: Score, wanted: Score, rel: float = 1e-12) -> None:
    """Accuracies to the last bit but for the order of sums, losses up to rounding."""
    assert (found.top1, found.top5, found.images) == (wanted.top1, wanted.top5, wanted.images)
    assert found.balanced_accuracy == pytest.approx(wanted.balanced_accuracy, rel=1e-12)
    assert (found.loss, found.balanced_loss) == pytest.approx((wanted.loss, wanted.balanced_loss), rel=rel)


@pytest.fixture(scope="module")
def supernet_of(make_lively) -> Callable[[str, torch.dtype], Supernet]:
    """Supernets by name and type; a function, because hypothesis prints arguments and theirs fill pages."""

    @functools.cache
    def make(name: str, dtype: torch.dtype) -> Supernet:
        space = get_space(name).for_data(image_size=SMALL[name])
        return make_lively(Supernet(space, seed=1)).to(dtype)

    return make


def genome_lists(space: SearchSpace) -> st.SearchStrategy[list[Genome]]:
    """Lists with shared prefixes, twins and duplicates."""
    genomes = st.tuples(*(st.integers(0, count - 1) for count in space.choices))
    near = st.tuples(*(st.integers(0, 1) for _ in space.choices))
    return st.lists(genomes | near, min_size=1, max_size=6).flatmap(
        lambda few: st.lists(st.sampled_from(few), min_size=1, max_size=7)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
@given(data=st.data())
@settings(max_examples=examples(5), phases=UNSHRUNK)
def test_scores_are_those_of_plain_evaluation(supernet_of, name: str, data) -> None:
    exact = supernet_of(name, torch.float64)
    space = exact.space
    genomes = data.draw(genome_lists(space))
    networks = [space.canonical(genome) for genome in genomes]
    batches = batches_for(space, (5, 3), torch.float64)
    expected = plain_scores(exact, networks, batches)
    for found, wanted in zip(score_genomes(exact, genomes, batches), expected, strict=True):
        assert_same(found, wanted)
    fast = score_genomes(supernet_of(name, torch.float32), genomes, batches_for(space, (5, 3)))
    for found, wanted in zip(fast, expected, strict=True):
        assert found.loss == pytest.approx(wanted.loss, rel=1e-4)
        assert abs(found.top1 - wanted.top1) <= 1 / 8  # a near tie may fall either way


@pytest.mark.slow
@SHORT_OR_WHOLE
@pytest.mark.parametrize("name", CATALOG)
def test_on_every_space_the_tree_is_path_by_path(name: str, layers: int | None, make_lively) -> None:
    space = shortened(CATALOG[name], layers)
    rng = np.random.default_rng(0)
    genomes = [space.sample(rng) for _ in range(3)]
    genomes += [(*genomes[0][:-half], *genomes[1][-half:]) for half in (1, space.depth // 2)]  # shared beginnings
    networks = [space.canonical(genome) for genome in genomes]
    supernet = make_lively(Supernet(space, seed=1))
    single = score_genomes(supernet, genomes, batches_for(space, (3, 2)))
    assert single == [score_genomes(supernet, [genome], batches_for(space, (3, 2)))[0] for genome in genomes]
    supernet.double()
    batches = batches_for(space, (3, 2), torch.float64)
    exact = score_genomes(supernet, genomes, batches)
    assert exact == [score_genomes(supernet, [genome], batches)[0] for genome in genomes]
    for fast, found, wanted in zip(single, exact, plain_scores(supernet, networks, batches), strict=True):
        assert_same(found, wanted)  # folding BN rounds otherwise
        assert fast.loss == pytest.approx(wanted.loss, rel=1e-4)
    # nothing but BN's folding rounds: without it, the tree's numbers are the plain ones to the last bit
    unfolded = score_genomes(supernet, genomes, batches, statistics="batch")
    assert [each.loss for each in unfolded] == pytest.approx(
        [each.loss for each in plain_scores(supernet, networks, batches, "batch")], rel=1e-15
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", SMALL)
def test_with_the_statistics_of_each_batch_scores_are_those_of_training_mode(supernet_of, name: str) -> None:
    supernet = supernet_of(name, torch.float64)
    rng = np.random.default_rng(0)
    genomes = [supernet.space.sample(rng) for _ in range(4)]
    before = {key: value.clone() for key, value in supernet.state_dict().items()}
    batches = batches_for(supernet.space, (6, 5), torch.float64)
    expected = plain_scores(supernet, [supernet.space.canonical(genome) for genome in genomes], batches, "batch")
    for found, wanted in zip(score_genomes(supernet, genomes, batches, statistics="batch"), expected, strict=True):
        assert_same(found, wanted)
    running = score_genomes(supernet, genomes, batches)
    assert all(abs(a.loss - b.loss) > 1e-3 for a, b in zip(running, expected, strict=True))
    assert all(torch.equal(value, before[key]) for key, value in supernet.state_dict().items())


@pytest.mark.slow
def test_real_scores_differ_between_genomes(supernet_of) -> None:
    """Otherwise the law above would prove nothing."""
    supernet = supernet_of("digits", torch.float64)
    rng = np.random.default_rng(0)
    genomes = [supernet.space.sample(rng) for _ in range(12)]
    batches = batches_for(supernet.space, (60,), torch.float64)
    scores = score_genomes(supernet, genomes, batches)
    assert len({score.loss for score in scores}) == 12
    assert len({score.top1 for score in scores}) > 1
    assert len({score.top5 for score in scores}) > 2
    assert all(score.top1 < score.top5 < 1 for score in scores)


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=examples(10), phases=UNSHRUNK)
def test_scores_do_not_depend_on_the_company(supernet_of, data) -> None:
    supernet = supernet_of("digits", torch.float32)
    genomes = data.draw(genome_lists(supernet.space))
    batches = batches_for(supernet.space, (4, 6))
    together = score_genomes(supernet, genomes, batches)
    assert together == [score_genomes(supernet, [genome], batches)[0] for genome in genomes]
    assert together == list(reversed(score_genomes(supernet, genomes[::-1], batches)))


def test_batches_change_speed_and_memory_but_not_scores(supernet_of) -> None:
    supernet = supernet_of("digits", torch.float64)
    genomes = [(0,) * 8, (5, 4, 3, 2, 1, 0, 1, 2)]
    whole = score_genomes(supernet, genomes, batches_for(supernet.space, (23,), torch.float64))
    parts = score_genomes(supernet, genomes, batches_for(supernet.space, (10, 10, 3), torch.float64))
    for a, b in zip(whole, parts, strict=True):
        assert (a.top1, a.top5, a.images) == (b.top1, b.top5, 23)
        assert a.loss == pytest.approx(b.loss, rel=1e-12)


def test_twins_have_one_score_that_of_their_canonical_genome(supernet_of) -> None:
    supernet = supernet_of("nas_bench_macro", torch.float32)
    first, second = (1, 0, 1, 0, 2, 2, 0, 1), (1, 0, 1, 2, 0, 2, 1, 0)
    assert supernet.space.canonical(first) == second
    batches = batches_for(supernet.space, (6,))
    a, b = score_genomes(supernet, [first, second], batches)
    assert a == b
    assert a.loss == pytest.approx(plain_scores(supernet, [second], batches)[0].loss, rel=1e-5)


# The supernet is not touched ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", SMALL)
def test_the_supernet_is_as_it_was(supernet_of, name: str, training: bool) -> None:
    supernet = copy.deepcopy(supernet_of(name, torch.float32)).train(training)
    supernet.layers[1].eval()  # modes may be mixed
    next(supernet.head.parameters()).requires_grad_(False)

    def state() -> tuple:
        return (
            [module.training for module in supernet.modules()],
            [(key, p.requires_grad, p.grad) for key, p in supernet.named_parameters()],
            [type(module) for module in supernet.modules()],
            [(key, value.data_ptr()) for key, value in supernet.state_dict().items()],
        )

    before, weights = state(), copy.deepcopy(supernet.state_dict())
    space, rng = supernet.space, np.random.default_rng(0)
    score_genomes(supernet, [space.sample(rng) for _ in range(5)], batches_for(space, (4, 4)))
    assert state() == before
    assert all(torch.equal(value, weights[key]) for key, value in supernet.state_dict().items())


# The tree -----------------------------------------------------------------------------------------------------


class Spy(EvaluationCopy):
    """Counts the calls of every folded block, and how many of their results are alive at once."""

    made: "list[Spy]"

    def __init__(self, supernet: Supernet, statistics: Statistics) -> None:
        super().__init__(supernet, statistics)
        self.calls: collections.Counter[tuple[int, int]] = collections.Counter()
        self.alive: list[weakref.ref[Tensor]] = []
        self.most_alive = 0
        self.stem.register_forward_hook(lambda module, inputs, output: self._held(output))
        Spy.made.append(self)

    def block(self, layer: int, choice: int) -> nn.Module:
        if (layer, choice) not in self._blocks:
            super().block(layer, choice).register_forward_hook(
                lambda module, inputs, output: self._called(layer, choice, output)
            )
        return self._blocks[layer, choice]

    def _called(self, layer: int, choice: int, output: Tensor) -> None:
        self.calls[layer, choice] += 1
        self._held(output)

    def _held(self, output: Tensor) -> None:
        self.alive = [ref for ref in self.alive if ref() is not None] + [weakref.ref(output)]
        self.most_alive = max(self.most_alive, len({id(ref()) for ref in self.alive}))


@given(data=st.data())
@settings(max_examples=examples(10), phases=UNSHRUNK)
def test_every_node_of_the_tree_is_computed_once_per_batch(supernet_of, data) -> None:
    supernet = supernet_of("digits", torch.float32)
    genomes = data.draw(genome_lists(supernet.space))
    with pytest.MonkeyPatch.context() as patch:
        Spy.made = []
        patch.setattr(oneshot, "EvaluationCopy", Spy)
        score_genomes(supernet, genomes, batches_for(supernet.space, (2, 3, 1)))
    (spy,) = Spy.made
    nodes = {genome[: depth + 1] for genome in genomes for depth in range(len(genome))}
    assert spy.calls == collections.Counter({key: 3 * n for key, n in _per_block(nodes).items()})


def _per_block(nodes: set[Genome]) -> collections.Counter[tuple[int, int]]:
    return collections.Counter((len(prefix) - 1, prefix[-1]) for prefix in nodes)


def test_at_most_one_activation_per_layer_is_held(supernet_of) -> None:
    supernet = supernet_of("digits", torch.float32)
    rng = np.random.default_rng(1)
    genomes = [(*((0,) * 4), *supernet.space.sample(rng)[4:]) for _ in range(20)]
    with pytest.MonkeyPatch.context() as patch:
        Spy.made = []
        patch.setattr(oneshot, "EvaluationCopy", Spy)
        score_genomes(supernet, genomes, batches_for(supernet.space, (2, 2)))
    (spy,) = Spy.made
    assert sum(spy.calls.values()) > 2 * 20 * 3
    # after layers 4, 5, 6 and 7 there are branches; what goes into a block and comes out of it is there, too
    assert 5 <= spy.most_alive <= supernet.space.depth + 1


def test_with_a_branch_at_every_depth_one_activation_per_layer_is_held(supernet_of) -> None:
    supernet = supernet_of("digits", torch.float32)
    genomes = [(*(0,) * layer, 1, *(0,) * (7 - layer)) for layer in range(8)] + [(0,) * 8]
    with pytest.MonkeyPatch.context() as patch:
        Spy.made = []
        patch.setattr(oneshot, "EvaluationCopy", Spy)
        score_genomes(supernet, genomes, batches_for(supernet.space, (2, 2)))
    (spy,) = Spy.made
    assert spy.most_alive == supernet.space.depth + 1


# Corners ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [1, 3, 5, 6])
def test_top_5_with_few_classes(classes: int) -> None:
    space = get_space("digits").for_data(num_classes=classes)
    supernet = Supernet(space)
    score = score_genomes(supernet, [(0,) * 8], batches_for(space, (40,)))[0]
    assert score.images == 40
    assert (score.top5 == 1) == (classes <= 5)
    assert score.top1 <= score.top5 <= 1
    if classes == 1:
        assert (score.top1, score.loss) == (1.0, 0.0)


def test_no_genomes_no_scores_and_progress_is_told(supernet_of) -> None:
    supernet = supernet_of("digits", torch.float32)
    batches = batches_for(supernet.space, (4, 3))
    seen: list[int] = []
    assert score_genomes(supernet, [], batches) == []
    assert len(score_genomes(supernet, [(0,) * 8], iter(batches), seen.append)) == 1
    assert seen == [4, 7]
    with pytest.raises(AssertionError, match="scored over no images"):
        score_genomes(supernet, [(0,) * 8], [])


def test_a_diverged_supernet_scores_without_an_error(supernet_of) -> None:
    supernet = copy.deepcopy(supernet_of("digits", torch.float32))
    with torch.no_grad():
        supernet.head.classifier.weight.fill_(math.nan)
    score = score_genomes(supernet, [(0,) * 8], batches_for(supernet.space, (6,)))[0]
    assert math.isnan(score.loss)
    assert 0 <= score.top1 <= score.top5 <= 1


# Ordinary networks --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [True, False])
def test_an_inherited_network_scores_as_its_genome_and_keeps_its_mode(supernet_of, training: bool) -> None:
    supernet = supernet_of("digits", torch.float64)
    genome = (0, 1, 2, 3, 4, 5, 0, 1)
    network = build(supernet.space, genome).double()
    network.load_state_dict(build(supernet.space, genome, inherit=supernet).state_dict())
    for number, choice in enumerate(genome):  # float64 weights, which `build` rounds
        network.layers[number].load_state_dict(supernet.block(number, choice).state_dict())
    network.stem.load_state_dict(supernet.stem.state_dict())
    network.head.load_state_dict(supernet.head.state_dict())
    network.train(training)
    batches = batches_for(supernet.space, (9, 4), torch.float64)
    found, expected = score_network(network, batches), score_genomes(supernet, [genome], batches)[0]
    assert_same(found, expected)
    answers = torch.cat([network.eval()(images).argmax(1) for images, _ in batches])
    labels = torch.cat([labels for _, labels in batches])
    assert found.class_hits == tuple(int(((answers == labels) & (labels == each)).sum()) for each in range(10))
    assert sum(found.class_hits) == found.top1 * found.images
    assert found.class_images == tuple(torch.bincount(labels, minlength=10).tolist())
    network.train(training)
    score_network(network, batches)
    assert network.training == training
    assert all(module.training == training for module in network.modules())


def test_the_mode_comes_back_after_an_error(supernet_of) -> None:
    space = supernet_of("digits", torch.float32).space
    network = build(space, "0" * 8).train()
    with pytest.raises(RuntimeError):
        score_network(network, [(torch.zeros(2, 7, 8, 8), torch.zeros(2, dtype=torch.long))])
    assert network.training


def test_scoring_a_network_changes_no_statistics() -> None:
    space = get_space("digits")
    network = build(space, "0" * 8).train()
    before = copy.deepcopy(network.state_dict())
    score_network(network, batches_for(space, (4,)))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
