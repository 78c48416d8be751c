"""Quantising a small ONNX model: what a whole network makes of it is in test_export.py."""

import shutil
from collections.abc import Callable

import numpy as np
import onnx
import pytest

from fairnas.errors import RunDirectoryError
from fairnas.export import ExportError, Quantisation
from fairnas.export.int8 import accuracy_lost, to_int8
from fairnas.export.session import OnnxSession

IMAGES = np.random.default_rng(1).standard_normal((70, 3, 4, 4)).astype(np.float32)


def test_the_same_model_and_images_give_the_same_bytes(small_onnx: Callable[..., bytes]) -> None:
    one, two = (to_int8(small_onnx(), IMAGES, {"genome": "01"}) for _ in range(2))
    assert one == two
    assert one != to_int8(small_onnx(), 2 * IMAGES, {"genome": "01"})


def test_all_images_calibrate_it(small_onnx: Callable[..., bytes]) -> None:
    """The one that reaches furthest stands last, beyond a whole number of batches."""
    far = np.concatenate([IMAGES, 9 * IMAGES[:1]])
    assert to_int8(small_onnx(), far, {}) == to_int8(small_onnx(), far[::-1].copy(), {})
    assert to_int8(small_onnx(), far, {}) != to_int8(small_onnx(), IMAGES, {})


def test_weights_are_signed_bytes_with_a_scale_per_channel(small_onnx: Callable[..., bytes]) -> None:
    model = onnx.load_model_from_string(to_int8(small_onnx(), IMAGES, {"genome": "01"}))
    onnx.checker.check_model(model)
    tensors = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    assert tensors["kernel_quantized"].dtype == np.int8
    assert tensors["kernel_scale"].shape == (8,)
    assert [each.key for each in model.metadata_props] == ["genome", "sha256"]
    assert model.metadata_props[0].value == "01"


def test_accuracies_are_counted_image_by_image(small_onnx: Callable[..., bytes]) -> None:
    model, other = small_onnx(), small_onnx(scale=-1.0)
    answers = [OnnxSession(each).run(IMAGES).argmax(1) for each in (model, other)]
    labels = np.where(np.arange(70) % 3 == 0, *answers)
    parts = [(IMAGES[:41], labels[:41]), (IMAGES[41:], labels[41:])]
    found = accuracy_lost(model, other, Quantisation(1, lambda: IMAGES, {"test": lambda: parts}))["test"]
    right = [answer == labels for answer in answers]
    assert found.only_float == int((right[0] & ~right[1]).sum()) > 0
    assert found.only_int8 == int((right[1] & ~right[0]).sum()) > 0
    assert (found.float_top1, found.int8_top1) == (right[0].mean(), right[1].mean())
    assert found.lost == pytest.approx(right[0].mean() - right[1].mean())
    assert found.images == 70
    for each, name in zip(right, ("float", "int8"), strict=True):
        of_classes = [each[labels == label].mean() for label in np.unique(labels)]
        assert getattr(found, f"{name}_balanced_accuracy") == pytest.approx(np.mean(of_classes))


def test_without_images(small_onnx: Callable[..., bytes]) -> None:
    with pytest.raises(ExportError, match="int8 needs images to calibrate with, and was given none; give at least"):
        to_int8(small_onnx(), IMAGES[:0], {})
    with pytest.raises(ExportError, match="cannot be measured: there are no test images"):
        accuracy_lost(small_onnx(), small_onnx(), Quantisation(1, lambda: IMAGES, {"test": lambda: []}))


def test_no_room_for_the_quantisers_files(small_onnx: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=2**20))
    with pytest.raises(RunDirectoryError, match=r"cannot write temporary files in .*; make room there, or set TMPDIR"):
        to_int8(small_onnx(), IMAGES, {})


def test_nothing_is_printed_or_logged(
    small_onnx: Callable[..., bytes], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    to_int8(small_onnx(), IMAGES, {})
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []
