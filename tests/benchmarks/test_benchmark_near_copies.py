"""The command that says how far near copies can be trusted."""

import json

import numpy as np
from PIL import Image

from benchmarks import near_copies


def test_near_copies_prints_one_json_object(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("cat", "dog"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(4):
                small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8))
                small.resize((32, 32), Image.Resampling.BICUBIC).save(tmp_path / split / name / f"{number}.png")
    with Image.open(tmp_path / "train" / "dog" / "2.png") as image:
        image.resize((64, 64)).save(tmp_path / "test" / "dog" / "again.png")
    flags = ["--folder", str(tmp_path), "--changed", "6"]
    assert near_copies.main([*flags, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["images"] == 17
    assert result["near_copies"] == [["train/dog/2.png", "test/dog/again.png"]]
    assert result["found"]["20 % darker"] == 1
    assert result["found"]["mirrored"] == 0
    assert near_copies.main(flags) == 0
    assert "1 groups of near copies, 2 images in all, among 17" in capsys.readouterr().out
    assert near_copies.main([*flags, "--size", "8"]) == 2
    assert "--size is 8, --changed 6; give at least 16 and 1" in capsys.readouterr().err
