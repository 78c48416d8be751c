"""Laws of the records that a run keeps: what is written is read back equal, and what is bent is refused in a line."""

import json
import math
import string
import types
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.records import RECORDS
from fairnas.config import Augmentation
from fairnas.data import DataSummary
from fairnas.data.finding import FINDINGS, Finding
from fairnas.errors import RunDirectoryError
from fairnas.export.facts import INT8, ONNX, FileLatency, LatencyFacts
from fairnas.export.preprocessing import Preprocessing
from fairnas.record import AnyFloat, FiniteOrNone, MaybeNan, read_record
from fairnas.scores import NetworkScore, TrainingEpoch, TrainingResult
from fairnas.search import Candidate
from fairnas.search.record import SearchRecord, StoredCandidate
from fairnas.space.genome import StoredGenome

CORPUS = Path(__file__).parents[1] / "benchmarks" / "fuzz" / "corpus"
FINITE = st.floats(allow_nan=False, allow_infinity=False)
GENOMES = st.lists(st.integers(0, 35), min_size=1, max_size=8).map(tuple)
NAMES = st.text(string.ascii_lowercase + "_", min_size=1, max_size=8)
MEASURES = st.dictionaries(NAMES.filter(lambda name: name not in ("genome", "generation")), FINITE | st.integers(0, 99))
COUNTS = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=4)
SCORES = st.builds(
    lambda numbers, images, counts: NetworkScore(
        *numbers[:3], images, *numbers[3:], *(tuple(column) for column in zip(*counts, strict=True))
    ),
    st.tuples(*[FINITE] * 5),
    st.integers(1, 99),
    COUNTS,
)
EPOCHS = st.builds(
    lambda epoch, loss, top1, balanced, raw: TrainingEpoch(
        epoch, loss, raw and raw[0], top1, balanced, *(raw or ())[1:]
    ),
    st.integers(1, 99),
    st.floats(allow_nan=False) | st.just(math.nan),
    st.none() | FINITE,
    st.none() | FINITE,
    st.none() | st.tuples(FINITE.filter(bool), FINITE, st.none()),
)
ABOUT = st.tuples(GENOMES, st.integers(0, 9), NAMES, st.integers(1, 99))
CURVES = st.lists(EPOCHS, max_size=3).map(tuple)
OF_PRODUCT = st.tuples(NAMES, NAMES, st.none() | GENOMES, st.integers(1, 9)) | st.just((None,) * 4)
TRAININGS = st.builds(
    lambda about, why, curve: TrainingResult(*about, "diverged", why, curve=curve), ABOUT, st.text(min_size=1), CURVES
) | st.builds(
    lambda about, scores, product, curve: TrainingResult(*about, "done", None, *scores, *product, curve=curve),
    ABOUT,
    st.tuples(SCORES, SCORES),
    OF_PRODUCT,
    CURVES,
)
DATA = st.builds(
    lambda data, counts: DataSummary(**{**vars(data), "class_counts": counts(len(data.classes))}),
    st.deferred(lambda: whole(DataSummary, class_counts=st.just({}))),
    st.sampled_from([lambda n: {}, lambda n: {"test": (3,) * n, "train": (0,) * n}]),
)
OWN: dict[Any, st.SearchStrategy[Any]] = {
    StoredGenome: GENOMES,
    StoredCandidate: st.builds(Candidate.of, GENOMES, MEASURES, st.integers(0, 99)),
    MaybeNan: FINITE | st.just(math.nan),
    FiniteOrNone: FINITE | st.none(),
    AnyFloat: st.floats(allow_nan=False) | st.just(math.nan),
    float: FINITE,
    int: st.integers(-(2**60), 2**60),
    str: st.text(max_size=8),
    bool: st.booleans(),
    type(None): st.none(),
    Finding: st.builds(Finding, st.sampled_from(sorted(FINDINGS)), st.text(max_size=8)),
    Preprocessing: st.just(Preprocessing(8, 1, (0.3,), (0.4,), "pad", (1.0, 2.0))),
    TrainingResult: TRAININGS,
    Augmentation: st.builds(Augmentation, st.sampled_from(["none", "shift"]), colour=st.floats(0, 1)),
    LatencyFacts: st.builds(
        LatencyFacts,
        st.text(max_size=8),
        st.dictionaries(
            st.sampled_from([ONNX, INT8]), st.builds(FileLatency, FINITE, st.tuples(FINITE, FINITE), st.just(9))
        ),
    ),
}


def any_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value of a field's type."""
    if kind in OWN:
        return OWN[kind]
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return any_of(inner[0])
    if origin in (types.UnionType, typing.Union):
        return st.one_of(*map(any_of, inner))
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        whole_list = st.lists(any_of(inner[0]), max_size=3).map(tuple)
        return whole_list if inner[-1] is Ellipsis else st.tuples(*map(any_of, inner))
    if origin is dict:
        return st.dictionaries(any_of(inner[0]), any_of(inner[1]), max_size=3)
    assert is_dataclass(kind), kind
    return whole(kind)


def whole(kind: type, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any value of a dataclass; some fields may be given."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return st.builds(kind, **{each.name: any_of(hints[each.name]) for each in fields(kind)} | given)


@pytest.mark.slow
@pytest.mark.parametrize("kind", RECORDS.values())
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_what_is_written_is_read_back_equal(kind, data):
    record = data.draw(DATA if kind is DataSummary else any_of(kind))
    text = json.dumps(record.to_dict())
    again = kind.from_dict(json.loads(text))
    assert again == record
    assert json.dumps(again.to_dict()) == text


@pytest.mark.parametrize("name", RECORDS)
def test_a_file_of_a_run_is_read_and_written_as_it_was(name):
    text = (CORPUS / name).read_text()
    assert json.dumps(RECORDS[name].from_dict(json.loads(text)).to_dict(), indent=1) + "\n" == text


@pytest.mark.parametrize(
    ("name", "spoil", "says"),
    [
        ("data.json", lambda x: x.pop("classes"), "lacks 'classes'"),
        ("data.json", lambda x: x["mean"].append(math.inf), "'mean.1' is inf: it should be a finite number"),
        (
            "search.json",
            lambda x: x["front"][0].update(genome=3),
            r"'front.0' is \{'genome': 3, .*: it should be a netw",
        ),
        ("search.json", lambda x: x["front"][0].update(top1=None), "top1 is 'None', not a finite number"),
        ("search.json", lambda x: x.update(generations=1.5), "'generations' is 1.5: it should be a valid integer"),
        ("ranking.json", lambda x: x["tau"].update(interval=[0.1]), "lacks 'tau.interval.1'"),
        (
            "training.json",
            lambda x: x.pop("test"),
            "status is 'done', and scores are there or not as if it were another",
        ),
        ("model.json", lambda x: x["latency"].pop("device"), "lacks 'device'"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(name, spoil, says, tmp_path):
    content = json.loads((CORPUS / name).read_text())
    spoil(content)
    with pytest.raises(ValueError, match=says) as caught:
        RECORDS[name].from_dict(content)
    assert "\n" not in str(caught.value)


def test_a_reader_names_the_file_and_the_remedy(tmp_path):
    from fairnas.rundir import RunDirectory

    (tmp_path / "search.json").write_text("{}")
    with pytest.raises(
        RunDirectoryError, match=r"search.json is not what fairnas writes \(lacks 'searcher'\); delete it"
    ):
        read_record(RunDirectory(tmp_path), "search.json", SearchRecord)
