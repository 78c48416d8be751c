"""Checkpoints that cannot be trusted are refused in one line, and nothing in them runs."""

import errno
import os
import pickle

import pytest
import torch

from fairnas.errors import CheckpointError, RunDirectoryError
from fairnas.train import LoopOptions, read_checkpoint, train, write_checkpoint

CONTENT = {"step": 3, "network": {"w": torch.arange(1000.0)}, "note": "x"}


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, "supernet", CONTENT)
    return path


def refused(path, pattern):
    with pytest.raises(CheckpointError, match=pattern) as caught:
        read_checkpoint(path, "supernet")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_reads_what_was_written(path):
    content = read_checkpoint(path, "supernet")
    assert content["step"] == 3
    assert torch.equal(content["network"]["w"], CONTENT["network"]["w"])


def test_absent(tmp_path):
    refused(tmp_path / "none.pt", "there is no checkpoint")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_anywhere(path, share):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    refused(path, "truncated or not a checkpoint")


def test_a_flipped_bit_in_the_weights_is_found(path):
    whole = bytearray(path.read_bytes())
    position = whole.find(torch.arange(1000.0).numpy().tobytes()[400:440])
    assert position > 0
    whole[position + 3] ^= 1
    path.write_bytes(bytes(whole))
    refused(path, "damaged")


def test_foreign_files(path):
    path.write_text("hello")
    refused(path, "not a checkpoint")
    torch.save({"state_dict": {}}, path)
    refused(path, "was not written by fairnas")


def test_another_kind_or_version(path, monkeypatch):
    with pytest.raises(CheckpointError, match="holds a supernet, not a stand-alone network"):
        read_checkpoint(path, "stand-alone network")
    monkeypatch.setattr("fairnas.train.checkpoint.VERSION", 2)
    refused(path, "has version 1, this fairnas reads 2")


class Malicious:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_code_in_a_checkpoint_is_not_run(path, tmp_path):
    trap = tmp_path / "owned"
    torch.save({"format": "fairnas checkpoint", "version": 1, "kind": "supernet", "x": Malicious(trap)}, path)
    refused(path, "holds code or foreign objects and was not loaded")
    path.write_bytes(pickle.dumps(Malicious(trap)))
    refused(path, "not a checkpoint")
    assert not trap.exists()


def test_a_full_disk_leaves_the_previous_checkpoint(make_training, dataset, tmp_path, monkeypatch):
    checkpoint = tmp_path / "checkpoint.pt"
    training, config = make_training()
    with pytest.raises(KeyboardInterrupt):
        train(training, dataset, config, 0, LoopOptions(checkpoint=checkpoint, stop=lambda: True))
    before = checkpoint.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    training, config = make_training()
    with pytest.raises(RunDirectoryError, match=r"No space left on device; what was there before is untouched"):
        train(training, dataset, config, 0, LoopOptions(checkpoint=checkpoint, steps=1))
    assert checkpoint.read_bytes() == before
    assert list(tmp_path.iterdir()) == [checkpoint]
