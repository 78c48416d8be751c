"""Promises of FBNet, ProxylessNAS and ENAS: gradients, schedules, memory, and that they find good networks."""

import dataclasses
import io
import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fairnas.config import ArchitectureConfig, TrainConfig
from fairnas.nets import Supernet, cost
from fairnas.nets.memory import measured_peak
from fairnas.randomness import generator
from fairnas.space import Stage, Stem, chain_space
from fairnas.train import StepContext, make_strategy, supernet_step
from fairnas.train.executors import loss_of
from fairnas.train.loop import make_optimizer
from fairnas.train.strategies.costs import BlockCosts
from fairnas.train.strategies.enas import EnasController
from fairnas.train.strategies.proxyless import draw_pair, through_softmax

NAMES = ("fbnet", "proxyless", "proxyless_reinforce", "enas")
CPU = torch.device("cpu")
every_one = pytest.mark.parametrize("name", NAMES)


def a_space(*, kernels=(3,), expansions=(1, 2, 3), layers=2, side=4, width=4):
    return chain_space(
        "toy",
        image_size=side,
        image_channels=1,
        stem=Stem(width, 1),
        stages=(Stage(width, layers),),
        head=8,
        num_classes=4,
        kernels=kernels,
        expansions=expansions,
    )


def pictures(number, *, size=24, side=4, purpose="pictures"):
    """Four classes that a linear classifier tells apart."""
    rng = generator(0, purpose, number)
    labels = rng.integers(4, size=size)
    patterns = generator(0, "patterns").normal(size=(4, 1, side, side))
    images = patterns[labels] + 0.3 * rng.normal(size=(size, 1, side, side))
    return torch.from_numpy(images).float(), torch.from_numpy(labels)


def started(name, space, *, lr=0.1, seed=0, change=lambda supernet: None, **architecture):
    """A strategy that has begun, and its bench."""
    config = TrainConfig(strategy=name, lr=lr, architecture=ArchitectureConfig(**architecture))
    supernet = Supernet(space, seed=seed).train()
    change(supernet)
    images = lambda number: pictures(number, side=space.image_size, purpose="other pictures")  # noqa: E731
    context = StepContext(supernet, make_optimizer(supernet, config), config, architecture_images=images)
    strategy = make_strategy(config, space.choices, seed)
    strategy.begin(context)
    return strategy, context


def run(strategy, context, first, last, total):
    side = context.supernet.space.image_size
    return [strategy.step(context, [pictures(step, side=side)], step, total) for step in range(first, last)]


# One choice per layer ------------------------------------------------------------------------------------------


@every_one
def test_with_one_choice_per_layer_the_gradients_are_the_plain_path_s(name):
    space = a_space(expansions=(2,))
    strategy, context = started(name, space, warm_up=0.0)
    context.optimizer.param_groups[0]["lr"] = 0.0
    for result in run(
        strategy, context, 0, 16, 16
    ):  # the architecture's steps come in between, and have nothing to say
        assert result.passes.tolist() == [1] * 2
    plain = Supernet(space, seed=0).train()
    images, labels = pictures(15)
    loss_of(plain(images, (0, 0)), labels).backward()
    for ours, theirs in zip(context.supernet.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    assert strategy.preference((0, 0)) == pytest.approx(0)
    assert strategy.derive(lambda genomes: [0.0] * len(genomes)) == (0, 0)


# FBNet ---------------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(st.integers(0, 99), st.integers(0, 999))
def test_gumbel_softmax_that_is_cold_picks_the_largest_of_theta_and_noise(seed, step):
    strategy, _ = started("fbnet", a_space(), seed=seed)
    theta = [torch.tensor([0.3, -1.0, 0.5]), torch.tensor([2.0, 0.0, 0.0])]
    strategy.alphas.restore({"layers": theta, "optimizer": strategy.alphas.optimizer.state_dict()})
    rng = generator(seed, "anything", step)
    cold = [row.detach() for row in strategy.mixture("anything", step, 1e-6)]
    for row, mixed in zip(theta, cold, strict=True):
        best = int((row.double() + torch.from_numpy(rng.gumbel(size=3))).argmax())
        assert int(mixed.argmax()) == best
        assert float(mixed.sum()) == pytest.approx(1)
    hot = strategy.mixture("anything", step, 1e6)
    assert all(torch.allclose(row, torch.full((3,), 1 / 3), atol=1e-4) for row in hot)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 2), min_size=2, max_size=2), st.floats(0, 3))
