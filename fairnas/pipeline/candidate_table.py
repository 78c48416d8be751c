"""Table of all candidates of a run: CSV for people and spreadsheets, Parquet for programs."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fairnas.atomic_files import write_atomically
from fairnas.record import read_record
from fairnas.rundir import RunDirectory
from fairnas.search import Archive, Candidate
from fairnas.search.record import SearchRecord
from fairnas.search.scoring import Scoring
from fairnas.space import Genome, format_genome


@dataclass(frozen=True)
class CandidateTable:
    """Candidates in the order of scoring, column by column. Unknown values are None.

    Columns are `genome`, `generation`, then costs and measures by name, and `failure`: the reason of a failure, else
    None.
    """

    columns: dict[str, list[Any]]

    def __len__(self) -> int:
        return len(self.columns["genome"])

    def write_csv(self, path: Path) -> None:
        """Write a CSV file atomically. Raises `RunDirectoryError` if it cannot be written."""
        text = io.StringIO()
        table = csv.writer(text, lineterminator="\n")
        table.writerow(self.columns)
        table.writerows(zip(*self.columns.values(), strict=True))
        write_atomically(path, text.getvalue().encode())

    def write_parquet(self, path: Path) -> None:
        """Write a Parquet file, as `write_csv`. Counts are 64-bit integers, other numbers doubles."""
        import pyarrow as pa  # takes 0.3 s, which other verbs do not need
        import pyarrow.parquet as pq

        def kind(name: str, values: Sequence[Any]) -> Any:
            if name in ("genome", "failure"):
                return pa.string()
            known = [value for value in values if value is not None]
            return pa.int64() if known and all(isinstance(value, int) for value in known) else pa.float64()

        arrays = {
            # not from_pandas, which would turn NaN, the mark of failure, into null, the mark of unknown values
            name: pa.array(values, kind(name, values), from_pandas=False)
            for name, values in self.columns.items()
        }
        octets = io.BytesIO()
        pq.write_table(pa.table(arrays), octets)
        write_atomically(path, octets.getvalue())


def read_candidates(run: RunDirectory) -> CandidateTable:
    """All candidates that the run's supernet scored, over all searches, and those that failed before scoring.

    Values that depend on a user's file, such as latency, are those of the file of the latest search.

    Raises `RunDirectoryError` for a run without a search, and for an archive that was changed since.
    """
    search = read_record(run, "search.json", SearchRecord)
    found: dict[Genome, Candidate] = {}
    measures: dict[Genome, dict[str, float]] = {}
    path = run.path / "archive.sqlite"
    with Archive(path, search.setting, read_only=True) as archive:
        archive.require_unchanged(search.archive, path, f"`fairnas search --run {run.path}` makes it again")
        for candidate in archive.candidates():
            found[candidate.genome], measures[candidate.genome] = candidate, dict(candidate.items)
        reasons = archive.reasons()
        settings = [Scoring.value_setting(name, source) for name, source in search.sources.items()]
        values = [(archive.candidates(setting), archive.reasons(setting)) for setting in settings]
    for candidates, failures in values:
        for candidate in candidates:
            if candidate.failed:
                found.setdefault(candidate.genome, candidate)
                reasons.setdefault(candidate.genome, failures.get(candidate.genome, "unknown"))
    for candidates, _ in values:
        for candidate in candidates:
            if candidate.genome in found:
                measures.setdefault(candidate.genome, {}).update(candidate.items)
    names = sorted({name for each in measures.values() for name in each})
    columns: dict[str, list[Any]] = {
        "genome": [format_genome(genome) for genome in found],
        "generation": [candidate.generation for candidate in found.values()],
        **{name: [measures[genome].get(name) for genome in found] for name in names},
    }
    columns["failure"] = [
        reasons.get(genome, "unknown") if any(map(math.isnan, measures[genome].values())) else None for genome in found
    ]
    return CandidateTable(columns)
