"""Every reader of fairnas, with the valid examples that its input is bent from. A new one has a line in `TARGETS`."""

import dataclasses
import functools
import itertools
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any
from unittest import mock

import numpy as np
import torch

from benchmarks.fuzz import formats, places, records
from benchmarks.fuzz.attempt import Target
from benchmarks.fuzz.bent_run import CORPUS, RUN_FILES, run_files, run_with, sealed_again, written
from benchmarks.fuzz.mutations import bent_bytes, bent_json, bent_lines, bent_toml, one_of
from fairnas.analysis.nas_bench_macro import read_nas_bench_macro
from fairnas.cli.rank import read_genomes
from fairnas.configfile import read_config, to_toml
from fairnas.data import cifar10
from fairnas.data.decode import check, deep_values, look, quiet_pillow, read_square
from fairnas.data.decoding import Decoding
from fairnas.export.bundle import load
from fairnas.export.predict import Classifier, Prediction
from fairnas.export.preprocessing import Preprocessing
from fairnas.export.product import Product
from fairnas.export.weights import encode_weights
from fairnas.fairness import Ledger
from fairnas.latency import published as zoo_latency
from fairnas.latency.measurement_log import open_records
from fairnas.latency.table import LatencyTable, read_latency_table
from fairnas.nets import build, cost
from fairnas.paper import figure_6_study, table_1_study
from fairnas.paper.output_folder import claimed
from fairnas.paper.supernet_runs import SCORES, read_scores
from fairnas.recipes import RECIPES
from fairnas.report.page import render
from fairnas.report.run_data import read_inputs
from fairnas.rundir import RunDirectory
from fairnas.search import Archive
from fairnas.space import get_space
from fairnas.space.file import load_space
from fairnas.train import read_checkpoint

cost(get_space("digits"), (0,) * 8)  # its first call imports for seconds, which are no reader's
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
DIGITS = get_space("digits")


# Text -----------------------------------------------------------------------------------------------------------


def _genome(_: Path, content: bytes) -> None:
    DIGITS.parse(content.decode("utf-8", "surrogateescape"))


def _genomes(folder: Path, content: bytes) -> None:
    read_genomes(written(folder, "genomes.txt", content), DIGITS)


def _config(folder: Path, content: bytes) -> None:
    to_toml(read_config(written(folder, "config.toml", content), RECIPES["digits"]()))


def _space(name: str) -> Callable[[Path, bytes], None]:
    def read(folder: Path, content: bytes) -> None:
        space = load_space(written(folder, name, content))
        cost(space, (0,) * space.depth)

    return read


# A run ----------------------------------------------------------------------------------------------------------


def _report(name: str) -> Callable[[Path, bytes], None]:
    """All that `fairnas report` does, but for the megabytes of plotly.js, which are always the same."""
    make = run_with(name)

    def read(folder: Path, content: bytes) -> None:
        with mock.patch("plotly.offline.get_plotlyjs", return_value="var Plotly;"):
            render(read_inputs(make(folder, content)))

    return read


def _stages(folder: Path, content: bytes) -> None:
    run = run_with("stages.json")(folder, content)
    for stage in ("train", "search", "retrain", "rank"):
        run.is_finished(stage)
        run.damaged_files(stage)


def _ledger(folder: Path, content: bytes) -> None:
    written(folder, "config.toml", (CORPUS / "config.toml").read_bytes())
    written(folder, "ledger.json", content)
    audit = Ledger.from_dict(RunDirectory(folder).read_json("ledger.json")).audit()
    json.dumps(dataclasses.asdict(audit))


def _training(folder: Path, content: bytes) -> None:
    search = json.loads(run_files()["search.json"])
    _report(f"stand_alone/{search['selected'][0]['genome']}-s0.json")(folder, content)


def _model(folder: Path, content: bytes) -> None:
    search = json.loads(run_files()["search.json"])
    _report(f"models/{search['selected'][0]['genome']}/model.json")(folder, content)


def _archive(folder: Path, content: bytes) -> None:
    path = written(folder, "archive.sqlite", content)
    for read_only in (True, False):
        with Archive(path, formats.SETTING, read_only=read_only) as archive:
            len(archive), archive.candidates(), archive.reasons(), archive.get([(0, 1), (1, 1)]), archive.fingerprint()
            if not read_only:
                archive.add({(1, 0): {"top1": 0.75}}, 2, {(1, 0): "why"})


def _checkpoint(folder: Path, content: bytes) -> None:
    found = read_checkpoint(written(folder, "checkpoint.pt", content), "supernet")
    found.get("identity"), found.get("step")


# Stored results -------------------------------------------------------------------------------------------------

