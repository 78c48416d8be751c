"""The dial on invented machines, from fast to hopeless, for folders from 20 images to 100,000: always in time."""

import contextlib
import dataclasses
import types

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairnas.config import RunConfig
from fairnas.data import Dataset
from fairnas.data.survey import CountedImages
from fairnas.errors import TooLittleTimeError
from fairnas.pipeline.prepare import prepare
from fairnas.planning import device as device_room
from fairnas.planning import operating_points as points_room
from fairnas.planning import time_budget as dial_room
from fairnas.planning.device import images_of
from fairnas.planning.dry_run import DryRunTimes, ExportTimes, SearchTimes
from fairnas.planning.setting_ranges import ALL, ImagesPerClass
from fairnas.planning.time_budget import dial
from fairnas.planning.timing import TrainingTimes
from fairnas.planning.training_times import JobTimes
from fairnas.progress import SilentNarrator
from fairnas.recipes import folder

MANAGED = 6.0
"""Times as slow as two idle cores, up to which ten minutes are enough for anything."""


@dataclasses.dataclass
class Machine:
    """One that takes `slow` times as long as two idle cores, with a folder of images. It has the only clock."""

    slow: float
    images: int
    classes: int
    decoding: float
    """Seconds for an image."""
    now: float = 0.0

    def monotonic(self) -> float:
        return self.now

    def works(self, seconds: float) -> None:
        self.now += self.slow * seconds

    def step(self, point) -> float:
        return self.slow * (0.05 + 0.4 * point.scale / 64)

    def config(self, minutes: float) -> RunConfig:
        each = self.images // self.classes
        config = folder(
            "folder:photos", images=self.images, smallest_class=each, largest_class=each,
            has_test=False, median_side=384, with_gpu=False,
        )  # fmt: skip
        return dataclasses.replace(config, minutes=minutes)

    # What the dial asks for -----------------------------------------------------------------------------------

    def survey(self, config, seed):
        return self

    def dataset(self, config, image_size):
        each, limit = self.images // self.classes, config.held_out_per_class or self.images
        held_out = min(config.validation_per_class, limit)
        train = min(each - 2 * held_out, config.train_per_class or self.images)
        splits = {
            split: CountedImages(torch.arange(self.classes).repeat(count))
            for split, count in (("train", train), ("validation", held_out), ("test", held_out))
        }
        names = tuple(f"class {number}" for number in range(self.classes))
        return Dataset(
            config.name, names, image_size, 3, mean=(0.5,) * 3, std=(0.2,) * 3,
            augmentation=config.applied, findings=(), fingerprint="", **splits,
        )  # fmt: skip

    def is_resident(self, dataset):
        return True

    def time_decoding(self, image_size, seconds):
        self.works(seconds)
        return self.slow * self.decoding

    def prepare(self, config, survey=None):
        prepared = prepare(config, survey=self)
        if survey is None:
            self.works(self.decoding * sum(len(getattr(prepared.dataset, split)) for split in SPLITS))
        return prepared

    def measure(self, times, point, patience):
        self.works(3 + patience)
        self.now += 6 * self.step(point)
        times._measured[point] = self.step(point)

    def rehearse(self, prepared, narrator, patience):
        point = types.SimpleNamespace(scale=(prepared.dataset.image_size * prepared.config.width) ** 2)
        space, step = prepared.space, self.step(point)
        self.works(25)
        self.now += 20 * step
        genomes = [space.parse(digit * space.depth) for digit in "543210"]
        score = len(prepared.dataset.validation) * step / 1200
        job = TrainingTimes(self.slow, step / 4, 0.0)
        return DryRunTimes(
            supernet=TrainingTimes(self.slow, step, 0.0), curve=12 * score, save=0.01, checkpoint=10**6,
            search=SearchTimes((32,) * 5, 5, ((0, score),), self.slow, 1000),
            retrained=tuple(genomes[:3]), studied=tuple(genomes[number % 6] for number in range(13)),
            jobs=(JobTimes(10**6, 10**5, job, 0.01, 2 * score, 10**6),), processes=2, process_start=4 * self.slow,
            study=0.1, export=ExportTimes(5 * self.slow, 4 * self.slow, 10**5, 10**6), report=0.3 * self.slow,
            report_file=10**6, memory=10**9,
        )  # fmt: skip


SPLITS = ("train", "validation", "test")


@contextlib.contextmanager
def on(machine):
    with pytest.MonkeyPatch.context() as patch:
        for room in (device_room, dial_room):
            patch.setattr(room, "time", machine)
        patch.setattr(device_room, "Survey", machine.survey)
        patch.setattr(device_room, "prepare", machine.prepare)
        patch.setattr(device_room, "rehearse", machine.rehearse)
        patch.setattr(points_room, "scan_folder", lambda *_: types.SimpleNamespace(median_side=96))
        patch.setattr(points_room.StepTimes, "measure", lambda *arguments: machine.measure(*arguments))
        yield


