"""`fairnas similarity` on a tiny run: its numbers, its files, what it refuses, and what training records."""

import dataclasses
import json
import math
import re
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from fairnas.analysis.similarity import layer_similarity
from fairnas.cli.main import main
from fairnas.config import EvaluateConfig
from fairnas.data import ordered_batches
from fairnas.paper.similarity_study import statistics_in_words
from fairnas.pipeline import Experiment, run_stage, train_stage
from fairnas.pipeline.block_similarity import followed_similarity, is_followed, read_growth
from fairnas.report import write_report
from fairnas.rundir import RunDirectory
from fairnas.train import new_supernet, read_checkpoint, write_checkpoint
from tests.report.test_browser import PAPER

pytestmark = [pytest.mark.slow, pytest.mark.full]

FEW = ("--images", 2, "--paths", 2)


@pytest.fixture
def copied(trained_run, tmp_path):
    """A copy of the trained run, which tests may change."""
    return shutil.copytree(trained_run, tmp_path / "copy")


@pytest.fixture(scope="module")
def measured(trained_run, tmp_path_factory):
    """A run with its similarity, measured once."""
    path = shutil.copytree(trained_run, tmp_path_factory.mktemp("similarity") / "run")
    assert main(["similarity", "--run", str(path), *map(str, FEW), "--layers", "3"]) == 0
    return path, json.loads((path / "similarity" / "similarity.json").read_text())


