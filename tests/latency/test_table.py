"""The latency table: what it adds up to, how it is read, and everything that can be wrong with the file."""

import dataclasses
import itertools
import json
import math
from pathlib import Path

import pytest

from fairnas.config import RewardConfig, SearchConfig
from fairnas.errors import ConfigError
from fairnas.latency import LatencyCheck, LatencyTable, read_latency_table, write_latency_table
from fairnas.latency.table import channels_of
from fairnas.search import Archive, check_bounds, cost_ranges, objectives_from, run_search
from fairnas.space import get_space, scaled


def table_of(space, fixed: float = 0.5) -> LatencyTable:
    rows = tuple(
        tuple(0.1 * (1 + (3 * layer + 5 * choice) % 7) for choice in range(count))
        for layer, count in enumerate(space.choices)
    )
    return LatencyTable(space.name, "a phone", fixed, rows, space.image_size)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "phone.json"


def test_what_is_written_is_read_back_equal(world, path: Path) -> None:
    table = table_of(world.space)
    write_latency_table(path, table)
    again = read_latency_table(path, world.space)
    assert again == table
    assert again.fingerprint == table.fingerprint


def test_a_network_costs_the_fixed_part_and_its_blocks(tiny_world) -> None:
    table = table_of(tiny_world.space)
    for genome in tiny_world.space.enumerate():
        expected = 0.5 + sum(row[choice] for row, choice in zip(table.layers, genome, strict=True))
        assert table(genome) == pytest.approx(expected, rel=1e-12)
    assert table.measures((0, 1, 2)) == {"latency": table((0, 1, 2))}


def test_the_order_of_layers_does_not_matter(world) -> None:
    table = dataclasses.replace(table_of(world.space), layers=(tuple(0.1 * n for n in range(1, 7)),) * 8)
    assert len({table(genome) for genome in itertools.permutations((0, 1, 2, 3, 4, 5, 0, 3), 8)}) == 1


def test_every_change_changes_the_fingerprint(world) -> None:
    table = table_of(world.space)
    slower = ((0.1000001, *table.layers[0][1:]), *table.layers[1:])
    changes = {"space": "x", "device": "x", "fixed": 0.6, "layers": slower, "image_size": None}
    prints = {dataclasses.replace(table, **{key: value}).fingerprint for key, value in changes.items()}
    assert len(prints | {table.fingerprint}) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema is 2, this fairnas reads 1"),
        ({"space": "proxyless"}, "is of space 'proxyless', the run's is 'digits'"),
        ({"image_size": 224}, "was measured with images of 224 pixels, the run's have 8"),
        ({"image_size": "8"}, "image_size is '8', give pixels"),
        ({"fixed_ms": -1}, "fixed_ms is -1, give milliseconds, 0 or more"),
        ({"fixed_ms": math.nan}, "fixed_ms is nan, give milliseconds"),
        ({"fixed_ms": 10**20}, "give milliseconds"),
        ({"fixed_ms": 10**400}, "it holds a number of 401 digits"),
        ({"fixed_ms": True}, "fixed_ms is True, give milliseconds"),
        ({"layers_ms": [[1.0] * 6] * 7}, "has 7 layers of 6 choices; space 'digits' has 8 layers of 6 choices"),
        ({"layers_ms": [[1.0] * 6] * 7 + [[1.0] * 5]}, "has 8 layers of 5 or 6 choices"),
        ({"layers_ms": [[1.0] * 6] * 7 + [[1.0] * 5 + ["1"]]}, "choice 5 of layer 7 is '1', give milliseconds"),
        ({"layers_ms": 3}, "layers_ms is no list of lists"),
        ({"device": None}, "it lacks 'device'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(world, path: Path, change: dict, message: str) -> None:
    plain = {**json.loads(table_of(world.space).to_json()), **change}
    path.write_text(json.dumps({key: value for key, value in plain.items() if value is not None or key != "device"}))
    with pytest.raises(ConfigError) as caught:
        read_latency_table(path, world.space)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "\x00", '{"schema": 1}', "[" * 100_000])
def test_other_files_are_refused(world, path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"latency table .*see docs/latency.md for the format"):
        read_latency_table(path, world.space)


def test_binary_and_absent_files_are_refused(world, path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read the latency table .*No such file"):
        read_latency_table(path, world.space)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="is not JSON"):
        read_latency_table(path, world.space)


def test_the_bound_that_the_fastest_network_just_meets_is_accepted_and_less_is_not(world) -> None:
    table = table_of(world.space)
    fastest = table(tuple(row.index(min(row)) for row in table.layers))
    ranges = cost_ranges(world.space, table.measures)
    assert ranges["latency"][0] == fastest
    just = objectives_from(SearchConfig(max_latency=fastest, latency_table="x"))
    check_bounds(world.space, just, ranges)
    less = objectives_from(SearchConfig(max_latency=fastest * 0.999, latency_table="x"))
    with pytest.raises(ConfigError, match=r"search.max_latency is .* ms; the smallest network of space 'digits' has"):
        check_bounds(world.space, less, ranges)