def test_costs_of_a_mixture_are_those_of_a_genome_where_it_is_one(genome, beta):
    space = a_space()
    strategy, _ = started("fbnet", space, cost_weight=beta)
    one_hot = [torch.eye(3, dtype=torch.float64)[choice] for choice in genome]
    expected, lightest = cost(space, genome).madds, cost(space, (0, 0)).madds
    assert float(strategy.costs.expected(one_hot)) == strategy.costs(tuple(genome)) == expected
    assert strategy.costs.lightest == lightest
    assert strategy.costs.average == pytest.approx(np.mean([cost(space, each).madds for each in space.enumerate()]))
    factor = 0.2 * (10 + math.log(expected / lightest)) ** beta
    assert float(strategy.cost_factor(one_hot)) == pytest.approx(factor)


def test_fbnet_cools_down_and_goes_through_its_images_as_often_as_the_weights_do(monkeypatch):
    strategy, context = started("fbnet", a_space())
    seen, drawn = [], []
    context = dataclasses.replace(context, architecture_images=lambda number: seen.append(number) or pictures(number))
    honest = strategy.mixture
    monkeypatch.setattr(strategy, "mixture", lambda *given: drawn.append(given) or honest(*given))
    results = run(strategy, context, 0, 36, 36)
    assert [step for step, result in enumerate(results) if result.architecture_passes] == list(range(7, 36, 4))
    assert seen == list(range(1, 9))
    for purpose, step, temperature in drawn:
        assert temperature == pytest.approx(5 * math.exp(-0.045 * 90 * step / 36)), purpose
    assert len({given[:2] for given in drawn}) == len(drawn) == 36 + 8


def test_theta_learns_from_the_product_of_accuracy_and_cost(monkeypatch):
    space = a_space()
    strategy, context = started("fbnet", space, warm_up=0.0)
    found = []
    monkeypatch.setattr(strategy.alphas, "update", lambda gradients: found.extend(gradients))
    run(strategy, context, 3, 4, 10)
    theta = [torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    rng, heat = generator(0, "noise of the architecture", 3), 5 * math.exp(-0.045 * 90 * 0.3)
    mixture = [torch.softmax((row + torch.from_numpy(rng.gumbel(size=3))) / heat, 0) for row in theta]
    logits = context.supernet.double().weighted(
        context.architecture_images(0)[0].double(), [dict(enumerate(row)) for row in mixture]
    )
    table = [[cost(space, tuple(c if n == layer else 0 for n in (0, 1))).madds for c in range(3)] for layer in (0, 1)]
    least = cost(space, (0, 0)).madds
    madds = sum((row * (torch.tensor(line) - least)).sum() for row, line in zip(mixture, table, strict=True)) + least
    loss = loss_of(logits, context.architecture_images(0)[1]) * 0.2 * (10 + (madds / least).log()) ** 0.6
    for ours, theirs in zip(found, torch.autograd.grad(loss, theta), strict=True):
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-6)


# ProxylessNAS --------------------------------------------------------------------------------------------------


@given(st.tuples(*[st.floats(-3, 3)] * 4))
def test_the_gradient_of_a_pair_is_that_of_its_softmax(numbers):
    toward_gates, logits = torch.tensor(numbers[:2]).double(), torch.tensor(numbers[2:]).double()
    jacobian = torch.autograd.functional.jacobian(lambda row: torch.softmax(row, 0), logits)
    torch.testing.assert_close(through_softmax(toward_gates, logits), toward_gates @ jacobian)


