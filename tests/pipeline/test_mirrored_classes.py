"""Classes that are each other's mirror images: the folder's defaults learn them, and the plan tells of them."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from fairnas.cli.run import read_arguments
from fairnas.config import Augmentation, RunConfig
from fairnas.data import Dataset, DataSummary, load_dataset, ordered_batches, training_batches
from fairnas.nets import build
from fairnas.pipeline import Experiment, prepare
from fairnas.pipeline.experiment import training_identity
from fairnas.pipeline.export_stage import product_of
from fairnas.record import read_record
from fairnas.rundir import RunDirectory

CPU = torch.device("cpu")


def draw_arrow(to_the_left: bool, rng: np.random.Generator) -> Image.Image:
    """An arrow of some size, place and shade on 24 x 24 pixels."""
    shade, ground = int(rng.integers(0, 90)), int(rng.integers(150, 256))
    image = Image.new("RGB", (24, 24), (ground,) * 3)
    draw = ImageDraw.Draw(image)
    x, y, reach = rng.integers(10, 14), rng.integers(10, 14), rng.integers(6, 9)
    draw.line((x - reach, y, x + reach, y), fill=(shade,) * 3, width=2)
    draw.polygon([(x + reach, y), (x + 1, y - 5), (x + 1, y + 5)], fill=(shade,) * 3)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if to_the_left else image


@pytest.fixture(scope="module")
def arrows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images") / "arrows"
    rng = np.random.default_rng(0)
    for name in ("arrow_left", "arrow_right"):
        (folder / name).mkdir(parents=True)
        for number in range(60):
            draw_arrow(name == "arrow_left", rng).save(folder / name / f"{number}.png")
    return folder


def configured(folder: Path, *flags: str) -> RunConfig:
    return read_arguments(["folder", "--data", f"folder:{folder}", *flags], "run").config


def opened(config: RunConfig) -> Dataset:
    size = config.data.image_size
    assert size is not None
    return load_dataset(config.data, image_size=size, image_channels=None, seed=config.seed)


def learned(dataset: Dataset, seed: int) -> float:
    """Accuracy on the validation and test images of a small network that a run's own batches have trained."""
    torch.manual_seed(seed)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(dataset.image_channels, 8, 7, stride=4, padding=3),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.LazyLinear(2),
    )
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for epoch in range(20):
        for images, labels in training_batches(dataset, batch_size=29, seed=seed, epoch=epoch, device=CPU):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(images), labels).backward()
            optimizer.step()
    right = total = 0
    with torch.no_grad():
        for split in (dataset.validation, dataset.test):
            for images, labels in ordered_batches(split, dataset, batch_size=99, device=CPU):
                right, total = right + int((network(images).argmax(1) == labels).sum()), total + len(labels)
    return right / total


@pytest.mark.slow
def test_arrows_are_learned_with_the_folders_defaults_and_not_with_the_flip(arrows):
    with torch.random.fork_rng([]):
        defaults = [learned(opened(configured(arrows)), seed) for seed in range(3)]
        flipped = [learned(opened(configured(arrows, "--data.flip", "horizontal")), seed) for seed in range(3)]
    assert min(defaults) >= 0.95
    assert 0.25 <= np.mean(flipped) <= 0.75


@pytest.mark.slow
def test_the_plan_says_what_is_done_to_training_images_and_asks_about_the_classes(arrows):
    prepared = prepare(configured(arrows))
    assert prepared.config.data.flip == "none"
    plan = prepared.plan()
    assert [line for line in plan if line.startswith("augment")] == [
        "augment    padded and cropped back, which shifts them by up to 3 pixels; not flipped (if mirrored images keep "
        "their class, give --data.flip horizontal; if any side may be up (microscopy, aerial images), give --data.flip "
        "both and --data.rotate quarter)"
    ]
    (finding,) = [finding for finding in prepared.dataset.findings if finding.id == "mirrored-classes"]
    assert f"note       {finding.message}" in plan
    assert finding.message.startswith("classes 'arrow_left' and 'arrow_right' say left and right, so training images")
    flipped = prepare(configured(arrows, "--data.flip", "horizontal"))
    (line,) = [line for line in flipped.plan() if line.startswith("augment")]
    assert (
        "; flipped left to right half of the time (if left and right (arrows, text) matter, give --data.flip n" in line
    )
    (finding,) = [finding for finding in flipped.dataset.findings if finding.id == "mirrored-classes"]
    assert "but training images are flipped left to right; give --data.flip none" in finding.message


def test_what_was_given_stays_and_other_names_are_flipped(arrows, tmp_path):
    assert configured(arrows, "--data.flip", "vertical").data.flip == "vertical"
    for place, name in enumerate(("cat", "dog")):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(20):
            Image.new("RGB", (24, 24), (number, 99 * place, 0)).save(tmp_path / "pets" / name / f"{number}.png")
    pets = configured(tmp_path / "pets")
    assert pets.data.flip == "auto"
    assert pets.data.applied.flip == "horizontal"
    assert configured(tmp_path / "pets", "--data.flip", "none").data.applied.flip == "none"
    assert "mirrored-classes" not in {finding.id for finding in opened(pets).findings}


@pytest.mark.slow
@pytest.mark.parametrize("flags", [("flip", "both"), ("crop", "none"), ("rotate", "quarter"), ("colour", "0.4")])
def test_a_training_with_another_augmentation_is_another_training(flags, arrows):
    one, other = prepare(configured(arrows)), prepare(configured(arrows, f"--data.{flags[0]}", flags[1]))
    identities = [training_identity(each.config.train, each.config, each.space, each.dataset) for each in (one, other)]
    assert identities[0] != identities[1]
    assert one.dataset.summary().to_dict()["augmentation"] != other.dataset.summary().to_dict()["augmentation"]


def test_records_and_exported_networks_say_what_was_done(arrows, tmp_path):
    prepared = prepare(
        configured(arrows, "--data.rotate", "quarter", "--retrain.recipe", "product", "--retrain.mixup", "0.2")
    )
    run = RunDirectory.create(tmp_path / "run", prepared.config)
    experiment = Experiment(run, opened=(prepared.space, prepared.dataset))
    network = build(prepared.space, (0,) * prepared.space.depth)
    said = product_of(experiment, network, {}).provenance["augmentation"]
    assert said == f"{prepared.dataset.augmentation.words(24)}; mixed in pairs (mixup, alpha 0.2)"
    assert "not flipped; turned by 0, 90, 180 or 270 degrees" in said
    stored = read_record(run, "data.json", DataSummary)
    assert stored.augmentation == prepared.dataset.augmentation == Augmentation("padded", "none", "quarter")
