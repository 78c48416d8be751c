"""A small finished run, in which one file is bent."""

import contextlib
import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path

from fairnas.rundir import RunDirectory
from fairnas.stage_records import RECORDS, SEAL, SEALED, records_text, sealed

CORPUS = Path(__file__).parent / "corpus"
RUN_FILES = (
    *("config.toml", "space.json", "data.json", "metrics.jsonl", "ledger.json", "search.json", "ranking.json"),
    *("versions.json", "similarity.json", "stages.json"),
)
"""Of a run, in the corpus under the same names."""


def written(folder: Path, name: str, content: bytes) -> Path:
    """Write a file in a folder, which is made if it has to be; return its path."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


@functools.cache
def run_files() -> Mapping[str, bytes]:
    """A finished run, small: name and content of its files."""
    files = {name: (CORPUS / name).read_bytes() for name in RUN_FILES}
    search = json.loads(files["search.json"])
    for row in search["selected"]:
        files[f"stand_alone/{row['genome']}-s0.json"] = (CORPUS / "training.json").read_bytes()
        files[f"models/{row['genome']}/model.json"] = (CORPUS / "model.json").read_bytes()
    for row in json.loads(files["ranking.json"])["models"]:
        for seed in range(len(row["stand_alone"])):
            files[f"stand_alone/{row['genome']}-s{seed}.json"] = (CORPUS / "training.json").read_bytes()
    return files


def run_with(name: str) -> Callable[[Path, bytes], RunDirectory]:
    """A run in which one file is bent, and recorded so: else its checksum would hide what reads it from all bends."""

    def make(folder: Path, content: bytes) -> RunDirectory:
        files = {**run_files(), name: sealed_again(content) if name in SEALED else content}
        if name != RECORDS:
            stages = json.loads(files[RECORDS])["stages"]
            for record in stages.values():
                there = [each for each in record["files"] if each in files]
                record["files"] |= {each: hashlib.sha256(files[each]).hexdigest() for each in there}
            files[RECORDS] = records_text(stages)
        for each, octets in files.items():
            written(folder, each, octets)
        return RunDirectory.open(folder)

    return make


def sealed_again(content: bytes) -> bytes:
    """A bent file with the checksum of what it holds now, where it still is an object."""
    with contextlib.suppress(ValueError, RecursionError):
        plain = json.loads(content)
        if isinstance(plain, dict):
            plain.pop(SEAL, None)
            return json.dumps(sealed(plain)).encode()
    return content
