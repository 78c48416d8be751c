"""Memory for processes that train."""

import dataclasses
from types import SimpleNamespace

import pytest

from fairnas.config import Resources
from fairnas.nets import cost_table
from fairnas.nets.memory import activation_table
from fairnas.pipeline import job_pool
from fairnas.recipes import get_recipe
from fairnas.space import CATALOG, get_space

SPACE = get_space("digits")
DATASET = SimpleNamespace(train=None, validation=None, test=None)


def test_what_is_free_is_what_machine_and_container_leave(tmp_path):
    assert job_pool.free_memory(tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\nHugePages_Total:   0\n")
    assert job_pool.free_memory(tmp_path) == 5000 * 1024
    second = tmp_path / "sys/fs/cgroup"
    (second / "memory").mkdir(parents=True)
    (second / "memory.current").write_text("900000\n")
    (second / "memory.stat").write_text("anon 5\ninactive_file 100000\n")
    (second / "memory.max").write_text("max\n")
    assert job_pool.free_memory(tmp_path) == 5000 * 1024
    (second / "memory.max").write_text("1000000\n")
    assert job_pool.free_memory(tmp_path) == 200_000
    (second / "memory/memory.limit_in_bytes").write_text("500000\n")
    (second / "memory/memory.usage_in_bytes").write_text("600000\n")
    (second / "memory/memory.stat").write_text("total_inactive_file 30\n")
    assert job_pool.free_memory(tmp_path) == 0


@pytest.mark.slow
@pytest.mark.parametrize(("free", "expected"), [(None, 8), (8 * 10**12, 8), (0, 1), ("three", 3)])
def test_processes_are_as_many_as_fit(free, expected, monkeypatch):
    each = job_pool.PROCESS_BYTES + 50 * activation_table(SPACE).of_largest_path
    monkeypatch.setattr(job_pool, "free_memory", lambda: int(3.5 * each) if free == "three" else free)
    assert job_pool.max_processes(8, SPACE, 50) == expected
    if free == "three":
        assert job_pool.max_processes(8, SPACE, 50, shared_bytes=each) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in ("digits", "compact") else pytest.mark.full) for name in CATALOG]
)
def test_where_activations_are_not_counted_they_take_less(name, monkeypatch):
    space = CATALOG[name]
    most = 9 * cost_table(space).heaviest["madds"] * job_pool.BYTES_PER_MADD
    assert 9 * activation_table(space).of_largest_path < most
    monkeypatch.setattr(job_pool, "free_memory", lambda: 2 * (job_pool.PROCESS_BYTES + most))
    monkeypatch.setattr(job_pool, "activation_table", lambda space: pytest.fail("takes seconds"))
    assert job_pool.max_processes(2, space, 9) == 2


def test_the_number_that_is_given_counts_else_cores_and_memory(monkeypatch):
    monkeypatch.setattr(job_pool, "all_threads", lambda: 6)
    monkeypatch.setattr(job_pool, "max_processes", lambda processes, space, batch_size, shared_bytes: min(processes, 4))
    config = get_recipe("digits")
    job_context = SimpleNamespace(config=config, train=config.train, device="cpu")
    said = []
    assert job_pool.process_count(job_context, 9, SPACE, DATASET, said.append) == 4
    assert said == ["4 networks are trained side by side instead of 6, for want of memory (--resources.processes)"]
    assert job_pool.process_count(job_context, 3, SPACE, DATASET, said.append) == 3
    job_context.config = dataclasses.replace(config, resources=Resources(processes=5))
    assert job_pool.process_count(job_context, 9, SPACE, DATASET, said.append) == 5
    job_context.device = "cuda"
    assert job_pool.process_count(job_context, 9, SPACE, DATASET, said.append) == 1
    assert len(said) == 1
