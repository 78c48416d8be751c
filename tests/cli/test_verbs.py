"""Every verb on a finished run: what it prints and what it leaves."""

import csv
import errno
import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from fairnas.cli.audit import bars
from fairnas.cli.main import VERBS


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb, capsys):
    from fairnas.cli.main import main

    with pytest.raises(SystemExit) as left:
        main([verb, "--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert f"fairnas {verb}" in out.lower().split("example")[1]
    assert "--json" in out


def test_help_answers_at_once_and_without_torch():
    check = "import sys; from fairnas.cli.main import main; main(['--help']); print('torch' in sys.modules)"
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert time.monotonic() - begin < 2  # 0.03 s on an idle machine; the limit is for a busy one
    assert done.stdout.endswith("False\n")


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["run", "train", "search", "describe", "spaces"])
def test_the_help_of_a_verb_needs_no_torch(verb):
    check = (
        "import sys; from fairnas.cli.main import main\n"
        f"try: main(['{verb}', '--help'])\n"
        "except SystemExit: print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("False\n")


def test_importing_the_package_costs_nothing():
    check = "import sys, fairnas; print([m for m in ('torch', 'numpy', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_public_names():
    import fairnas

    for name in fairnas.__all__:
        assert getattr(fairnas, name) is not None
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        fairnas.nonsense  # noqa: B018


@pytest.mark.slow
def test_describe(fairnas):
    found = fairnas("describe", "proxyless", "2023500551311335354", "--json").json
    assert set(found) == {"space", "genome", "madds", "params", "layers"}
    assert (found["madds"], found["params"]) == (388_122_848, 4_651_352)
    assert len(found["layers"]) == 19
    assert "388.12 M multiply-adds" in fairnas("describe", "proxyless", "2023500551311335354").out


@pytest.mark.slow
def test_zoo_and_lists(fairnas):
    found = fairnas("zoo", "fairnas_c", "--json").json
    assert {"name", "madds", "params", "paper"} <= set(found)
    assert found["madds"] == 321_024_992
    sizes = {row["name"]: row["size"] for row in fairnas("spaces", "--json").json["spaces"]}
    assert sizes["mobilenet_v2"] == 2_821_109_907_456
    strategies = [row["name"] for row in fairnas("strategies", "--json").json["strategies"]]
    assert strategies[:3] == ["strict", "uniform", "uniform_k"]
    table_1 = {"smash", "one_shot", "darts", "fbnet", "proxyless", "uniform", "single_path_nas", "strict"}
    assert table_1 | {"enas", "sandwich"} <= set(strategies)
    searchers = [row["name"] for row in fairnas("searchers", "--json").json["searchers"]]
    assert searchers[:6] == ["moremnas", "nsga2", "nsga2_reinforced", "mnasnet_rl", "spos_ea", "random"]
    for verb in ("spaces", "strategies", "searchers"):
        assert fairnas(verb).out


@pytest.mark.full  # all published networks are built for it
def test_the_zoo_is_listed(fairnas):
    assert fairnas("zoo").out


def test_doctor_finds_what_is_missing(fairnas, monkeypatch):
    healthy = fairnas("doctor", "--json").json
    assert healthy["problems"] == []
    real = __import__("importlib.metadata", fromlist=["version"]).version

    def without_onnx(name):
        if name == "onnxruntime":
            raise __import__("importlib.metadata", fromlist=["x"]).PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr("importlib.metadata.version", without_onnx)
    sick = fairnas("doctor", "--json").json
    assert sick["problems"] == [{"what": "the package onnxruntime is missing", "mend": "pip install onnxruntime"}]
    monkeypatch.setitem(__import__("sys").modules, "fcntl", None)
    monkeypatch.setattr("platform.system", lambda: "Windows")
    said = fairnas("doctor").out
    assert "Windows lacks the file locks that runs are held with; exported networks can be used" in said
    assert "use Linux or macOS; on Windows, WSL" in said


def test_the_run_prints_one_json_object_and_progress_elsewhere(finished_run):
    path, outcome = finished_run
    found = outcome.json
    assert found["fairness"]["strict_fair"] is True
    assert found["fairness"]["updates_min"] == found["fairness"]["updates_max"] == found["fairness"]["steps"]
    assert 1 <= len(found["selected"]) <= 2
    assert found["ranking"]["tau"]["n"] == 4
    assert found["ranking"]["ceiling"]["n"] == 4
    assert "[1/6] train the supernet (next: search it and select networks)" in outcome.err
    for row in found["selected"]:
        assert row["onnx"] is not None
    assert found["report"] == str(path / "report.html")


def test_the_run_directory_holds_what_the_design_says(finished_run):
    path, _ = finished_run
    for name in (
        "config.toml", "space.json", "data.json", "metrics.jsonl", "supernet/checkpoint.pt", "ledger.json",
        "archive.sqlite", "search.json", "ranking.json", "report.html", "stages.json",
    ):  # fmt: skip
        assert (path / name).stat().st_size > 0, name
    assert list(path.glob("models/*/model.onnx"))
    assert not list(path.rglob("*.tmp"))


def test_audit(finished_run, fairnas):
    path, _ = finished_run
    found = fairnas("audit", "--run", path, "--json").json
    assert {"strategy", "steps", "updates_min", "updates_max", "expectation_fair", "strict_fair"} <= set(found)
    assert found["strategy"] == "strict"
    assert [row[0] for row in found["updates"]] == [found["updates_min"]] * 8
    assert all(min(row) > 0 for row in found["gradient_norms"])
    shown = fairnas("audit", "--run", path).out
    assert "strictly fair" in shown
    assert shown.count("\u2584" * 6) == 8  # a picture of level updates, layer by layer


def test_bars_show_the_distance_from_the_mean():
    assert bars([5, 5, 5]) == "\u2584" * 3
    assert bars([0, 0]) == "\u2581" * 2
    assert bars([0, 5, 10]) == "\u2581\u2584\u2588"


@pytest.mark.slow
def test_an_exported_network_says_what_the_run_says(finished_run):
    import onnxruntime
    import torch

    import fairnas
    from fairnas.pipeline.experiment import open_data
    from fairnas.rundir import RunDirectory

    path, outcome = finished_run
    _, dataset = open_data(RunDirectory.open(path).config)
    from fairnas.data import ordered_batches

    for row in outcome.json["selected"]:
        session = onnxruntime.InferenceSession(row["onnx"], providers=["CPUExecutionProvider"])
        network = fairnas.load(path / "models" / row["genome"])
        hits = {"onnx": 0, "torch": 0}
        for images, labels in ordered_batches(dataset.test, dataset, batch_size=100, device=torch.device("cpu")):
            logits = session.run(None, {session.get_inputs()[0].name: images.contiguous().numpy()})[0]
            hits["onnx"] += int((np.argmax(logits, 1) == labels.numpy()).sum())
            with torch.inference_mode():
                hits["torch"] += int((network(images).argmax(1) == labels).sum())
        for count in hits.values():
            assert count / len(dataset.test) == pytest.approx(row["stand_alone_top1"], abs=2 / len(dataset.test))


def test_running_again_does_nothing_and_says_so(finished_run, fairnas, tiny):
    path, outcome = finished_run
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*") if file.is_file() and file.suffix != ".lock"}
    again = fairnas("run", "digits", "--out", path, "--json", *tiny)
    assert again.json == outcome.json
    assert again.err.count("done before") == 6
    changed = [str(file) for file, at in before.items() if file.stat().st_mtime_ns != at and file.name != ".lock"]
    assert [name for name in changed if "archive" not in name] == []


def test_another_configuration_is_refused_and_named(finished_run, fairnas, tiny):
    path, _ = finished_run
    outcome = fairnas("run", "digits", "--out", path, *tiny, "--train.lr", "0.07")
    assert outcome.code == 2
    assert "train.lr is 0.05, given 0.07" in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.fixture
def copied_run(finished_run, tmp_path):
    return shutil.copytree(finished_run[0], tmp_path / "run")


@pytest.mark.slow
def test_a_damaged_file_is_found_and_made_again(copied_run, fairnas, tiny):
    ranking = (copied_run / "ranking.json").read_text()
    (copied_run / "ranking.json").write_text(ranking[:100])
    outcome = fairnas("run", "digits", "--out", copied_run, "--json", *tiny)
    assert outcome.code == 0, outcome.err
    assert "ranking.json lost or damaged; doing 'rank' again" in outcome.err
    assert (copied_run / "ranking.json").read_text() == ranking


def test_a_damaged_supernet_is_named_with_the_stage_that_makes_it(copied_run, fairnas):
    (copied_run / "supernet" / "checkpoint.pt").write_bytes(b"PK")
    outcome = fairnas("search", "--run", copied_run)
    assert outcome.code == 2
    assert "checkpoint.pt is lost or damaged; `fairnas train --run" in outcome.err


@pytest.mark.slow
def test_a_bounded_search_reuses_the_archive(copied_run, fairnas):
    rows = json.loads((copied_run / "search.json").read_text())["front"]
    bound = sorted(row["madds"] for row in rows)[len(rows) // 2]
    outcome = fairnas("search", "--run", copied_run, "--max-madds", f"{bound / 1000}k", "--json")
    assert outcome.code == 0, outcome.err
    front = json.loads((copied_run / "search.json").read_text())["front"]
    assert front
    assert all(row["madds"] <= bound for row in front)
    assert outcome.json["ranking"] is None  # what built on the old search no longer counts


@pytest.mark.slow
def test_retrain_and_export_a_genome_of_ones_own(copied_run, fairnas):
    outcome = fairnas("retrain", "01234501", "--run", copied_run, "--json")
    assert outcome.code == 0, outcome.err
    assert (copied_run / "stand_alone" / "01234501-s0.pt").exists()
    assert fairnas("export", "--run", copied_run, "--json").code == 0
    assert (copied_run / "models" / "01234501" / "model.onnx").exists()
    assert fairnas("retrain", "0123", "--run", copied_run).code == 2


@pytest.mark.slow
def test_stages_in_the_wrong_order_say_what_is_missing(fairnas, tmp_path, tiny):
    path = tmp_path / "run"
    assert fairnas("train", "digits", "--run", path, "--json", *tiny).code == 0
    outcome = fairnas("rank", "--run", path)
    assert outcome.code == 2
    assert f"'rank' needs 'search', which {path} has not finished; run `fairnas search --run {path}`" in outcome.err


@pytest.mark.slow
def test_a_damaged_supernet_is_trained_again(copied_run, fairnas, tiny):
    ledger = (copied_run / "ledger.json").read_text()
    (copied_run / "supernet" / "checkpoint.pt").write_bytes(b"PK")
    outcome = fairnas("train", "--run", copied_run)
    assert outcome.code == 0, outcome.err
    assert "supernet/checkpoint.pt lost or damaged; doing 'train' again" in outcome.err
    assert (copied_run / "ledger.json").read_text() == ledger


UNUSABLE = {
    "truncated": (lambda path: path.write_bytes(path.read_bytes()[:500]), "truncated or not a checkpoint"),
    "foreign": (lambda path: path.write_bytes(b"hello"), "truncated or not a checkpoint"),
    "malicious": (lambda path: torch.save({"format": Malicious()}, path), "holds code or foreign objects"),
}


class Malicious:
    def __reduce__(self):
        return (os.mkdir, ("owned",))


@pytest.fixture(scope="module")
def begun_run(tmp_path_factory):
    """A run that was stopped in its first stage."""
    from fairnas.config import RunConfig
    from fairnas.pipeline import Experiment, run_story
    from fairnas.recipes import get_recipe
    from fairnas.rundir import RunDirectory

    config: RunConfig = get_recipe("digits")
    path = tmp_path_factory.mktemp("begun") / "run"
    run = RunDirectory.create(path, config)
    with run.locked(), pytest.raises(KeyboardInterrupt):
        run_story(Experiment(run, stop=lambda: True))
    return path


@pytest.mark.slow
@pytest.mark.parametrize(("spoil", "message"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_an_unusable_checkpoint_is_refused_and_left_alone(spoil, message, begun_run, fairnas, tmp_path, monkeypatch):
    run = shutil.copytree(begun_run, tmp_path / "run")
    checkpoint = run / "supernet" / "checkpoint.pt"
    spoil(checkpoint)
    before = checkpoint.read_bytes()
    monkeypatch.chdir(tmp_path)
    for arguments in (("run", "digits", "--out", run), ("train", "--run", run)):
        outcome = fairnas(*arguments)
        assert outcome.code == 2
        assert message in outcome.err.splitlines()[-1]
        assert str(checkpoint) in outcome.err.splitlines()[-1]
    assert checkpoint.read_bytes() == before
    assert os.listdir(tmp_path) == ["run"]


def test_a_full_disk_ends_with_one_line_and_the_old_checkpoint(begun_run, fairnas, tmp_path, monkeypatch):
    run = shutil.copytree(begun_run, tmp_path / "run")
    checkpoint = run / "supernet" / "checkpoint.pt"
    before = checkpoint.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    outcome = fairnas("train", "--run", run)
    assert outcome.code == 2
    assert "No space left on device; what was there before is untouched" in outcome.err.splitlines()[-1]
    assert checkpoint.read_bytes() == before


def test_what_a_search_found_can_be_listed_and_written(finished_run, fairnas, tmp_path):
    path, _ = finished_run
    before = (path / "stages.json").read_bytes()
    table = tmp_path / "candidates.csv"
    found = fairnas("search", "--run", path, "--csv", table, "--json").json
    rows = list(csv.DictReader(table.read_text().splitlines()))
    assert found["candidates"] == len(rows) == len({row["genome"] for row in rows})
    assert {"genome", "generation", "top1", "madds", "params"} <= set(rows[0])
    best = max(float(row["top1"]) for row in rows)
    assert best == max(row["top1"] for row in found["front"])
    shown = fairnas("search", "--run", path, "--show").out
    assert all(row["genome"] in shown for row in found["front"])
    assert (path / "stages.json").read_bytes() == before


@pytest.mark.slow
def test_export_with_int8_changes_what_is_new_and_predict_uses_it(copied_run, fairnas, tmp_path, monkeypatch):
    from PIL import Image

    from fairnas.data.digits import read_digits
    from fairnas.export import bundle

    def as_before(name):  # exporting takes seconds, and is tested elsewhere
        return lambda product: (copied_run / "models" / product.genome / name).read_bytes()

    useless = fairnas("export", "--run", copied_run, "--calibration-images", "30")
    assert (useless.code, useless.err.count("\n")) == (2, 1)
    assert "--calibration-images is for the model in 8 bits, which is not made; give --int8, too" in useless.err
    monkeypatch.setattr(bundle, "to_onnx", as_before("model.onnx"))
    monkeypatch.setattr(bundle, "to_program", as_before("model.pt2"))
    outcome = fairnas("export", "--run", copied_run, "--int8", "--calibration-images", "30", "--json")
    assert outcome.code == 0, outcome.err
    genomes = [row["genome"] for row in outcome.json["selected"]]
    for row in outcome.json["selected"]:
        told = json.loads((copied_run / "models" / row["genome"] / "model.json").read_text())
        assert row["int8_top1"] == told["int8"]["accuracy"]["test"]["int8_top1"]
        assert row["onnx_ms"] == told["latency"]["model.onnx"]["latency_ms"]
        assert row["int8_ms"] == told["latency"]["model.int8.onnx"]["latency_ms"]
    for genome in genomes:
        assert f"{genome}: ONNX and torch.export agree with PyTorch to" in outcome.err
        found = json.loads((copied_run / "models" / genome / "model.json").read_text())
        assert found["int8"]["calibration_images"] == 30
        assert found["int8"]["accuracy"]["test"]["images"] == 797
        assert found["int8"]["accuracy"]["test"]["float_top1"] == pytest.approx(
            found["measures"]["test_top1"], abs=0.003
        )
        assert {each["name"] for each in found["objectives"]} >= {"top1", "madds", "params"}
    again = fairnas("export", "--run", copied_run)  # the run remembers its settings
    assert again.err.count("its files are there and unchanged") == len(genomes)

    pixels = read_digits()[1].pixels[:40, :, :, 0]
    (tmp_path / "digits").mkdir()
    for number, image in enumerate(pixels):
        Image.fromarray(image).save(tmp_path / "digits" / f"{number:03}.png")
    model = copied_run / "models" / genomes[0]
    found = fairnas("predict", model, tmp_path / "digits", "--top", "1", "--json").json
    network = __import__("fairnas").load(model)
    (mean,), (std,) = (json.loads((model / "model.json").read_text())["preprocessing"][key] for key in ("mean", "std"))
    with torch.no_grad():
        logits = network((torch.from_numpy(pixels[:, None] / 255).float() - mean) / std)
    assert [each["classes"][0]["class"] for each in found["images"]] == [
        str(best) for best in logits.argmax(1).tolist()
    ]

    (tmp_path / "digits" / "000.png").write_bytes(b"damaged")
    outcome = fairnas("predict", model / "model.int8.onnx", tmp_path / "digits")
    assert outcome.code == 2
    assert outcome.err.count("\n") == 1
    assert "000.png: cannot be decoded (it is not an image of a known format); replace it" in outcome.err
    assert outcome.out.count(".png") == 39
