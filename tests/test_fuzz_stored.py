"""Damaged stored files: every value of a stored result, replaced by every kind of value.

The random versions (`test_fuzz.py`) hit a place now and then; these hit all of them, and the places where they found
something (docs/foreign-data.md) once each.
"""

import copy
import json

import pytest

from benchmarks.fuzz.attempt import attempt
from benchmarks.fuzz.mutations import places_of
from benchmarks.fuzz.records import RECORDS
from benchmarks.fuzz.targets import TARGETS

KINDS = (None, True, -1, 0.5, float("nan"), float("inf"), 10**29, "x", "", [], {}, [None], {"x": 1}, "../x")
STORED = (
    *("latency table", "figure.json", "zoo latencies", "scores of an arm", "scores of a system"),
    *(f"record, {name}" for name in RECORDS),
    *("profiles of systems", "searches of Figure 6", "model.json of an export", "ledger", "stages.json", "space JSON"),
)
DEAR = ("stages.json", "scores of a system", "space JSON")  # a tenth of a second each


@pytest.mark.slow
@pytest.mark.parametrize("name", STORED)
def test_every_value_replaced_by_every_kind_is_accepted_or_refused(name, tmp_path):
    target = TARGETS[name]
    content = json.loads(target.valid()[0])
    count = len(list(places_of(content)))
    assert count > 0
    pairs = [(place, kind) for place in range(count) for kind in KINDS]
    step = -(-len(pairs) // (60 if name in DEAR else 600))
    step += step % len(KINDS) == 0  # or the same kind would be tried everywhere
    for number, (place, kind) in enumerate(pairs[::step]):
        bent = copy.deepcopy(content)
        parent, key = list(places_of(bent))[place]
        parent[key] = kind
        folder = tmp_path / str(number)
        folder.mkdir()
        assert attempt(target, folder, json.dumps(bent).encode()).finding == "", (key, kind)


@pytest.mark.slow
@pytest.mark.parametrize("name", STORED)
def test_every_value_removed_is_accepted_or_refused(name, tmp_path):
    target = TARGETS[name]
    content = json.loads(target.valid()[0])
    for place in range(0, count := len(list(places_of(content))), max(1, count // 25)):
        bent = copy.deepcopy(content)
        parent, key = list(places_of(bent))[place]
        del parent[key]
        folder = tmp_path / str(place)
        folder.mkdir()
        assert attempt(target, folder, json.dumps(bent).encode()).finding == "", key


@pytest.mark.parametrize(
    ("file", "path", "value"),
    [
        ("data.json", ("mean", 0), float("inf")),
        ("data.json", ("counts", "train"), "many"),
        ("data.json", ("classes",), {"x": []}),
        ("search.json", ("front", 0, "top1"), float("inf")),
        ("search.json", ("front", 0, "madds"), None),
        ("search.json", ("front", 0, "genome"), "../../x"),
        ("search.json", ("operators",), {"crossover": "many"}),
        ("search.json", ("operators", "first", "children"), [1]),
        ("search.json", ("hypervolume",), [float("nan"), "x"]),
        ("ranking.json", ("models",), []),
        ("ranking.json", ("models", 0, "stand_alone"), []),
        ("ranking.json", ("tau", "interval"), [0.1]),
        ("stages.json", ("stages", "train", "files"), {"../../etc/passwd": "0"}),
        ("ledger.json", ("updates",), [[1, -1]]),
        ("ledger.json", ("gradient_norms", 0, 0), float("nan")),
        ("versions.json", ("torch",), {"x": 1}),
    ],
)
def test_the_report_takes_or_refuses_what_was_found(file, path, value, tmp_path):
    target = TARGETS[f"report, {file}"]
    content = json.loads(target.valid()[0])
    place = content
    for key in path[:-1]:
        place = place[key]
    assert path[-1] in place if isinstance(place, dict) else path[-1] < len(place), "the example has another shape now"
    place[path[-1]] = value
    assert attempt(target, tmp_path, json.dumps(content).encode()).finding == ""
