"""`fairnas retrain`: from the flags to the exported network."""

import json
import shutil

import pytest
import torch

import fairnas as package
from fairnas.atomic_files import checksum
from fairnas.rundir import RunDirectory
from fairnas.stage_records import read_records, records_text
from fairnas.train import read_checkpoint, write_checkpoint


@pytest.fixture
def copied_run(smallest_run, tmp_path):
    return RunDirectory(shutil.copytree(smallest_run, tmp_path / "run"))


def result_of(run, folder, genome):
    return json.loads((run.path / folder / f"{genome}-s0.json").read_text())


@pytest.mark.slow
def test_the_product_recipe_from_flags_to_export(copied_run, fairnas):
    before = fairnas("export", "--run", copied_run.path, "--json").json
    genome = before["selected"][0]["genome"]
    flags = ("--recipe", "product", "--epochs", "3", "--lr", "0.1", "--distillation", "0.2", "--initial", "inherit")
    outcome = fairnas("retrain", "--run", copied_run.path, *flags, "--json")
    assert outcome.code == 0, outcome.err
    assert not copied_run.is_finished("export")  # what was exported is no longer what was trained
    assert outcome.json["ranking"] == before["ranking"]
    assert outcome.json["selected"][0]["onnx"] is None  # the file there belongs to the former weights
    result = result_of(copied_run, "retrained", genome)
    assert outcome.json["selected"][0]["stand_alone_top1"] == result["test"]["top1"]
    assert [set(row) for row in result["curve"]] == [
        {
            *("epoch", "loss", "lr", "validation_top1", "raw_validation_top1"),
            *("validation_balanced_accuracy", "raw_validation_balanced_accuracy"),
        }
    ] * 3
    settings = copied_run.config.retrain
    assert (settings.epochs, settings.lr, settings.distillation, settings.label_smoothing) == (3, 0.1, 0.2, 0.1)
    assert fairnas("export", "--run", copied_run.path, "--json").code == 0
    card = (copied_run.path / "models" / genome / "README.md").read_text()
    assert "then trained on from the supernet's weights" in card
    assert "from scratch" not in card
    exported = package.load(copied_run.path / "models" / genome).state_dict()
    stored = read_checkpoint(copied_run.path / "retrained" / f"{genome}-s0-weights.pt", "stand-alone network")
    kept = {name: tensor for name, tensor in stored["network"].items() if "num_batches" not in name}
    assert kept
    assert all(torch.equal(exported[name], tensor) for name, tensor in kept.items())

    again = fairnas("retrain", "--run", copied_run.path, "--json").json  # the settings have become the run's own
    assert [row["stand_alone_top1"] for row in again["selected"]] == [
        row["stand_alone_top1"] for row in outcome.json["selected"]
    ]
    assert result_of(copied_run, "retrained", genome) == result
    back = fairnas("retrain", "--run", copied_run.path, "--recipe", "supernet", "--json").json
    assert [row["stand_alone_top1"] for row in back["selected"]] == [
        row["stand_alone_top1"] for row in before["selected"]
    ]
    assert fairnas("report", "--run", copied_run.path).code == 0


@pytest.mark.full
@pytest.mark.slow
def test_a_network_of_the_ranking_study_is_retrained_without_harm_to_the_study(copied_run, fairnas):
    """The network's training from scratch belongs to the study; keeping its weights must not change the study."""
    exported = {row["genome"] for row in copied_run.read_json("search.json")["selected"]}
    studied = [row["genome"] for row in copied_run.read_json("ranking.json")["models"]]
    genome = next(each for each in studied if each not in exported)
    weights = copied_run.path / "stand_alone" / f"{genome}-s0.pt"
    assert not weights.exists()
    before = result_of(copied_run, "stand_alone", genome)
    assert fairnas("retrain", genome, "--run", copied_run.path, "--json").code == 0
    assert result_of(copied_run, "stand_alone", genome) == before
    assert weights.exists()
    assert copied_run.damaged_files("rank") == ()
    kept = weights.read_bytes()
    assert fairnas("rank", "--run", copied_run.path, "--json").code == 0
    assert weights.read_bytes() == kept
    assert copied_run.damaged_files("retrain") == ()
    # lost, the study has the result again from the weights that are kept
    (copied_run.path / "stand_alone" / f"{genome}-s0.json").unlink()
    assert fairnas("rank", "--run", copied_run.path, "--json").code == 0
    assert result_of(copied_run, "stand_alone", genome) == before
    assert weights.read_bytes() == kept
    assert fairnas("export", "--run", copied_run.path, "--json").code == 0