def taught(monkeypatch, cost_weight):
    """One update by binary gates: the strategy, gradients, the pairs, and parameters before and after."""
    strategy, context = started("proxyless", a_space(expansions=(1, 2, 3, 4)), cost_weight=cost_weight, lr=0.05)
    with torch.no_grad():
        for number, layer in enumerate(strategy.alphas.layers):
            layer.copy_(torch.tensor([0.4, -0.3, 0.0, 0.7]).roll(number))
    before, found, honest = strategy.alphas.rows(), [], strategy.alphas.update
    monkeypatch.setattr(strategy.alphas, "update", lambda gradients: (found.extend(gradients), honest(gradients)))
    rng = generator(0, "pairs of blocks", 0)
    pairs = [draw_pair(row, rng) for row in before]
    assert strategy.teach(context, pictures(0), 0) == (1, 4)
    return context, found, pairs, before, strategy.alphas.rows()


def test_binary_gates_give_the_gradient_of_the_formula(monkeypatch):
    context, found, pairs, before, _ = taught(monkeypatch, 0.0)
    images, labels = pictures(0)
    gates = [torch.tensor([1.0, 0.0], requires_grad=True) for _ in pairs]
    weights = [dict(zip(pair, gate, strict=True)) for pair, gate in zip(pairs, gates, strict=True)]
    loss_of(context.supernet.weighted(images, weights), labels).backward()
    for pair, gate, row, gradient in zip(pairs, gates, before, found, strict=True):
        p = np.exp(row[pair]) / np.exp(row[pair]).sum()
        expected = np.zeros(4)
        for i, j in itertools.product((0, 1), (0, 1)):
            expected[pair[i]] += float(gate.grad[j]) * p[j] * ((i == j) - p[i])
        assert np.abs(expected).max() > 1e-5
        np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("cost_weight", [0.0, 0.5])
def test_an_update_keeps_the_chance_of_drawing_either_of_a_pair(monkeypatch, cost_weight):
    _, _, pairs, before, after = taught(monkeypatch, cost_weight)
    for pair, old, new in zip(pairs, before, after, strict=True):
        assert np.exp(new[pair]).sum() == pytest.approx(np.exp(old[pair]).sum(), rel=1e-6)
        assert (np.abs(new - old)[pair] > 1e-5).all()
        others = [choice for choice in range(4) if choice not in pair]
        assert (np.abs(new - old)[others] > 1e-5).all() == (cost_weight > 0)


def test_pairs_are_drawn_by_the_softmax_and_the_open_one_by_that_of_the_pair():
    p = np.array([0.6, 0.3, 0.1])
    rng, count = generator(0, "pairs"), 6000
    drawn = [tuple(draw_pair(np.log(p), rng)) for _ in range(count)]
    for opened, closed in itertools.permutations(range(3), 2):
        a, b = p[opened], p[closed]
        chance = (a * b / (1 - a) + a * b / (1 - b)) * a / (a + b)
        assert drawn.count((opened, closed)) / count == pytest.approx(chance, abs=4 * math.sqrt(chance / count))


@pytest.mark.parametrize("name", ["proxyless", "proxyless_reinforce", "enas"])
def test_what_teaches_the_architecture_leaves_the_supernet_as_it_was(name):
    strategy, context = started(name, a_space(), warm_up=0.0)
    before = {}

    def images(number):
        if not before:
            before.update({key: value.clone() for key, value in context.supernet.state_dict().items()})
        return pictures(number)

    listening, step = dataclasses.replace(context, architecture_images=images), 0
    while not before:  # the images are asked for after the weights have learned
        run(strategy, listening, step, step + 1, 100)
        step += 1
    assert context.supernet.training
    for key, value in context.supernet.state_dict().items():
        assert torch.equal(value, before[key]), key


def test_reinforce_expects_a_slow_mean_of_the_rewards_and_prefers_cheap_paths():
    strategy, context = started("proxyless_reinforce", a_space(), cost_weight=0.1)
    strategy.learn([(0, 1)] * 5 + [(1, 2)] * 5, [0.9] * 5 + [0.1] * 5)
    assert strategy.baseline == pytest.approx(0.5)
    assert strategy.preference((0, 1)) > strategy.preference((1, 2))
    strategy.learn([(0, 1)] * 10, [0.7] * 10)
    assert strategy.baseline == pytest.approx(0.5 + 0.01 * 0.2)
    average = np.mean([cost(context.supernet.space, each).madds for each in context.supernet.space.enumerate()])
    for genome in ((0, 0), (2, 1)):
        reward = 0.8 * (average / cost(context.supernet.space, genome).madds) ** 0.1
        assert strategy._reward(genome, 0.8) == pytest.approx(reward)


