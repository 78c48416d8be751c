"""Laws of splits whose images stay together: no unit is divided, no image lost, and without units nothing changes."""

import dataclasses

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fairnas.data.finding import RefusedImages
from fairnas.data.splits import Shares, candidates, carve, ranks
from fairnas.data.units import Units, candidates_together, carve_together, share_findings
from fairnas.errors import DataError

CLASSES = tuple("abcd")
PARTS = ("train", "validation", "test")


@st.composite
def grouped(draw):
    """Labels of images of 2 to 4 classes, and numbers of groups, of which some hold several classes."""
    classes = draw(st.integers(2, 4))
    labels = [label for label in range(classes) for _ in range(8)]
    labels += draw(st.lists(st.integers(0, classes - 1), max_size=40))
    groups = draw(st.lists(st.integers(0, 30), min_size=len(labels), max_size=len(labels)))
    return classes, np.array(labels), np.array(groups)


def names(labels: np.ndarray) -> list[bytes]:
    return [f"{CLASSES[label]}/{place}".encode() for place, label in enumerate(labels)]


def carved_or_none(rank, labels, classes, shares, units):
    try:
        return vars(carve_together(rank, labels, CLASSES[:classes], shares, units))
    except DataError:
        return None


@settings(deadline=None)
@given(grouped(), st.integers(0, 4), st.integers(0, 3), st.integers(0, 2**40))
def test_no_unit_is_divided_and_every_image_is_in_one_split(data, validation, test, seed):
    classes, labels, groups = data
    rank = ranks(seed, names(labels))
    parts = carved_or_none(rank, labels, classes, Shares(validation, test, None), Units.of(rank, [groups]))
    assume(parts is not None)
    everything = np.concatenate([parts[part] for part in PARTS])
    assert sorted(everything.tolist()) == list(range(len(labels)))
    homes = [{groups[place] for place in parts[part].tolist()} for part in PARTS]
    assert sum(map(len, homes)) == len(set().union(*homes))
    for part, wanted in zip(PARTS, (1, validation, test), strict=True):
        assert (np.bincount(labels[parts[part]], minlength=classes) > 0).all() == (wanted > 0)


@pytest.mark.slow
@settings(deadline=None)
@given(grouped(), st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_the_order_of_the_files_does_not_matter(data, seed, random):
    classes, labels, groups = data
    members = names(labels)
    order = list(range(len(labels)))
    random.shuffle(order)

    def membership(places):
        some = [members[place] for place in places]
        rank = ranks(seed, some)
        parts = carved_or_none(rank, labels[places], classes, Shares(2, 2, None), Units.of(rank, [groups[places]]))
        return parts and {part: [some[place] for place in parts[part]] for part in PARTS}

    assert membership(np.array(order)) == membership(np.arange(len(labels)))


class Walked(Units):
    """Units that are dealt out one by one although all of them are single images."""

    are_single = False  # pyright: ignore[reportAssignmentType]


@settings(deadline=None)
@given(grouped(), st.integers(0, 4), st.integers(0, 3), st.none() | st.integers(1, 9), st.integers(0, 2**40))
def test_without_units_of_several_images_the_splits_are_those_of_single_images(data, validation, test, train, seed):
    classes, labels, _ = data
    rank, shares = ranks(seed, names(labels)), Shares(validation, test, train)
    single = Units.of(rank, [np.arange(len(labels))])
    expected = vars(carve(rank, labels, CLASSES[:classes], shares))
    for units in (single, Walked(single.number, single.rank)):
        found = vars(carve_together(rank, labels, CLASSES[:classes], shares, units))
        assert all(np.array_equal(found[part], expected[part]) for part in PARTS)
    assert np.array_equal(candidates_together(rank, labels, shares, single), candidates(rank, labels, shares))


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(st.lists(st.integers(1, 6), min_size=30, max_size=60), min_size=2, max_size=3), st.integers(0, 2**32))
def test_each_class_gets_about_what_is_wanted(sizes, seed):
    """Off by less than the largest group, where groups hold one class each and are many."""
    labels = np.concatenate([np.full(sum(each), label) for label, each in enumerate(sizes)])
    groups = np.repeat(np.arange(sum(map(len, sizes))), [size for each in sizes for size in each])
    rank = ranks(seed, names(labels))
    shares = Shares(10, 7, None)
    carved = carve_together(rank, labels, CLASSES[: len(sizes)], shares, Units.of(rank, [groups]))
    for places, wanted in ((carved.validation, 10), (carved.test, 7)):
        found = np.bincount(labels[places], minlength=len(sizes))
        assert (np.abs(found - wanted) < 6).all()


