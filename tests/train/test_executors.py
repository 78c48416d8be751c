"""Executors compute the same: gradients, BN statistics, losses, whatever the order and the memory."""

import functools
import gc
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.config import Resources, TrainConfig
from fairnas.errors import ConfigError
from fairnas.fairness import StrictSampler
from fairnas.kernels import batch_norm, depthwise
from fairnas.nets import Supernet, batch_norms
from fairnas.nets.memory import activation_table, measured_peak
from fairnas.space import Stage, Stem, chain_space, get_space
from fairnas.space.catalog import CATALOG
from fairnas.train import Group, choose_execution
from fairnas.train.cuda_graph import CapturedGraph, capture_graph
from fairnas.train.executors import Lockstep, RecordedLockstep, Sequential, stack_orders, statistics_at_rest
from fairnas.train.supernet import SupernetTraining
from tests.examples import examples
from tests.small_spaces import shortened

CPU = torch.device("cpu")
SPACE = chain_space(
    "tiny", image_size=8, stem=Stem(4, 1), stages=(Stage(4, 2), Stage(6, 2, 2)), head=8, kernels=(3, 5), num_classes=3
)


def run_again(work, network):
    """Stand-in for a CUDA graph: runs nothing when recorded, then the same again on the same memory."""
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    result, gradients = work(), [p.grad for p in network.parameters()]
    for name, buffer in network.named_buffers():
        buffer.copy_(buffers[name])

    def replay():
        network.zero_grad(set_to_none=True)
        result.copy_(work())
        for mine, p in zip(gradients, network.parameters(), strict=True):
            mine.copy_(p.grad)

    return CapturedGraph(replay, result, gradients)


EXECUTORS = {
    "lockstep": lambda: Lockstep(),
    "lockstep, saving memory": lambda: Lockstep(save_memory=True),
    "static lockstep": lambda: RecordedLockstep(record=run_again),
}


def batch(space, count=4, dtype=torch.float64):
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(count, space.image_channels, space.image_size, space.image_size, generator=rng, dtype=dtype)
    return images.to(memory_format=torch.channels_last), torch.arange(count) % space.num_classes


def path_by_path(supernet, images, labels, paths, class_weights=None):
    """The definition: the whole network, path after path."""
    total = 0.0
    for genome in paths:
        losses = torch.nn.functional.cross_entropy(supernet(images, genome), labels, reduction="none")
        loss = (losses if class_weights is None else losses * class_weights[labels]).mean()
        loss.backward()
        total += loss.item()
    return total


def results(space, backward, paths, dtype=torch.float64):
    supernet = Supernet(space).to(dtype).train()
    images, labels = batch(space, dtype=dtype)
    loss = float(backward(supernet, images, labels, paths))
    gradients = {name: p.grad for name, p in supernet.named_parameters()}
    return loss, gradients, dict(supernet.named_buffers())


def assert_same(ours, theirs, rtol=1e-9, atol=1e-11):
    assert ours[0] == pytest.approx(theirs[0], rel=rtol)
    for mine, other in ((ours[1], theirs[1]), (ours[2], theirs[2])):
        assert mine.keys() == other.keys()
        for name, value in other.items():
            assert (mine[name] is None) == (value is None), name
            if value is not None:
                torch.testing.assert_close(mine[name], value, rtol=rtol, atol=atol, msg=lambda m, n=name: f"{n}: {m}")


@functools.cache
def strict_step(name):
    """The beginning of a space of the catalog, paths of a strict step, and what path by path training makes of them."""
    space = shortened(get_space(name), layers=4)
    paths = StrictSampler(space.choices, 1).paths(0)
    return space, paths, results(space, path_by_path, paths)


@pytest.mark.slow
@pytest.mark.cover("name", "executor", together=1)
@pytest.mark.parametrize("name", CATALOG)
@pytest.mark.parametrize("executor", [*EXECUTORS.values(), Sequential])
def test_every_executor_on_every_space_is_path_by_path_training(name, executor):
    space, paths, expected = strict_step(name)
    if len(set(space.choices)) > 1 and isinstance(executor(), RecordedLockstep):
        with pytest.raises(AssertionError, match="not a strict step of equal choices"):
            results(space, executor().backward, paths)
        return
    assert_same(results(space, executor().backward, paths), expected)


