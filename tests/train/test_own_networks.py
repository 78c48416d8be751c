"""Strategies that make the weights of each network, and the sandwich rule."""

import dataclasses
import itertools
from dataclasses import fields

import numpy as np
import pytest
import torch
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from fairnas.config import ArchitectureConfig, DataConfig, RunConfig, SearchConfig, TrainConfig
from fairnas.data import training_batches
from fairnas.errors import ConfigError
from fairnas.evaluate import OwnNetworks, Score, score_genomes, score_network
from fairnas.evaluate.folding import folded, normalised_by_batch
from fairnas.nets import Supernet, batch_norms, cost
from fairnas.pipeline import Experiment, run_stage
from fairnas.pipeline.prepare import prepare
from fairnas.recipes import digits
from fairnas.rundir import RunDirectory
from fairnas.space import CATALOG, Identity, InvertedResidual, Layer, Stage, Stem, chain_space, get_space
from fairnas.train import LoopOptions, StepContext, make_strategy, train
from fairnas.train.loop import make_optimizer
from fairnas.train.strategies.sandwich import ends_of
from fairnas.train.strategies.superkernel import step_function

BOTH = pytest.mark.parametrize("name", ["smash", "single_path_nas"])
NESTED = chain_space(
    "nested",
    image_size=6,
    stem=Stem(4, 1),
    stages=(Stage(4, 2), Stage(6, 1, 2)),
    head=8,
    num_classes=5,
    kernels=(3, 5, 7),
    expansions=(1, 3, 6),
    skip=True,
)
"""Two layers that may be skipped, and one that may not."""


def begun(name, space, seed=0, **settings):
    """A strategy at the start of a training in double precision, and its bench."""
    config = TrainConfig(strategy=name, epochs=1, batch_size=8, lr=0.05, **settings)
    supernet = Supernet(space, seed=seed, bn_affine=config.bn_affine).double().train()
    context = StepContext(supernet, make_optimizer(supernet, config), config)
    strategy = make_strategy(config, space.choices, seed)
    strategy.begin(context)
    return strategy, context


def images_of(space, count=8):
    source = torch.Generator().manual_seed(1)
    size = (count, space.image_channels, space.image_size, space.image_size)
    return torch.randn(size, generator=source).double(), torch.arange(count) % space.num_classes


def short(name):
    """Three narrow layers with all the choices that the last of a space of the catalog has."""
    shapes = ((8, 8, 1), (8, 12 if name != "shufflenet_v2" else 20, 2))
    layers = [Layer(*shape, CATALOG[name].layers[-1].choices) for shape in shapes]
    layers.append(
        dataclasses.replace(layers[0], in_channels=layers[1].out_channels, out_channels=layers[1].out_channels)
    )
    return dataclasses.replace(
        CATALOG[name],
        **{"image_size": 6, "num_classes": 3, "head_channels": 8, "stem_channels": 8},
        **{"stem_stride": 1, "fixed": (), "layers": tuple(layers)},
    )


def some_genomes(space, count):
    return [tuple(row) for row in np.random.default_rng(0).integers(space.choices, size=(count, space.depth)).tolist()]


# SMASH ---------------------------------------------------------------------------------------------------------


def test_made_weights_depend_on_the_whole_genome_and_on_nothing_else(space):
    strategy, context = begun("smash", space)
    networks = [strategy.network(context.supernet, genome) for genome in ((0, 1, 2), (0, 1, 2), (0, 1, 3), (1, 1, 2))]
    first, again, last_differs, first_differs = (network.state_dict() for network in networks)
    assert all(torch.equal(first[key], again[key]) for key in first)
    expansion, depthwise = "layers.0.0.0.weight", "layers.1.1.0.weight"
    assert not torch.equal(first[expansion], last_differs[expansion])
    assert not torch.equal(first["layers.2.0.0.weight"], first_differs["layers.2.0.0.weight"])
    assert torch.equal(first[depthwise], first_differs[depthwise])
    small, large = first["layers.0.1.0.weight"], first_differs["layers.0.1.0.weight"]
    assert torch.equal(small, large[: len(small), :, 1:-1, 1:-1]), "(3, 3) is the centre of (5, 5)"


