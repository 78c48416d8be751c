"""Several processes train one supernet: the same weights, statistics and ledger as one process."""

import copy
import dataclasses
import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fairnas.config import TrainConfig
from fairnas.data import class_weights, steps_per_epoch, training_batches
from fairnas.errors import ConfigError
from fairnas.fairness import StrictSampler
from fairnas.fairness.ledger import count_passes
from fairnas.train import STRATEGIES, Group, StepContext, arranged, make_strategy, require_own_gpu, supernet_step
from fairnas.train.all_reduce import GradientBuffer, PathShare
from fairnas.train.executors import Sequential
from fairnas.train.loop import learning_rate, make_optimizer
from fairnas.train.process_group import digest_of
from fairnas.train.supernet import new_supernet
from tests.train.processes import CPU, SPACE, Job, diverging, started, tiny_dataset, train_all, uneven_dataset

CONFIG = TrainConfig(epochs=7, batch_size=30, lr=0.02)
"""8 batches per epoch, 56 steps: past the first comparison of the processes."""
GENTLE = dataclasses.replace(CONFIG, lr=0.0003)
"""In single precision, training at a usual rate amplifies any other order of a sum a thousandfold in 56 steps: the
lockstep executor in one process ends as far from the sequential one as two processes do. At this rate it ends within
about 1e-5, a little more or less by the vectors that the CPU has."""


SHARING = [name for name in STRATEGIES if make_strategy(TrainConfig(strategy=name), (2,), 0).many_processes]
SHORT = dataclasses.replace(CONFIG, epochs=2)
JOBS = {
    "single precision": Job(GENTLE),
    "double precision": Job(CONFIG, double=True),
    "fresh batches": Job(dataclasses.replace(GENTLE, epochs=3, strategy="strict_fresh_batches")),
    "mean": Job(dataclasses.replace(GENTLE, epochs=3, shared_gradient="mean")),
    "images, strict": Job(SHORT, 1, double=True),
    "images, uniform": Job(dataclasses.replace(CONFIG, strategy="uniform"), 1, double=True),  # past a comparison, too
    "images, sampling": Job(dataclasses.replace(SHORT, balance="sampling"), 1, double=True, uneven=True),
    "images, weights": Job(dataclasses.replace(SHORT, balance="weights"), 1, double=True, uneven=True),
    **{name: Job(dataclasses.replace(CONFIG, epochs=1, strategy=name), 1) for name in SHARING},
    **{f"{name}, longer": Job(dataclasses.replace(SHORT, strategy=name), 1) for name in SHARING},
    "spoiled": Job(CONFIG, spoiled=True),
    "spoiled, saved by steps": Job(CONFIG, spoiled=True, saves=((1e6, 7),)),
    "spoiled, saved by the clock of one": Job(CONFIG, spoiled=True, saves=((1e6, None), (0, None))),
    "spoiled, saved by the steps of one": Job(CONFIG, spoiled=True, saves=((1e6, 5), (1e6, None))),
}


def in_full(*names: str):
    """Jobs of `make test-full` alone."""
    return [pytest.param(name, marks=pytest.mark.full) for name in names]


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory, request):
    """What each of two processes ended with, job by job, for those jobs that selected tests are about."""
    tests = [item for item in request.session.items if "two_processes" in getattr(item, "fixturenames", ())]
    wanted = {value for item in tests for value in item.callspec.params.values()}
    jobs = {name: job for name, job in JOBS.items() if name in wanted}
    found = started(train_all, 2, tmp_path_factory.mktemp("two"), list(jobs.values()))
    return dict(zip(jobs, zip(*found, strict=True), strict=True))


def alone(name: str):
    return train_all(0, [JOBS[name]])[0]


def assert_same(ours, theirs, rtol):
    assert ours["ledger"].keys() == theirs["ledger"].keys()
    for key, value in theirs["ledger"].items():
        if key == "gradient_norms":
            for mine, other in zip(ours["ledger"][key], value, strict=True):
                assert mine == pytest.approx(other, rel=1e-3 if rtol > 1e-6 else 1e-6)
        else:
            assert ours["ledger"][key] == value, key
    for endings in (("weight", "bias"), ("running_mean", "running_var"), ("num_batches_tracked",)):
        mine, other = (  # many tensors are zero but for rounding: all at once
            torch.cat([value.double().flatten() for name, value in found["network"].items() if name.endswith(endings)])
            for found in (ours, theirs)
        )
        assert (mine - other).norm() <= rtol * other.norm(), endings
    assert ours["losses"] == pytest.approx(theirs["losses"], rel=rtol)


