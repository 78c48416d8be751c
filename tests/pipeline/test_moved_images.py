"""Trainings are known by their settings and images, wherever the images lie, and as they were known before."""

import dataclasses
import hashlib
import json
import shutil

import pytest

from fairnas.errors import RunDirectoryError
from fairnas.pipeline import Experiment
from fairnas.pipeline.experiment import former_identity
from fairnas.pipeline.jobs import _make_way
from fairnas.pipeline.retraining import retraining_workshop
from fairnas.pipeline.stages import damaged_files
from fairnas.pipeline.truth import workshop_of
from fairnas.pipeline.workshop import Job
from fairnas.rundir import RunDirectory
from fairnas.space.file import to_dict
from fairnas.train import write_checkpoint


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
    assert retraining_workshop(here).identity == retraining_workshop(there).identity
    fewer = dataclasses.replace(run.config, data=dataclasses.replace(run.config.data, augmentation="none"))
    run.write_config(fewer)
    assert Experiment(run).identity != here.identity


def test_trainings_of_before_are_known(run):
    """Then the settings of the images were in the identity as a whole."""
    experiment = Experiment(run)
    workshop, job = workshop_of(experiment), Job((0,) * experiment.space.depth, 0, False)
    train = dataclasses.asdict(experiment.stand_alone)
    del train["architecture"]
    content = [train, to_dict(experiment.space), experiment.dataset.fingerprint, 0]
    content.append(dataclasses.asdict(run.config.data))
    then = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    assert then != workshop.identity
    workshop.folder.mkdir()
    for identity, known in ((workshop.identity, True), (then, True), ("of other settings", False)):
        workshop.result_path(job).write_text(json.dumps({"identity": identity, "status": "done"}))
        assert (workshop.finished(job) is not None) == known
        write_checkpoint(workshop.checkpoint_path(job), "stand-alone network", {"identity": identity})
        _make_way(workshop.checkpoint_path(job), workshop, "stand-alone network")
        assert workshop.checkpoint_path(job).exists() == known


def test_trainings_of_before_are_known_although_their_images_have_moved(run):
    """Of images in `data.root`, which was in the identity then and is in no other file."""
    before = Experiment(run)
    given = dataclasses.replace(run.config, data=run.config.data.at("digits", "old"))
    run.write_config(given)
    then = former_identity(before.stand_alone, given, before.space, before.dataset)
    for place in ("/new", "/newer"):
        now = dataclasses.replace(given, data=given.data.at("digits", place))
        RunDirectory.create(run.path, now, before.dataset.fingerprint)
        experiment = Experiment(run)
        assert experiment.config.data.root == place
        assert experiment.former_identity_of(experiment.stand_alone) == then
        assert not damaged_files(run, "train")


def test_other_images_are_refused(run):
    data = run.read_json("data.json")
    run.write_json("data.json", data | {"fingerprint": "of others"})
    with pytest.raises(RunDirectoryError, match=r"the images are not those that .*run was begun with; put them back"):
        Experiment(run).identity  # noqa: B018