@pytest.mark.slow
def test_a_shared_file_is_damaged_only_if_no_stage_has_written_it_as_it_is(copied_run, fairnas):
    """The result differs in the last digit, as after a second training on a GPU."""
    exported = {row["genome"] for row in copied_run.read_json("search.json")["selected"]}
    shared = next(row["genome"] for row in copied_run.read_json("ranking.json")["models"] if row["genome"] in exported)
    path = copied_run.path / "stand_alone" / f"{shared}-s0.json"
    path.write_text(path.read_text() + "\n")
    records = read_records(copied_run.path)
    records["retrain"]["files"][f"stand_alone/{shared}-s0.json"] = checksum(path)
    (copied_run.path / "stages.json").write_bytes(records_text(records))
    written = path.read_bytes()
    assert copied_run.damaged_files("rank")
    assert fairnas("rank", "--run", copied_run.path, "--json").code == 0
    assert path.read_bytes() == written
    assert copied_run.damaged_files("rank") == copied_run.damaged_files("retrain") == ()


@pytest.mark.slow
def test_a_half_done_retraining_makes_way_for_other_settings(copied_run, fairnas):
    genome = copied_run.read_json("search.json")["selected"][0]["genome"]
    assert fairnas("retrain", "--run", copied_run.path, "--recipe", "product", "--epochs", "1", "--json").code == 0
    half = copied_run.path / "retrained" / f"{genome}-s0.pt"
    content = {"identity": "of other settings", "step": 1, "network": {}}
    write_checkpoint(half, "product training", content)
    outcome = fairnas("retrain", "--run", copied_run.path, "--recipe", "product", "--epochs", "2", "--json")
    assert outcome.code == 0, outcome.err
    assert len(result_of(copied_run, "retrained", genome)["curve"]) == 2


BAD = {
    "settings of another recipe": (("--epochs", "3"), "retrain.epochs is 3, which retrain.recipe 'supernet' does not"),
    "an impossible value": (("--recipe", "product", "--dropout", "1"), "retrain.dropout is 1.0; give a number from 0"),
    "an unknown recipe": (("--recipe", "best"), "--recipe is 'best'; give one of"),
    "too large a square": (("--recipe", "product", "--cutout", "9"), "retrain.cutout is 9 pixels, which blanks images"),
    "an unknown network": (("0123",), "genome '0123' has 4 choices"),
}


@pytest.mark.parametrize(("flags", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_one_line_and_changes_nothing(flags, message, copied_run, fairnas):
    stages, config = (copied_run.path / "stages.json").read_text(), copied_run.config
    outcome = fairnas("retrain", *flags, "--run", copied_run.path)
    assert outcome.code == 2
    assert message in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert ((copied_run.path / "stages.json").read_text(), copied_run.config) == (stages, config)


def test_no_run_is_one_line(tmp_path, fairnas):
    outcome = fairnas("retrain", "--run", tmp_path / "none")
    assert (outcome.code, len(outcome.err.strip().splitlines())) == (2, 1)
    assert "is not a run directory" in outcome.err


def test_a_temperature_of_no_distillation_is_refused(copied_run, fairnas):
    outcome = fairnas("retrain", "--run", copied_run.path, "--recipe", "product", "--temperature", "4")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "--temperature needs distillation, which is 0; give --distillation too" in outcome.err
