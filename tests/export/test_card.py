"""The model card as text, and the folder as a model of the Hugging Face hub. Nothing here needs a network."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fairnas.errors import FairnasError
from fairnas.export import Product
from fairnas.export.bundle import _config
from fairnas.export.card import model_card
from fairnas.export.facts import ModelFacts
from fairnas.export.hub import HubModel
from fairnas.export.weights import encode_weights
from fairnas.nets import StandAlone

LOST = {"images": 797, "float_top1": 0.975, "int8_top1": 0.97, "lost": 0.005, "only_float": 5, "only_int8": 1}
LOST |= {"float_balanced_accuracy": 0.975, "int8_balanced_accuracy": 0.97}
MORE = {
    "madds": 510_272,
    "params": 21_046,
    "files": ["model.safetensors", "model.json"],
    "latency": {
        "device": "a CPU, 1 thread",
        "model.onnx": {"latency_ms": 0.25, "quartiles_ms": [0.2, 0.3125], "runs": 9},
    },
    "parity_error": 1e-7,
    "program_parity_error": 1e-7,
    "sha256": {},
    "made_of": "",
    "int8": {"calibration_images": 64, "accuracy": {"test": LOST}},
}


def card_of(facts: dict[str, Any]) -> str:
    """The card of a network with these facts, as its `model.json` has them."""
    return model_card(ModelFacts.from_dict(facts))


def _front_matter(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_the_card_tells_accuracies_with_n_costs_and_origin(trained: Product) -> None:
    card = card_of({**trained.facts().to_dict(), **MORE})
    for said in (
        "| top-1 | test | 797 | 97.50% | trained from scratch |",
        "| top-1 | test | 797 | 97.00% | int8, 0.50 points below float32: 5 images that only float32 gets right, "
        "1 that only int8 does |",
        "| genome | `04215320` in space `digits` |",
        "| multiply-adds | 0.510 M for one image |",
        "| parameters | 0.0210 M |",
        "| latency of `model.onnx` | 0.25 ms for one image, quartiles 0.2 to 0.312 ms, on a CPU, 1 thread |",
        "| `madds` | as little as possible, at most 520,000 multiply-adds | 510,272 multiply-adds |",
        "| `taste` | as much as possible | - |",
        "| recipe | `digits` |",
        "| seed | `3` |",
        "| images | 1,000 train, 797 test |",
        "| licence of the weights | Apache-2.0 |",
        "hf upload USER/NAME .",
    ):
        assert said in card, said


def test_the_card_tells_every_class_the_weakest_first(trained: Product) -> None:
    counts = (90, 10, 0, 4, *[100] * (len(trained.classes) - 4))
    right = (90, 5, 0, 1, *[99] * (len(trained.classes) - 4))
    measures = {**trained.measures, "test_balanced_accuracy": 0.8615, "one_shot_balanced_accuracy": 0.7}
    counted = dataclasses.replace(trained, measures=measures, class_images=counts, class_hits=right)
    balanced = {**LOST, "float_balanced_accuracy": 0.8615, "int8_balanced_accuracy": 0.85}
    card = card_of(
        {**counted.facts().to_dict(), **MORE, "int8": {"calibration_images": 1, "accuracy": {"test": balanced}}}
    )
    assert counted.facts().to_dict()["test_classes"] == {"images": list(counts), "right": list(right)}
    for said in (
        "| balanced accuracy | test | 797 | 86.15% | trained from scratch |",
        "| balanced accuracy | validation | ? | 70.00% | with the supernet's weights |",
        "| balanced accuracy | test | 797 | 85.00% | int8, where float32 has 86.15% |",
        "| --- |\n| `digit 3` | 4 | 1 | 25.00% |\n| `digit 1` | 10 | 5 | 50.00% |\n| `digit 4` | 100 |",
    ):
        assert said in card, said
    assert card.index("## Accuracy class by class") < card.index("`digit 3` | 4") < card.index("| `digit 0` | 90")
    assert "`digit 2` |" not in card, "it has no images"
    assert "class by class" not in card_of({**trained.facts().to_dict(), **MORE})
    with pytest.raises(FairnasError, match=r"3 counts of images and 10 of right ones for 10 classes; give one per cl"):
        dataclasses.replace(counted, class_images=(1, 2, 3))


def test_of_very_many_classes_the_card_tells_the_weakest(trained: Product) -> None:
    facts = {**trained.facts().to_dict(), **MORE, "classes": [f"class {number}" for number in range(1000)]}
    facts["test_classes"] = {"images": [1000] * 1000, "right": list(range(1000))}
    card = card_of(facts)
    assert card.count("| 1,000 |") == 50
    assert "The other 950 are `test_classes` in `model.json`." in card


@pytest.mark.parametrize(
    ("licence", "told"),
    [
        (None, {}),
        ("Apache-2.0", {"license": "apache-2.0"}),
        ("LicenseRef-Ours", {"license": "other", "license_name": "LicenseRef-Ours"}),
    ],
)
def test_the_front_matter_tells_the_licence_only_where_it_is_stated(
    trained: Product, licence: str | None, told: dict[str, str]
) -> None:
    found = _front_matter(card_of({**dataclasses.replace(trained, licence=licence).facts().to_dict(), **MORE}))
    assert {key: value for key, value in found.items() if key.startswith("license")} == told
    assert found["library_name"] == "fairnas"


def test_names_of_classes_cannot_break_the_card(trained: Product) -> None:
    classes = ("a|b", "`x`", "line\nbreak", "<script>", *"efghij")
    card = card_of({**dataclasses.replace(trained, classes=classes).facts().to_dict(), **MORE})
    (row,) = (line for line in card.splitlines() if line.startswith("| classes"))
    assert "`a/b`, `'x'`, `line break`, `(script)`, `e`" in row
    assert row.count("|") == 3


def test_the_card_tells_how_images_become_inputs_and_outputs_classes(trained: Product) -> None:
    facts = {**trained.facts().to_dict(), **MORE}
    card = card_of(facts)
    for said in (
        "| classes, in the order of the outputs | `digit 0`, `digit 1`, ",
        "EXIF orientation says, put what is transparent on white, and convert it to grey, 8 bits",
        "| 8 x 8 pixels, grey, the whole image squeezed, of more than 8 bits: values 29000:33000.5 |",
        "more than 8 bits per channel become `(v - 29000.0) / 4000.5 * 255`, limited to 0 to 255 and rounded.\n",
        "Resize the whole image to 8 x 8 pixels of 8 bits, whatever its proportions, bilinear and antialiased",
        "Divide by 255, subtract `[0.3]` and divide by `[0.25]`, per channel.\n",
        "float32 of shape `(1, 1, 8, 8)`",
        "Outputs are logits; their softmax is the probabilities. Output number i, from 0, belongs to class number i of",
    ):
        assert said in card, said
    coloured = {**trained.preprocessing.to_dict(), "image_channels": 3, "fit": "crop", "value_range": None}
    coloured |= {"mean": [0.3] * 3, "std": [0.25] * 3}
    many = card_of({**facts, "preprocessing": coloured, "classes": [f"kind {number}" for number in range(1000)]})
    assert (
        "convert it to RGB, 8 bits.\n2. Cut out the largest square in the middle and resize it to 8 x 8 pixels of"
        in many
    )
    assert "8 x 8 pixels, colour |" in many
    padded = card_of({**facts, "preprocessing": {**coloured, "fit": "pad"}})
    assert "8 x 8 pixels, colour, the whole image between black bars |" in padded
    assert "2. Resize the whole image until its longer side has 8 pixels of 8 bits, bilinear and antialiased" in padded
    assert "(OpenCV's does not). Put it into the middle of a black square.\n" in padded
    assert "per channel, in the order red, green, blue.\n" in many
    assert "`kind 19` and 980 more; all of them are `classes` in `config.json` |" in many


@pytest.fixture
def folder(trained: Product, tmp_path: Path) -> Path:
    files = {
        "model.safetensors": encode_weights(trained),
        "config.json": _config(trained),
        "README.md": card_of({**trained.facts().to_dict(), **MORE}).encode(),
        "model.json": json.dumps(trained.facts().to_dict()).encode(),
    }
    (tmp_path / "exported").mkdir()
    for name, content in files.items():
        (tmp_path / "exported" / name).write_bytes(content)
    return tmp_path / "exported"


def test_a_folder_goes_through_the_hubs_mixin(folder: Path, network: StandAlone, tmp_path: Path) -> None:
    HubModel(str(folder)).save_pretrained(tmp_path / "saved")
    for file in folder.iterdir():
        assert (tmp_path / "saved" / file.name).read_bytes() == file.read_bytes()
    fetched = HubModel.from_pretrained(str(tmp_path / "saved"))
    assert not fetched.training
    for name, tensor in network.state_dict().items():
        assert torch.equal(fetched.state_dict()[name], tensor)


def test_a_repository_is_fetched_and_checked(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def fetch(name: str, **options: object) -> str:
        asked[name] = options
        return str(folder)

    monkeypatch.setattr("fairnas.export.hub.snapshot_download", fetch)
    monkeypatch.setattr("huggingface_hub.hub_mixin.hf_hub_download", lambda **_: str(folder / "config.json"))
    assert HubModel.from_pretrained("someone/network", revision="v1").genome
    assert asked["someone/network"]["revision"] == "v1"
    (folder / "model.safetensors").write_bytes(b"malice")
    with pytest.raises(FairnasError, match="is truncated or not a safetensors file"):
        HubModel.from_pretrained("someone/network")


def test_weights_that_were_changed_are_not_pushed_with_the_old_files(folder: Path, tmp_path: Path) -> None:
    model = HubModel(str(folder))
    with torch.no_grad():
        model.head.classifier.bias.add_(1)
    with pytest.raises(FairnasError, match=r"the weights were changed since .* export the network again"):
        model.save_pretrained(tmp_path / "saved")