# ENAS ----------------------------------------------------------------------------------------------------------


@settings(max_examples=20)
@given(st.lists(st.integers(1, 3), min_size=1, max_size=3), st.integers(0, 99))
def test_a_controller_s_chances_add_up_to_one_and_it_draws_what_there_is(choices, seed):
    controller = EnasController(choices, seed)
    genomes = torch.tensor(list(itertools.product(*map(range, choices))))
    chances = controller(genomes).detach().double().gather(2, genomes[:, :, None]).sum((1, 2)).exp()
    assert float(chances.sum()) == pytest.approx(1, abs=1e-5)
    drawn = controller.sample(300, generator(seed, "draws"))
    assert set(drawn) <= set(map(tuple, genomes.tolist()))
    counted = torch.tensor([drawn.count(tuple(genome)) / 300 for genome in genomes.tolist()])
    assert ((counted - chances).abs() <= 5 * (chances / 300).sqrt()).all()


def test_enas_expects_what_it_got_and_learns_what_is_better():
    strategy, _ = started("enas", a_space(), lr=0.05)
    before = strategy.preference((0, 1)) - strategy.preference((2, 2))
    strategy.learn([(0, 1)] * 10 + [(2, 2)] * 10, [0.9] * 10 + [0.1] * 10)
    entropy = 2 * math.log(3)  # of a new controller, nearly
    expected = 0.5 + 1e-4 * entropy
    for reward in [0.9] * 10 + [0.1] * 10:
        expected += 0.01 * (reward + 1e-4 * entropy - expected)
    assert strategy.baseline == pytest.approx(expected, abs=1e-6)
    assert strategy.preference((0, 1)) - strategy.preference((2, 2)) > before


# All of them ---------------------------------------------------------------------------------------------------


class Shuffled(nn.Module):
    """Gives every image the features of another: what comes after cannot learn from it."""

    def forward(self, features):
        return features.roll(1, 0)


GOOD = (1, 2)


def planted(supernet):
    """One choice of every layer passes the features on, and the others mix up the images."""
    for number, layer in enumerate(supernet.layers):
        for choice in range(len(layer)):
            layer[choice] = nn.Identity() if choice == GOOD[number] else Shuffled()


def judge_by(context):
    def scorer(genomes):
        images, labels = pictures(0, size=60, purpose="judged pictures")
        with torch.no_grad():
            context.supernet.eval()
            return [float((context.supernet(images, genome).argmax(1) == labels).float().mean()) for genome in genomes]

    return scorer


@pytest.mark.slow
@pytest.mark.full
@every_one
def test_it_finds_the_only_architecture_that_works(name):
    rates = {"fbnet": 0.1, "proxyless": 0.1, "proxyless_reinforce": 0.3, "enas": 0.02}
    steps = {"fbnet": 200, "proxyless": 300, "proxyless_reinforce": 500, "enas": 400}[name]
    costless = {} if name == "enas" else {"cost_weight": 0.0}
    strategy, context = started(name, a_space(), change=planted, warm_up=0.1, **costless)
    optimizer = strategy.optimizer if name == "enas" else strategy.alphas.optimizer
    optimizer.param_groups[0]["lr"] = rates[name]
    run(strategy, context, 0, steps, steps)
    assert strategy.derive(judge_by(context)) == GOOD
    assert max(context.supernet.space.enumerate(), key=strategy.preference) == GOOD


@pytest.mark.parametrize("name", ["fbnet", "enas"])
def test_of_what_it_draws_it_takes_what_is_best_on_validation(name):
    strategy, _ = started(name, a_space())
    asked = []

    def scorer(genomes):
        asked.extend(genomes)
        return [genome[0] + genome[1] / 10 for genome in genomes]

    assert strategy.derive(scorer) == max(asked)
    assert len(set(asked)) == len(asked) > 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fbnet", "proxyless", "proxyless_reinforce"])