def assert_agree(results):
    for other in results[1:]:
        assert other["ledger"] == results[0]["ledger"]
        for name, value in results[0]["network"].items():
            assert torch.equal(other["network"][name], value), name


@pytest.mark.slow
@pytest.mark.parametrize("name", ["double precision", "mean", *in_full("single precision", "fresh batches")])
def test_path_parallel_is_one_process(name, two_processes):
    """Algorithm 2, after 56 steps: weights, BN statistics, ledger."""
    results = two_processes[name]
    assert results[0]["shares"] == (2, 1)
    assert_agree(results)
    assert_same(results[0], alone(name), rtol=1e-7 if name == "double precision" else 5e-5)


def halves_in_one_process(config: TrainConfig, dataset):
    """Data parallel training: each half of a batch is normalised by itself; gradients and statistics are averaged."""
    steps = config.epochs * steps_per_epoch(dataset, config.batch_size)
    weights = class_weights(dataset.train.labels, 10) if config.balance == "weights" else None
    supernet = new_supernet(SPACE, config, 0).double().train()
    optimizer = make_optimizer(supernet, config)
    sampler = make_strategy(config, SPACE.choices, 0).sampler
    batches = itertools.chain.from_iterable(
        training_batches(dataset, batch_size=config.batch_size, seed=0, epoch=epoch, balance=config.balance, device=CPU)
        for epoch in range(config.epochs)
    )
    for step, (images, labels) in enumerate(itertools.islice(batches, steps)):
        optimizer.param_groups[0]["lr"] = learning_rate(config, step, steps)
        copies = []
        for half in (slice(0, 15), slice(15, 30)):
            one = copy.deepcopy(supernet)
            frozen = torch.optim.SGD(one.parameters(), lr=0.0)
            context = StepContext(one, frozen, config, class_weights=weights)
            supernet_step(context, [((images[half].double(), labels[half]), sampler.paths(step))])
            copies.append(one)
        a, b = copies
        for parameter, mine, other in zip(supernet.parameters(), a.parameters(), b.parameters(), strict=True):
            parameter.grad = None if mine.grad is None else (mine.grad + other.grad) / 2
        optimizer.step()
        for buffer, mine, other in zip(supernet.buffers(), a.buffers(), b.buffers(), strict=True):
            buffer.copy_((mine + other) / 2 if buffer.is_floating_point() else mine)
    return supernet


def assert_halves(results, config, shares, uneven=False):
    assert results[0]["shares"] == shares
    assert_agree(results)
    dataset = uneven_dataset() if uneven else tiny_dataset()
    for name, value in halves_in_one_process(config, dataset).state_dict().items():
        torch.testing.assert_close(results[0]["network"][name], value, rtol=1e-5, atol=1e-7, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["images, uniform", "images, weights", *in_full("images, strict", "images, sampling")])
def test_data_parallel_is_one_process_that_normalises_the_same_parts(name, two_processes):
    assert_halves(two_processes[name], JOBS[name].config, (1, 2), JOBS[name].uneven)


@pytest.mark.slow
def test_path_and_data_parallel_together(tmp_path):
    results = started(train_all, 4, tmp_path, [Job(SHORT, 2, double=True)])
    assert_halves([found[0] for found in results], SHORT, (2, 2))


@pytest.mark.parametrize("strategy", [name for name in STRATEGIES if name not in SHARING])
def test_other_strategies_say_that_they_train_in_one_process(strategy):
    config = TrainConfig(strategy=strategy)
    with pytest.raises(ConfigError, match=f"^'{strategy}' trains in one process, and 2 were started; start one, or us"):
        arranged(Group(0, 2), make_strategy(config, (4,) * 3, 0), strategy, batch_size=30)