@settings(deadline=None)
@given(grouped(), st.integers(1, 3), st.integers(0, 2), st.integers(1, 4))
def test_candidates_suffice_and_no_unit_of_theirs_is_divided(data, validation, test, train):
    classes, labels, groups = data
    rank, shares = ranks(3, names(labels)), Shares(validation, test, train)
    units = Units.of(rank, [groups])
    assume(carved_or_none(rank, labels, classes, shares, units) is not None)
    some = candidates_together(rank, labels, shares, units)
    parts = carved_or_none(rank[some], labels[some], classes, shares, units.take(some))
    assert parts is not None
    homes = [{groups[some[place]] for place in parts[part].tolist()} for part in PARTS]
    assert sum(map(len, homes)) == len(set().union(*homes))
    assert (np.bincount(labels[some][parts["train"]], minlength=classes) <= train).all()


def test_a_new_image_in_a_group_does_not_move_the_group():
    groups = np.repeat(np.arange(40), 3)
    of_groups = ranks(5, [b"%d" % group for group in range(40)])

    def held_out(groups):
        labels = np.arange(len(groups)) % 2
        units = Units.of(of_groups[groups], [groups])
        return set(
            groups[carve_together(ranks(0, names(labels)), labels, ("a", "b"), Shares(9, 0, None), units).validation]
        )

    first, second = held_out(groups), held_out(np.append(groups, [39, 39]))
    assert len(first & second) >= len(first) - 1


def test_a_class_of_too_few_groups_is_refused():
    labels, groups = np.repeat([0, 1], [40, 40]), np.append(np.arange(40), np.repeat([40, 41], 20))
    rank = ranks(0, names(labels))
    with pytest.raises(RefusedImages) as caught:
        carve_together(rank, labels, ("cat", "dog"), Shares(5, 5, None), Units.of(rank, [groups]))
    assert caught.value.finding.id == "groups-too-few"
    assert str(caught.value) == (
        "the 40 usable training images of class 'dog' are 2 groups that stay together (by data.group, or as copies), "
        "and 3 are needed for training, validation and test images; add images, or change data.group or data.copies"
    )
    shares = Shares(5, 0, None)
    assert len(carve_together(rank, labels, ("cat", "dog"), shares, Units.of(rank, [groups])).train) == 35 + 20


def test_the_largest_group_of_a_class_is_for_training():
    labels = np.repeat([0, 1], [50, 50])
    groups = np.concatenate([np.arange(50), np.repeat([50, 51, 52], [4, 42, 4])])
    rank = ranks(1, names(labels))
    units, shares = Units.of(rank, [groups]), Shares(7, 7, None)
    carved = carve_together(rank, labels, ("cat", "dog"), shares, units)
    assert {int(groups[place]) for place in carved.train if labels[place]} == {51}
    assert share_findings(carved, labels, ("cat", "dog"), shares, units, np.array([50, 50])) == ()


def test_a_group_that_brings_a_class_closer_is_taken_although_it_is_too_large():
    labels, groups = np.repeat([0, 1], 60), np.repeat(np.arange(20), 6)
    rank = ranks(1, names(labels))
    carved = carve_together(rank, labels, ("cat", "dog"), Shares(10, 8, None), Units.of(rank, [groups]))
    assert np.bincount(labels[carved.validation]).tolist() == [12, 12]
    assert np.bincount(labels[carved.test]).tolist() == [6, 6]


def test_splits_far_from_the_shares_are_told():
    labels, groups = np.repeat([0, 1], [60, 60]), np.append(np.arange(60), np.repeat([60, 61, 62], 20))
    rank = ranks(1, names(labels))
    units, shares = Units.of(rank, [groups]), Shares(7, 5, None)
    carved = carve_together(rank, labels, ("cat", "dog"), shares, units)
    (finding,) = share_findings(carved, labels, ("cat", "dog"), shares, units, np.array([60, 60]))
    assert finding.id == "groups-too-large"
    assert "20 validation images of class 'dog' instead of 7 and 20 test images of class 'dog' instead of 5" in (
        finding.message
    )


def test_splits_of_single_images_are_those_of_earlier_versions():
    """Runs that were begun go on, and figures that were published can be made again."""
    labels = np.repeat([0, 1], [20, 20])
    carved = carve_together(
        rank := ranks(7, names(labels)), labels, ("a", "b"), Shares(3, 2, 4), Units.of(rank, [np.arange(40)])
    )
    found = {part: places.tolist() for part, places in dataclasses.asdict(carved).items()}
    assert found == {
        "train": [4, 25, 10, 38, 0, 32, 26, 12],
        "validation": [7, 13, 15, 31, 37, 34],
        "test": [24, 27, 5, 2],
    }