def test_where_all_work_alike_it_prefers_the_cheapest_by_the_costs_that_it_is_given(name):
    def alike(supernet):
        for layer in supernet.layers:
            for choice in range(len(layer)):
                layer[choice] = nn.Identity()

    strategy, context = started(name, a_space(), change=alike, warm_up=0.0, cost_weight=2.0)
    strategy.alphas.optimizer.param_groups[0]["lr"] = 0.1
    strategy.costs = BlockCosts(1.0, ((3.0, 1.0, 2.0), (3.0, 2.0, 1.0)))  # such as milliseconds
    run(strategy, context, 0, 200, 200)
    assert max(context.supernet.space.enumerate(), key=strategy.preference) == (1, 2)


@pytest.mark.slow
@every_one
def test_what_it_has_learned_goes_through_a_checkpoint(name):
    ends = []
    for cut in (None, 19):
        strategy, context = started(name, a_space(), warm_up=0.0)
        if cut is None:
            run(strategy, context, 0, 40, 40)
        else:
            run(strategy, context, 0, cut, 40)
            file = io.BytesIO()
            torch.save([strategy.state(), context.supernet.state_dict(), context.optimizer.state_dict()], file)
            file.seek(0)
            stored = torch.load(file, weights_only=True)
            strategy, context = started(name, a_space(), warm_up=0.0)
            strategy.restore(stored[0])
            context.supernet.load_state_dict(stored[1])
            context.optimizer.load_state_dict(stored[2])
            run(strategy, context, cut, 40, 40)
        genomes = list(context.supernet.space.enumerate())
        ends.append(([strategy.preference(genome) for genome in genomes], context.supernet.state_dict()))
        assert len(set(ends[-1][0])) > 1, "it learned something"
    assert ends[0][0] == ends[1][0]
    for key, value in ends[0][1].items():
        assert torch.equal(value, ends[1][1][key]), key


@pytest.mark.slow
def test_memory_of_gates_is_at_most_that_of_two_paths_and_of_a_mixture_that_of_all_blocks():
    peaks = {}
    for kernels, expansions in (((3,), (3, 6)), ((3, 5, 7), (3, 6))):
        space = a_space(kernels=kernels, expansions=expansions, layers=4, side=8, width=8)
        images = pictures(0, side=8)
        count = space.choices[0]
        strategy, context = started("proxyless", space, warm_up=0.0)
        largest = (count - 1,) * 4
        peaks[count, "path"] = measured_peak(lambda b=context, g=largest, i=images: supernet_step(b, [(i, [g])]), CPU)
        gates = lambda s=strategy, b=context, i=images: s.teach(b, i, 0)  # noqa: E731
        peaks[count, "gates"] = measured_peak(gates, CPU)
        strategy, context = started("fbnet", space, warm_up=0.0)
        mixture = lambda s=strategy, b=context, i=images: s.step(b, [i], 0, 10)  # noqa: E731
        peaks[count, "mixture"] = measured_peak(mixture, CPU)
    assert peaks[6, "gates"] < 1.5 * peaks[6, "path"], "of closed blocks only the output stays"
    assert peaks[6, "mixture"] > 2.5 * peaks[2, "mixture"]
    assert peaks[6, "mixture"] > 3 * peaks[6, "gates"]


def test_the_second_order_of_darts_is_exact_where_training_is_not(monkeypatch) -> None:
    """Numbers of 16 bits on both sides of a finite difference would leave rounding alone."""
    strategy, context = started("darts_second_order", a_space())
    context = dataclasses.replace(context, config=dataclasses.replace(context.config, precision="bfloat16"))
    asked = []
    plain = strategy._loss

    def loss(context, batch, weights, precision=None):
        asked.append(precision or context.config.precision)
        return plain(context, batch, weights, precision)

    monkeypatch.setattr(strategy, "_loss", loss)
    strategy.step(context, [pictures(0)], 0, 10)
    assert asked == ["bfloat16", "bfloat16", "float32", "float32", "bfloat16"]  # two sides, and the weights' own