def turned(machine, minutes, given=frozenset()):
    with on(machine):
        machine.works(4)  # torch
        return dial(machine.config(minutes), given, 0.0, SilentNarrator())


def machines(slow):
    def made(slow, images, classes, decoding):
        return Machine(10**slow, max(int(10**images), 5 * classes), classes, 10**decoding)

    images, decoding = st.floats(1.31, 5), st.floats(-4, -1.2)
    return st.builds(made, slow, images, st.sampled_from([2, 100]), decoding)


@pytest.mark.slow
@pytest.mark.full
@given(machines(st.floats(-2, 0.77)), st.floats(10, 300))
@settings(max_examples=8, suppress_health_check=list(HealthCheck))
def test_from_ten_minutes_on_there_is_a_run_that_is_foreseen_to_end_in_time(machine, minutes):
    is_foreseen_to_end_in_time(machine, minutes)


@pytest.mark.slow
@pytest.mark.parametrize(("slow", "minutes"), [(2.0, 10), (0.1, 60)])
def test_a_slow_and_a_fast_machine_are_foreseen_to_end_in_time(slow, minutes):
    is_foreseen_to_end_in_time(Machine(slow, 2527, 2, 0.003), minutes)


def is_foreseen_to_end_in_time(machine, minutes):
    assert machine.slow <= MANAGED
    dialled = turned(machine, minutes)
    assert machine.now <= dialled.seconds <= 60 * minutes
    assert dialled.prepared.config.train.epochs >= 1
    assert sum(stage.seconds for stage in dialled.plan.stages) > 0


@pytest.mark.slow
@given(machines(st.floats(0.78, 1.2)))
@settings(max_examples=4, suppress_health_check=list(HealthCheck))
def test_a_machine_that_is_too_slow_for_a_single_pass_is_found_out_in_time(machine):
    with contextlib.suppress(TooLittleTimeError):
        assert turned(machine, 10).seconds <= 600
    assert machine.now <= 600


@pytest.mark.slow
def test_hopeless_times_are_refused_before_anything_slow_is_measured():
    machine = Machine(1.0, 2527, 2, 0.003)
    with pytest.raises(TooLittleTimeError, match="before anything of this device was measured; give --minutes 10"):
        turned(machine, 0.1)
    assert machine.now == 4
    machine = Machine(1.0, 2527, 2, 0.003)
    with pytest.raises(TooLittleTimeError, match="the least is about"):
        turned(machine, 0.2)
    assert machine.now < 12


@pytest.mark.slow
def test_what_is_given_up_is_said_and_where_it_is_poor_and_what_helps():
    slow = Machine(4.0, 2527, 2, 0.003)
    dialled = turned(slow, 10)
    kinds = [line.partition(":")[0] for line in dialled.given_up]
    assert {"images", "pixels", "channels", "supernet"} <= set(kinds)
    assert any("ranking study" in kind for kind in kinds)
    assert any("fewer than 300" in note for note in dialled.notes)
    assert dialled.notes[-1].startswith("with --minutes ")
    fast = turned(Machine(0.02, 2527, 2, 0.003), 600, frozenset({"data.image_size"}))
    assert (fast.given_up, [note for note in fast.notes if "fewer" in note]) == ((), [])


@pytest.mark.slow
def test_large_photographs_are_decoded_only_as_far_as_there_is_time():
    machine = Machine(1.0, 20_000, 2, 0.06)  # 12 megapixels
    dialled = turned(machine, 10)
    assert 0.06 * sum(len(getattr(dialled.prepared.dataset, split)) for split in SPLITS) < 0.2 * 600
    assert dialled.prepared.config.data.train_per_class < 1000
    assert turned(Machine(1.0, 20_000, 2, 0.0005), 600).prepared.config.data.train_per_class is None


def test_images_that_can_be_used_are_from_a_mini_batch_to_all_and_what_was_given_stays():
    machine = Machine(1.0, 10_000, 2, 0.001)
    config = machine.config(10)
    data = machine.dataset(config.data, 64)
    found = images_of(data, config, frozenset())
    trains = [each.train or len(data.train) for each in found]
    assert trains == sorted(trains)
    assert found[-1] == ALL[0]
    assert found[0].train <= config.train.batch_size
    assert images_of(data, config, frozenset({"data.train_per_class", "data.validation_per_class"})) == ALL
    held_out = [each.held_out for each in images_of(data, config, frozenset({"data.train_per_class"}))]
    assert {each.train for each in images_of(data, config, frozenset({"data.train_per_class"}))} == {None}
    assert held_out == sorted(held_out, key=lambda count: count or 10**9)
    assert ImagesPerClass(None, None) == ALL[0]