TABLE = LatencyTable(DIGITS.name, "a CPU", 0.1, tuple((0.1,) * count for count in DIGITS.choices), DIGITS.image_size)
_SETTINGS = {"figure": 1, "seeds": 3, "models": 13, "base": {"seed": 0, "train": {"epochs": 3, "lr": 0.1}}}
_HEADER = {"schema": 1, "device": "a CPU", "image_size": 224}
_TIME = {"latency_ms": 1.5, "quartiles_ms": [1.4, 1.6], "runs": 20, "anchor_ms": 1.2}
_TIMES = {**_HEADER, "networks": {"fairnas_a": _TIME}}
_RECORDS = b'{"space": "digits"}\n{"step": 0, "paths": [["0000", 0.1]], "held": []}\n'
_SCORES = {"status": "done", "checkpoint": "0", "top1": [0.1, 0.2], "genomes": ["00000000"], "derived": None}
_PROFILE = {"strict": {"paths_per_step": 6.0, "seconds_per_image": 0.1, "peak": 1000, "peak_of_two": None}}
_SEARCHED = {
    **{"evaluations": 8, "distinct": 8, "failed": 0, "hypervolume": [0.1, 0.2]},
    "front": [{"genome": "00000000", "top1": 0.5, "madds": 5, "params": 7, "generation": 0}],
    "operators": {},
}


def _latency_table(folder: Path, content: bytes) -> None:
    table = read_latency_table(written(folder, "latency.json", content), DIGITS)
    table((0,) * DIGITS.depth), table.fingerprint, table.to_json()


def _records(folder: Path, content: bytes) -> None:
    with open_records(written(folder, "latency.jsonl", content), {"space": "digits"}) as records:
        records.append({"step": 1})


def _figure(folder: Path, content: bytes) -> None:
    written(folder, "figure.json", content)
    with claimed(folder, _SETTINGS):
        pass


def _zoo_latency(folder: Path, content: bytes) -> None:
    for each in zoo_latency._read(written(folder, "zoo.json", content), _HEADER).values():
        _ = each["latency_ms"] * each["anchor_ms"]


def _scores(folder: Path, content: bytes) -> None:
    run = RunDirectory(folder)
    written(folder, SCORES, sealed_again(content))
    read_scores(run)


def _judged(folder: Path, content: bytes) -> None:
    written(folder, table_1_study.RESULT, sealed_again(content))
    written(folder, "stages.json", (CORPUS / "stages.json").read_bytes())
    written(folder, "config.toml", (CORPUS / "config.toml").read_bytes())
    table_1_study._result(RunDirectory(folder), [(0,) * 8])


def _profiles(folder: Path, content: bytes) -> None:
    table_1_study._stored_profiles(written(folder, "profiles.json", content))


def _searched(folder: Path, content: bytes) -> None:
    figure_6_study._read(written(folder, "search.json", content), 0, DIGITS, "top1")


@functools.cache
def _macro() -> tuple[bytes, ...]:
    genomes = itertools.product("012", repeat=8)
    row = {"test_acc": [90.0, 91.0, 92.0], "mean_acc": 91.0, "flops": 10**7, "params": 10**6}
    return (json.dumps({"".join(genome): row for genome in genomes}).encode(),)


def _bent_macro(rng: Random, content: bytes) -> bytes:
    """One row bent: bending all of the half megabyte would take long and hit the same."""
    row = bent_json(rng, content[content.index(b"{", 1) : content.index(b"}") + 1])
    return content[: content.index(b"{", 1)] + row + content[content.index(b"}") + 1 :]


def _nas_bench(folder: Path, content: bytes) -> None:
    read_nas_bench_macro(written(folder, "truth.json", content))


# Images ---------------------------------------------------------------------------------------------------------


def _image(folder: Path, content: bytes) -> None:
    path = str(written(folder, "image.png", content))
    with quiet_pillow():
        look(path), check(path)
        for channels, fit, value_range in ((1, "crop", (0.0, 65_535.0)), (3, "pad", (-1e300, 1e300))):
            read_square(path, Decoding(8, channels, fit, value_range))
        deep_values(path)


@functools.cache
def _cifar() -> tuple[bytes, ...]:
    return (bytes(cifar10.RECORDS * cifar10._BYTES),)


def _cifar10(folder: Path, content: bytes) -> None:
    cifar10._read_file(written(folder, "data_batch_1.bin", content), 0)


# Exported networks ----------------------------------------------------------------------------------------------


@functools.cache
def weights() -> tuple[bytes, ...]:
    """The weights' file of a network of the smallest space."""
    torch.manual_seed(0)
    classes = tuple(str(number) for number in range(10))
    product = Product(
        build(DIGITS, "00000000"), classes, Preprocessing(8, 1, (0.3,), (0.4,), "squash", (0.0, 9.5)), {}, {}
    )
    return (encode_weights(product),)


def _weights(folder: Path, content: bytes) -> None:
    load(written(folder, "model.safetensors", content))


def _model_folder(folder: Path, content: bytes) -> None:
    written(folder, "model.safetensors", weights()[0])
    written(folder, "model.json", content)
    load(folder)


_FACTS = {
    "classes": ["cat", "dog", "bird"],
    "preprocessing": Preprocessing(4, 3, (0.5,) * 3, (0.25,) * 3, "pad", (29_000.0, 33_000.0)).to_dict(),
}


