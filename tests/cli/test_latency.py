"""`fairnas latency`: a table measured here, a model timed, and what can be wrong."""

import json
import os
from pathlib import Path

import pytest

from fairnas.cli.summary import bound_lines
from fairnas.config import SearchConfig
from fairnas.errors import ConfigError
from fairnas.export.timing import device_name
from fairnas.latency import LatencyTable, read_latency_table, write_latency_table
from fairnas.pipeline.costs import search_costs
from fairnas.space import get_space

WRONG = {
    "nothing": ([], "takes one: a space, an ONNX file, or --run DIR"),
    "two things": (["digits", "--run", "x"], "takes one: a space, an ONNX file, or --run DIR"),
    "space": (["digitz"], "unknown space 'digitz'; did you mean 'digits'?"),
    "image size": (["mobilenet_v2", "--image-size", "8"], "8 pixels are too few, give 32 or more"),
    "negative size": (["digits", "--image-size", "-8"], "--image-size is -8; give a number above 0"),
    "no time": (["digits", "--minutes", "0"], "--minutes is 0.0; give a number above 0"),
    "no number": (["digits", "--minutes", "nan"], "--minutes is nan; give a number above 0"),
    "threads": (["digits", "--threads", "0"], "--threads is 0; give a number above 0"),
    "no JSON": (["digits", "--out", "t.txt"], "give FILE.json instead of t.txt"),
    "no table": (["model.onnx", "--out", "x.json"], "--out is for the table of a space; a model is timed once"),
    "no time for one": (["model.onnx", "--minutes", "2"], "--minutes is for the table of a space; a model is timed"),
    "no model": (["none.onnx"], "there is no file none.onnx; give an ONNX model"),
    "no run": (["--run", "nowhere"], "nowhere is not a run directory"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_input_is_one_line_and_nothing_written(arguments, message, fairnas, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = fairnas("latency", *arguments)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.count("\n") == 1, outcome.err
    assert message in outcome.err
    assert os.listdir(tmp_path) == []


def test_a_corrupt_model_is_one_line(fairnas, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.onnx").write_bytes(b"\x08\x09 nothing")
    outcome = fairnas("latency", "bad.onnx")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "onnxruntime cannot run bad.onnx" in outcome.err


def test_a_bound_that_no_network_meets_is_refused_before_anything_is_trained(
    fairnas, tiny, tmp_path, monkeypatch
) -> None:
    def measured(space, path, minutes, **_):
        table = LatencyTable(space.name, device_name(1), 1.0, tuple((0.5,) * count for count in space.choices))
        write_latency_table(path, table)
        return table

    monkeypatch.setattr("fairnas.pipeline.costs.measure_table", measured)
    outcome = fairnas("run", "digits", "--out", tmp_path / "run", *tiny, "--max-latency", "4.9ms")
    assert outcome.code == 2
    assert "networks of space 'digits' take 5 to 5 ms\n" in outcome.err
    assert "search.max_latency is 4.9 ms; the smallest network of space 'digits' has 5, give" in outcome.err
    assert "run keeps the old bound: delete it, or give another --out, too" in outcome.err.splitlines()[-1]
    assert not (tmp_path / "run" / "supernet").exists()
    assert "[1/6]" not in outcome.err


def test_a_damaged_table_of_the_runs_own_says_how_it_is_made_again(tmp_path) -> None:
    space = get_space("digits")
    path = tmp_path / "latency.json"
    path.write_text('{"schema": 1, ')
    with pytest.raises(
        ConfigError, match=r"is not JSON .*run's own: delete .*latency\.json, and the same command makes"
    ):
        search_costs(space, SearchConfig(max_latency=5), path)


def test_the_summary_tells_who_is_slower_than_was_asked_for() -> None:
    files = [("00", 1.5, None), ("01", 1.0, None), ("02", None, None)]
    (line,) = bound_lines(1.2, files)
    assert "00 takes 1.5 ms, 25.0% more than the 1.2 ms asked for" in line
    assert bound_lines(1.5, files) == ["bound     every ONNX file takes at most 1.5 ms, as measured at its export"]
    (line,) = bound_lines(1.5, [("00", 1.5, None), ("01", 1.0, 1.8)])
    assert "01 in 8 bits takes 1.8 ms, 20.0% more than the 1.5 ms asked for" in line
    assert bound_lines(None, files) == []
    assert bound_lines(1.2, files[2:]) == []


SPACE = """
name = "small"
image_size = 8
stem = { channels = 4, stride = 2 }
stages = [{ channels = 6, layers = 4, stride = 1 }]
head = 8
kernels = [3, 5]
expansions = [2]
"""


@pytest.mark.slow
def test_a_table_is_measured_printed_and_goes_on(fairnas, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("small.toml").write_text(SPACE)
    outcome = fairnas("latency", "small.toml", "--minutes", "0.0001", "--json")
    assert outcome.code == 0, outcome.err
    assert "run the same command again to continue" in outcome.err
    assert outcome.json["check"]["complete"] is False
    shown = fairnas("latency", "small.toml")
    for words in ("milliseconds of each choice", "onnxruntime", "latency-small-8.json", "of 8 pixels"):
        assert words in shown.out
    table = read_latency_table(Path("latency-small-8.json"), get_space("small.toml"))
    again = fairnas("latency", "small.toml", "--json")
    assert "was measured before" in again.err
    assert again.json == {"table": "latency-small-8.json", **json.loads(table.to_json())}
    assert again.json["check"]["complete"] is True
