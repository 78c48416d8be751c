"""Laws of the split: disjoint, exact, a function of seed, class and name only."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.data.splits import CORRUPT_ALLOWED, Shares, candidates, carve, mixed, ranks
from fairnas.errors import DataError

CLASSES = tuple("abcd")


@st.composite
def labelled(draw, least: int = 0):
    """Labels of images of 2 to 4 classes in any order, with at least `least` of each."""
    classes = draw(st.integers(2, 4))
    labels = [label for label in range(classes) for _ in range(least)]
    labels += draw(st.lists(st.integers(0, classes - 1), max_size=40))
    return classes, np.array(draw(st.permutations(labels)), dtype=np.int64)


def names(labels: np.ndarray) -> list[bytes]:
    return [f"{CLASSES[label]}/{place}".encode() for place, label in enumerate(labels)]


@settings(deadline=None)
@given(labelled(least=8), st.integers(0, 5), st.integers(0, 2), st.none() | st.integers(1, 50), st.integers(0, 2**40))
def test_splits_are_disjoint_and_exact(data, validation, test, train, seed):
    classes, labels = data
    carved = carve(ranks(seed, names(labels)), labels, CLASSES[:classes], Shares(validation, test, train))
    everything = np.concatenate([carved.train, carved.validation, carved.test])
    assert len(set(everything.tolist())) == len(everything)
    total = np.bincount(labels, minlength=classes)
    assert (np.bincount(labels[carved.validation], minlength=classes) == validation).all()
    assert (np.bincount(labels[carved.test], minlength=classes) == test).all()
    remaining = total - validation - test
    expected = remaining if train is None else np.minimum(remaining, train)
    assert (np.bincount(labels[carved.train], minlength=classes) == expected).all()


@pytest.mark.slow
@settings(deadline=None)
@given(labelled(least=8), st.integers(0, 2**32), st.randoms(use_true_random=False))
def test_membership_does_not_depend_on_the_order_of_files(data, seed, random):
    classes, labels = data
    members, shares = names(labels), Shares(3, 2, 2)
    order = list(range(len(labels)))
    random.shuffle(order)

    def membership(places):
        some = [members[place] for place in places]
        carved = carve(ranks(seed, some), labels[list(places)], CLASSES[:classes], shares)
        return [[some[place] for place in part] for part in (carved.train, carved.validation, carved.test)]

    assert membership(order) == membership(range(len(labels)))


def test_new_files_in_one_class_move_nobody_in_another():
    old = [b"a/%d" % number for number in range(30)] + [b"b/%d" % number for number in range(30)]
    new = [b"b/new%d" % number for number in range(40)] + old
    kept = []
    for members in (old, new):
        labels = np.array([member.startswith(b"b") for member in members], dtype=np.int64)
        carved = carve(ranks(7, members), labels, ("a", "b"), Shares(10, 5, 8))
        kept.append(
            [{members[place] for place in part if members[place][:1] == b"a"} for part in vars(carved).values()]
        )
    assert kept[0] == kept[1]
    assert kept[0][1]


@pytest.mark.parametrize(
    ("sizes", "shares", "validation", "test"),
    [
        ((8, 500, 5000), Shares(50, 50, None), [1, 50, 50], [1, 50, 50]),
        ((8, 140, 5000), Shares(50, 20, 30), [1, 20, 50], [1, 20, 20]),
        ((8, 5000, 140), Shares(50, 0, None), [1, 50, 20], [0, 0, 0]),
        ((71, 5000), Shares(50, 20, None), [50, 50], [20, 20]),  # the smallest can give what is wanted
    ],
)
def test_classes_too_small_for_what_is_wanted_give_a_seventh(sizes, shares, validation, test):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rank = ranks(0, names_of_many(labels))
    some = candidates(rank, labels, shares)
    carved = carve(rank[some], labels[some], "abc"[: len(sizes)], shares, np.array(sizes))
    parts = [np.bincount(labels[some][part]).tolist() for part in (carved.validation, carved.test) if len(part)]
    assert parts == [part for part in (validation, test) if any(part)]
    rest = np.array(sizes) - validation - test
    assert np.bincount(labels[some][carved.train]).tolist() == np.minimum(rest, shares.train or 5000).tolist()


@pytest.mark.parametrize("sizes", [(98, 105), (8, 349)])
def test_where_the_largest_class_cannot_give_enough_either_all_is_refused(sizes):
    labels = np.repeat([0, 1], sizes)
    with pytest.raises(DataError, match=f"class 'a' has {sizes[0]} usable training images, which leaves none"):
        carve(ranks(0, names_of_many(labels)), labels, ("a", "b"), Shares(50, 50, None))


def names_of_many(labels: np.ndarray) -> list[bytes]:
    return [b"%d" % place for place in range(len(labels))]


def test_seed_decides_who_is_held_out():
    labels = np.repeat([0, 1], 50)
    first, again, other = (
        carve(ranks(seed, names(labels)), labels, ("a", "b"), Shares(10, 0, None)).validation.tolist()
        for seed in (1, 1, 2)
    )
    assert first == again
    assert set(first) != set(other)


def test_order_mixes_the_classes_however_large_they_are():
    labels = np.repeat([0, 1, 2], [100, 1_000, 10_000])
    members = [b"%d/%d" % (label, place) for place, label in enumerate(labels)]
    carved = carve(ranks(0, members), labels, CLASSES[:3], Shares(80, 0, None))
    for start in range(0, 240, 60):
        assert (np.bincount(labels[carved.validation[start : start + 60]], minlength=3) >= 8).all()
    share_of_large = (labels[carved.train[:500]] == 2).mean()
    assert 0.85 < share_of_large < 0.96  # 10,000 of 10,860
    everyone = np.arange(len(labels))
    assert sorted(mixed(ranks(0, members), everyone)) == everyone.tolist()


@settings(deadline=None)
@given(labelled(least=8), st.integers(1, 3), st.integers(0, 2), st.integers(1, 4), st.data())
def test_candidates_hold_all_that_carve_can_need(data, validation, test, train, more):
    """Carving the candidates gives the same split as carving everything, with as many corrupt as are tolerated."""
    classes, labels = data
    rank, shares = ranks(3, names(labels)), Shares(validation, test, train)
    some = candidates(rank, labels, shares)
    corrupt: list[int] = []
    for label in range(classes):
        members = some[labels[some] == label].tolist()
        most = int(CORRUPT_ALLOWED * len(members))
        corrupt += more.draw(st.lists(st.sampled_from(members), max_size=most, unique=True))

    def membership(places):
        good = np.setdiff1d(places, corrupt)
        carved = carve(rank[good], labels[good], CLASSES[:classes], shares)
        return [good[part].tolist() for part in vars(carved).values()]

    assert membership(some) == membership(np.arange(len(labels)))


def test_candidates_are_few_where_few_are_needed():
    labels = np.repeat([0, 1], 10_000)
    assert len(candidates(ranks(0, names(labels)), labels, Shares(5, 0, 4))) == 20
    assert len(candidates(ranks(0, names(labels)), labels, Shares(5, 0, None))) == 20_000


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        (Shares(12, 0, None), "after 12 for validation; give validation_per_class 11 or less, or add images"),
        (Shares(0, 20, None), "after 20 for test; give test_per_class 11 or less, or add images"),
        (
            Shares(6, 6, None),
            "after 6 for validation and 6 for test; with test_per_class 6, give validation_per_class 5 or less",
        ),
        (Shares(50, 50, 3), "give validation_per_class and test_per_class 5 or less each, or add images"),
    ],
)
def test_too_few_images_names_the_largest_value(shares, message):
    labels = np.repeat([0, 1], [40, 12])
    with pytest.raises(DataError) as caught:
        carve(ranks(0, names(labels)), labels, ("many", "few"), shares)
    assert str(caught.value).startswith("class 'few' has 12 usable training images, which leaves none for training")
    assert message in str(caught.value)


def test_the_largest_value_named_works_and_the_next_does_not():
    labels = np.repeat([0, 1], [40, 12])
    carve(ranks(0, names(labels)), labels, ("many", "few"), Shares(5, 6, None))
    carve(ranks(0, names(labels)), labels, ("many", "few"), Shares(11, 0, None))
    with pytest.raises(DataError):
        carve(ranks(0, names(labels)), labels, ("many", "few"), Shares(6, 6, None))


@pytest.mark.parametrize(
    ("count", "shares", "message"),
    [
        (2, Shares(1, 1, None), "add images: three per class are the least"),
        (1, Shares(1, 0, None), "add images, so that validation_per_class can be 1"),
        (0, Shares(0, 0, None), "class 'few' has 0 usable training images; add some"),
    ],
)
def test_hopeless_classes_need_images(count, shares, message):
    labels = np.repeat([0, 1], [40, count])
    with pytest.raises(DataError, match=message):
        carve(ranks(0, names(labels)), labels, ("many", "few"), shares)
