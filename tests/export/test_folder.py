"""The folder of an exported network: what is written, left alone, made again, and never half of it.

The exporters and their proofs, which take seconds, are replaced here; test_export.py has them.
"""

import dataclasses
import importlib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fairnas
from fairnas.atomic_files import write_atomically
from fairnas.errors import FairnasError, RunDirectoryError
from fairnas.export import (
    ExportError,
    ModelFileError,
    Preprocessing,
    Product,
    Quantisation,
    bundle,
    export_product,
)
from fairnas.export.facts import LatencyFacts
from fairnas.nets import StandAlone

GENOME = "04215320"  # of the network in conftest.py
INT8 = Quantisation(1, lambda: np.zeros((1, 1, 8, 8), np.float32), {})


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, result in (
        ("to_onnx", b"onnx"), ("to_program", b"program"), ("to_int8", b"int8"),
        ("check_parity", 1e-7), ("check_program", 2e-7), ("check_labels", None), ("check_int8", None),
        ("accuracy_lost", {}), ("latency_facts", LatencyFacts("a CPU", {})),
    ):  # fmt: skip
        monkeypatch.setattr(bundle, name, lambda *_, result=result: result)


@pytest.mark.usefixtures("quick")
def test_a_folder_that_cannot_be_written(trained: Product, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(RunDirectoryError, match="cannot write"):
        export_product(tmp_path / "models" / GENOME, trained)


def _contents(folder: Path) -> dict[str, bytes]:
    # safetensors writes its metadata in random order
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.name != "model.safetensors"}


@pytest.mark.usefixtures("quick")
def test_a_second_export_replaces_the_first(trained: Product, tmp_path: Path) -> None:
    (tmp_path / "weights.safetensors").write_bytes(b"of an earlier version")
    export_product(tmp_path, trained)
    assert "model.int8.onnx" not in {file.name for file in tmp_path.iterdir()}
    first = _contents(tmp_path)
    report = export_product(tmp_path, dataclasses.replace(trained, measures={"test_top1": 0.5}), INT8)
    assert not report.unchanged
    assert sorted(report.facts.files) == sorted(file.name for file in tmp_path.iterdir())
    assert not export_product(tmp_path, trained).unchanged
    again = _contents(tmp_path)
    assert {**again, "model.json": b""} == {**first, "model.json": b""}


@pytest.mark.usefixtures("quick")
def test_an_unchanged_folder_is_left_alone_and_a_damaged_one_made_again(trained: Product, tmp_path: Path) -> None:
    first = export_product(tmp_path, trained)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    assert export_product(tmp_path, trained) == dataclasses.replace(first, unchanged=True)
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.iterdir()}
    for name in first.facts.files:
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[:-2])
        assert not export_product(tmp_path, trained).unchanged, name
        assert (tmp_path / name).stat().st_size == len(content)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("done", range(6))
def test_an_interrupted_export_is_not_taken_for_a_whole_one(
    trained: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    export_product(tmp_path, trained)
    written: list[str] = []

    def interrupted(path: Path, content: bytes) -> None:
        if len(written) == done:
            raise KeyboardInterrupt
        written.append(path.name)
        write_atomically(path, content)

    monkeypatch.setattr(bundle, "write_atomically", interrupted)
    with pytest.raises(KeyboardInterrupt):
        export_product(tmp_path, dataclasses.replace(trained, measures={}))
    with pytest.raises(ModelFileError, match=r"has no model\.json: its export was interrupted"):
        fairnas.load(tmp_path)


@pytest.mark.parametrize(
    ("absent", "line"),
    [
        ("onnxruntime", "running an ONNX model needs onnxruntime, which cannot be imported; pip install onnxruntime"),
        ("onnx", "exporting to ONNX needs onnx, which cannot be imported; pip install onnx"),
        ("onnxscript", "exporting to ONNX needs onnxscript, which cannot be imported; pip install onnxscript"),
    ],
)
def test_a_missing_package_is_one_line(
    trained: Product, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, absent: str, line: str
) -> None:
    if absent == "onnxruntime":
        monkeypatch.setattr(bundle, "to_onnx", lambda _: b"")
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> ModuleType:
        if name.partition(".")[0] == absent:
            raise ModuleNotFoundError(f"No module named '{absent}'", name=absent)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    with pytest.raises(ExportError) as caught:
        export_product(tmp_path / "models", trained)
    assert str(caught.value) == line
    assert list(tmp_path.iterdir()) == []


def test_contradictions_are_refused(network: StandAlone, trained: Product) -> None:
    good = trained.preprocessing
    for change, message in (
        ({"classes": ("a", "b")}, "2 class names for a network of 10 outputs; give one name per output"),
        (
            {"preprocessing": dataclasses.replace(good, image_size=32)},
            "preprocessing gives 32 pixels and 1 channels",
        ),
        ({"measures": {"test_top1": float("nan")}}, "test_top1 is nan; give a finite number"),
    ):
        with pytest.raises(ExportError, match=message):
            dataclasses.replace(trained, **change)
    with pytest.raises(ExportError, match=r"preprocessing\.mean has 1 numbers for 3 channels"):
        Preprocessing(32, 3, (0.5,), (0.5, 0.5, 0.5))
    with pytest.raises(ExportError, match=r"preprocessing\.std holds 0\.0; give numbers above 0"):
        Preprocessing(32, 1, (0.5,), (0.0,))
    with pytest.raises(ExportError, match=r"preprocessing\.fit is 'stretch'; give crop, pad, squash"):
        dataclasses.replace(good, fit="stretch")
    for ends in ((1.0, 1.0), (2.0, 1.0), (0.0, float("inf")), (float("nan"), 1.0)):
        with pytest.raises(
            ExportError, match=r"preprocessing\.value_range is .*; give two finite numbers, the smaller"
        ):
            dataclasses.replace(good, value_range=ends)
    assert issubclass(ExportError, FairnasError)
