"""Class names that say a direction, digits or letters: the notes about them, and the folder's defaults for them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnas.config import DataConfig
from fairnas.config.augmentation import Augmentation
from fairnas.data.orientation import default_flip, orientation_findings, oriented_names

DIRECTED = [
    ("left", "right"),
    ("arrow_left", "arrow_right", "arrow_up"),
    ("turn-right", "straight on"),
    ("turnLeft", "turnRight"),
    ("LeftHand", "RIGHTHand"),
    ("turnleft", "turnright"),
    ("hand_l", "hand_r"),
    ("HandL", "HandR"),
    ("OD", "OS"),
    ("links", "rechts"),
    ("flèche gauche", "flèche droite"),
    ("izquierda", "derecha"),
    ("左转", "右转"),
    ("eastbound", "westbound"),
    ("forward", "backward"),
    ("clockwise", "anti-clockwise"),
    ("screw_cw", "screw_ccw"),
    ("waxing_crescent", "waning_crescent"),
    ("rising", "falling"),
    ("mirrored", "normal"),
    ("left", "wrong"),
    tuple("0123456789"),
    tuple(str(number) for number in range(1, 11)),
    ("6", "9"),
    ("2", "5"),
    ("zero", "one", "two"),
    ("digit_0", "digit_1"),
    tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
    (*"abcde", "space", "nothing"),
    ("b", "d", "p", "q"),
    ("letter_a", "letter_b"),
    ("E", "upper_E", "upper_F"),
    ("(", ")"),
    ("あ", "い"),
    ("speed_limit_30", "speed_limit_50", "stop"),
    ("50kmh", "80kmh"),
    ("20", "30", "50"),
]
UNDIRECTED = [
    ("cat", "dog"),
    ("0", "1"),
    ("X", "O"),
    ("00", "01", "02"),
    tuple(str(number) for number in range(1, 103)),
    ("class_0", "class_1", "class_2"),
    ("grade 1", "grade 2", "grade 3"),
    ("right whale", "blue whale"),
    ("right", "wrong"),
    ("bright", "dull"),
    ("copyright", "public domain"),
    ("cleft", "whole"),
    ("links", "wurst"),
    ("vitamin_b", "vitamin_d"),
    ("small", "large"),
    ("sitting", "standing up"),
    ("A", "apple"),
]
UPENDED = [("up", "down"), ("thumbs_up", "thumbs_down"), ("thumbup", "thumbdown"), ("top", "bottom"), ("oben", "unten")]


@pytest.mark.parametrize("classes", DIRECTED, ids=lambda classes: "|".join(classes[:3]))
def test_names_that_say_a_direction_leave_the_flip_out(classes):
    assert default_flip(classes) == "none"
    assert [f.id for f in orientation_findings(classes, DataConfig(flip="none"))] == ["mirrored-classes"]


@pytest.mark.parametrize("classes", [*UNDIRECTED, *UPENDED], ids=lambda classes: "|".join(classes[:3]))
def test_other_names_leave_the_flip_as_it_is(classes):
    assert default_flip(classes) == "auto"
    assert not list(orientation_findings(classes, DataConfig()))


@pytest.mark.parametrize("classes", UPENDED, ids="|".join)
def test_up_and_down_are_told_where_images_are_upended(classes):
    assert not list(orientation_findings(classes, DataConfig(flip="horizontal")))
    for parts, remedy in (
        ({"flip": "vertical"}, "--data.flip none"),
        ({"flip": "both"}, "--data.flip horizontal"),
        ({"rotate": "quarter"}, "--data.rotate none"),
        ({"flip": "both", "rotate": "quarter"}, "--data.flip horizontal and --data.rotate none"),
    ):
        (finding,) = orientation_findings(classes, DataConfig(**parts))
        assert f"give {remedy}, unless" in finding.message
        assert finding.message.startswith(f"classes '{classes[0]}' and '{classes[1]}' say up and down, but training")


def told(classes, **settings) -> list[str]:
    return [finding.message for finding in orientation_findings(classes, DataConfig(**settings))]


def test_what_is_told_says_what_is_done_and_what_to_give():
    arrows = ("arrow_left", "arrow_right")
    named = "classes 'arrow_left' and 'arrow_right' say left and right"
    given_by_hand = (
        f"{named}, but training images are flipped left to right; give --data.flip none, unless an image keeps its "
        "class when that is done"
    )
    assert told(arrows) == told(arrows, flip="horizontal") == [given_by_hand]
    assert told(arrows, flip="none") == [
        f"{named}, so training images are not flipped left to right; give --data.flip horizontal if mirrored images "
        "keep their class"
    ]
    assert told(arrows, augmentation="shift") == []
    assert told(("stop", "turn left")) == [given_by_hand.replace(named, "class 'turn left' says left and right")]
    (digits,) = told(tuple("0123456789"), augmentation="crop_flip")
    assert digits.startswith("classes '0', '1', '2', ... (10) are digits or letters, but training images are flipped")


def test_each_kind_of_direction_is_told_by_itself():
    kinds = oriented_names(("turn left", "turn right", "thumbs up", "thumbs down", "5", "6"))
    assert [(kind.names, kind.say) for kind in kinds] == [
        (("turn left", "turn right"), "say left and right"),
        (("thumbs up", "thumbs down"), "say up and down"),
        (("5", "6"), "are digits or letters"),
    ]


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8), unique=True, max_size=8))
def test_any_names_can_be_looked_at(classes):
    for group in oriented_names(classes):
        assert group.names
        assert set(group.names) <= set(classes)
        assert group.changed_by
    assert set(f.id for f in orientation_findings(classes, DataConfig(flip="both"))) <= {"mirrored-classes"}


def test_nothing_is_advised_that_is_given_or_done_already():
    def advised(**given_):
        return re.findall(r"--data\.\S+ \w+", Augmentation(**given_).advice())

    assert advised() == ["--data.flip horizontal", "--data.flip both", "--data.rotate quarter"]
    assert advised(flip="both") == ["--data.flip none", "--data.rotate quarter"]
    for flip in ("horizontal", "vertical", "both"):  # with quarter turns, each gives all eight positions
        assert advised(flip=flip, rotate="quarter") == ["--data.flip none", "--data.rotate none"]
    assert advised(rotate="quarter") == ["--data.rotate none", "--data.flip horizontal"]