@pytest.mark.parametrize("executor", [Sequential, *EXECUTORS.values()])
def test_every_executor_weighs_classes(executor):
    weights, paths = torch.tensor([0.2, 3.0, 1.1], dtype=torch.float64), StrictSampler(SPACE.choices, 1).paths(0)
    plain, expected = (
        results(SPACE, functools.partial(path_by_path, class_weights=each), paths) for each in (None, weights)
    )
    assert plain[0] != pytest.approx(expected[0], rel=1e-3)
    assert_same(results(SPACE, functools.partial(executor().backward, class_weights=weights), paths), expected)


@pytest.mark.slow
@given(data=st.data())
@settings(max_examples=examples(25))
def test_lockstep_is_sequential_on_any_space_and_paths(chain_spaces, data):
    """BN moves in the order of the paths, also if a block is on several."""
    space = data.draw(chain_spaces)
    genome = st.tuples(*(st.integers(0, count - 1) for count in space.choices))
    paths = data.draw(st.lists(genome, min_size=1, max_size=4))
    expected = results(space, path_by_path, paths)
    for executor in (Sequential(), Lockstep(), Lockstep(save_memory=True)):
        assert_same(results(space, executor.backward, paths), expected, rtol=1e-6, atol=1e-8)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(0, 10**6))
def test_the_stack_follows_the_paths(m, layers, seed):
    paths = StrictSampler((m,) * layers, seed).paths(0)
    travellers = None
    for layer, order in enumerate(stack_orders(paths)[:-1]):
        # the path at place c of the stack has just been through choice c
        travellers = [travellers[place] for place in order] if travellers else None
        through = [next(k for k, path in enumerate(paths) if path[layer] == choice) for choice in range(m)]
        assert travellers in (None, through)
        travellers = through
    assert [travellers[place] for place in stack_orders(paths)[-1]] == list(range(m))


def counted(recordings, record=run_again):
    """`capture_graph`, and note each recording."""

    def counting(work, network):
        recordings.append(network)
        return record(work, network)

    return counting


@pytest.mark.slow
def test_one_recording_serves_every_step():
    """The paths are data: twenty different steps, evaluations and a resume between them, and one recording."""
    recordings = []
    executor = RecordedLockstep(record=counted(recordings))
    networks = [Supernet(SPACE).double().train() for _ in range(2)]
    optimizers = [torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9) for network in networks]
    sampler = StrictSampler(SPACE.choices, 0)
    images, labels = batch(SPACE)
    for step in range(20):
        new = images.roll(step, 0), labels.roll(step, 0)  # at another place than those that were recorded
        losses = []
        for network, backward, optimizer in zip(networks, (executor.backward, path_by_path), optimizers, strict=True):
            optimizer.zero_grad(set_to_none=True)
            losses.append(float(backward(network, *new, sampler.paths(step))))
            optimizer.step()
        assert losses[0] == pytest.approx(losses[1])
        if step in (1, 7, 12):
            networks[0].eval()
            with torch.no_grad():
                networks[0](images, (0,) * SPACE.depth)
            networks[0].train()
            networks[0].load_state_dict({key: value.clone() for key, value in networks[0].state_dict().items()})
    assert len(recordings) == 1
    for ours, theirs in zip(networks[0].state_dict().values(), networks[1].state_dict().values(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-9)


@pytest.mark.slow
def test_a_replay_adds_to_the_gradients_that_are_there():
    executor = RecordedLockstep(record=run_again)
    ours, theirs = (Supernet(SPACE).double().train() for _ in range(2))
    sampler = StrictSampler(SPACE.choices, 0)
    images, labels = batch(SPACE)
    losses, expected = [], []
    for step in range(6):  # two warm up, four are replayed
        if step == 3:
            for network in (ours, theirs):
                network.zero_grad(set_to_none=True)
        losses.append(executor.backward(ours, images, labels, sampler.paths(step)))
        expected.append(path_by_path(theirs, images, labels, sampler.paths(step)))
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, other.grad, rtol=1e-6, atol=1e-9)
    assert [float(loss) for loss in losses] == pytest.approx(expected)  # no replay overwrites what it gave before
    assert len(set(expected)) == 6


