"""The recipe `folder` on the command line: what it is made from."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from fairnas.cli.run import read_arguments
from fairnas.config import Resources


def add_images(folder, first, last):
    for name in ("cats", "dogs"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number in range(first, last):
            Image.fromarray(np.full((20, 20, 3), number, np.uint8)).save(folder / name / f"{number}.png")


@pytest.fixture
def images(tmp_path):
    add_images(tmp_path / "images", 0, 20)
    return tmp_path / "images"


def read(images, *arguments, verb="run"):
    return read_arguments(["folder", "--data", f"folder:{images}", *map(str, arguments)], verb)[0]


def test_a_cpu_that_is_asked_for_counts_although_there_is_a_gpu(images, monkeypatch):
    without = read(images)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert read(images).search.population == 64
    for flags in (["--resources.device", "cpu"], ["--resources.device=cpu"]):
        asked = read(images, *flags)
        assert asked == dataclasses.replace(without, resources=Resources(device="cpu"))