@pytest.mark.parametrize("name", CATALOG)
def test_smash_trains_what_it_scores_whatever_the_blocks(name):
    """Networks of every space compute the same as the path with their weights does in training."""
    small = short(name)
    strategy, context = begun("smash", small)
    images, labels = images_of(small)
    for genome in some_genomes(small, 3):
        with torch.no_grad():
            found = normalised_by_batch(strategy.network(context.supernet, genome))(images)
            blocks = [context.supernet.block(*place) for place in enumerate(genome)]
            strategy.write(blocks, genome, torch.zeros_like(strategy.noise(0)))
            torch.testing.assert_close(found, context.supernet(images, genome), rtol=1e-9, atol=1e-9)
    before = {key: value.clone() for key, value in strategy.hypernetwork.state_dict().items()}
    for step in range(8):
        assert torch.isfinite(strategy.step(context, [(images, labels)], step, 9).loss)
    moved = {key for key, value in strategy.hypernetwork.state_dict().items() if not torch.equal(value, before[key])}
    assert {"trunk.0", "trunk.1", "mix"} <= moved
    assert any(key.startswith("bank.") for key in moved)


@pytest.mark.parametrize("affine", [True, False])
def test_the_hypernetwork_gets_the_gradients_of_one_whole_computation(space, affine):
    strategy, context = begun("smash", space, bn_affine=affine)
    (path,), (images, labels) = strategy.sampler.paths(5), images_of(space)
    features = context.supernet.stem(images)
    for layer, weights in enumerate(strategy.hypernetwork(path, strategy.noise(5))):
        features = functional_call(context.supernet.block(layer, path[layer]), weights, (features,))
    loss = cross_entropy(context.supernet.head(features), labels)
    parameters = [p for p in strategy.hypernetwork.parameters() if p.requires_grad]
    expected = torch.autograd.grad(loss, parameters, allow_unused=True)
    result = strategy.step(context, [(images, labels)], 5, 9)
    torch.testing.assert_close(result.loss, loss.detach())
    for parameter, gradient in zip(parameters, expected, strict=True):
        assert (parameter.grad is None) == (gradient is None)
        if gradient is not None:
            torch.testing.assert_close(parameter.grad, gradient)
    assert result.updates.tolist() == result.passes.tolist()
    assert ((result.gradient_norms > 0).numpy() == (result.passes > 0)).all()


def test_noise_is_new_at_every_step_and_the_same_again(space):
    strategy, _ = begun("smash", space)
    other, _ = begun("smash", space, seed=1)
    assert torch.equal(strategy.noise(3), strategy.noise(3))
    assert not torch.equal(strategy.noise(3), strategy.noise(4))
    assert not torch.equal(strategy.noise(3), other.noise(3))
    weights = [strategy.hypernetwork((0, 0, 0), strategy.noise(step))[0]["0.0.weight"] for step in (3, 4)]
    assert not torch.equal(*weights)


@pytest.mark.parametrize("name", ["digits", "compact"])
def test_the_hypernetwork_is_smaller_than_the_supernet_and_its_weights_as_large_as_usual(name):
    supernet = Supernet(get_space(name))
    context = StepContext(supernet, torch.optim.SGD(supernet.parameters(), lr=0.1))
    strategy = make_strategy(TrainConfig(strategy="smash"), supernet.space.choices, 0)
    strategy.begin(context)
    made, usual = (sum(p.numel() for p in net.parameters()) for net in (strategy.hypernetwork, supernet))
    assert made < usual / 2
    ratios = []
    for genome in some_genomes(supernet.space, 4):
        for weights in strategy.hypernetwork(genome, strategy.noise(0)):
            for key in ("0.0.weight", "2.0.weight"):
                ratios.append(weights[key].std().item() / np.sqrt(2 / len(weights[key])))
    assert 0.9 < np.mean(ratios) < 1.15
    assert 0.5 < min(ratios) < max(ratios) < 2


# Single-Path NAS -----------------------------------------------------------------------------------------------


def told(strategy, genome):
    """Set the thresholds so that they say a genome."""
    values = []
    for number, (grid, choice) in enumerate(zip(strategy.grids, genome, strict=True)):
        block = strategy.supernet.space.block(number, choice)
        skipped = isinstance(block, Identity)
        kernel, expansion = (3, 1) if skipped else (block.kernel, block.expansion)
        values += [-9.0 if kernel >= one else 9.0 for one in grid.kernels[1:]]
        values += [-9.0 if expansion >= one else 9.0 for one in grid.expansions[1:]]
        values += [9.0 if skipped else -9.0] * (grid.skip is not None)
    with torch.no_grad():
        strategy.thresholds.copy_(torch.tensor(values))
    return strategy.decisions(torch.ones_like(strategy.thresholds))


