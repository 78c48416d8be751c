import contextlib
import copy
import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

import fairnas
from fairnas.errors import FairnasError
from fairnas.export import ModelFileError, Product, load
from fairnas.export.weights import encode_weights
from fairnas.nets import StandAlone
from fairnas.space import get_space
from fairnas.space.file import from_dict

GENOME = "04215320"  # of the network in conftest.py
IMAGES = torch.randn(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def folder(trained: Product, tmp_path: Path) -> Path:
    (tmp_path / "model.safetensors").write_bytes(encode_weights(trained))
    (tmp_path / "model.json").write_text(json.dumps({"genome": GENOME}))
    return tmp_path


def _refused(path: Path, message: str) -> None:
    with pytest.raises(ModelFileError, match=message) as caught:
        load(path)
    assert isinstance(caught.value, FairnasError)
    assert "\n" not in str(caught.value)


def _metadata(path: Path) -> dict[str, str]:
    with safe_open(path / "model.safetensors", framework="pt") as file:
        return file.metadata()


def _rewrite(path: Path, changes: dict[str, str | None], trained: Product) -> None:
    """The same tensors under changed metadata; None drops an entry."""
    metadata = {key: value for key, value in (_metadata(path) | changes).items() if value is not None}
    state = {name: tensor.contiguous() for name, tensor in trained.network.state_dict().items()}
    save_file(state, path / "model.safetensors", metadata)


@pytest.mark.parametrize("name", ["", "model.safetensors"])
def test_a_loaded_network_computes_the_same_bit_for_bit(folder: Path, network: StandAlone, name: str) -> None:
    loaded = load(folder / name)
    assert fairnas.load(str(folder / name)).genome == loaded.genome == network.genome
    assert loaded.space == network.space
    assert not loaded.training
    expected = network.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in loaded.state_dict().items())
    with torch.no_grad():
        assert torch.equal(loaded(IMAGES), copy.deepcopy(network).eval()(IMAGES))


def test_a_loaded_network_knows_its_classes_and_reads_images(folder: Path, trained: Product, tmp_path: Path) -> None:
    loaded = load(folder)
    assert (loaded.classes, loaded.preprocessing) == (trained.classes, trained.preprocessing)
    Image.new("L", (9, 7), 100).save(tmp_path / "x.png")
    image = loaded.preprocessing.read(str(tmp_path / "x.png"))
    np.testing.assert_allclose(image, np.full((1, 8, 8), (100 / 255 - 0.3) / 0.25), rtol=1e-5)


def test_classes_and_preprocessing_that_do_not_fit(
    folder: Path, trained: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fairnas.export.weights._digest", lambda *_: _metadata(folder)["sha256"])
    _rewrite(folder, {"classes": '["one"]'}, trained)
    _refused(folder, r"model\.safetensors has 1 class names for 10 outputs; export the model again")
    _rewrite(folder, {"preprocessing": "[]"}, trained)
    _refused(folder, r"model\.safetensors: its preprocessing cannot be used \(it is no table\); export")


def test_another_space_goes_round(
    used: Callable[..., StandAlone], product_of: Callable[[StandAlone], Product], tmp_path: Path
) -> None:
    space = get_space("nas_bench_macro").for_data(image_size=16)
    given = used(space, "01201201")  # identities have no tensors
    (tmp_path / "model.safetensors").write_bytes(encode_weights(product_of(given)))
    loaded = load(tmp_path / "model.safetensors")
    assert loaded.space == space
    stems = [next(one.stem.parameters()) for one in (given, loaded)]
    assert torch.equal(*stems)
    for stem in stems:  # a format that safetensors itself refuses
        assert not stem.is_contiguous()
        assert stem.is_contiguous(memory_format=torch.channels_last)


def test_folders_and_files_of_earlier_versions(folder: Path, trained: Product, network: StandAlone) -> None:
    """Theirs were called weights.safetensors, and said nothing of a licence."""
    names = ("space", "classes", "preprocessing")
    metadata, tensors = _metadata(folder), {name: value.contiguous() for name, value in network.state_dict().items()}
    digest = hashlib.sha256(json.dumps([metadata[name] for name in names]).encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype}".encode())
        digest.update(tensors[name].numpy().tobytes())
    _rewrite(folder, {"licence": None, "sha256": digest.hexdigest()}, trained)
    (folder / "model.safetensors").rename(folder / "weights.safetensors")
    for path in (folder, folder / "weights.safetensors"):
        loaded = load(path).state_dict()
        assert all(torch.equal(tensor, loaded[name]) for name, tensor in tensors.items())


def test_half_an_export(folder: Path) -> None:
    (folder / "model.json").unlink()
    _refused(folder, r"has no model\.json: its export was interrupted; export the model again")
    assert load(folder / "model.safetensors").genome


def test_metadata(folder: Path, trained: Product) -> None:
    metadata = _metadata(folder)
    assert metadata["format"] == "fairnas model"
    assert metadata["genome"] == GENOME
    assert from_dict(json.loads(metadata["space"])) == get_space("digits")
    assert json.loads(metadata["classes"]) == list(trained.classes)
    assert json.loads(metadata["preprocessing"])["mean"] == [0.3]
    assert metadata["licence"] == "Apache-2.0"


def test_absent(tmp_path: Path) -> None:
    _refused(tmp_path / "absent", r"there is no .*absent; give a folder that `fairnas export` wrote")
    _refused(tmp_path, r"there is no .*model\.safetensors; give a folder")


@pytest.mark.parametrize("kept", [0, 5, 100, 5000, -1])
def test_truncated(folder: Path, kept: int) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:kept])
    _refused(folder, "is truncated or not a safetensors file")


