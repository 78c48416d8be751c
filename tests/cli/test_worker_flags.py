"""`--workers` and `--scheduler` of the verbs whose work others can do."""

import dataclasses

import pytest

from fairnas.cli.parsing import given_flags
from fairnas.cli.rank import RankVerb
from fairnas.cli.retrain import RetrainVerb
from fairnas.cli.search import SearchVerb
from fairnas.cli.settings import stage_settings
from fairnas.config import Resources, RunConfig
from fairnas.errors import ConfigError

VERBS = {"search": SearchVerb, "retrain": RetrainVerb, "rank": RankVerb}
CONFIG = RunConfig("digits", resources=Resources(device="cpu", processes=3, scheduler="tcp://before:1"))


@pytest.mark.parametrize("verb", VERBS)
def test_they_replace_those_of_the_run_and_nothing_else(verb):
    def given(*flags):
        config, resources = stage_settings(CONFIG, given_flags(VERBS[verb], ["--run", "run", *flags], verb))
        assert config == CONFIG
        return resources

    assert given() is None
    assert given("--workers", "2") == dataclasses.replace(CONFIG.resources, workers=2, processes=2, scheduler=None)
    assert given("--workers", "2", "--resources.processes", "1").processes == 1
    assert given("--scheduler", "tcp://h:1") == dataclasses.replace(CONFIG.resources, scheduler="tcp://h:1")
    with pytest.raises(ConfigError, match="give one of them"):
        given("--workers", "2", "--scheduler", "tcp://h:1")
