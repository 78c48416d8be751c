"""The recipe `folder` on the command line: what it is made from, and what it stays when a run goes on."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from fairnas.cli.parsing import UsageError
from fairnas.cli.run import read_arguments
from fairnas.config import Resources
from fairnas.data.finding import RefusedImages
from fairnas.errors import RunDirectoryError
from fairnas.pipeline import prepare
from fairnas.rundir import RunDirectory


def add_images(folder, first, last):
    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, last):
            pixels = np.zeros((20, 20, 3), np.uint8)
            pixels[..., 0], pixels[..., 1] = number, 200 * (name == "dogs")
            Image.fromarray(pixels).save(folder / name / f"{number}.png")


@pytest.fixture
def images(tmp_path):
    add_images(tmp_path / "images", 0, 20)
    return tmp_path / "images"


def read(images, *arguments, verb="run"):
    return read_arguments(["folder", "--data", f"folder:{images}", *map(str, arguments)], verb).config


def test_a_cpu_that_is_asked_for_counts_although_there_is_a_gpu(images, monkeypatch):
    without = read(images)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert read(images).search.population == 64
    for flags in (["--resources.device", "cpu"], ["--resources.device=cpu"]):
        asked = read(images, *flags)
        assert asked == dataclasses.replace(without, resources=Resources(device="cpu"))


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["run", "train"])
def test_what_was_chosen_stays_chosen(verb, images, tmp_path, monkeypatch):
    flags = ["--out", tmp_path / "run", "--train.lr", "0.02", "--max-madds", "60M"]
    begun = read(images, *flags, "--resources.processes", "1")
    run = RunDirectory.create(tmp_path / "run", begun)
    add_images(images, 20, 200)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert read(images).search != begun.search
    assert read(images, *flags, verb="plan").data != begun.data
    for again in (read(images, *flags, verb=verb), read(images, "--out", run.path, verb=verb)):
        assert again == dataclasses.replace(begun, resources=Resources())
        assert RunDirectory.create(run.path, again) == run
    other = read(images, *flags, "--train.epochs", begun.train.epochs - 1, "--data.image-size", "8", verb=verb)
    with pytest.raises(RunDirectoryError, match=r"\(data.image_size is 16, given 8, train.epochs is \d+, given \d+\)"):
        RunDirectory.create(run.path, other)


@pytest.mark.slow
def test_other_images_in_the_same_directory_are_said_to_be_others(images, tmp_path):
    begun = read(images, "--out", tmp_path / "run")
    run = RunDirectory.create(tmp_path / "run", begun)
    add_images(tmp_path / "others", 0, 250)
    assert read(tmp_path / "others", "--out", run.path) == read(tmp_path / "others"), "not with settings of the first"
    with pytest.raises(RunDirectoryError, match=r"holds a run of another configuration \(.*; use another --out"):
        RunDirectory.create(run.path, read(tmp_path / "others", "--out", run.path), "their fingerprint")
    images.rename(tmp_path / "moved")
    assert read(tmp_path / "moved", "--out", run.path).train == begun.train


def test_a_way_to_read_the_folder_counts_before_anything_is_chosen_for_it(images, tmp_path, fairnas):
    """The setting also counts in a file; otherwise a refused folder could not be read at all."""
    (images / "cats").rename(images / "train")
    (images / "dogs").rename(images / "test")
    with pytest.raises(RefusedImages):
        read(images)
    (tmp_path / "settings.toml").write_text('[data]\nlayout = "classes"\n')
    for flags in (["--data.layout", "classes"], ["--data.layout=classes"], ["--config", tmp_path / "settings.toml"]):
        assert read(images, *flags).data.layout == "classes"
    with pytest.raises(UsageError, match=r"--data\.layout is 'clases'; give one of 'auto', 'classes', 'splits'"):
        read(images, "--data.layout", "clases")
    listed = "".join(f"{each.relative_to(images)},{'ab'[int(each.stem) % 2]}\n" for each in images.rglob("*.png"))
    (images / "mine.csv").write_text(
        f"file,class,split\n{listed}".replace(",a\n", ",a,train\n").replace(",b\n", ",b,train\n")
    )
    assert read(images, "--data.labels", "mine.csv").data.labels == "mine.csv"


def test_a_refusal_has_its_identifier(images, fairnas):
    (images / "cats").rename(images / "train")
    (images / "dogs").rename(images / "test")
    outcome = fairnas("run", "folder", "--data", f"folder:{images}", "--json")
    assert outcome.code == 2
    assert outcome.json["refused"]["id"] == "splits-as-classes"
    assert outcome.err == f"fairnas: {outcome.json['refused']['message']}\n"


@pytest.mark.slow
def test_the_plan_names_the_classes(images):
    def classes(dataset):
        plan = dataclasses.replace(prepared, dataset=dataset).training_plan()
        return next(line for line in plan if line.startswith("classes"))

    prepared = prepare(read(images))
    assert classes(prepared.dataset) == "classes    cats, dogs"
    odd = ("cat", "cat ", "a, b", *(f"class {n}" for n in range(20)))
    shown = classes(dataclasses.replace(prepared.dataset, classes=odd))
    assert shown == "classes    cat, 'cat ', 'a, b', " + ", ".join(f"class {n}" for n in range(9)) + ", ... (23)"