@pytest.mark.slow
def test_other_shapes_and_another_place_are_recorded_anew():
    recordings = []
    executor = RecordedLockstep(record=counted(recordings))
    supernet = Supernet(SPACE).double().train()
    paths = StrictSampler(SPACE.choices, 0).paths(0)

    def train(count):
        for _ in range(3):
            supernet.zero_grad(set_to_none=True)
            executor.backward(supernet, *batch(SPACE, count, next(supernet.parameters()).dtype), paths)
        return len(recordings)

    assert [train(4), train(4), train(6)] == [1, 1, 2]
    for parameter in supernet.parameters():
        parameter.data = parameter.data.clone()
    assert train(6) == 3
    supernet.float()
    assert train(6) == 4


def test_a_recording_is_freed_with_its_executor():
    """The graph is freed at once: it holds the memory of all activations on a GPU."""
    executor = RecordedLockstep(record=run_again)
    supernet = Supernet(SPACE).double().train()
    for step in range(4):
        executor.backward(supernet, *batch(SPACE), StrictSampler(SPACE.choices, 0).paths(step))
    repeated = weakref.ref(executor._repeated)
    gc.disable()
    try:
        del executor
        assert repeated() is None
    finally:
        gc.enable()


@pytest.mark.slow
def test_the_message_of_a_failed_recording_names_its_cause():
    def failing(work, network):
        try:
            raise RuntimeError("this needs 80 GB")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")

    executor = RecordedLockstep(record=failing)
    supernet = Supernet(SPACE).double().train()
    paths = StrictSampler(SPACE.choices, 0).paths(0)
    for _ in range(2):
        executor.backward(supernet, *batch(SPACE), paths)
    with pytest.warns(UserWarning, match="take longer: this needs 80 GB"):
        executor.backward(supernet, *batch(SPACE), paths)


@pytest.mark.slow
@pytest.mark.parametrize("failure", [RuntimeError("operation not permitted\nwhen capturing"), torch.OutOfMemoryError()])
def test_where_recording_fails_training_goes_on_without(failure):
    tried, half_done = [], []

    def failing(work, network):
        tried.append(network)
        activations = torch.zeros(3)
        half_done.append(weakref.ref(activations))
        for parameter in network.parameters():
            parameter.grad = torch.full_like(parameter, torch.nan)  # what a half recorded pass leaves
        raise type(failure)(*failure.args)  # whose frames nobody else holds

    executor = RecordedLockstep(record=failing)
    sampler = StrictSampler(SPACE.choices, 0)
    images, labels = batch(SPACE)
    ours, theirs = (Supernet(SPACE).double().train() for _ in range(2))
    for step in range(5):
        ours.zero_grad(set_to_none=True)
        if step == 2:
            with pytest.warns(
                UserWarning, match="not recorded as a CUDA graph, and take longer: (operation not perm|no)"
            ):
                executor.backward(ours, images, labels, sampler.paths(step))
            assert half_done[0]() is None, "what was computed by then makes room for the step that is not recorded"
        else:
            executor.backward(ours, images, labels, sampler.paths(step))
        theirs.zero_grad(set_to_none=True)
        path_by_path(theirs, images, labels, sampler.paths(step))
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, other.grad, rtol=1e-6, atol=1e-9)
    assert len(tried) == 1
    for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("executor", [Sequential, Lockstep])
def test_bfloat16_is_near_and_leaves_weights_and_statistics_in_single_precision(executor):
    paths = StrictSampler(SPACE.choices, 0).paths(0)
    exact = results(SPACE, executor().backward, paths, torch.float32)
    half = results(SPACE, executor("bfloat16").backward, paths, torch.float32)
    assert half[0] == pytest.approx(exact[0], rel=0.03)
    assert half[0] != exact[0]
    assert all(value.dtype == torch.float32 for value in half[1].values())
    assert {value.dtype for value in half[2].values()} == {torch.float32, torch.int64}
    cosine = torch.nn.functional.cosine_similarity
    flat = [torch.cat([g.flatten() for g in found[1].values()]) for found in (exact, half)]
    assert cosine(flat[0], flat[1], dim=0) > 0.95


