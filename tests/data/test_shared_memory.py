"""Images that are handed to other processes."""

import dataclasses
import os
from multiprocessing import reduction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from fairnas.config import DataConfig
from fairnas.data import load_dataset
from fairnas.data.decoding import Decoding
from fairnas.data.image_files import Files
from fairnas.data.images import StreamedImages
from fairnas.data.shared_memory import shared_dataset


@pytest.fixture
def dataset():
    return load_dataset(DataConfig("digits"), image_size=8, image_channels=1, seed=0)


def sent(images):
    """The images as another process gets them."""
    make, parts = images.__reduce__()
    return make(*parts)


def test_the_pixels_are_the_same_and_lie_in_memory_once(dataset, monkeypatch):
    monkeypatch.setattr(reduction, "DupFd", lambda file: SimpleNamespace(detach=lambda: os.dup(file)))
    with shared_dataset(dataset) as handed:
        assert (handed.classes, handed.fingerprint) == (dataset.classes, dataset.fingerprint)
        for part in ("train", "validation", "test"):
            ours, theirs, others = getattr(dataset, part), sent(getattr(handed, part)), sent(getattr(handed, part))
            assert torch.equal(ours.pixels, theirs.pixels)
            assert torch.equal(ours.labels, theirs.labels)
            assert theirs.size == ours.size
            theirs.pixels.zero_()  # no test of ours writes to images; it must not reach anybody
            assert torch.equal(ours.pixels, others.pixels)
            changed = int(others.pixels[0, 0, 0, 0]) ^ 1
            os.pwrite(getattr(handed, part).file, bytes([changed]), 0)
            assert others.pixels[0, 0, 0, 0] == changed  # what all look into, and no copy
        file = handed.train.file
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(file)
    assert others.pixels[0, 0, 0, 0] == changed


def test_streamed_images_travel_without_what_was_kept(dataset):
    files = Files("nowhere", np.array([b"a"]), np.array([1]), np.array([0]))
    streamed = StreamedImages(files, Decoding(8, 1), torch.zeros(1, dtype=torch.int64))
    streamed._kept.append(dataset.train)
    with shared_dataset(dataclasses.replace(dataset, train=streamed)) as handed:
        assert handed.train.files is files
        assert handed.train._kept == []