@pytest.mark.slow
def test_a_part_of_the_superkernels_is_the_masked_whole(make_lively):
    """Training with thresholds that mean a genome trains the same network that is scored as that genome."""
    strategy, context = begun("single_path_nas", NESTED)
    make_lively(context.supernet.float()).double()
    images, _ = images_of(NESTED)
    kinds = {(layer, choice) for layer, count in enumerate(NESTED.choices) for choice in range(count)}
    diagonal = [tuple(min(choice, count - 1) for count in NESTED.choices) for choice in range(max(NESTED.choices))]
    for genome in [*diagonal, *some_genomes(NESTED, 8)]:
        decisions = told(strategy, genome)
        kinds -= set(enumerate(genome))
        assert strategy.derive(lambda genomes: []) == genome
        assert [row.shares.tolist() for row in decisions] == [
            [float(c == choice) for c in range(count)] for choice, count in zip(genome, NESTED.choices, strict=True)
        ]
        with torch.no_grad():
            found = normalised_by_batch(strategy.network(context.supernet, genome))(images)
            torch.testing.assert_close(found, strategy.logits(images, decisions), rtol=1e-9, atol=1e-9)
    assert not kinds, "every block was met"


def test_the_layer_of_the_largest_choices_is_the_supernet_itself():
    strategy, context = begun("single_path_nas", NESTED)
    images, _ = images_of(NESTED)
    largest = tuple(grid.largest for grid in strategy.grids)
    assert strategy.derive(lambda genomes: []) == largest, "at first all thresholds are 0, and everything is open"
    found = strategy.logits(images, strategy.decisions(torch.ones_like(strategy.thresholds)))
    torch.testing.assert_close(found, context.supernet(images, largest))


def test_an_indicator_is_a_step_with_the_gradient_of_a_sigmoid():
    x = torch.tensor([-2.0, 0.0, 0.5], requires_grad=True)
    step = step_function(x)
    assert step.tolist() == [0, 0, 1]
    step.sum().backward()
    torch.testing.assert_close(x.grad, torch.sigmoid(x.detach()) * (1 - torch.sigmoid(x.detach())))


@pytest.mark.slow
def test_cost_shuts_what_it_can_but_not_while_weights_warm_up():
    results = []
    for weight, warm_up in ((0.0, 1.0), (20.0, 1.0), (20.0, 0.0)):
        ours = ArchitectureConfig(cost_weight=weight, warm_up=warm_up)
        strategy, context = begun("single_path_nas", NESTED, architecture=ours)
        for step in range(30):
            strategy.step(context, [images_of(NESTED)], step, 30)
        results.append((strategy.thresholds.detach().clone(), strategy.derive(lambda genomes: [])))
    assert torch.equal(results[0][0], results[1][0])
    assert results[2][1] == ends_of(NESTED)[1]
    assert cost(NESTED, results[2][1]).madds < cost(NESTED, results[1][1]).madds


def test_choices_are_passes_and_all_parts_are_updated(make_training, dataset):
    training, config = make_training("single_path_nas", epochs=5)
    train(training, dataset, config, 0, LoopOptions())
    ledger = training.ledger
    assert all(row.sum() == ledger.steps for row in ledger.passes)
    assert all((row > 0).sum() > 1 for row in ledger.passes), "indicators drop out in the warm-up"
    assert all((row == ledger.steps).all() for row in ledger.updates)
    assert ledger.block_runs == ledger.steps * len(ledger.choices)
    norms = training.extra_state()["ledger"]["gradient_norms"]
    assert all(0 < row[0] < row[-1] for row in norms), "a part gets less than the whole"


@pytest.mark.parametrize("skips", [True, False])
def test_an_identity_is_updated_where_it_was_chosen(skips):
    strategy, context = begun("single_path_nas", NESTED)
    genome = tuple(grid.skip if skips and grid.skip is not None else grid.largest for grid in strategy.grids)
    told(strategy, genome)
    strategy.warm_up = 0.0
    result = strategy.step(context, [images_of(NESTED)], 0, 9)
    rows = zip(*(np.split(x, np.cumsum(NESTED.choices)[:-1]) for x in (result.passes, result.updates)), strict=True)
    for (passes, updates), grid, choice in zip(rows, strategy.grids, genome, strict=True):
        assert passes.tolist() == [int(c == choice) for c in range(len(passes))]
        assert updates[list(grid.places.values())].all()
        assert grid.skip is None or updates[grid.skip] == skips


