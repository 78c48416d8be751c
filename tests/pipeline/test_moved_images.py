"""Trainings are known by their settings and images, wherever the images lie, and as they were known before."""

import dataclasses
import shutil

import pytest

from fairnas.errors import RunDirectoryError
from fairnas.pipeline import Experiment
from fairnas.pipeline.retrain_stage import retrain_context
from fairnas.rundir import RunDirectory
from tests.rewriting import rewrite_json


@pytest.fixture
def run(trained_run, tmp_path):
    return RunDirectory(shutil.copytree(trained_run, tmp_path / "run"))


def moved(run, root):
    """The run with its images said to be elsewhere; `digits` are where they are."""
    run.write_config(dataclasses.replace(run.config, data=run.config.data.at("digits", root)))
    return Experiment(run)


def test_identities_do_not_depend_on_where_images_lie(run):
    here, there = Experiment(run), moved(run, "/elsewhere")
    assert here.identity == there.identity
    assert retrain_context(here).identity == retrain_context(there).identity
    fewer = dataclasses.replace(run.config, data=dataclasses.replace(run.config.data, augmentation="none"))
    run.write_config(fewer)
    assert Experiment(run).identity != here.identity


def test_other_images_are_refused(run):
    data = run.read_json("data.json")
    rewrite_json(run, "data.json", data | {"fingerprint": "of others"})
    with pytest.raises(RunDirectoryError, match=r"the images are not those that .*run was begun with; put them back"):
        Experiment(run).identity  # noqa: B018
