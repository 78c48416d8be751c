import contextlib
import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import fairnas
from fairnas.errors import FairnasError, RunDirectoryError
from fairnas.export import (
    ExportError,
    ExportReport,
    Preprocessing,
    Product,
    bundle,
    check_parity,
    export_product,
)
from fairnas.nets import StandAlone, cost
from fairnas.space import get_space

GENOME = "04215320"  # of the network in conftest.py


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
        report = export_product(folder, trained)
    assert torch.equal(seeds[0], torch.random.get_rng_state())
    assert seeds[1] == pickle.dumps(np.random.get_state())  # noqa: NPY002
    return Exported(folder, report, before, said.read_text())


def test_report_and_files(exported: Exported) -> None:
    size = cost(get_space("digits"), GENOME)
    assert (exported.report.madds, exported.report.params) == (size.madds, size.params)
    assert exported.report.parity_error < 1e-5
    assert sorted(exported.report.files) == sorted(file.name for file in exported.folder.iterdir())


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
    assert facts == {
        "genome": GENOME,
        "space": "digits",
        "madds": exported.report.madds,
        "params": exported.report.params,
        "classes": list(trained.classes),
        "preprocessing": {"image_size": 8, "image_channels": 1, "mean": [0.3], "std": [0.25]},
        "measures": {"test_top1": 97.5, "one_shot_top1": 91.25},
        "provenance": {"recipe": "digits", "seed": "3"},
        "parity_error": exported.report.parity_error,
        "files": ["weights.safetensors", "model.onnx", "model.json"],
    }


def test_onnx_carries_its_facts_and_no_paths(exported: Exported, trained: Product) -> None:
    model = onnx.load(exported.folder / "model.onnx")
    onnx.checker.check_model(model)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    assert set(metadata) == {"genome", "space", "classes", "preprocessing"}
    assert metadata["genome"] == GENOME
    assert json.loads(metadata["classes"]) == list(trained.classes)
    assert json.loads(metadata["preprocessing"])["std"] == [0.25]
    assert [opset.version for opset in model.opset_import if opset.domain == ""] >= [18]
    content = (exported.folder / "model.onnx").read_bytes()
    assert b"site-packages" not in content
    assert str(Path(fairnas.__file__).parent).encode() not in content


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
    assert check_parity(network, exported.folder / "model.onnx") == exported.report.parity_error


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


@pytest.fixture
def quick_onnx(exported: Exported, monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter replaced by its earlier result, to save seconds."""
    content = (exported.folder / "model.onnx").read_bytes()
    monkeypatch.setattr(bundle, "to_onnx", lambda _: content)


@pytest.mark.usefixtures("quick_onnx")
def test_without_parity_nothing_is_written(
    used: Callable[..., StandAlone], product_of: Callable[[StandAlone], Product], tmp_path: Path
) -> None:
    other = used(get_space("digits"), GENOME, seed=2)  # the exporter gives the model of another network
    with pytest.raises(ExportError, match="the ONNX model differs from the network"):
        export_product(tmp_path / "models", product_of(other))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("quick_onnx")
def test_a_folder_that_cannot_be_written(trained: Product, tmp_path: Path) -> None:
    (tmp_path / "models").write_text("a file")
    with pytest.raises(RunDirectoryError, match="cannot write"):
        export_product(tmp_path / "models" / GENOME, trained)


@pytest.mark.usefixtures("quick_onnx")
def test_a_second_export_replaces_the_first(exported: Exported, trained: Product, tmp_path: Path) -> None:
    export_product(tmp_path, dataclasses.replace(trained, measures={"test_top1": 1.0}))
    export_product(tmp_path, trained)
    for name in exported.report.files[1:]:
        assert (tmp_path / name).read_bytes() == (exported.folder / name).read_bytes()
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(exported.report.files)


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
    assert issubclass(ExportError, FairnasError)
