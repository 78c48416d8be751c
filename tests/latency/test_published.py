"""Latency of published networks: kept as it goes, and at one pace, whatever the machine does meanwhile."""

import json
from pathlib import Path

import pytest

from fairnas.errors import RunDirectoryError
from fairnas.latency.published import zoo_latencies
from fairnas.progress import SilentNarrator
from fairnas.zoo import NETWORKS

NAMES = ["mobilenet_v2", "proxyless_r", "fairnas_a", "fairnas_c"]
TRUE = dict(zip(NAMES, (30.0, 40.0, 50.0, 45.0), strict=True))


def measured(path: Path | None, made: list[str], options: float = 1.0, names: list[str] = NAMES):
    def make(name: str, image_size: int):
        made.append(name)
        return lambda: options * TRUE[name]

    return zoo_latencies(224, path, SilentNarrator(), names=names, make=make)


def test_times_stand_beside_the_papers_with_their_rank_correlation() -> None:
    found = measured(None, [])
    assert [row["latency_ms"] for row in found["networks"]] == pytest.approx(list(TRUE.values()))
    assert [row["paper_ms"] for row in found["networks"]] == [NETWORKS[name].printed.latency_ms for name in NAMES]
    assert found["agreement"]["n"] == sum(row["paper_ms"] is not None for row in found["networks"])


def test_it_goes_on_at_the_first_networks_pace_and_times_nothing_twice(tmp_path: Path) -> None:
    path, made = tmp_path / "z.json", list[str]()
    measured(path, made, names=NAMES[:2])
    found = measured(path, made, options=3.0)  # now the machine is busy
    assert made == [*NAMES[:2], NAMES[2], NAMES[0], NAMES[3]]  # the first again, to compare with
    assert [row["latency_ms"] for row in found["networks"]] == pytest.approx(list(TRUE.values()))
    assert measured(path, made)["networks"] == found["networks"]
    assert len(made) == 5


def test_one_network_first_and_all_later_are_told_at_one_pace(tmp_path: Path) -> None:
    path = tmp_path / "z.json"
    measured(path, [], names=["fairnas_a"], options=3.0)
    found = measured(path, [])
    for row in found["networks"]:
        assert row["latency_ms"] == pytest.approx(3.0 * TRUE[row["name"]])
        assert row["anchor_ms"] == pytest.approx(3.0 * TRUE["mobilenet_v2"])


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "z.json"
    measured(path, [])
    path.write_text(path.read_text().replace('"image_size": 224', '"image_size": 96'))
    with pytest.raises(RunDirectoryError, match="was measured with image_size '96', now it is '224'"):
        measured(path, [])
    content = json.loads(path.read_text())
    for row in content["networks"].values():
        del row["anchor_ms"]
    for text in ("{", json.dumps(content)):
        path.write_text(text)
        with pytest.raises(RunDirectoryError, match="holds no latencies of ours"):
            measured(path, [])