def similarity(capsys, *arguments):
    """Exit code and both outputs of the verb."""
    capsys.readouterr()
    code = main(["similarity", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def plain_maps(supernet, path, layer, images):
    """Outputs of the blocks of a layer, block after block."""
    with torch.inference_mode():
        features = supernet.stem(images)
        for number in range(layer):
            features = supernet.block(number, path[number])(features)
        return np.stack([block(features).numpy() for block in supernet.layers[layer]])


# Numbers ------------------------------------------------------------------------------------------------------


def test_the_numbers_are_those_of_the_supernet(measured):
    path, numbers = measured
    experiment = Experiment(RunDirectory.open(path))
    images, _ = next(
        ordered_batches(experiment.dataset.validation, experiment.dataset, batch_size=2, device=torch.device("cpu"))
    )
    paths = [experiment.space.parse(text) for text in numbers["paths"]]
    assert len(set(paths)) == 2
    assert [row["layer"] for row in numbers["layers"]] == list(range(8))
    for row in numbers["layers"]:
        layer = row["layer"]
        prefixes = {genome[:layer]: genome for genome in paths}
        samples = [
            maps
            for genome in prefixes.values()
            for maps in plain_maps(experiment.supernet, genome, layer, images).swapaxes(0, 1)
        ]
        found, stored = layer_similarity(samples), row["trained"]["whole"]
        assert len(stored["samples"]) == 2 * len(prefixes)
        assert stored["samples"] == pytest.approx(found.samples, abs=1e-4)
        for name in ("aligned", "cross_channel", "cross_both"):
            spread = getattr(found, name)
            assert stored[name]["mean"] == pytest.approx(spread.mean, abs=1e-4)
            assert stored[name]["n"] == spread.n
        assert (row["trained"]["added"] is None) == (layer in (3, 6)) == (row["untrained"]["added"] is None)
    drawn = numbers["matrices"]["3"]
    assert np.shape(drawn["same_channel"]) == (12, 6, 6)
    assert np.shape(drawn["within"]) == (6, 12, 12)
    assert np.shape(drawn["between"]) == (5, 12, 12)
    assert np.mean([drawn["same_channel"][c][0][1] for c in range(12)]) == pytest.approx(
        drawn["across_blocks"][0][1], abs=1e-3
    )


def test_what_blocks_add_is_their_output_without_the_shortcut(measured):
    path, numbers = measured
    experiment = Experiment(RunDirectory.open(path))
    images, _ = next(
        ordered_batches(experiment.dataset.validation, experiment.dataset, batch_size=2, device=torch.device("cpu"))
    )
    with torch.inference_mode():
        stem = experiment.supernet.stem(images)
        own = np.stack([block(stem, with_shortcut=False).numpy() for block in experiment.supernet.layers[0]])
    expected = layer_similarity(own.swapaxes(0, 1)).aligned.mean
    assert numbers["layers"][0]["trained"]["added"]["aligned"]["mean"] == pytest.approx(expected, abs=1e-3)


def test_the_zero_point_is_the_supernet_before_training(measured):
    path, numbers = measured
    experiment = Experiment(RunDirectory.open(path))
    new = new_supernet(experiment.space, experiment.config.train, experiment.config.seed)
    start = followed_similarity(experiment, new.eval())
    assert all(abs(start[f"similarity/{layer}"]) < 0.2 for layer in (3, 6))  # random blocks without a shortcut
    for layer in (3, 6):
        assert abs(numbers["layers"][layer]["untrained"]["whole"]["aligned"]["mean"]) < 0.1
    assert "before" in numbers["sentences"][0]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("evaluate", "words"),
    [
        (EvaluateConfig(bn="batch"), "the statistics of the first validation batch"),
        (EvaluateConfig(bn="recalibrated", calibration_images=30), "statistics of 30 training images"),
        (EvaluateConfig(bn="recalibrated", calibration="own", calibration_images=30), "statistics of 30 training"),
    ],
)
def test_bn_normalises_as_genomes_are_scored(copied, capsys, evaluate, words):
    run = RunDirectory.open(copied)
    run.write_config(dataclasses.replace(run.config, evaluate=evaluate))
    measured = followed_similarity(Experiment(run), Experiment(run).supernet)
    assert len(measured) == 8
    running = RunDirectory.open(copied)
    running.write_config(dataclasses.replace(run.config, evaluate=EvaluateConfig()))
    assert measured != followed_similarity(Experiment(running), Experiment(running).supernet)
    run.write_config(dataclasses.replace(run.config, evaluate=evaluate))
    assert words in statistics_in_words(Experiment(run))


# Files --------------------------------------------------------------------------------------------------------


def test_it_writes_a_page_and_figures_for_a_paper_and_the_same_ones_every_time(measured, capsys):
    path, numbers = measured
    out = path / "similarity"
    names = {f"layer{layer}_{what}.{kind}" for layer in (3,) for kind in ("png", "svg") for what in
             ("feature_maps", "same_channel", "channels_within_block", "channels_between_blocks")}  # fmt: skip
    names |= {"layers.png", "layers.svg"}
    assert set(numbers["plates"]) == names
    assert {file.name for file in out.iterdir()} == names | {"similarity.html", "similarity.json"}
    for name in names:
        if name.endswith("png"):
            with Image.open(out / name) as picture:
                assert min(picture.size) > 250
        else:
            text = (out / name).read_text()
            assert "<svg" in text
            assert "dc:date" not in text
    page = (out / "similarity.html").read_text()
    assert "How alike are the blocks of run?" in page
    markup = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)="(?!#|data:)', markup)
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    code, printed, _ = similarity(capsys, "--run", path, *FEW, "--layers", 3)
    assert code == 0
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert f"page      {out / 'similarity.html'}" in printed
    assert "mean cosine on the same channel across blocks" in printed


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), pytest.param(1400, "light", marks=pytest.mark.full)])
def test_the_page_opens_offline_and_draws_everything(browser, measured, width, scheme):
    path = measured[0] / "similarity" / "similarity.html"
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    errors, requests = [], []
    page.on("console", lambda message: errors.append(message.text))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda each: requests.append(each.url))
    page.goto(path.as_uri())
    for name in ("layers", "growth", "maps-3", "blocks-3", "channels-3", "within-3", "between-3"):
        drawn = page.locator(f"#plot-{name} svg.main-svg").first
        drawn.wait_for()
        assert min(drawn.bounding_box()["width"], drawn.bounding_box()["height"]) > 100
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == PAPER[scheme]
    context.close()
    assert errors == []
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()]


