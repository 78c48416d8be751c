"""`--workers` and `--scheduler` of the verbs whose work others can do."""

import dataclasses
from pathlib import Path

import pytest

from fairnas.cli.rank import RankVerb
from fairnas.cli.retrain import RetrainVerb
from fairnas.cli.search import SearchVerb
from fairnas.config import Resources, RunConfig
from fairnas.errors import ConfigError

VERBS = (SearchVerb, RetrainVerb, RankVerb)
CONFIG = RunConfig("digits", resources=Resources(device="cpu", processes=3, scheduler="tcp://before:1"))


@pytest.mark.parametrize("verb", VERBS)
def test_they_replace_those_of_the_run_and_nothing_else(verb):
    given = lambda **flags: verb(Path("run"), **flags).resources_for(CONFIG)  # noqa: E731
    assert given() is None
    assert given(workers=2) == dataclasses.replace(CONFIG.resources, workers=2, processes=2, scheduler=None)
    assert given(scheduler="tcp://h:1") == dataclasses.replace(CONFIG.resources, scheduler="tcp://h:1")
    with pytest.raises(ConfigError, match="give one of them"):
        given(workers=2, scheduler="tcp://h:1")
