"""Input of exported networks: bit for bit as in evaluation, for every kind of image and every setting."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import fairnas
import fairnas.data.images
from fairnas.config import DataConfig
from fairnas.data import load_dataset, ordered_batches
from fairnas.errors import DataError
from fairnas.export import Preprocessing
from fairnas.export.predict import Classifier, Unreadable
from fairnas.export.preprocessing import parse_preprocessing
from fairnas.export.product import Product
from fairnas.export.weights import encode_weights
from tests.data.rawfiles import png_bytes, tiff_bytes

KINDS = ("8 bits", "grey of 16 bits", "colours of 16 bits", "float", "signed", "photograph", "mixed")
RANGES = (None, "29000:33000", "-100:100.5", "0:1")


def _write(folder: Path, number: int, kind: str, rng: np.random.Generator, size: tuple[int, int]) -> None:
    """Two images of one kind, one for each class."""
    kinds = ("8 bits", "grey of 16 bits", "colours of 16 bits") if kind == "mixed" else (kind,)
    for name in ("cat", "dog"):
        here = folder / name
        here.mkdir(parents=True, exist_ok=True)
        shape = (size[1], size[0])
        match kinds[number % len(kinds)]:
            case "8 bits":
                Image.fromarray(rng.integers(0, 256, (*shape, 3), dtype=np.uint8)).save(here / f"{number}.png")
            case "photograph":
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).resize((size[0] * 9, size[1] * 9)).save(here / f"{number}.jpg")
            case "grey of 16 bits":
                (here / f"{number}.png").write_bytes(png_bytes(rng.integers(29_000, 33_000, shape).astype(np.uint16)))
            case "colours of 16 bits":
                values = rng.integers(0, 4096, (*shape, 4)).astype(np.uint16)
                (here / f"{number}.png").write_bytes(png_bytes(values))
            case "float":
                (here / f"{number}.tif").write_bytes(tiff_bytes(rng.normal(0, 50, shape).astype(np.float32)))
            case "signed":
                (here / f"{number}.tif").write_bytes(tiff_bytes(rng.integers(-90, 90, shape).astype(np.int16)))


@pytest.mark.slow
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(KINDS),
    fit=st.sampled_from(("crop", "pad", "squash")),
    value_range=st.sampled_from(RANGES),
    size=st.tuples(st.integers(3, 40), st.integers(3, 40)),
    streamed=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_predict_sees_what_evaluation_saw(tmp_path_factory, kind, fit, value_range, size, streamed, seed) -> None:
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(seed)
    for number in range(6):
        _write(folder, number, kind, rng, size)
    config = DataConfig(f"folder:{folder}", validation_per_class=1, augmentation="none", fit=fit, range=value_range)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fairnas.data.images, "RESIDENT_BYTES", 0 if streamed else 10**9)
        try:
            dataset = load_dataset(config, image_size=8, image_channels=None, seed=seed)
        except DataError:
            assert value_range is not None  # one that was given for other images
            return
        made = Preprocessing(8, dataset.image_channels, dataset.mean, dataset.std, dataset.fit, dataset.value_range)
        preprocessing = parse_preprocessing(json.dumps(made.to_dict()))
        assert preprocessing == made
        read = {}
        for path in folder.glob("*/*"):
            read[preprocessing.read(str(path)).tobytes()] = path
        seen = 0
        for part in (dataset.train, dataset.validation, dataset.test):
            for pixels, _ in ordered_batches(part, dataset, batch_size=5, device=torch.device("cpu")):
                for each in pixels:
                    assert each.contiguous().numpy().tobytes() in read
                    seen += 1
    assert seen == 12


def test_classifier_and_loaded_network_read_images_within_the_range(
    trained: Product, small_onnx: Callable[..., bytes], tmp_path: Path
) -> None:
    (tmp_path / "model.safetensors").write_bytes(encode_weights(trained))
    values = np.full((4, 8), 31_000, np.uint16)
    (tmp_path / "a.png").write_bytes(png_bytes(values))
    (tmp_path / "b.png").write_bytes(png_bytes(values - 5000))
    image = fairnas.load(tmp_path / "model.safetensors").preprocessing.read(str(tmp_path / "a.png"))
    np.testing.assert_allclose(image, np.full((1, 8, 8), (127 / 255 - 0.3) / 0.25), rtol=1e-5)

    told = {"image_size": 4, "image_channels": 3, "mean": [0.5] * 3, "std": [0.25] * 3, "value_range": [29_000, 33_000]}
    (tmp_path / "model.onnx").write_bytes(small_onnx({"preprocessing": json.dumps(told)}))
    good, bad = Classifier(tmp_path).predict([tmp_path / "a.png", tmp_path / "b.png"])
    assert not isinstance(good, Unreadable)
    assert isinstance(bad, Unreadable)
    assert "all its values, from 26,000 to 26,000, lie below 29,000, outside the range of the training" in bad.reason