def test_the_report_of_the_run_has_a_short_section(measured, trained_run):
    path, numbers = measured
    page = write_report(RunDirectory.open(path)).read_text()
    assert 'id="similarity"' in page
    assert numbers["sentences"][0].split(" over ")[0] in page
    plain = write_report(RunDirectory.open(trained_run)).read_text()
    assert 'id="similarity"' not in plain
    assert len(page) - len(plain) < 8000


def test_a_damaged_summary_is_named_with_its_remedy(measured, capsys):
    path, _ = measured
    file = path / "similarity.json"
    good = file.read_text()
    try:
        file.write_text('{"layers": 3}')
        assert main(["report", "--run", str(path)]) == 2
        err = capsys.readouterr().err
        assert "similarity.json was changed or damaged since it was written" in err
        assert f"delete it, then `fairnas similarity --run {path}` makes it" in err
    finally:
        file.write_text(good)


def test_an_image_of_any_size_and_mode_and_another_run_beside(copied, trained_run, tmp_path, capsys):
    image = tmp_path / "photo.png"
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (30, 47, 3), dtype=np.uint8)).save(image)
    other = shutil.copytree(trained_run, tmp_path / "other")
    code, out, err = similarity(
        capsys, "--run", copied, "--image", image, "--path", "01234501", "--against", other, "--out", tmp_path / "out",
        "--json",
    )  # fmt: skip
    assert code == 0, err
    numbers = json.loads(out)
    assert (numbers["image"], numbers["images"], numbers["paths"]) == ("photo.png", 1, ["01234501"])
    for row in numbers["layers"]:
        assert len(row["trained"]["whole"]["samples"]) == 1
        assert row["trained"] == row["against"]  # the same weights
    assert "0 of 8 layers" in numbers["sentences"][3]
    assert (tmp_path / "out" / "layer0_feature_maps.svg").exists()
    assert RunDirectory.open(copied).read_json("similarity.json")["image"] == "photo.png"


