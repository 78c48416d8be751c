"""The truth of NAS-Bench-Macro: what is read, and what is refused in one line."""

import json
import statistics

import pytest

from fairnas.analysis.nas_bench_macro import SPACE, read_nas_bench_macro
from fairnas.errors import DataError
from fairnas.space import format_genome, get_space


def test_every_network_has_its_accuracies_and_costs(macro_truth, tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(macro_truth))
    truth = read_nas_bench_macro(path)
    assert set(truth) == set(get_space(SPACE).enumerate())
    for genome, network in truth.items():
        row = macro_truth[format_genome(genome)]
        assert network.top1 == pytest.approx(row["mean_acc"] / 100)
        assert network.top1 == pytest.approx(statistics.fmean(network.trainings), abs=1e-6)
        assert (network.madds, network.params) == (row["flops"], row["params"])


ROW = {"test_acc": [90.0], "mean_acc": 90.0, "flops": 1, "params": 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read {} (No such file or directory); give the JSON file of NAS-Bench-Macro for CIFAR-10"),
        ("accuracies", "{} is not JSON (Expecting value: line 1 column 1 (char 0)); give the JSON file"),
        (b"\xff\xfe", "{} is not JSON ('utf-8' codec can't decode"),
        ([1, 2], "{} is JSON of another format (it is no object with a key per genome); give"),
        ({"00000000": [1]}, "{} is JSON of another format (list indices"),
        ({"00000000": {"mean_acc": 90}}, "{} is JSON of another format (a network lacks 'test_acc'); give"),
        ({"00000003": ROW}, "{} is JSON of another format (genome"),
        ({"00000000": ROW | {"mean_acc": 9000}}, "{} is JSON of another format (accuracies are not percentages)"),
        ({"00000000": ROW}, "{} has 1 of the 6,561 networks of nas_bench_macro; give"),
    ],
)
def test_another_file_is_refused_in_one_line(tmp_path, content, message):
    path = tmp_path / "truth.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    with pytest.raises(DataError) as error:
        read_nas_bench_macro(path)
    assert message.format(path) in str(error.value)
    assert "\n" not in str(error.value)
