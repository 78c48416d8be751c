"""Walks over the tree in bounded memory: never more than allowed, by the cheapest plan."""

import heapq
import itertools
import random
import weakref

import pytest
import torch
from torch import Tensor

from fairnas.errors import ConfigError
from fairnas.evaluate import EvaluationCopy, RecalibratedCopy, score_genomes
from fairnas.evaluate.activation_checkpointing import MIB, kept_depths, kept_within, largest_pair, most_held
from fairnas.evaluate.tree import branches, shared_depths
from fairnas.nets import Supernet
from fairnas.nets.memory import activation_table
from fairnas.space import CATALOG, Genome, get_space
from tests.small_spaces import SHORT_OR_WHOLE, shortened

# The plan -----------------------------------------------------------------------------------------------------


def some_tree(rng: random.Random, layers: int, leaves: int):
    """Genomes in order; per genome and depth, what its node costs; per depth, the size of an activation."""
    ordered = sorted({tuple(rng.randrange(3) for _ in range(layers)) for _ in range(leaves)})
    cost: dict[Genome, int] = {}
    for leaf in ordered:
        for depth in range(layers + 1):
            cost.setdefault(leaf[:depth], rng.choice((1, 2, 3, 9, 20)))
    sizes = [rng.choice((1, 1, 2, 3, 5)) for _ in range(layers + 1)]
    return ordered, [[cost[leaf[:depth]] for depth in range(layers + 1)] for leaf in ordered], sizes


def cost_of(shared, costs, kept):
    """Number of layers that a plan runs, by simulation."""
    spent, held = 0, frozenset()
    for known, leaf, keep in zip(shared, costs, kept, strict=True):
        start = max((depth for depth in held if depth <= known), default=-1)
        spent += sum(leaf[start + 1 :])
        held = frozenset(depth for depth in held if depth <= start) & keep | {d for d in keep if d > start}
    return spent


def cheapest(shared, costs, sizes, memory):
    """Brute force: the shortest way through all (leaf, set of held depths), whatever is kept or dropped when."""
    depths = len(sizes)
    queue, seen = [(0, 0, ())], set()
    while queue:
        spent, leaf, held = heapq.heappop(queue)
        if leaf == len(costs):
            return spent
        if (leaf, held) in seen:
            continue
        seen.add((leaf, held))
        usable = [depth for depth in held if depth <= shared[leaf]]
        start = max(usable, default=-1)
        options = [depth for depth in range(depths) if depth > start or depth in usable]
        for count in range(len(options) + 1):
            for keep in itertools.combinations(options, count):
                now = [depth for depth in keep if depth <= start]
                fits = True
                for depth in range(start + 1, depths):
                    there = {*now, depth, *([depth - 1] if depth else [])}
                    fits = fits and sum(sizes[each] for each in there) <= memory
                    now += [depth] if depth in keep else []
                if fits:
                    heapq.heappush(queue, (spent + sum(costs[leaf][start + 1 :]), leaf + 1, keep))
    raise AssertionError("no plan")


@pytest.mark.slow
def test_plans_are_the_cheapest_or_nearly_and_keep_within_their_memory() -> None:
    rng = random.Random(0)
    short = exact = 0
    for _ in range(250):
        ordered, costs, sizes = some_tree(rng, layers=rng.randint(1, 4), leaves=rng.randint(1, 8))
        shared, memory = shared_depths(ordered), largest_pair(sizes) + rng.randint(0, 4)
        kept = kept_depths(shared, costs, sizes, memory)
        assert most_held(shared, kept, sizes) <= memory
        found, best = cost_of(shared, costs, kept), cheapest(shared, costs, sizes, memory)
        assert best <= found <= 1.2 * best
        everything = cost_of(shared, costs, branches(shared))
        assert everything == sum(
            {leaf[:d]: c[d] for leaf, c in zip(ordered, costs, strict=True) for d in range(len(c))}.values()
        )
        assert (found == everything) if most_held(shared, branches(shared), sizes) <= memory else (found >= everything)
        short += best > everything
        exact += found == best
    assert short > 50
    assert exact > 0.9 * 250


def test_memory_that_does_not_divide_is_rounded_to_the_safe_side() -> None:
    rng = random.Random(1)
    for _ in range(50):
        ordered, costs, sizes = some_tree(rng, layers=5, leaves=30)
        sizes = [1000 * size + rng.randrange(1000) for size in sizes]  # no common divisor to speak of
        shared = shared_depths(ordered)
        memory = largest_pair(sizes) + rng.randrange(3000)
        assert most_held(shared, kept_depths(shared, costs, sizes, memory), sizes) <= memory


def test_genomes_of_very_many_layers_have_a_plan():
    ordered = [(0,) * 150 + (last,) * 50 for last in range(2)]
    shared, costs = [0, 150], [[1] * 201] * 2
    kept = kept_depths(shared, costs, [1] * 201, 3)
    assert cost_of(shared, costs, kept) <= sum(map(sum, costs))
    assert len(kept) == len(ordered)


# The walk -----------------------------------------------------------------------------------------------------


class Watched(EvaluationCopy):
    """Counts what is run, and the bytes of the activations that are alive at one time."""

    def __init__(self, supernet: Supernet, activation_mib: float | None) -> None:
        super().__init__(supernet, activation_mib=activation_mib)
        self.runs, self.most = 0, 0
        self._alive: list[weakref.ref[Tensor]] = []

    def run(self, prefix: Genome, features: Tensor) -> Tensor:
        output = super().run(prefix, features)
        self.runs += 1
        self._alive = [ref for ref in self._alive if ref() is not None] + [weakref.ref(output)]
        there = {id(tensor): tensor for ref in self._alive if (tensor := ref()) is not None}
        self.most = max(self.most, sum(tensor.nbytes for tensor in there.values()))
        return output


