"""Names of classes: obvious mistakes are reported with their invisible characters shown, and as names to change."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnas.data.finding import RefusedImages
from fairnas.data.folder_layout import read_layout
from fairnas.data.names import alike, counterpart, quoted, shortened, visible
from tests.data.trees import grow

ALIKE = {
    "capitals": ("cat", "Cat", "'cat' and 'Cat' (upper and lower case only)"),
    "a space at the end": ("cat", "cat ", "'cat' and 'cat ' (spaces or invisible characters only: U+0020 SPACE)"),
    "a space at the beginning": ("cat", " cat", "U+0020 SPACE"),
    "a space that does not break": (
        "hot dog",
        "hot\u00a0dog",
        r"'hot\xa0dog' (spaces or invisible characters only: U+00A0",
    ),
    "two spaces": ("hot dog", "hot  dog", "U+0020 SPACE"),
    "nothing of no width": ("cat", "c\u200bat", r"'c\u200bat' (spaces or invisible characters only: U+200B ZERO WIDTH"),
    "a byte order mark": ("cat", "\ufeffcat", "U+FEFF ZERO WIDTH NO-BREAK SPACE"),
    "a soft hyphen": ("cat", "c\u00adat", "U+00AD SOFT HYPHEN"),
    "two Unicode forms": (
        "caf\u00e9",
        "cafe\u0301",
        "'caf\u00e9' and 'cafe\\u0301' (the same letters in two Unicode forms: U+00E9 LATIN SMALL LETTER E WITH ACUTE",
    ),
    "two forms of Hangul": (
        "\ud55c",
        "\u1112\u1161\u11ab",
        r"'\u1112\u1161\u11ab' (the same letters in two Unicode forms",
    ),
    "Cyrillic": ("cat", "c\u0430t", "letters that look the same only: U+0430 CYRILLIC SMALL LETTER A"),
    "full width": ("cat", "\uff43at", "letters that look the same only: U+FF43 FULLWIDTH LATIN SMALL LETTER C"),
    "hyphens": ("hot dog", "hot_dog", "spaces, hyphens or underscores only"),
    "a plural": ("dog", "dogs", "'dog' and 'dogs' (singular and plural)"),
    "another plural": ("pony", "Ponies", "singular and plural"),
    "a second copy": ("dog", "dog (1)", "'dog' and 'dog (1)' (named like a copy of it)"),
    "a copy": ("dog", "dog copy", "named like a copy of it"),
    "a copy with an underscore": ("dog", "dog_copy", "named like a copy of it"),
    "an augmented copy": ("normal", "normal_aug", "named like a copy of it"),
    "a copy of a copy": ("dog", "dog - Copy (2)", "named like a copy of it"),
    "a copy said first": ("dog", "Copy of dog", "named like a copy of it"),
}
APART = [
    ("cat", "dog"),
    ("A", "a"),
    ("1", "10"),
    ("1-2", "12"),
    ("class 1", "class 2"),
    ("type (1)", "type (2)"),
    ("photo", "photocopy"),
    ("glas", "glass"),
    ("as", "a"),
    ("copy", "original"),
    ("left", "right"),
    ("\u3042", "\u30a2"),
    ("e", "\u00e9"),
]


@pytest.mark.parametrize("name", ALIKE)
def test_names_that_people_take_for_one(name, tmp_path):
    one, other, words = ALIKE[name]
    pairs = alike((one, other))
    assert len(pairs) == 1
    assert words in str(pairs[0])
    for each in ((one, other), (other, one)):
        found = counterpart(each[0], ["zebra", each[1]])
        assert found is not None
        assert (found.one, found.other) == each
    root = tmp_path / "set"
    for each in (one, other, "zebra"):
        (root / each).mkdir(parents=True)
        (root / each / "a.jpg").touch()
    layout = read_layout(root)
    assert set(layout.train.names) == {one, other, "zebra"}, "they stay what they are"
    assert [finding.id for finding in layout.findings] == ["names-alike"]
    assert quoted(one) in layout.notes[0]
    assert quoted(other) in layout.notes[0]
    assert layout.notes[0].isprintable()


@pytest.mark.parametrize("names", APART)
def test_names_that_are_two(names):
    assert alike(names) == alike(names[::-1]) == ()


def test_of_many_pairs_the_first_are_told(tmp_path):
    for number in range(7):
        grow(tmp_path, f"kind{number}x*1 Kind{number}x*1")
    assert read_layout(tmp_path).notes[0].count("case only") == 5
    assert ", ... (7); if they are one class" in read_layout(tmp_path).notes[0]


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        (
            "train/cat*2 train/dog*2 test/Cat*2 test/dog*2",
            "test/ lacks cat; train/ lacks Cat; rename 'Cat' in test/ to 'cat' (upper and lower case only)",
        ),
        ("train/cat*2 train/dog*2 test/cat~*2 test/dog*2", "rename 'cat ' in test/ to 'cat' (spaces or invisible"),
        ("train/cat*2 train/dog*2 val/cats*2 val/dog*2", "rename 'cats' in val/ to 'cat' (singular and plural)"),
        ("train/cat*2 train/dog*2 test/Cat*2 test/owl*2", "to 'cat' (upper and lower case only), and give every split"),
        ("train/cat*2 train/dog*2 test/cat*2 test/owl*2", "train/ lacks owl; give every split the same class folders"),
    ],
)
def test_a_split_that_lacks_a_class_by_its_spelling(tmp_path, tree, words):
    with pytest.raises(RefusedImages) as caught:
        read_layout(grow(tmp_path, tree))
    assert caught.value.finding.id == "classes-differ"
    assert words in str(caught.value)


@pytest.mark.parametrize("other", ["Train", "train ", "\u200btrain", "train\u00a0"])
def test_two_folders_that_mean_train(tmp_path, other):
    for name in ("train", other):
        for inner in ("cat", "dog"):
            grow(tmp_path / name / inner, "a.jpg")
    with pytest.raises(RefusedImages) as caught:
        read_layout(tmp_path)
    assert caught.value.finding.id == "split-twice"
    assert f"{visible(other)}/" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_split_by_a_name_with_a_space_is_still_one(tmp_path):
    layout = read_layout(grow(tmp_path, "Train~/cat*2 Train~/dog*2 TEST/cat*1 TEST/dog*1"))
    assert layout.train.count == 4
    assert layout.test is not None


def test_only_what_is_invisible_is_written_as_its_code():
    assert visible("golden retriever") == "golden retriever"
    assert visible("caf\u00e9") == "caf\u00e9"
    assert visible("\u0939\u093f\u0928\u094d\u0926\u0940") == "\u0939\u093f\u0928\u094d\u0926\u0940"
    assert visible("cat ") == "'cat '"
    assert visible("a\nb\x1b[31m") == r"'a\nb\x1b[31m'"
    assert visible("one, two") == "'one, two'"
    assert shortened(["a", "b", "c "], 2) == "a, b, ... (3)"


@given(st.text(max_size=20))
def test_shown_names_are_printable(name):
    assert visible(name).isprintable()


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=6, unique=True))
def test_pairs_are_of_the_names_given(names):
    pairs = alike(tuple(names))
    assert all({pair.one, pair.other} <= set(names) and pair.one != pair.other for pair in pairs)
    assert len({pair.other for pair in pairs}) == len(pairs)
