"""The records that a run keeps, each read as the class that it is."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from benchmarks.fuzz.attempt import Target
from benchmarks.fuzz.mutations import bent_json
from fairnas.analysis import RankingRecord
from fairnas.data import DataSummary
from fairnas.export.facts import ModelFacts
from fairnas.record import Record, read_record
from fairnas.rundir import RunDirectory
from fairnas.scores import TrainingResult
from fairnas.search.record import SearchRecord

_CORPUS = Path(__file__).parent / "corpus"
RECORDS: Mapping[str, type[Record]] = {
    "data.json": DataSummary,
    "search.json": SearchRecord,
    "ranking.json": RankingRecord,
    "training.json": TrainingResult,
    "model.json": ModelFacts,
}
"""What these files of the corpus are."""


def targets() -> Iterator[Target]:
    """One per record."""
    for name, kind in RECORDS.items():
        valid = (_CORPUS / name).read_bytes()
        yield Target(f"record, {name}", lambda valid=valid: (valid,), bent_json, _reader(name, kind), 10)


def _reader(name: str, kind: type[Record]) -> Callable[[Path, bytes], None]:
    """What every reader of a record does; what is accepted can be written again."""

    def read(folder: Path, content: bytes) -> None:
        (folder / "config.toml").write_bytes((_CORPUS / "config.toml").read_bytes())
        (folder / name).write_bytes(content)
        json.dumps(read_record(RunDirectory(folder), name, kind).to_dict())

    return read
