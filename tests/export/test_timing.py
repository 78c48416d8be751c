"""Timing of models: in turns, until the numbers settle; and everything that can be wrong with a model."""

import itertools
from pathlib import Path

import numpy as np
import onnx
import pytest

from fairnas.errors import ExportError
from fairnas.export.timing import MOST_TURNS, RUNS, TURNS, Timing, all_threads, cpu_name, in_turns, open_model


class Fake:
    """A model that takes a given time, and more while somebody else works."""

    def __init__(self, milliseconds: float, order: list[float], disturbed: float = 0.0, seed: int = 0) -> None:
        self.milliseconds, self.order, self.disturbed = milliseconds, order, disturbed
        self.rng = np.random.default_rng(seed)

    def __call__(self) -> float:
        self.order.append(self.milliseconds)
        return self.milliseconds * (1 + self.disturbed * self.rng.random())


def test_quiet_models_are_timed_in_turns_and_soon_done() -> None:
    order: list[float] = []
    quick, slow = in_turns([Fake(0.5, order), Fake(30.0, order)], np.random.default_rng(0))
    assert (quick.median_ms, quick.lower_ms, quick.upper_ms, quick.undisturbed_ms) == pytest.approx((0.5,) * 4)
    assert slow.median_ms == pytest.approx(30)
    assert (quick.runs, slow.runs) == (TURNS * RUNS[1], TURNS * RUNS[0])
    changes = sum(a != b for a, b in itertools.pairwise(order))
    assert changes > TURNS  # not one model after the other


def test_a_disturbed_machine_gets_more_turns() -> None:
    (timing,) = in_turns([Fake(10.0, [], disturbed=0.5)], np.random.default_rng(0))
    assert TURNS * RUNS[0] < timing.runs <= MOST_TURNS * RUNS[0]
    assert 10 < timing.undisturbed_ms < 11 < timing.lower_ms < 12 < timing.median_ms < 13 < timing.upper_ms


def test_quartiles_are_quartiles() -> None:
    timing = Timing.of(list(range(1, 102)))
    assert (timing.undisturbed_ms, timing.lower_ms, timing.median_ms, timing.upper_ms) == (11, 26, 51, 76)


def test_it_stops_when_asked() -> None:
    with pytest.raises(KeyboardInterrupt):
        in_turns([Fake(1.0, [])], np.random.default_rng(0), stop=lambda: True)


def model(path: Path, shape: list, kind: int = onnx.TensorProto.FLOAT) -> Path:
    given = onnx.helper.make_tensor_value_info("images", kind, shape)
    result = onnx.helper.make_tensor_value_info("out", kind, None)
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["images"], ["out"])], "g", [given], [result])
    made = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    path.write_bytes(made.SerializeToString())
    return path


@pytest.mark.parametrize("kind", [onnx.TensorProto.FLOAT, onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT16])
def test_a_model_runs_on_one_image_whatever_it_takes(tmp_path, kind) -> None:
    run = open_model(model(tmp_path / "m.onnx", ["batch", 3, 8, 8], kind))
    assert 0 < run() < 10_000
    assert open_model((tmp_path / "m.onnx").read_bytes(), threads=2)() > 0


def test_an_open_image_size_has_to_be_given(tmp_path) -> None:
    path = model(tmp_path / "m.onnx", ["batch", 3, "height", "width"])
    with pytest.raises(ExportError, match="takes images of any size; say which with --image-size"):
        open_model(path)
    assert open_model(path, image_size=8)() > 0


def test_what_is_no_model_is_refused_in_one_line(tmp_path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"\x08\x09not a model")
    text = model(tmp_path / "text.onnx", [1], onnx.TensorProto.STRING)
    messages = {tmp_path / "none.onnx": "there is no file", tmp_path / "bad.onnx": "cannot run", text: "cannot be made"}
    for path, message in messages.items():
        with pytest.raises(ExportError, match=message) as caught:
            open_model(path)
        assert "\n" not in str(caught.value)


def test_the_machine_has_a_name_and_cores() -> None:
    assert cpu_name().strip()
    assert all_threads() >= 1