@BOTH
def test_half_the_bits_make_no_half_weights(name, make_training, dataset):
    """Convolutions run in bfloat16; what makes the weights stays in single precision."""
    training, config = make_training(name, epochs=1, precision="bfloat16")
    train(training, dataset, config, 0, LoopOptions())
    assert {x.dtype for x in _tensors(training.strategy.state()) if x.is_floating_point()} == {torch.float32}
    assert training.ledger.steps > 0


@pytest.mark.parametrize("name", CATALOG)
def test_a_space_that_is_no_grid_is_refused_in_one_line(name):
    strategy = make_strategy(TrainConfig(strategy="single_path_nas"), CATALOG[name].choices, 0)
    reason = strategy.unsupported_reason(CATALOG[name])
    if name in ("shufflenet_v2", "fbnet", "nas_bench_macro"):
        assert reason.startswith("layer 0 offers ")
        assert "\n" not in reason
    else:
        assert reason is None


# Both ----------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@BOTH
def test_scores_are_those_of_the_networks(name, make_training, dataset):
    training, config = make_training(name, epochs=2)
    train(training, dataset, config, 0, LoopOptions())
    supernet, strategy = training.network.eval(), training.strategy
    before = {key: value.clone() for key, value in supernet.state_dict().items()}
    batches = list(training_batches(dataset, batch_size=30, seed=0, epoch=0, device=torch.device("cpu")))
    genomes = [(0, 1, 2), (3, 3, 3), (0, 1, 2)]
    for statistics, copied in (("batch", normalised_by_batch), ("running", folded)):
        scorer = OwnNetworks(supernet, lambda genome: strategy.network(supernet, genome), statistics)
        found = score_genomes(scorer, genomes, batches)
        theirs = [score_network(copied(strategy.network(supernet, genome)), batches) for genome in genomes]
        assert found == [Score(**{f.name: getattr(each, f.name) for f in fields(Score)}) for each in theirs]
        assert found[0] != found[1]
    assert all(torch.equal(value, before[key]) for key, value in supernet.state_dict().items())
    network = strategy.network(supernet, (0, 1, 2))
    assert not network.training
    assert len(batch_norms(network)) > 0


@BOTH
@pytest.mark.parametrize("statistics", ["batch", "running"])
def test_in_half_the_bits_the_classifier_stays_as_it_is(name, statistics, make_training, dataset):
    """Else logits would have three digits, and classes tie."""
    training, config = make_training(name, epochs=1)
    train(training, dataset, config, 0, LoopOptions())
    supernet, made, seen = training.network.eval(), [], []

    def network_of(genome):
        made.append(training.strategy.network(supernet, genome))
        return made[-1]

    half = OwnNetworks(supernet, network_of, statistics, precision="bfloat16")
    images = images_of(supernet.space)[0].float()
    with torch.inference_mode():
        half.logits([(0, 1, 2)], images, lambda _, logits: seen.append(logits))
        exact = (normalised_by_batch if statistics == "batch" else folded)(made[0])(images)
    (logits,) = seen
    assert logits.dtype == torch.float32
    assert (logits != logits.bfloat16().float()).any(), "more than three digits"
    assert 0 < (logits - exact).abs().max() < 0.1 * exact.abs().max(), "the rest is halved"


@BOTH
def test_memory_for_activations_is_refused_where_it_does_not_suffice(name, make_training):
    training, _ = make_training(name)
    supernet, asked = training.network.eval(), []

    def network_of(genome):
        asked.append(genome)
        return training.strategy.network(supernet, genome)

    batches = [(images_of(supernet.space)[0].float(), torch.arange(8))]
    genomes = [(0, 1, 2), (3, 3, 3)]
    needed = 8 * 4 * 8 * 8 * (6 + 6) / 2**20  # in and out of the first block: float32, 6 channels of 8 x 8 pixels
    free, enough = (
        score_genomes(OwnNetworks(supernet, network_of, "batch", activation_mib=mib), genomes, batches)
        for mib in (None, needed)
    )
    assert enough == free
    asked.clear()
    with pytest.raises(
        ConfigError, match=r"^evaluate\.activation_mib is 0\.023, but 8 images at once need 0\.03 to get"
    ):
        score_genomes(OwnNetworks(supernet, network_of, "batch", activation_mib=0.023), genomes, batches)
    assert asked == []