def test_a_bound_without_a_table_says_which_flag_is_missing(world, tmp_path: Path) -> None:
    for config in (SearchConfig(max_latency=20), SearchConfig(objectives=("top1", "latency"))):
        with (
            Archive(tmp_path / "a", "s") as archive,
            pytest.raises(ConfigError, match=r"give its table with --search\.latency-table"),
        ):
            run_search(world.space, config, world.evaluate, world.costs, archive, 0)


def test_a_table_of_another_width_is_refused(world, path: Path) -> None:
    table = dataclasses.replace(table_of(world.space), channels=channels_of(world.space))
    write_latency_table(path, table)
    assert read_latency_table(path, world.space) == table
    narrow = scaled(world.space, 0.5)
    assert (narrow.name, narrow.choices, narrow.image_size) == (table.space, world.space.choices, table.image_size)
    with pytest.raises(ConfigError, match="was measured with space 'digits' of another width; measure the run's"):
        read_latency_table(path, narrow)
    write_latency_table(path, table_of(world.space))  # one that does not say is taken
    assert read_latency_table(path, narrow).channels is None
    path.write_text(json.dumps({**table.to_dict(), "channels": [1, "2"]}))
    with pytest.raises(ConfigError, match="channels is no list of whole numbers"):
        read_latency_table(path, world.space)


def test_a_check_is_read_back_and_changes_nothing(world, path: Path) -> None:
    table = table_of(world.space)
    check = LatencyCheck((("01234501", 1.5, 1.4), ("11111111", 1.0, 1.1)), 0.05, 0.1, None, 1.0, 40, True)
    checked = dataclasses.replace(table, check=check)
    write_latency_table(path, checked)
    assert read_latency_table(path, world.space) == checked
    assert checked.fingerprint == table.fingerprint
    for damaged in ({"networks": 3}, [], {**dataclasses.asdict(check), "tau": "high"}):
        path.write_text(json.dumps({**table.to_dict(), "check": damaged}))
        with pytest.raises(ConfigError, match="its check is damaged"):
            read_latency_table(path, world.space)


@pytest.mark.parametrize("searcher", ["moremnas", "mnasnet_rl", "spos_ea", "random"])
def test_latency_is_searched_for_and_its_bound_kept(world, tmp_path: Path, searcher: str) -> None:
    table = table_of(world.space)
    low, high = cost_ranges(world.space, table.measures)["latency"]
    bound = low + 0.4 * (high - low)
    config = SearchConfig(
        searcher=searcher, population=12, generations=8, max_latency=bound, latency_table="x",
        reward=RewardConfig(cost="latency"),
    )  # fmt: skip

    def costs(genome):
        return {**world.costs(genome), **table.measures(genome)}

    with Archive(tmp_path / "a", "s") as archive:
        result = run_search(
            world.space,
            config,
            world.evaluate,
            costs,
            archive,
            0,
            cost_sources={"latency": f"table {table.fingerprint}"},
        )
        stored = archive.candidates(f"latency: table {table.fingerprint}")
        assert "latency" not in archive.candidates()[0].measures  # never mixed with that of another table
    assert all(table(genome) <= bound for genome in world.evaluated)
    assert all(candidate.value("latency") == table(candidate.genome) for candidate in (*result.front, *stored))
    assert {c.genome for c in stored} >= set(world.evaluated)
    assert result.reference[3] == high


def test_a_reward_of_latency_without_a_table_is_refused(world, tmp_path: Path) -> None:
    config = SearchConfig(searcher="mnasnet_rl", reward=RewardConfig(cost="latency"))
    with Archive(tmp_path / "a", "s") as archive, pytest.raises(ConfigError, match=r"search.reward.cost is 'latency'"):
        run_search(world.space, config, world.evaluate, world.costs, archive, 0)


def test_another_table_prices_every_network_anew_and_scores_none(world, tmp_path: Path) -> None:
    config = SearchConfig(
        searcher="random", objectives=("top1", "latency"), latency_table="x", population=20, generations=3
    )
    results = []
    for fixed in (0.5, 7.0):
        table = table_of(world.space, fixed)
        with Archive(tmp_path / "a", "s") as archive:
            sources = {"latency": f"table {table.fingerprint}"}
            result = run_search(world.space, config, world.evaluate, table.measures, archive, 0, cost_sources=sources)
        assert all(candidate.value("latency") == table(candidate.genome) for candidate in result.front)
        results.append(result)
    assert [c.genome for c in results[0].front] == [c.genome for c in results[1].front]
    assert len(world.evaluated) == len(set(world.evaluated)) == 60


def test_the_example_in_the_docs_is_a_table(path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "latency.md").read_text()
    example = page.split("```json\n")[1].split("```")[0]
    path.write_text(example)
    table = read_latency_table(path, get_space("nas_bench_macro"))
    assert table((1, 1, 0, 2, 0, 0, 0, 1)) == pytest.approx(0.85 + 0.61 + 0.58 + 0.02 + 0.88 + 3 * 0.02 + 0.35)