def images_for(space, count: int) -> Tensor:
    rng = torch.Generator().manual_seed(1)
    return torch.randn(count, space.image_channels, space.image_size, space.image_size, generator=rng)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "nas_bench_macro", pytest.param("mobilenet_v2", marks=pytest.mark.full)])
def test_scores_are_the_same_bit_for_bit_in_less_memory(name: str, make_lively) -> None:
    space = get_space(name).for_data(image_size={"mobilenet_v2": 32}.get(name, 8))
    supernet = make_lively(Supernet(space))
    rng = random.Random(2)
    parents = [tuple(rng.randrange(count) for count in space.choices) for _ in range(2)]
    genomes = list(parents)
    for parent in parents:  # a branch at every depth
        for layer, count in enumerate(space.choices):
            genomes.append((*parent[:layer], (parent[layer] + 1) % count, *parent[layer + 1 :]))
    networks = {space.canonical(genome) for genome in genomes}
    nodes = len({genome[:depth] for genome in networks for depth in range(space.depth + 1)})
    images = images_for(space, 7)
    batches = [(images[:4], torch.arange(4)), (images[4:], torch.arange(3))]  # the second is smaller

    free = Watched(supernet, None)
    expected = score_genomes(free, genomes, batches)
    assert free.runs == 2 * nodes

    sizes = [4 * size for size in activation_table(space).handed_on]  # bytes for 4 images
    shared = shared_depths(sorted(networks))
    least, need = largest_pair(sizes), most_held(shared, branches(shared), sizes)
    assert free.most <= need  # an identity hands on what it got
    assert free.most == need or name == "nas_bench_macro"
    runs = []
    for room in (0.0, 0.3, 0.7, 1.0):
        bound = least + room * (need - least)
        scorer = Watched(supernet, (bound + 1) / MIB)
        assert score_genomes(scorer, genomes, batches) == expected
        assert scorer.most <= bound + 1
        runs.append(scorer.runs)
    assert runs[-1] == 2 * nodes < runs[0]
    assert runs == sorted(runs, reverse=True)


def test_recalibration_keeps_within_memory_too_and_finds_the_same(make_lively) -> None:
    space = get_space("digits")
    supernet = make_lively(Supernet(space))
    genomes = [(*(0,) * layer, 1, *(0,) * (7 - layer)) for layer in range(8)]
    batches = [(images_for(space, 9), torch.arange(9))]
    calibration = images_for(space, 12)
    expected = score_genomes(RecalibratedCopy(supernet, calibration), genomes, batches)
    least = 12 * largest_pair(activation_table(space).handed_on) / MIB
    tight = RecalibratedCopy(supernet, calibration, activation_mib=least * 1.01)
    assert score_genomes(tight, genomes, batches) == expected
    with pytest.raises(ConfigError, match="12 images at once need"):
        score_genomes(RecalibratedCopy(supernet, calibration, activation_mib=least * 0.99), genomes, batches)


def test_a_batch_that_is_larger_than_the_first_is_planned_anew(make_lively) -> None:
    space = get_space("digits")
    supernet = make_lively(Supernet(space))
    bound = 8 * largest_pair(activation_table(space).handed_on) + 1
    scorer = Watched(supernet, bound / MIB)
    genomes = [(*(0,) * layer, 1, *(0,) * (7 - layer)) for layer in range(8)]
    images = images_for(space, 11)
    score_genomes(scorer, genomes, [(images[:3], torch.arange(3)), (images[3:], torch.arange(8))])
    assert scorer.most <= bound


@pytest.mark.slow
def test_too_little_memory_is_refused_in_one_line() -> None:
    space = get_space("digits")
    scorer = EvaluationCopy(Supernet(space), activation_mib=0.02)
    with pytest.raises(ConfigError) as caught:
        score_genomes(scorer, [(0,) * 8], [(images_for(space, 20), torch.zeros(20, dtype=torch.long))])
    message = str(caught.value)
    needed = 20 * largest_pair(activation_table(space).handed_on) / MIB
    assert message == (
        "evaluate.activation_mib is 0.02, but 20 images at once need 0.08 to get through space 'digits'; "
        "give that, or fewer images (evaluate.batch_size, evaluate.calibration_images)"
    )
    assert 0.07 < needed <= 0.08
    wider = torch.Size((20, 1, 16, 16))
    with pytest.raises(ConfigError, match=r"need 0\.32"):
        kept_within([(0,) * 8], space, wider, 4, 0.1)
    with pytest.raises(ConfigError, match=r"need 0\.04"):
        kept_within([(0,) * 8], space, torch.Size((20, 1, 8, 8)), 2, 0.01)  # bfloat16


@pytest.mark.slow
@SHORT_OR_WHOLE
@pytest.mark.parametrize("name", CATALOG)
def test_the_sizes_that_are_planned_with_are_those_of_real_activations(name: str, layers: int | None) -> None:
    space = shortened(CATALOG[name], layers)
    scorer = EvaluationCopy(Supernet(space))
    features = images_for(space, 1)
    genome = (0,) * space.depth
    with torch.inference_mode():
        for depth, size in enumerate(activation_table(space).handed_on):
            features = scorer.run(genome[:depth], features)
            assert features.nbytes == size