@BOTH
def test_what_was_learned_is_given_out_and_taken_back(name, make_training, dataset):
    training, config = make_training(name, epochs=2)
    train(training, dataset, config, 0, LoopOptions())
    other, _ = make_training(name, seed=5)
    other.network.load_state_dict(training.network.state_dict())
    batch = next(iter(training_batches(dataset, batch_size=30, seed=0, epoch=0, device=torch.device("cpu"))))

    def answers(one):
        with torch.no_grad():
            return normalised_by_batch(one.strategy.network(one.network, (2, 1, 0)))(batch[0])

    def learned(one):
        return torch.cat([x.double().flatten() for x in _tensors(one.strategy.state())])

    assert not torch.equal(learned(other), learned(training))
    other.restore_extra(training.extra_state())
    assert torch.equal(learned(other), learned(training))
    assert torch.equal(answers(other), answers(training))


def _tensors(content):
    if isinstance(content, torch.Tensor):
        return [content]
    return [x for value in content.values() for x in _tensors(value)] if isinstance(content, dict) else []


@pytest.mark.slow
@pytest.mark.full
@BOTH
def test_a_run_trains_searches_and_goes_by_its_own_rule(name, tmp_path):
    config = RunConfig(
        recipe="digits",
        space="digits",
        data=DataConfig("digits", train_per_class=12, validation_per_class=5, augmentation="shift"),
        train=TrainConfig(strategy=name, epochs=2, batch_size=40, lr=0.05),
        search=SearchConfig(population=8, generations=2, select=2),
    )
    run = RunDirectory.create(tmp_path / "run", config)
    with run.locked():
        run_stage(Experiment(run), "train")
        run_stage(Experiment(run), "search")
    assert run.is_finished("search")
    assert not any(key.startswith("similarity/") for row in run.metrics("train") for key in row)
    experiment = Experiment(run)
    derived = experiment.strategy.derive(lambda genomes: [0.0] * len(genomes))
    assert (derived is None) == (name == "smash")
    experiment.space.validate(derived or (0,) * experiment.space.depth)
    genome = experiment.space.parse("0" * experiment.space.depth)
    assert isinstance(experiment.scorer, OwnNetworks)
    tight = dataclasses.replace(experiment.config.evaluate, activation_mib=1e-6)
    experiment.config = dataclasses.replace(experiment.config, evaluate=tight)
    with pytest.raises(ConfigError, match=r"^evaluate\.activation_mib is 1e-06, but 3 images at once need"):
        experiment.make_scorer(experiment.supernet).logits([(0,) * 8], torch.zeros(3, 1, 8, 8), lambda *_: None)
    images = torch.zeros(3, 1, 8, 8)
    assert experiment.strategy.network(experiment.supernet, genome)(images).shape == (3, 10)


# The sandwich rule ---------------------------------------------------------------------------------------------


def test_both_ends_are_on_every_step_and_two_random_paths(make_training, dataset):
    training, config = make_training("sandwich")
    space, sampler = training.network.space, training.strategy.sampler
    madds = {genome: cost(space, genome).madds for genome in itertools.product(*map(range, space.choices))}
    steps = [sampler.paths(step) for step in range(200)]
    assert {paths[:2] for paths in steps} == {(max(madds, key=madds.get), min(madds, key=madds.get))}
    assert steps[7] == sampler.paths(7)
    drawn = {path for paths in steps for path in paths[2:]}
    assert all(len(paths) == 4 for paths in steps)
    assert len(drawn) == len(madds)
    train(training, dataset, config, 0, LoopOptions())
    ledger = training.ledger
    assert ledger.backward_passes == 4 * ledger.steps
    for row, largest, smallest in zip(ledger.passes, *steps[0][:2], strict=True):
        assert row.sum() == 4 * ledger.steps
        assert min(row[largest], row[smallest]) >= ledger.steps
    assert not ledger.audit().strict_fair


def test_of_equal_ends_it_takes_the_first():
    twins = chain_space("twins", image_size=4, stem=Stem(4, 1), stages=(Stage(4, 1),), head=4, kernels=(3,), skip=True)
    blocks = [InvertedResidual(k, 3, activation=name) for k in (5, 3) for name in ("relu6", "relu")]
    layer = dataclasses.replace(twins.layers[0], choices=tuple(blocks))
    assert ends_of(dataclasses.replace(twins, layers=(layer,))) == ((0,), (2,))


def test_statistics_that_own_networks_cannot_have_are_refused_before_anything_is_trained():
    base = digits()
    smash = dataclasses.replace(base, train=dataclasses.replace(base.train, strategy="smash"))
    with pytest.raises(
        ConfigError, match=r"evaluate\.bn is 'recalibrated', but 'smash' makes weights for each network"
    ):
        prepare(dataclasses.replace(smash, evaluate=dataclasses.replace(base.evaluate, bn="recalibrated")))