@functools.cache
def _onnx_parts() -> tuple[bytes, bytes]:
    """A small model without metadata, and a picture."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    shape = [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["batch", 3, "height", "width"])]
    logits = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])]
    nodes = [
        helper.make_node("GlobalAveragePool", ["images"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "matrix"], ["logits"]),
    ]
    matrix = numpy_helper.from_array(np.eye(3, dtype=np.float32), "matrix")
    model = helper.make_model(
        helper.make_graph(nodes, "small", shape, logits, [matrix]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
    assert isinstance(model, onnx.ModelProto)
    return model.SerializeToString(), formats.images()[4]


def _bent_metadata(rng: Random, content: bytes) -> bytes:
    facts = {key: json.dumps(value) for key, value in json.loads(content).items()}
    if rng.random() < 0.25:
        return bent_bytes(rng, with_metadata(facts))
    key = rng.choice(sorted(facts))
    facts[key] = bent_json(rng, facts[key].encode()).decode("utf-8", "replace")
    if rng.random() < 0.1:
        del facts[key]
    return with_metadata(facts)


def with_metadata(facts: Mapping[str, str]) -> bytes:
    """The small model with metadata."""
    import onnx

    model = onnx.load_model_from_string(_onnx_parts()[0])
    onnx.helper.set_model_props(model, dict(facts))
    return model.SerializeToString()


def _onnx(folder: Path, content: bytes) -> None:
    if content == _metadata()[0]:  # the example stands for the model that has it
        content = with_metadata({key: json.dumps(value) for key, value in json.loads(content).items()})
    model, image = written(folder, "model.onnx", content), written(folder, "a.png", _onnx_parts()[1])
    found = list(Classifier(model).predict([str(image)], 2))
    assert all(isinstance(each, Prediction) for each in found)


def _metadata() -> tuple[bytes, ...]:
    return (json.dumps(_FACTS).encode(),)


def _given(*contents: bytes) -> Callable[[], tuple[bytes, ...]]:
    return lambda: contents


def _stored(content: Any) -> Callable[[], tuple[bytes, ...]]:
    return _given(json.dumps(content).encode())


def _corpus(name: str) -> Callable[[], tuple[bytes, ...]]:
    return _given((CORPUS / name).read_bytes())


_BENDS = {"metrics.jsonl": bent_lines, "config.toml": bent_toml}
_GENOMES = b"00000000\n# a comment\n01234501 # another\n"

TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("genome", _given(b"01234501"), bent_bytes, _genome, 300),
        Target("genomes file", _given(_GENOMES), bent_bytes, _genomes, 200),
        Target("configuration TOML", _corpus("config.toml"), bent_toml, _config, 12),
        Target("space TOML", _given((EXAMPLES / "space.toml").read_bytes()), bent_toml, _space("space.toml"), 8),
        Target("space JSON", _corpus("space.json"), bent_json, _space("space.json"), 5),
        Target(
            "checkpoint",
            lambda: (formats.checkpoint(),),
            one_of((bent_bytes, formats.bent_archive_of_torch)),
            _checkpoint,
            70,
        ),
        Target("archive", lambda: (formats.archive(),), formats.bent_database, _archive, 10),
        Target("ledger", _corpus("ledger.json"), bent_json, _ledger, 30),
        Target("stages.json", _corpus("stages.json"), bent_json, _stages, 6),
        *(
            Target(f"report, {name}", _corpus(name), _BENDS.get(name, bent_json), _report(name), 0.2)
            for name in RUN_FILES
        ),
        *records.targets(),
        Target("report, stand_alone/", _corpus("training.json"), bent_json, _training, 0.2),
        Target("report, models/", _corpus("model.json"), bent_json, _model, 0.2),
        Target("latency table", _stored(TABLE.to_dict()), bent_json, _latency_table, 80),
        Target("latency records", _given(_RECORDS), bent_lines, _records, 50),
        Target("figure.json", _stored(_SETTINGS), bent_json, _figure, 40),
        Target("zoo latencies", _stored(_TIMES), bent_json, _zoo_latency, 40),
        Target("scores of an arm", _stored(_SCORES), bent_json, _scores, 30),
        Target("scores of a system", _stored(_SCORES), bent_json, _judged, 8),
        Target("profiles of systems", _stored(_PROFILE), bent_json, _profiles, 30),
        Target("searches of Figure 6", _stored(_SEARCHED), bent_json, _searched, 40),
        Target("NAS-Bench-Macro", _macro, _bent_macro, _nas_bench, 1),
        Target("image", formats.images, formats.bent_image, _image, 40),
        Target("folder of images", places.folders, places.bent_folder, places.read_folder, 2),
        Target("binary CIFAR-10", _cifar, bent_bytes, _cifar10, 1),
        Target("safetensors", weights, formats.bent_safetensors, _weights, 10),
        Target("model.json of an export", _stored({"genome": "00000000"}), bent_json, _model_folder, 8),
        Target("ONNX and its metadata", _metadata, _bent_metadata, _onnx, 15),
        Target("request to the live page", places.requests, places.bent_request, places.answer, 30),
    )
}
