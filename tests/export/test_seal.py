"""Exported files that changed at rest: refused in one line, or they compute what they computed."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from fairnas.cli.main import main
from fairnas.errors import FairnasError
from fairnas.export import Classifier, ModelFileError, Product, load
from fairnas.export.bundle import export_product
from fairnas.export.int8 import Quantisation
from fairnas.export.program import run_program
from fairnas.export.seal import has_broken_seal, sealed_onnx
from fairnas.nets import StandAlone

IMAGES = np.random.default_rng(0).standard_normal((4, 1, 8, 8), dtype=np.float32)
MODELS = ("model.onnx", "model.int8.onnx", "model.pt2")
TAIL = 100
"""Bytes at the end of a file that are more than its digest and the mark before it."""


@pytest.fixture(scope="module")
def folder(trained: Product, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported network, with its model in 8 bits."""
    path = tmp_path_factory.mktemp("exported") / "model"
    labels = np.zeros(len(IMAGES), np.int64)
    export_product(path, trained, Quantisation(4, lambda: IMAGES, {"test": lambda: [(IMAGES, labels)]}))
    return path


@pytest.fixture
def copied(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "model")


def outputs(model: Path) -> np.ndarray:
    """Of a folder or of any of the files that compute something."""
    if model.suffix == ".pt2":
        return run_program(model.read_bytes())(IMAGES)
    if model.suffix != ".safetensors":
        return Classifier(model).probabilities(IMAGES)
    with torch.no_grad():
        return load(model)(torch.from_numpy(IMAGES)).numpy()