def test_statistics_at_rest_do_not_move_and_normalise_by_the_batch():
    supernet = Supernet(SPACE).train()
    images, _ = batch(SPACE, dtype=torch.float32)
    block = supernet.block(0, 0)
    features = supernet.stem(images)
    expected = block(features)
    before = {name: value.clone() for name, value in block.named_buffers()}
    with statistics_at_rest(block):
        assert torch.equal(block(features), expected)
    assert all(torch.equal(value, before[name]) for name, value in block.named_buffers())
    assert all(norm.track_running_stats for norm in batch_norms(block))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["digits", "nas_bench_macro"])
def test_every_executor_writes_the_same_ledger(name):
    space = shortened(get_space(name), layers=3)
    config = TrainConfig(lr=1e-3)
    ledgers = []
    for make in (Sequential, *EXECUTORS.values()):
        if len(set(space.choices)) > 1 and isinstance(make(), RecordedLockstep):
            continue
        training = SupernetTraining(Supernet(space).double(), config, 0, make())
        for step in range(2 * training.strategy.fairness_period):
            training.step([batch(space)] * training.batches_per_step, step, 9)
        ledgers.append(training.extra_state()["ledger"])
    norms = [ledger.pop("gradient_norms") for ledger in ledgers]
    assert len(ledgers) > 2
    assert all(ledger == ledgers[0] for ledger in ledgers)
    for other in norms[1:]:
        assert other == [pytest.approx(row, rel=1e-6) for row in norms[0]]
    assert sum(value > 0 for row in norms[0] for value in row) > 5  # identities have none


# On a GPU -----------------------------------------------------------------------------------------------------

on_a_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


@on_a_gpu
@pytest.mark.parametrize("executor", [Sequential, Lockstep, RecordedLockstep])
def test_on_a_gpu_steps_are_those_of_the_cpu(executor):
    space = get_space("digits").for_data(image_size=2 * get_space("digits").reduction)
    sampler = StrictSampler(space.choices, 1)
    on_cpu, on_gpu = Supernet(space).double().train(), Supernet(space).double().cuda().train()
    images, labels = batch(space)
    executor = executor()
    for step in range(6):  # the recorded one warms up for two
        paths = sampler.paths(step)
        for network in (on_cpu, on_gpu):
            network.zero_grad(set_to_none=True)
        expected = path_by_path(on_cpu, images, labels, paths)
        found = float(executor.backward(on_gpu, images.cuda(), labels.cuda(), paths))
        gradients = [{name: p.grad for name, p in network.named_parameters()} for network in (on_gpu, on_cpu)]
        buffers = [dict(network.named_buffers()) for network in (on_gpu, on_cpu)]
        moved = [
            {name: None if g is None else g.cpu() for name, g in each.items()} for each in (gradients[0], buffers[0])
        ]
        assert_same((found, *moved), (expected, gradients[1], buffers[1]), rtol=1e-6, atol=1e-8)


@on_a_gpu
def test_on_a_gpu_a_recorded_step_with_our_own_kernels_is_the_cpus(monkeypatch):
    from fairnas.kernels import batch_norm_gpu, depthwise_gpu  # needs Triton

    calls = []

    def watch(module, name):
        do = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given: calls.append(name) or do(*given))

    watch(batch_norm_gpu, "normalise")
    watch(depthwise_gpu, "input_gradient")
    for module in (batch_norm, depthwise):
        monkeypatch.setattr(module, "_FEWEST_NUMBERS_GPU", 1)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    space = get_space("digits")
    on_cpu = Supernet(space).double().train()
    on_gpu = Supernet(space).cuda().to(memory_format=torch.channels_last).train()
    on_gpu.load_state_dict(on_cpu.state_dict())
    images, labels = batch(space, 32)
    executor, sampler = RecordedLockstep(), StrictSampler(space.choices, 1)
    for step in range(4):
        paths = sampler.paths(step)
        for network in (on_cpu, on_gpu):
            network.zero_grad(set_to_none=True)
        expected = path_by_path(on_cpu, images, labels, paths)
        if step == 1:
            calls.clear()  # those of the trial
        found = float(executor.backward(on_gpu, images.float().cuda(), labels.cuda(), paths))
        assert found == pytest.approx(float(expected), rel=1e-4)
        for (name, mine), theirs in zip(on_gpu.named_parameters(), on_cpu.parameters(), strict=True):
            # the gradients of a new supernet are ill-conditioned
            assert (mine.grad.cpu().double() - theirs.grad).norm() < 0.1 * theirs.grad.norm(), name
    assert set(calls) == {"normalise", "input_gradient"}