# Bad input ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--image", "{tmp}/text.png"), "text.png cannot be decoded: it is not an image of a known format"),
        (("--image", "{tmp}/half.png"), "half.png cannot be decoded"),
        (("--image", "{tmp}/none.png"), "there is no image file {tmp}/none.png; give another --image"),
        (("--image", "{tmp}"), "there is no image file {tmp}"),
        (("--layers", "8"), "--layers names 8; space 'digits' has layers 0 to 7"),
        (("--layers", "-1"), "--layers names -1"),
        (("--path", "012"), "genome '012' has 3 choices"),
        (("--images", "0"), "--images is 0; give 1 or more"),
        (("--paths", "0"), "--paths is 0; give 1 or more"),
        (("--against", "{tmp}"), "{tmp} is not a run directory"),
        (("--against", "{run}"), "is in use by process"),
    ],
)
def test_one_line_and_nothing_written(copied, tmp_path, capsys, flags, message):
    (tmp_path / "text.png").write_text("not a picture")
    Image.new("RGB", (40, 40)).save(tmp_path / "whole.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "whole.png").read_bytes()[:60])
    given = [flag.format(tmp=tmp_path, run=copied) for flag in flags]
    code, out, err = similarity(capsys, "--run", copied, *given)
    assert (code, out) == (2, "")
    line = err.strip().splitlines()[-1]
    assert message.format(tmp=tmp_path, run=copied) in line
    assert "Traceback" not in err
    assert not (copied / "similarity").exists()
    assert not (copied / "similarity.json").exists()


def test_weights_that_are_no_numbers_are_named(copied, capsys):
    file = copied / "supernet" / "checkpoint.pt"
    content = read_checkpoint(file, "supernet")
    content["network"]["layers.2.1.0.0.weight"][0] = math.nan
    kept = {key: value for key, value in content.items() if key not in ("format", "version", "kind")}
    write_checkpoint(file, "supernet", kept)
    code, _, err = similarity(capsys, "--run", copied)
    assert (code, err.strip().splitlines()[-1].count("is lost or damaged; `fairnas train")) == (2, 1)
    run = RunDirectory.open(copied)
    run.finish_stage("train", ("supernet/checkpoint.pt", "ledger.json"))
    code, _, err = similarity(capsys, "--run", copied)
    assert code == 2
    assert err.count("\n") == 1
    assert "layers.2.1.0.0.weight" in err
    assert "diverged" in err
    assert not (copied / "similarity").exists()


def test_a_training_that_diverges_is_not_stopped_by_its_record(trained_run):
    experiment = Experiment(RunDirectory.open(trained_run))
    supernet = new_supernet(experiment.space, experiment.config.train, 0).eval()
    next(supernet.layers[2].parameters()).data[0] = math.nan
    assert followed_similarity(experiment, supernet) == {}


def test_a_run_that_is_not_trained_and_another_space_are_refused(copied, tmp_path, capsys):
    config = RunDirectory.open(copied).config
    fresh = RunDirectory.create(tmp_path / "fresh", config)
    code, _, err = similarity(capsys, "--run", fresh.path)
    assert code == 2
    assert f"{fresh.path} has not finished 'train'; run `fairnas train --run {fresh.path}` first" in err
    other = tmp_path / "elsewhere"
    train = dataclasses.replace(config.train, epochs=1)
    run = RunDirectory.create(other, dataclasses.replace(config, space="compact", train=train))
    with run.locked():
        experiment = Experiment(run)
        new = new_supernet(experiment.space, train, 0)
        write_checkpoint(other / "supernet" / "checkpoint.pt", "supernet", {"network": new.state_dict()})
        run.finish_stage("train", ("supernet/checkpoint.pt",))
    code, _, err = similarity(capsys, "--run", copied, "--against", other)
    assert code == 2
    assert "has space 'compact'" in err


@pytest.mark.parametrize("strategy", ["smash", "single_path_nas"])
@pytest.mark.parametrize("beside", [False, True])
def test_blocks_that_have_no_weights_of_their_own_are_not_compared(
    copied, trained_run, tmp_path, capsys, strategy, beside
):
    run = RunDirectory.open(copied)
    run.write_config(dataclasses.replace(run.config, train=dataclasses.replace(run.config.train, strategy=strategy)))
    ours = shutil.copytree(trained_run, tmp_path / "ours") if beside else copied
    code, out, err = similarity(capsys, "--run", ours, *(("--against", copied) if beside else ()))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert (
        f"{copied} was trained by '{strategy}', which makes weights for each network, so the supernet's blocks have "
        "none of their own to compare; give a run of another strategy"
    ) in err
    assert not (ours / "similarity").exists()
    experiment = Experiment(run)
    assert followed_similarity(experiment, new_supernet(experiment.space, run.config.train, 0).eval()) == {}


# Growth -------------------------------------------------------------------------------------------------------


def test_a_training_records_how_similarity_grows(trained_run):
    run = RunDirectory.open(trained_run)
    growth = read_growth(run, 8)
    assert [each.epoch for each in growth] == [1, 2]
    experiment = Experiment(run)
    last = followed_similarity(experiment, experiment.supernet)
    assert growth[-1].layers == pytest.approx([last[f"similarity/{layer}"] for layer in range(8)], abs=1e-6)


def test_few_epochs_are_followed_and_the_last_one_always_is():
    epochs = [epoch for epoch in range(1, 151) if is_followed(epoch, 150)]
    assert epochs == [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 150]
    assert train_stage.is_followed is is_followed


@pytest.mark.full
def test_an_interrupted_training_records_the_same(trained_run, tmp_path):
    whole = RunDirectory.open(trained_run)
    run = RunDirectory.create(tmp_path / "run", whole.config)
    with run.locked():
        steps = iter([False, False, False, True])  # in the second epoch
        with pytest.raises(KeyboardInterrupt):
            run_stage(Experiment(run, stop=lambda: next(steps)), "train")
        assert len(read_growth(run, 8)) == 1
        run_stage(Experiment(run), "train")
    assert run.metrics("train") == whole.metrics("train")
