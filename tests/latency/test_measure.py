"""The latency table: known costs are found, what was measured is never lost, and machines are never mixed."""

import dataclasses
import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fairnas.config import RunConfig, SearchConfig
from fairnas.errors import ConfigError, RunDirectoryError
from fairnas.latency import read_latency_table
from fairnas.latency.fit import MeasurementPlan, Measurements
from fairnas.latency.measure import measure_table
from fairnas.pipeline.costs import costs_of_run
from fairnas.space import get_space

SPACE = get_space("digits")


class FakeBench:
    """Networks that take exactly the sum of their blocks, but for noise."""

    def __init__(self, device: str = "a fake, 1 thread", noise: float = 0.0, fail_after: int | None = None) -> None:
        self.device, self.noise, self.fail_after = device, noise, fail_after
        self.rng, self.opened = np.random.default_rng(3), 0
        costs = np.random.default_rng(1)
        self.stem, self.head = 2.0, 3.0
        self.rows = [costs.uniform(0.5, 2, count) for count in SPACE.choices]

    def _run(self, milliseconds: float):
        self.opened += 1
        if self.fail_after is not None and self.opened > self.fail_after:
            raise KeyboardInterrupt
        return lambda: milliseconds * (1 + self.noise * abs(self.rng.standard_normal()))

    def network(self, genome):
        return self._run(self.true(genome))

    def beginning(self, genome, layers: int):
        return self._run(self.stem + sum(row[c] for row, c in zip(self.rows, genome[:layers], strict=False)))

    def true(self, genome) -> float:
        return self.stem + self.head + sum(row[c] for row, c in zip(self.rows, genome, strict=True))


def test_additive_networks_give_their_blocks_back(tmp_path: Path) -> None:
    runner = FakeBench()
    table = measure_table(SPACE, tmp_path / "t.json", 5, runner=runner)
    assert table.fixed == pytest.approx(5, rel=1e-6)
    assert [list(row) for row in table.layers] == [pytest.approx(row.tolist(), rel=1e-6) for row in runner.rows]
    check = table.check
    assert check is not None
    assert check.complete
    assert len(check.networks) == 30
    assert check.median_error == pytest.approx(0, abs=1e-9)
    assert check.spearman == pytest.approx(1)
    assert read_latency_table(tmp_path / "t.json", SPACE) == table


def test_held_out_networks_are_not_what_the_table_is_made_of() -> None:
    plan = MeasurementPlan.of(SPACE)
    used = {genome for step in range(plan.steps) for genome in plan.paths(step)}
    held = {genome for step in range(plan.steps) for genome in plan.held(step)}
    assert held == set(plan.held_out)
    assert len(held) == 30
    assert not used & held
    small = dataclasses.replace(SPACE, layers=SPACE.layers[:1])
    held = MeasurementPlan.of(small).held_out
    assert len(held) == 2  # of six networks
    assert not set(MeasurementPlan.of(small).paths(0)) & set(held)


def test_noise_is_told_by_the_check(tmp_path: Path) -> None:
    table = measure_table(SPACE, tmp_path / "t.json", 5, runner=FakeBench(noise=0.05))
    assert table.check is not None
    assert 0 < table.check.median_error < 0.01
    assert table.check.spearman is not None
    assert table.check.spearman > 0.95


def test_killed_at_any_moment_it_goes_on_and_ends_the_same(tmp_path: Path) -> None:
    whole = measure_table(SPACE, tmp_path / "whole.json", 5, runner=FakeBench())
    path, opened = tmp_path / "t.json", 0
    for _ in range(100):
        runner = FakeBench(fail_after=30)
        try:
            table = measure_table(SPACE, path, 5, runner=runner)
            break
        except KeyboardInterrupt:
            assert not path.exists()
            with open(path.with_suffix(".jsonl"), "ab") as file:
                file.write(b'{"step": 3, "pa')  # cut short
        opened += runner.opened
    assert opened > 60
    assert table == whole
    again = FakeBench(fail_after=0)
    assert measure_table(SPACE, path, 5, runner=again) == whole  # finished: nothing is run


def test_out_of_time_it_makes_a_table_and_the_same_again_goes_on(tmp_path: Path) -> None:
    clock = iter(range(0, 100_000, 70)).__next__
    first = measure_table(SPACE, tmp_path / "t.json", 1, runner=FakeBench(), clock=clock)
    assert first.check is not None
    assert not first.check.complete
    second = measure_table(SPACE, tmp_path / "t.json", 60, runner=FakeBench())
    assert second.check is not None
    assert second.check.complete
    assert second.check.fitted > first.check.fitted
    assert second.fingerprint != first.fingerprint


def test_another_machine_or_size_does_not_go_on(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    measure_table(SPACE, path, 5, runner=FakeBench())
    with pytest.raises(RunDirectoryError, match="was measured with device 'a fake, 1 thread', now it is 'other'"):
        measure_table(SPACE, path, 5, runner=FakeBench("other"))
    with pytest.raises(RunDirectoryError, match="was measured with image size '8', now it is '16'") as refused:
        measure_table(SPACE.for_data(image_size=16), path, 5, runner=FakeBench())
    assert str(refused.value).endswith("; give another file, or delete this one and t.json to measure again")
    for file in (path.with_suffix(".jsonl"), path):
        file.unlink()
    assert measure_table(SPACE, path, 5, runner=FakeBench("other")).device == "other"


def test_a_run_that_moved_says_which_files_to_delete(tmp_path: Path) -> None:
    measure_table(SPACE, tmp_path / "latency.json", 5, runner=FakeBench())
    said: list[str] = []
    config = RunConfig("digits", search=SearchConfig(max_latency=1000))
    narrator, run = SimpleNamespace(say=said.append), SimpleNamespace(path=tmp_path)
    moved: Any = SimpleNamespace(config=config, run=run, narrator=narrator, space=SPACE, latency_table=None)
    costs_of_run(moved)
    assert said == [
        "latency.json was measured on a fake, 1 thread; delete latency.json and latency.jsonl to measure it here"
    ]


def test_a_system_without_file_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with pytest.raises(RunDirectoryError, match="need file locks"):
        measure_table(SPACE, tmp_path / "new" / "t.json", 5, runner=FakeBench())
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("content", ['{"schema": 1}', "", None])
def test_a_table_from_elsewhere_is_never_overwritten(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "t.json"
    if content is None:
        measure_table(SPACE, path, 5, runner=FakeBench())
        path.with_suffix(".jsonl").unlink()
    else:
        path.write_text(content)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="give another file"):
        measure_table(SPACE, path, 5, runner=FakeBench())
    assert path.read_bytes() == before
    with pytest.raises(ConfigError, match=r"give FILE\.json"):
        measure_table(SPACE, tmp_path / "t.txt", 5, runner=FakeBench())


def test_records_of_others_and_lines_that_are_none_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text("hello\n")
    with pytest.raises(RunDirectoryError, match="holds no measurements of ours"):
        measure_table(SPACE, tmp_path / "t.json", 5, runner=FakeBench())
    plan = MeasurementPlan.of(SPACE)
    assert not Measurements.of(plan, [3, None, {"x": 1}, "y"]).steps
    assert json.loads(json.dumps(plan.paths(0)))  # plain numbers