def flip(path: Path, place: int, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1 << bit
    path.write_bytes(content)


def refused_or_the_same(use: Callable[[], np.ndarray], expected: np.ndarray) -> bool:
    """Whether a file was refused; if not, it has to compute the same, bit for bit."""
    said, found = "", expected
    try:
        found = use()
    except FairnasError as error:
        said = str(error)
    np.testing.assert_array_equal(found, expected)
    assert "\n" not in said
    assert not said or "export" in said  # the model again
    return bool(said)


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=300)
@given(data=st.data())
def test_a_bit_flipped_anywhere_in_a_file_breaks_its_seal(folder: Path, name: str, data: st.DataObject) -> None:
    content = bytearray((folder / name).read_bytes())
    assert not has_broken_seal(bytes(content))
    place = data.draw(st.integers(0, len(content) - TAIL) | st.integers(0, 300))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    assert has_broken_seal(bytes(content))


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_any_bit_flipped_in_the_seal_itself_is_noticed_or_changes_nothing(
    folder: Path, name: str, tmp_path: Path
) -> None:
    content, expected, noticed = (folder / name).read_bytes(), outputs(folder / name), 0
    for place in range(-TAIL, 0):
        for bit in range(8):
            changed = bytearray(content)
            changed[place] ^= 1 << bit
            if has_broken_seal(bytes(changed)):
                noticed += 1
                continue
            path = tmp_path / name
            path.write_bytes(changed)
            noticed += refused_or_the_same(lambda path=path: outputs(path), expected)
    assert noticed > 64 * 8  # the digest, at least


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx", "model.safetensors"])
@settings(max_examples=100)
@given(data=st.data())
def test_a_bit_flipped_in_a_file_that_travels_alone(
    folder: Path, name: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    expected = outputs(folder / name)
    path = Path(shutil.copy(folder / name, tmp_path_factory.mktemp("alone")))
    size = path.stat().st_size
    place = data.draw(st.integers(0, size - 1) | st.integers(size - TAIL, size - 1) | st.integers(0, TAIL))
    flip(path, place, data.draw(st.integers(0, 7)))
    refused_or_the_same(lambda: outputs(path), expected)


@pytest.mark.slow
@settings(max_examples=100)
@given(data=st.data())
def test_a_bit_flipped_in_any_file_of_a_folder(
    folder: Path, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    copied = shutil.copytree(folder, tmp_path_factory.mktemp("flipped") / "model")
    path = copied / data.draw(st.sampled_from(sorted(file.name for file in folder.iterdir())))
    place, bit = data.draw(st.integers(0, path.stat().st_size - 1)), data.draw(st.integers(0, 7))
    flip(path, place, bit)
    found = {
        "model.onnx": refused_or_the_same(lambda: outputs(copied), outputs(folder)),
        "model.safetensors": refused_or_the_same(lambda: _eager(copied), _eager(folder)),
    }
    if path.name in found:
        assert found[path.name]


def _eager(folder: Path) -> np.ndarray:
    with torch.no_grad():
        return load(folder)(torch.from_numpy(IMAGES)).numpy()


def test_the_line_names_the_file_what_was_expected_and_what_to_do(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (8, 8)).save(copied.parent / "seven.png")
    digests = json.loads((copied / "model.json").read_text())["sha256"]
    for name in ("model.onnx", "model.int8.onnx"):
        flip(copied / name, 5000, 3)
    said = (
        f"fairnas: {copied}/model.onnx is not the file that was exported: its SHA-256 begins with .*, and model.json "
        f"says {digests['model.onnx'][:12]}; restore the file, or export the model again\n"
    )
    for model in (copied, copied / "model.onnx"):
        assert main(["predict", str(model), str(copied.parent / "seven.png")]) == 2
        line = capsys.readouterr().err
        assert line.count("\n") == 1
        assert [part for part in said.split(".*") if part not in line] == []
    with pytest.raises(ModelFileError, match=r"model\.int8\.onnx is not the file that was exported"):
        Classifier(copied / "model.int8.onnx")
    (copied / "model.json").unlink()  # as it travels alone
    for model in (copied, copied / "model.onnx", copied / "model.int8.onnx"):
        with pytest.raises(
            ModelFileError,
            match=r"onnx has changed since it was exported: its SHA-256 is not the one at its end; restore",
        ):
            Classifier(model)


def test_weights_that_are_not_those_of_the_folder(
    copied: Path, used: Callable[..., StandAlone], product_of: Callable[[StandAlone], Product], network: StandAlone
) -> None:
    """They are whole, and of the same genome, but of another training."""
    from fairnas.export.weights import encode_weights

    other = product_of(used(network.space, "04215320", seed=2))
    (copied / "model.safetensors").write_bytes(encode_weights(other))
    assert load(copied / "model.safetensors").genome == network.genome
    with pytest.raises(ModelFileError, match=r"model\.safetensors is not the file that was exported: .* model\.json"):
        load(copied)


def test_a_folder_whose_facts_are_damaged(copied: Path) -> None:
    (copied / "model.json").write_text("{")
    with pytest.raises(ModelFileError, match=r"model\.json is damaged .*; export the model again"):
        Classifier(copied)
    assert len(Classifier(copied / "model.onnx").classes) == 10  # beside a file it may be anybody's
    for content in ("[]", "{}", '{"sha256": 3}', '{"sha256": {"model.onnx": 3}}'):
        (copied / "model.json").write_text(content)
        assert len(Classifier(copied).classes) == 10


def test_files_of_earlier_versions_have_no_seal_but_facts_beside_them(copied: Path) -> None:
    file = copied / "model.onnx"
    digest = _without_seal(file)
    assert len(Classifier(file.rename(copied / "alone.onnx")).classes) == 10
    (copied / "alone.onnx").rename(file)
    facts = json.loads((copied / "model.json").read_text())
    facts["sha256"]["model.onnx"] = digest
    (copied / "model.json").write_text(json.dumps(facts))
    assert len(Classifier(copied).classes) == 10
    flip(file, 5000, 3)
    for path in (copied, file):
        with pytest.raises(ModelFileError, match=r"model\.onnx is not the file that was exported"):
            Classifier(path)


def test_a_model_that_was_changed_on_purpose(copied: Path) -> None:
    file = (copied / "model.onnx").rename(copied.parent / "mine.onnx")
    model = onnx.load(file)
    model.doc_string = "our own"
    onnx.save(model, file)
    with pytest.raises(ModelFileError, match="if it was changed on purpose, remove 'sha256' from its metadata"):
        Classifier(file)
    _without_seal(file)
    assert len(Classifier(file).classes) == 10


def _without_seal(file: Path) -> str:
    """Remove the digest from a model's metadata, and return that of the file."""
    import hashlib

    model = onnx.load(file)
    kept = {entry.key: entry.value for entry in model.metadata_props if entry.key != "sha256"}
    model.ClearField("metadata_props")
    onnx.helper.set_model_props(model, kept)
    onnx.save(model, file)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_anything_else_has_no_seal_to_break() -> None:
    for content in (b"", b"x", b"0" * 64, sealed_onnx(b"")[1:], b"a" * 1000):
        assert not has_broken_seal(content)
    assert not has_broken_seal(sealed_onnx(b""))
    assert has_broken_seal(sealed_onnx(b"ab").replace(b"ab", b"ac"))


def test_a_damaged_file_is_not_pushed_to_the_hub(copied: Path, tmp_path: Path) -> None:
    hub = pytest.importorskip("fairnas.export.hub")
    model = hub.HubModel(str(copied))
    (copied / "README.md").write_text("completed by hand")
    model.save_pretrained(tmp_path / "pushed")
    assert (tmp_path / "pushed" / "README.md").read_text() == "completed by hand"
    flip(copied / "model.pt2", 5000, 3)
    with pytest.raises(ModelFileError, match=r"model\.pt2 is not the file that was exported"):
        model.save_pretrained(tmp_path / "again")