@pytest.mark.parametrize("name", [*SHARING, *in_full(*(f"{name}, longer" for name in SHARING))])
def test_every_strategy_agrees_in_two_processes_and_keeps_its_ledger(name, two_processes):
    results = two_processes[name]
    assert results[0]["shares"] == (1, 2)
    assert_agree(results)
    ours, theirs = results[0]["ledger"], alone(name)["ledger"]
    for key in theirs:
        if key != "gradient_norms":
            assert ours[key] == theirs[key], key


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("spoiled", "50"),
        ("spoiled, saved by the clock of one", "1"),
        pytest.param("spoiled, saved by steps", "7", marks=pytest.mark.full),
        pytest.param("spoiled, saved by the steps of one", "5", marks=pytest.mark.full),
    ],
)
def test_processes_that_differ_by_a_bit_are_stopped_before_anything_is_saved(name, step, two_processes):
    for found in two_processes[name]:
        wanted = f"ProcessesDisagree: after step {step} process 1 has other weights or another ledger than process 0"
        assert found.startswith(wanted)


def test_the_checksum_sees_every_number_and_not_where_it_is():
    network = {"weight": torch.arange(3000.0), "count": torch.tensor(3)}
    state = {"ledger": {"steps": 3, "norms": [[0.1, 0.2]]}, "learned": {"half": torch.ones(2, dtype=torch.bfloat16)}}
    same = digest_of([copy.deepcopy(network), copy.deepcopy(state)])
    assert digest_of([network, state]) == same
    assert (
        digest_of([{**network, "weight": network["weight"].reshape(2, 1500).T.contiguous().T.reshape(-1)}, state])
        == same
    )
    changed = network["weight"].clone()
    changed[1500] = torch.nextafter(changed[1500], torch.tensor(0.0))  # which printing would leave out
    for other in (
        [{**network, "weight": changed}, state],
        [{**network, "count": torch.tensor(4)}, state],
        [network, {**state, "ledger": {"steps": 4, "norms": [[0.1, 0.2]]}}],
        [network, {**state, "ledger": {"steps": 3, "norms": [[0.1], [0.2]]}}],
        [network, {**state, "learned": {"half": torch.tensor([1, 1.01], dtype=torch.bfloat16)}}],
        [{**network, "weight": network["weight"].reshape(2, 1500)}, state],
    ):
        assert digest_of(other) != same


@pytest.mark.parametrize("teams", [1, 2])
def test_flags_that_travel_apart_say_the_same(teams):
    """Two processes combined by hand, as on GPUs."""
    paths = StrictSampler(SPACE.choices, 0).paths(0)[:1]  # so that most blocks have no gradient
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    shares = [PathShare(count_passes(paths, SPACE.choices), 1)] * 2

    def joined(apart: bool):
        supernets = [new_supernet(SPACE, CONFIG, 0).train() for _ in range(2)]
        messages, before = [GradientBuffer(each, apart=apart) for each in supernets], []
        for rank, (supernet, message) in enumerate(zip(supernets, messages, strict=True)):
            before.append(message.statistics.read())
            loss = Sequential().backward(supernet, images + rank, torch.arange(4), paths)
            message.fill(list(supernet.parameters()), before[-1], shares, rank, loss, rank == 1, False)
        for pair in zip(*(message.tensors for message in messages), strict=True):
            total = sum(pair)
            for tensor in pair:
                tensor.copy_(total)
        first = messages[0]
        first.divide(teams)
        first.take(list(supernets[0].parameters()), before[0], shares, 0)
        gradients = [parameter.grad for parameter in supernets[0].parameters()]
        return gradients, first.statistics.read(), first.loss, first.stopping, first.saving, len(first.tensors)

    together, apart = joined(False), joined(True)
    assert (together[-1], apart[-1]) == (1, 2)
    assert together[3:5] == apart[3:5] == (True, False)
    assert torch.equal(together[1], apart[1])
    assert torch.equal(together[2], apart[2])
    assert any(gradient is None for gradient in apart[0])
    for mine, other in zip(apart[0], together[0], strict=True):
        assert mine is other is None or torch.equal(mine, other)


def test_what_all_processes_find_the_first_says(tmp_path):
    assert started(diverging, 2, tmp_path) == ["DivergedError: lost", "SystemExit: 2"]


