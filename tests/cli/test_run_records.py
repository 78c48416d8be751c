"""The files that a run has written are the records that every reader takes them for, to the last character."""

import json

from fairnas.analysis import RankingRecord
from fairnas.data import DataSummary
from fairnas.export import ModelFacts
from fairnas.record import read_record
from fairnas.rundir import RunDirectory
from fairnas.scores import TrainingResult
from fairnas.search.record import SearchRecord

KINDS = {
    "data.json": DataSummary,
    "search.json": SearchRecord,
    "ranking.json": RankingRecord,
    "stand_alone/*.json": TrainingResult,
    "models/*/model.json": ModelFacts,
}


def test_every_record_of_a_run_is_read_as_it_was_written(finished_run):
    path, _ = finished_run
    for pattern, kind in KINDS.items():
        files = sorted(path.glob(pattern))
        assert files, pattern
        for file in files:
            record = read_record(RunDirectory(path), str(file.relative_to(path)), kind)
            assert json.dumps(record.to_dict(), indent=1) + "\n" == file.read_text(), file
