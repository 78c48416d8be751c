"""Killed at any moment, a run goes on and ends as the undisturbed one did."""

import json
import signal
import time

import pytest
import torch

from tests.cli.process import TINY, start

MOMENTS = ((1, 0.4), (1, 1.2), (2, 0.2), (3, 1.0), (4, 2.0), (5, 1.0))
"""Stage that has begun, and seconds after that."""


def start_and_wait_for(stage: int, path):
    """Start the run and return its process once a stage has begun; None if it ended before."""
    process = start("run", "digits", "--out", path, "--json", *TINY)
    for line in process.stderr:
        if line.startswith(f"[{stage}/6]"):
            return process
    process.wait()
    process.stdout.close()
    process.stderr.close()
    return None


def finish(path):
    process = start("run", "digits", "--out", path, "--json", *TINY)
    out, err = process.communicate(timeout=400)
    assert process.returncode == 0, err
    return json.loads(out)


def without_clock(path):
    """Content of every file whose content a run determines."""
    contents = {}
    for name in ("config.toml", "space.json", "data.json", "ledger.json", "search.json", "ranking.json"):
        contents[name] = (path / name).read_text()
    contents["metrics.jsonl"] = sorted((path / "metrics.jsonl").read_text().splitlines())
    for file in sorted(path.glob("stand_alone/*.json")):
        result = json.loads(file.read_text())
        result.pop("weights")  # checksum of a zip, which holds its own name and more
        contents[file.name] = result
    return contents


def weights(path):
    return torch.load(path / "supernet" / "checkpoint.pt", weights_only=True)


def test_a_run_killed_at_several_moments_ends_as_the_undisturbed_one(finished_run, tmp_path):
    undisturbed, outcome = finished_run
    path = tmp_path / "run"
    killed = 0
    for stage, seconds in MOMENTS:
        process = start_and_wait_for(stage, path)
        if process is None:
            continue
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        process.stderr.close()
        killed += process.returncode == -signal.SIGKILL
    assert killed >= 3
    summary = finish(path)
    expected = outcome.json
    for key in ("fairness", "ranking", "seed"):
        assert summary[key] == expected[key]
    assert without_clock(path) == without_clock(undisturbed)
    ours, theirs = weights(path), weights(undisturbed)
    assert ours["step"] == theirs["step"]
    assert ours["extra"] == theirs["extra"]
    for name, tensor in theirs["network"].items():
        assert torch.equal(ours["network"][name], tensor), name
    for number, state in theirs["optimizer"]["state"].items():
        assert torch.equal(ours["optimizer"]["state"][number]["momentum_buffer"], state["momentum_buffer"])
    assert not list(path.rglob("*.tmp"))


@pytest.mark.parametrize("stage", [1, 4])
def test_ctrl_c_saves_and_exits_with_130(stage, finished_run, tmp_path):
    path = tmp_path / "run"
    process = start_and_wait_for(stage, path)
    assert process is not None
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert err.splitlines()[-1] == "fairnas: interrupted; run the same command again to go on"
    assert "Traceback" not in err
    if stage == 1:
        assert (path / "supernet" / "checkpoint.pt").exists()
        assert finish(path)["fairness"] == finished_run[1].json["fairness"]


def test_a_second_process_on_the_same_run_is_refused(tmp_path, fairnas):
    path = tmp_path / "run"
    process = start_and_wait_for(1, path)
    assert process is not None
    try:
        outcome = fairnas("run", "digits", "--out", path, *TINY)
        assert outcome.code == 2
        assert f"{path} is in use by process {process.pid}" in outcome.err
    finally:
        process.kill()
        process.communicate()