def test_each_process_needs_a_gpu_of_its_own(monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setenv("LOCAL_RANK", "2")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    require_own_gpu(CPU)
    with pytest.raises(ConfigError, match=r"^3 processes were started on a machine with 2 GPUs, .*nproc-per-node=2"):
        require_own_gpu(torch.device("cuda"))
    monkeypatch.setenv("LOCAL_RANK", "1")
    require_own_gpu(torch.device("cuda"))
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    require_own_gpu(torch.device("cuda"))


def test_a_setting_that_no_number_of_processes_can_meet_is_refused_in_one_process_too():
    strategy = make_strategy(TrainConfig(strategy="uniform"), (4,) * 3, 0)
    with pytest.raises(ConfigError, match=r"^resources\.path_processes is 2, but 'uniform' updates after one path"):
        arranged(Group(), strategy, "uniform", batch_size=30, path_processes=2)


# Shares -------------------------------------------------------------------------------------------------------

GENOMES = st.lists(st.lists(st.tuples(st.integers(0, 9)), max_size=5), min_size=1, max_size=4)


@given(GENOMES, st.integers(1, 7))
def test_every_path_has_one_process_in_order_and_shares_are_even(work, processes):
    shares = Group(0, processes, processes).paths_of_each(work)
    assert len(shares) == processes
    for number, paths in enumerate(work):
        assert [path for share in shares for path in share[number]] == list(paths)
    sizes = [sum(map(len, share)) for share in shares]
    assert max(sizes) - min(sizes) <= 1
    flat = [[path for paths in share for path in paths] for share in shares]
    assert [path for share in flat for path in share] == [path for paths in work for path in paths]


@given(st.integers(1, 4), st.integers(1, 4))
def test_ranks_are_teams_of_path_processes(paths, images):
    places = [Group(rank, paths * images, paths) for rank in range(paths * images)]
    assert {(g.path_rank, g.image_rank) for g in places} == set(itertools.product(range(paths), range(images)))


def test_a_batch_in_parts_is_the_batch():
    dataset = tiny_dataset()

    def first(**part):
        return next(iter(training_batches(dataset, batch_size=30, seed=0, epoch=1, first=2, device=CPU, **part)))

    whole = first()
    parts = [first(part=(number, 3)) for number in range(3)]
    for place in (0, 1):
        assert torch.equal(torch.cat([part[place] for part in parts]), whole[place])


@pytest.mark.parametrize(
    ("strategy", "size", "batch", "wanted", "message"),
    [
        ("uniform", 2, 30, 2, "resources.path_processes is 2, but 'uniform' updates after one path at a time; leave"),
        ("one_shot", 2, 30, 2, "resources.path_processes is 2, but 'one_shot' updates after one path at a time"),
        ("strict_separate_updates", 2, 30, 2, "resources.path_processes is 2, but 'strict_separate_updates' updates"),
        ("strict", 6, 30, 6, "resources.path_processes is 6, but a step of 'strict' has 4 paths; give 4 or fewer"),
        ("strict", 3, 30, 2, "resources.path_processes is 2, which does not divide the 3 processes; start 2 processes"),
        (
            "uniform",
            4,
            30,
            None,
            "4 processes share a mini-batch of 30 images in 4 parts, which must be equal and of 2",
        ),
        ("strict", 64, 16, 4, "64 processes share a mini-batch of 16 images in 16 parts, which must be equal and of 2"),
    ],
)
def test_impossible_shares_are_refused_in_one_line(strategy, size, batch, wanted, message):
    config = TrainConfig(strategy=strategy)
    with pytest.raises(ConfigError) as caught:
        arranged(Group(0, size), make_strategy(config, (4,) * 3, 0), strategy, batch_size=batch, path_processes=wanted)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_by_default_as_many_share_paths_as_divide_both():
    config = TrainConfig()
    strategy = make_strategy(config, (6,) * 3, 0)
    found = [arranged(Group(0, size), strategy, "strict", batch_size=240) for size in (1, 2, 3, 4, 6, 8, 12)]
    assert [group.path_processes for group in found] == [1, 2, 3, 2, 6, 2, 6]