def test_foreign(folder: Path, trained: Product) -> None:
    file = folder / "model.safetensors"
    _refused(folder / "model.json", "is truncated or not a safetensors file")
    _rewrite(folder, {"format": "pt"}, trained)
    _refused(folder, "was not written by fairnas")
    save_file({"a": torch.zeros(2)}, file)
    _refused(folder, "was not written by fairnas")


def test_another_version(folder: Path, trained: Product) -> None:
    _rewrite(folder, {"version": "2"}, trained)
    _refused(folder, "has version 2, this fairnas reads 1; use the fairnas that wrote it")


def test_incomplete_metadata(folder: Path, trained: Product) -> None:
    _rewrite(folder, {"space": None, "genome": None}, trained)
    _refused(folder, "lacks genome, space; export the model again")


@pytest.mark.parametrize(
    ("genome", "message"),
    [
        (
            "14215320",
            "holds weights of another genome than '14215320': layers.0.1.0.weight is .*, and should be",
        ),
        ("0421532", "has 7 choices; space 'digits' has 8 layers"),
        ("0421532?", "write one character of 0-9a-z per layer"),
    ],
)
def test_weights_of_another_genome(folder: Path, trained: Product, genome: str, message: str) -> None:
    _rewrite(folder, {"genome": genome}, trained)
    _refused(folder, message)


def test_facts_of_another_genome(folder: Path) -> None:
    (folder / "model.json").write_text(json.dumps({"genome": "00000000"}))
    _refused(folder, f"holds weights of genome '{GENOME}' and model.json of another genome")
    for damaged in ("{", "[]", "{}"):
        (folder / "model.json").write_text(damaged)
        _refused(folder, r"model\.json is damaged")
    assert load(folder / "model.safetensors").genome  # the weights alone are still good


def test_a_licence_that_was_changed_or_dropped(folder: Path, trained: Product) -> None:
    for changed in ("MIT", None):
        _rewrite(folder, {"licence": changed}, trained)
        _refused(folder, "is damaged: its checksum is wrong")


def test_space_and_weights_that_were_changed(folder: Path, trained: Product) -> None:
    space = json.loads(_metadata(folder)["space"])
    _rewrite(folder, {"space": json.dumps({**space, "activation": "relu"})}, trained)
    _refused(folder, "is damaged: its checksum is wrong")


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(data=st.data())
def test_a_flipped_bit_never_goes_unnoticed(trained: Product, data: st.DataObject, tmp_path_factory) -> None:
    content = bytearray(encode_weights(trained))
    header = 8 + struct.unpack("<Q", content[:8])[0]
    place = data.draw(st.integers(0, header - 1) | st.integers(header, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    file = tmp_path_factory.mktemp("flipped") / "model.safetensors"
    file.write_bytes(content)
    with contextlib.suppress(FairnasError):  # else it is a bit that carries nothing, such as padding
        loaded, expected = load(file), trained.network.state_dict()
        assert all(torch.equal(tensor, expected[key]) for key, tensor in loaded.state_dict().items())
        assert (loaded.space, loaded.genome) == (trained.network.space, trained.network.genome)