@on_a_gpu
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_on_a_gpu_one_recording_serves_steps_evaluations_and_a_resume(precision):
    recordings = []
    space = get_space("digits")
    config = TrainConfig(lr=1e-3, precision=precision)
    executor = RecordedLockstep(precision, record=counted(recordings, capture_graph))
    training = SupernetTraining(Supernet(space).cuda(), config, 0, executor)
    images, labels = (each.cuda() for each in batch(space, 32, torch.float32))
    for step in range(20):
        assert torch.isfinite(training.step([(images, labels)], step, 20))
        if step in (1, 7, 12):
            training.network.eval()
            with torch.no_grad():
                training.network(images, (0,) * space.depth)
            training.network.train()
        if step == 12:
            training.network.load_state_dict(training.network.state_dict())
            training.optimizer.load_state_dict(training.optimizer.state_dict())
    assert len(recordings) == 1


# Memory -------------------------------------------------------------------------------------------------------


def peak_of(backward, supernet, paths):
    """The most that activations and other temporaries take at once during the backward passes, in bytes."""
    images, labels = batch(supernet.space, 32, torch.float32)
    for parameter in supernet.parameters():
        parameter.grad = torch.zeros_like(parameter)  # gradients are not counted
    return measured_peak(lambda: backward(supernet, images, labels, paths), CPU)


@pytest.mark.slow
def test_sequential_needs_the_memory_of_the_largest_single_network():
    """The paper's claim (Table 1, SP): within 10 percent; lockstep needs that of all paths, or less if it saves."""
    space = get_space("compact")
    supernet = Supernet(space).train()
    paths = StrictSampler(space.choices, 0).paths(0)
    costs = [max(range(len(row)), key=row.__getitem__) for row in activation_table(space).blocks]
    largest = tuple(costs)
    single = peak_of(path_by_path, supernet, [largest])
    assert peak_of(Sequential().backward, supernet, paths) < 1.1 * single
    together = peak_of(Lockstep().backward, supernet, paths)
    lean = peak_of(Lockstep(save_memory=True).backward, supernet, paths)
    assert together > 2.5 * single
    assert lean < 0.6 * together
    table = activation_table(space)
    assert table.of_all_blocks / table.of_largest_path == pytest.approx(together / single, rel=0.25)


def kept_bytes(work):
    """Bytes per image, in single precision, that autograd keeps for a backward pass."""
    kept = {}

    def pack(tensor):
        if tensor.dim() > 1 and not isinstance(tensor, torch.nn.Parameter):
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        work()
    return sum(tensor[0].numel() * 4 for tensor in kept.values())


@pytest.mark.slow
def test_the_activation_table_counts_what_autograd_keeps():
    space = get_space("digits")
    supernet = Supernet(space).double().train()  # plain torch, as on a GPU
    images, _ = batch(space, 8)
    table = activation_table(space)
    genome = (0, 1, 2, 3, 4, 5, 0, 1)
    assert table.of_path(genome) == pytest.approx(kept_bytes(lambda: supernet(images, genome)), rel=0.1)
    assert table.of_path(genome) <= table.of_largest_path < table.of_all_blocks
    assert table.of_hand_overs(6) < table.of_all_blocks


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3, 9])
def test_paths_in_lockstep_need_what_is_foreseen(count):
    space = get_space("digits")
    supernet = Supernet(space).double().train()  # plain torch, as on a GPU
    table = activation_table(space)
    largest = tuple(max(range(len(row)), key=row.__getitem__) for row in table.blocks)
    kept = kept_bytes(lambda: Lockstep().backward(supernet, *batch(space, 8), [largest] * count))
    assert table.of_paths(count) == pytest.approx(kept, rel=0.1)
    assert table.of_hand_overs(count) <= table.of_paths(count)


# Choosing -----------------------------------------------------------------------------------------------------


def chosen(strategy="strict", device=CPU, group=None, **resources):
    config = TrainConfig(strategy=strategy, batch_size=64)
    return choose_execution(get_space("digits"), config, Resources(**resources), device, group or Group())


