import contextlib
import copy
import dataclasses
import json
import pickle
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from PIL import Image

import fairnas
from fairnas.export import (
    ExportError,
    ExportReport,
    Prediction,
    Product,
    Quantisation,
    bundle,
    check_parity,
    export_product,
)
from fairnas.export.facts import Int8Accuracy
from fairnas.export.parity import check_labels, check_program
from fairnas.export.preprocessing import parse_preprocessing
from fairnas.export.program import to_program
from fairnas.export.session import OnnxSession
from fairnas.nets import StandAlone, cost
from fairnas.space import get_space

GENOME = "04215320"  # of the network in conftest.py


FILES = [
    "model.safetensors", "config.json", "model.onnx", "model.pt2", "model.int8.onnx", "README.md", "model.json",
]  # fmt: skip


def _random(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((count, 1, 8, 8), dtype=np.float32)


def _quantisation(network: StandAlone) -> Quantisation:
    """Calibrated and judged on random images, labelled by the network itself."""
    images = _random(50, 1)
    with torch.no_grad():
        labels = copy.deepcopy(network).eval()(torch.from_numpy(images)).argmax(1).numpy()
    halves = [(images[:30], labels[:30]), (images[30:], labels[30:])]
    return Quantisation(40, lambda: _random(40, 0), {"test": lambda: halves})


@dataclasses.dataclass(frozen=True)
class Exported:
    folder: Path
    report: ExportReport
    before: StandAlone
    said: str


@pytest.fixture(scope="session")
def exported(trained: Product, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """One export for all tests of this file: it takes seconds."""
    folder = tmp_path_factory.mktemp("models") / GENOME
    said = tmp_path_factory.mktemp("said") / "said.txt"
    before = copy.deepcopy(trained.network)
    seeds = torch.random.get_rng_state(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    with open(said, "w") as file, contextlib.redirect_stdout(file), contextlib.redirect_stderr(file):
        report = export_product(folder, trained, _quantisation(trained.network))
    assert torch.equal(seeds[0], torch.random.get_rng_state())
    assert seeds[1] == pickle.dumps(np.random.get_state())  # noqa: NPY002
    return Exported(folder, report, before, said.read_text())


def test_report_and_files(exported: Exported) -> None:
    size = cost(get_space("digits"), GENOME)
    assert (exported.report.facts.madds, exported.report.facts.params) == (size.madds, size.params)
    assert exported.report.facts.parity_error < 1e-5
    assert exported.report.facts.program_parity_error < 1e-5
    assert list(exported.report.facts.files) == FILES
    assert sorted(FILES) == sorted(file.name for file in exported.folder.iterdir())


def test_nothing_is_printed(exported: Exported) -> None:
    assert exported.said == ""


def test_network_is_left_as_it_was(exported: Exported, network: StandAlone) -> None:
    assert network.training
    assert all(module.training for module in network.modules())
    assert all(parameter.requires_grad for parameter in network.parameters())
    after, before = network.state_dict(), exported.before.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)
    strides = [
        (a.stride(), b.stride()) for a, b in zip(network.parameters(), exported.before.parameters(), strict=True)
    ]
    assert all(a == b for a, b in strides)


def test_facts(exported: Exported, trained: Product) -> None:
    facts = json.loads((exported.folder / "model.json").read_text())
    assert facts.pop("made_of")
    latency = facts.pop("latency")
    assert {*latency} == {"device", "model.onnx", "model.int8.onnx"}
    for name in ("model.onnx", "model.int8.onnx"):
        low, high = latency[name]["quartiles_ms"]
        assert 0 < low <= latency[name]["latency_ms"] <= high
    assert set(facts.pop("sha256")) == set(FILES) - {"model.json"}
    assert facts == {
        "test_classes": {"images": [], "right": []},
        "genome": GENOME,
        "space": "digits",
        "madds": exported.report.facts.madds,
        "params": exported.report.facts.params,
        "classes": list(trained.classes),
        "preprocessing": {
            "image_size": 8,
            "image_channels": 1,
            "mean": [0.3],
            "std": [0.25],
            "fit": "squash",
            "value_range": [29_000.0, 33_000.5],
        },
        "measures": {"test_top1": 0.975, "one_shot_top1": 0.9125},
        "images": {"train": 1000, "test": 797},
        "objectives": [
            {"name": "madds", "direction": "min", "unit": "multiply-adds", "value": 510_272, "bound": 520_000},
            {"name": "taste", "direction": "max", "unit": "", "value": None, "bound": None},
        ],
        "provenance": {"recipe": "digits", "seed": "3", "augmentation": "shifted by up to 1 pixel; not flipped"},
        "licence": "Apache-2.0",
        "parity_error": exported.report.facts.parity_error,
        "program_parity_error": exported.report.facts.program_parity_error,
        "int8": exported.report.facts.to_dict()["int8"],
        "files": FILES,
    }


@pytest.mark.parametrize("name", ["model.onnx", "model.int8.onnx"])
def test_onnx_carries_its_facts(exported: Exported, trained: Product, name: str) -> None:
    model = onnx.load(exported.folder / name)
    onnx.checker.check_model(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert set(metadata) == {"genome", "space", "classes", "preprocessing", "licence", "sha256"}
    assert metadata["genome"] == GENOME
    assert metadata["licence"] == "Apache-2.0"
    assert json.loads(metadata["classes"]) == list(trained.classes)
    assert parse_preprocessing(metadata["preprocessing"]) == trained.preprocessing
    assert [opset.version for opset in model.opset_import if opset.domain == ""] >= [18]


def test_no_file_tells_paths_of_this_machine(exported: Exported) -> None:
    for file in exported.folder.iterdir():
        content = file.read_bytes()
        assert b"site-packages" not in content, file
        assert str(Path(fairnas.__file__).parent).encode() not in content, file


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 7, 30])
def test_the_program_takes_any_batch_and_computes_the_same(exported: Exported, network: StandAlone, batch: int) -> None:
    description = {"fairnas.json": ""}
    program = torch.export.load(exported.folder / "model.pt2", extra_files=description).module()
    images = torch.from_numpy(_random(batch, batch))
    with torch.no_grad():
        torch.testing.assert_close(program(images), copy.deepcopy(network).eval()(images), rtol=1e-4, atol=1e-5)
    assert json.loads(description["fairnas.json"])["genome"] == GENOME


def test_int8_takes_any_batch_and_is_near(exported: Exported, network: StandAlone) -> None:
    session = OnnxSession(exported.folder / "model.int8.onnx")
    images = _random(30, 5)
    logits = session.run(images)
    with torch.no_grad():
        expected = copy.deepcopy(network).eval()(torch.from_numpy(images)).numpy()
    error = np.abs(logits - expected).max()
    assert 0 < error < 0.25 * np.abs(expected).max()
    np.testing.assert_allclose(np.concatenate([session.run(images[:1]), session.run(images[1:8])]), logits[:8])
    sizes = [(exported.folder / name).stat().st_size for name in ("model.int8.onnx", "model.onnx")]
    assert sizes[0] < sizes[1]


def test_every_convolution_of_the_int8_model_runs_in_8_bits(exported: Exported, tmp_path: Path) -> None:
    """Int8 operators are used throughout; signed activations would leave some in float32
    (findings/onnxruntime-signed-activations.sh).
    """
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath, options.log_severity_level = str(tmp_path / "optimised.onnx"), 4
    model = exported.folder / "model.int8.onnx"
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    operators = Counter(node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node)
    assert operators["QLinearConv"] > 0
    assert operators["Conv"] == 0, operators


def test_the_accuracy_that_int8_loses_is_counted(exported: Exported, network: StandAlone) -> None:
    assert exported.report.facts.int8 is not None
    assert exported.report.facts.int8.calibration_images == 40
    found = exported.report.facts.int8.accuracy["test"]
    judged = list(_quantisation(network).judged_on["test"]())
    session = OnnxSession(exported.folder / "model.int8.onnx")
    wrong = sum(int((session.run(images).argmax(1) != labels).sum()) for images, labels in judged)
    assert (found.int8_balanced_accuracy < 1.0) == (wrong > 0)
    assert found == Int8Accuracy(
        images=50,
        float_top1=1.0,  # the labels are its own answers
        int8_top1=1 - wrong / 50,
        lost=wrong / 50,
        only_float=wrong,
        only_int8=0,
        float_balanced_accuracy=1.0,
        int8_balanced_accuracy=found.int8_balanced_accuracy,
    )


@pytest.mark.slow
def test_the_lines_of_the_card_run(exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = (exported.folder / "README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    assert len(blocks) == 5
    _run(blocks, exported.folder, tmp_path, monkeypatch)
    looks = next(block for block in blocks if "hashlib" in block)
    for name in ("model.onnx", "model.pt2"):
        content = bytearray((tmp_path / name).read_bytes())
        content[5000] ^= 1
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SystemExit, match=f"^{name} is not the file that was exported$"):
            exec(looks, {})
        shutil.copy(exported.folder / name, tmp_path / name)


def test_the_card_says_what_training_images_went_through(exported: Exported) -> None:
    card = (exported.folder / "README.md").read_text()
    assert "| training images were | shifted by up to 1 pixel; not flipped |" in card.splitlines()


@pytest.mark.slow
@pytest.mark.parametrize(("page", "blocks"), [("exporting.md", 4), ("tutorial-images.md", 2), ("folder.md", 1)])
def test_the_lines_of_the_docs_that_need_an_exported_network_run(
    exported: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: str, blocks: int
) -> None:
    text = (Path(fairnas.__file__).parents[1] / "docs" / page).read_text()
    pairs = re.findall(r"(<!-- not run here.*?-->\n)?```python\n(.*?)```", text, re.DOTALL)
    found = [re.sub(r"runs/\w+/models/\w+", ".", block) for elsewhere, block in pairs if not elsewhere]
    assert len(found) == blocks
    _run(found, exported.folder, tmp_path, monkeypatch)


def _run(blocks: list[str], exported: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run lines of Python in a copy of an exported folder, in which every image that they name is one."""
    shutil.copytree(exported, folder, dirs_exist_ok=True)
    monkeypatch.chdir(folder)
    for block in blocks:
        for name in re.findall(r'"([\w/]+\.(?:jpg|png))"', block):
            Path(name).parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 30), "red").save(name)
        names: dict[str, Any] = {}
        exec(block, names)
        if "logits" in names:
            assert tuple(names["logits"].shape) == (1, 10)
        elif "digests" not in names:  # else it looks whether files are whole
            assert isinstance(names["found"], Prediction)


@pytest.mark.parametrize("batch", [1, 2, 7, 30])
def test_onnx_takes_any_batch_and_computes_the_same(exported: Exported, network: StandAlone, batch: int) -> None:
    session = onnxruntime.InferenceSession(exported.folder / "model.onnx", providers=["CPUExecutionProvider"])
    images = torch.randn(batch, 1, 8, 8, generator=torch.Generator().manual_seed(batch))
    with torch.no_grad():
        expected = copy.deepcopy(network).eval()(images).numpy()
    (logits,) = session.run(["logits"], {"images": images.numpy()})
    assert batch < 7 or expected.std(axis=0).min() > 0.05  # images make a difference
    np.testing.assert_allclose(np.asarray(logits), expected, rtol=1e-4, atol=1e-5)


def test_parity_of_the_file(exported: Exported, network: StandAlone) -> None:
    assert check_parity(network, exported.folder / "model.onnx") == exported.report.facts.parity_error


def test_parity_sees_wrong_statistics(exported: Exported, network: StandAlone) -> None:
    forgotten = copy.deepcopy(network)
    with torch.no_grad():
        bn = next(m for m in forgotten.modules() if isinstance(m, torch.nn.BatchNorm2d))
        assert bn.running_var is not None
        bn.running_var.fill_(1)
    with pytest.raises(ExportError, match=r"the ONNX model differs from the network by \S+ at batch size 1 "):
        check_parity(forgotten, exported.folder / "model.onnx")


def test_parity_sees_an_error_just_above_the_tolerance(exported: Exported, network: StandAlone) -> None:
    for shift, passes in ((0.5e-4, True), (2e-4, False)):
        shifted = copy.deepcopy(network).eval()
        with torch.no_grad():
            largest = max(1.0, float(_parity_outputs(shifted).abs().max()))
            shifted.head.classifier.bias.add_(shift * largest)
        with contextlib.nullcontext() if passes else pytest.raises(ExportError, match="1e-04 is allowed"):
            check_parity(shifted, exported.folder / "model.onnx")


def _parity_outputs(network: StandAlone) -> torch.Tensor:
    images = fairnas.randomness.generator(0, "parity", 1).standard_normal((1, 1, 8, 8), dtype=np.float32)
    return network(torch.from_numpy(images))


def test_parity_refuses_a_diverged_network(exported: Exported, network: StandAlone) -> None:
    diverged = copy.deepcopy(network)
    with torch.no_grad():
        diverged.head.classifier.weight.fill_(float("nan"))
    with pytest.raises(ExportError, match="outputs are not finite: its training diverged"):
        check_parity(diverged, exported.folder / "model.onnx")


def test_parity_sees_a_model_that_gives_no_numbers(exported: Exported, network: StandAlone) -> None:
    model = onnx.load(exported.folder / "model.onnx")
    (bias,) = (value for value in model.graph.initializer if value.name == "head.classifier.bias")
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(10, np.nan, np.float32), bias.name))
    with pytest.raises(ExportError, match="differs from the network by nan at batch size 1"):
        check_parity(network, model.SerializeToString())


def test_parity_sees_a_batch_size_that_is_built_in(exported: Exported, network: StandAlone) -> None:
    model = onnx.load(exported.folder / "model.onnx")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    with pytest.raises(ExportError, match=r"cannot run the ONNX model on images of shape \(7, 1, 8, 8\)") as caught:
        check_parity(network, model.SerializeToString())
    assert "\n" not in str(caught.value)


def test_parity_refuses_models_of_other_networks(exported: Exported, used: Callable[..., StandAlone]) -> None:
    file = exported.folder / "model.onnx"
    space = get_space("digits")
    with pytest.raises(ExportError, match=r"outputs of shape \(1, 10\), the network \(1, 3\)"):
        check_parity(used(space.for_data(num_classes=3), GENOME), file)
    with pytest.raises(ExportError, match=r"cannot run the ONNX model on images of shape \(1, 3, 8, 8\)"):
        check_parity(used(space.for_data(image_channels=3), GENOME), file)


@pytest.mark.parametrize("content", [b"no protobuf", b""])
def test_parity_refuses_what_is_no_model(network: StandAlone, content: bytes) -> None:
    with pytest.raises(ExportError, match="onnxruntime cannot load the ONNX model") as caught:
        check_parity(network, content)
    assert "\n" not in str(caught.value)


def test_parity_refuses_an_absent_file(network: StandAlone, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="onnxruntime cannot load the ONNX model"):
        check_parity(network, tmp_path / "absent.onnx")


@pytest.mark.slow
def test_parity_sees_a_program_of_another_network(exported: Exported, used: Callable[..., StandAlone]) -> None:
    other = used(get_space("digits"), GENOME, seed=2)
    with pytest.raises(ExportError, match="the PyTorch program differs from the network"):
        check_program(other, (exported.folder / "model.pt2").read_bytes())
    with pytest.raises(ExportError, match=r"the PyTorch program cannot run on images of shape \(1, 3, 8, 8\)"):
        check_program(
            used(get_space("digits").for_data(image_channels=3), GENOME),
            (exported.folder / "model.pt2").read_bytes(),
        )


def test_parity_sees_labels_of_another_network(exported: Exported, trained: Product) -> None:
    content = (exported.folder / "model.onnx").read_bytes()
    check_labels(trained, content)
    with pytest.raises(ExportError, match="tells other classes"):
        check_labels(dataclasses.replace(trained, classes=tuple("abcdefghij")), content)


def test_without_parity_nothing_is_written(
    exported: Exported,
    used: Callable[..., StandAlone],
    product_of: Callable[[StandAlone], Product],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bundle, "to_onnx", lambda _: (exported.folder / "model.onnx").read_bytes())
    other = used(get_space("digits"), GENOME, seed=2)  # the exporter gives the model of another network
    with pytest.raises(ExportError, match="the ONNX model differs from the network"):
        export_product(tmp_path / "models", product_of(other))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_program_of_channels_last_weights_is_saved_without_a_warning(used, product_of, recwarn) -> None:
    space = dataclasses.replace(get_space("digits"), image_channels=3)
    network = used(space, GENOME).to(memory_format=torch.channels_last)
    program = to_program(product_of(network))
    assert [str(each.message) for each in recwarn] == []
    assert check_program(network, program) < 1e-4