def test_auto_says_what_it_picked():
    found = chosen()
    assert (found.executor.name, found.reason.split(":")[0]) == ("sequential", "sequential")
    assert chosen("uniform").reason == "sequential: 'uniform' trains one path at a time"
    forced = chosen(executor="lockstep")
    assert type(forced.executor) is Lockstep
    assert "6 paths layer by layer" in forced.reason
    assert chosen(save_memory=True).executor.save_memory
    on_gpu = chosen(device=torch.device("cuda"), executor="lockstep")
    assert (type(on_gpu.executor), "as one CUDA graph" in on_gpu.reason) == (RecordedLockstep, True)
    assert type(chosen(device=torch.device("cuda"), executor="lockstep", compile="off").executor) is Lockstep


def test_memory_is_not_counted_where_nothing_depends_on_it(monkeypatch):
    monkeypatch.setattr("fairnas.train.execution.activation_table", lambda space: pytest.fail("takes seconds"))
    for asked in ({}, {"executor": "sequential"}, {"strategy": "uniform", "device": torch.device("cuda")}):
        assert type(chosen(**asked).executor) is Sequential


@pytest.mark.parametrize(
    ("free", "kind", "save_memory"),
    [(1e12, RecordedLockstep, None), (24e6, Lockstep, True), (1e3, Sequential, None)],
)
def test_on_a_gpu_auto_takes_what_fits(monkeypatch, free, kind, save_memory):
    monkeypatch.setattr("fairnas.train.execution._free_memory", lambda device: free)
    executor = chosen(device=torch.device("cuda")).executor
    assert type(executor) is kind
    assert getattr(executor, "save_memory", None) == save_memory
    table = activation_table(get_space("digits"))
    assert 64 * table.of_hand_overs(6) < 0.8 * 24e6 < 64 * table.of_all_blocks


def test_beside_a_recording_there_is_room_for_images_and_for_scoring(monkeypatch):
    needed = 64 * activation_table(get_space("digits")).of_all_blocks
    for share, compiled, kind in ((0.61, "auto", Lockstep), (0.59, "auto", RecordedLockstep), (0.79, "off", Lockstep)):
        monkeypatch.setattr("fairnas.train.execution._free_memory", lambda device, share=share: needed / share)
        found = chosen(device=torch.device("cuda"), compile=compiled).executor
        assert (type(found), getattr(found, "save_memory", False)) == (kind, share == 0.61)


def test_what_fits_depends_on_how_many_paths_run_together(monkeypatch):
    table = activation_table(get_space("digits"))
    enough = 64 * table.of_all_blocks / 0.8 * 1.01  # for six paths that share no block
    monkeypatch.setattr("fairnas.train.execution._free_memory", lambda device: enough)

    def executor(k):
        config = TrainConfig(strategy="uniform_k", k=k, accumulate=True, batch_size=64)
        return choose_execution(get_space("digits"), config, Resources(), torch.device("cuda"), Group()).executor

    assert [executor(k).name for k in (2, 60, 200)] == ["lockstep", "lockstep", "sequential"]
    assert [executor(k).save_memory for k in (2, 60)] == [False, True]


@pytest.mark.parametrize(
    ("strategy", "resources", "message"),
    [
        ("one_shot", {"executor": "lockstep"}, "resources.executor = 'lockstep' needs several paths on one mini-batch"),
        (
            "uniform",
            {"save_memory": True},
            "resources.save_memory needs several paths on one mini-batch, and 'uniform'",
        ),
        (
            "strict",
            {"executor": "sequential", "compile": "on"},
            "resources.compile = 'on' is for the lockstep executor",
        ),
        ("strict", {"executor": "sequential", "save_memory": True}, "resources.save_memory is for the lockstep"),
    ],
)
def test_contradictions_are_refused_in_one_line(strategy, resources, message):
    with pytest.raises(ConfigError) as caught:
        chosen(strategy, **resources)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_cuda_graph_needs_a_static_step_and_a_gpu():
    with pytest.raises(ConfigError, match="needs a step that runs every block once"):
        chosen(compile="on", group=Group(0, 2, 2))
    with pytest.raises(
        ConfigError, match=r"records a CUDA graph, but the device is 'cpu'; .* resources\.device = 'cuda'"
    ):
        chosen(compile="on")
