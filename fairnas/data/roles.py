"""Roles of folders by their names: a split, annotations, a version of the images. No torch.

A name has a role if every word of it belongs to the role or is neutral (`test_images`, `Train2017`). Any other word
makes it an ordinary name: `test_tube`, `original_paintings`, `no_mask`.
"""

import itertools
import re
from collections.abc import Iterable, Sequence

_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|\d+|[^\W\d_]+")


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Neutral words, which say nothing about the role of a folder.
_EMPTY = _set(
    "set sets data dataset datasets image images img imgs photo photos picture pictures pics jpg jpeg jpegs "
    "png pngs file files folder dir split full all final the of and class object x px tr ts ds"
)
_IMAGES = _set("image images img imgs jpegimages photos pictures frames jpgs jpegs pngs rgb")
_SPLITS = {
    "train": "train training trainset trainingset trainval traindata trainingdata trn",
    "val": "val valid validation valset validset validationset dev devset eval evaluation holdout",
    "test": "test testing testset testingset testdata testval",
    "unlabelled": "unlabeled unlabelled",
    "other": "pred prediction predictions query gallery",
}
_SPLIT_OF = {word: kind for kind, words in _SPLITS.items() for word in words.split()}
_ANNOTATIONS = _set(
    "label labels lbl lbls mask masks annotation annotations annot annots anno annos anns bbox bboxes boxes xml "
    "xmls json jsons csv txt gt groundtruth truth ground segmentation segmentations segmentationclass "
    "segmentationobject keypoints landmarks trimaps imagesets metadata contours outlines"
)
_DERIVED = _set(
    "augmented augmentation augmentations aug resized rescaled processed preprocessed postprocessed thumbnail "
    "thumbnails thumb thumbs normalized normalised compressed enhanced cropped"
)
_SOURCES = _set("original originals orig raw source unprocessed uncropped unresized")
_WHOLE = _set("full whole entire uncut")
_CUT = _set("cropped crop crops cropping resized rescaled thumbnail thumbnails thumbs")
"""Words that make whole images and parts versions of the same images."""
_COPIES = _set("copy copies duplicate duplicates backup backups bak")
_LOOKS = _set(
    "old new color colour colored coloured gray grey grayscale greyscale segmented small large lowres highres "
    "low high res resolution hr lr clean cleaned filtered rotated flipped"
)
"""Words for versions only if folders of the same classes lie below, because otherwise they may be classes."""
_STRAY_VERSIONS = _set("augmented augmentation augmentations thumbnail thumbnails resized preprocessed")
"""Words that are never classes, even beside folders that are."""
_PARTS = _set("fold folds kfold cv part parts chunk shard subset batch")
_NUMBERED = _set("set dataset data")
"""Words for parts only if the names contain nothing else, because `brick_set_1` may be a class."""
_LEFTOVERS = _set(
    "extra extras other others misc raw sample samples unsorted unknown background backgrounds docs doc "
    "scripts code notebooks models output outputs results old backup tmp temp"
)
"""Words for folders beside `train/` that are neither splits nor classes."""
_GROUPS = _set("control controls placebo baseline treatment treated")
_DENIALS = ("no", "not", "non", "without", "un", "in", "dis", "with")


def words(name: str) -> tuple[str, ...]:
    """Words and numbers of a name in lower case; capitals begin a word in `JPEGImages`."""
    return tuple(word.casefold() for word in _WORD.findall(name))


def distinct_words(names: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """Words of several names without those that all begin or end with; empty for a name without others."""
    split = [words(name) for name in names]
    if len(split) < 2:
        return tuple(split)
    shortest = min(map(len, split))
    first = _common(split, shortest)
    last = _common([each[::-1] for each in split], shortest - first)
    return tuple(each[first : len(each) - last] for each in split)


def is_split(spoken: Sequence[str]) -> bool:
    """True if words name a split."""
    return _has_role(spoken, _SPLIT_OF.keys())


def split_kinds(spoken: Sequence[str]) -> frozenset[str]:
    """Kinds of splits that words name: `train`, `val`, `test`, `unlabelled`, `other`."""
    return frozenset(_SPLIT_OF[word] for word in spoken if word in _SPLIT_OF)


def is_images(spoken: Sequence[str]) -> bool:
    """True if words only mean images."""
    return _has_role(spoken, _IMAGES)


def is_annotations(spoken: Sequence[str]) -> bool:
    """True if words name annotations of images."""
    return _has_role(spoken, _ANNOTATIONS)


def is_version(spoken: Sequence[str], *, beside_classes: bool = False) -> bool:
    """True if words name a version of images. Fewer words count beside folders that are classes."""
    return _has_role(spoken, _STRAY_VERSIONS if beside_classes else _DERIVED | _SOURCES | _COPIES)


def is_source(spoken: Sequence[str]) -> bool:
    """True if words name the images that versions are made from."""
    return _has_role(spoken, _SOURCES)


def is_group(spoken: Sequence[str]) -> bool:
    """True if words name a group of a study, beside which `test` is a group as well."""
    return bool(_GROUPS & {*spoken})


def is_leftover(spoken: Sequence[str]) -> bool:
    """True if words name something beside `train/` that is neither a split nor a class."""
    known = _LEFTOVERS | _IMAGES | _ANNOTATIONS | _DERIVED | _SOURCES | _COPIES | _SPLIT_OF.keys()
    return _has_role(spoken, known)


def are_versions(spoken: Sequence[Sequence[str]], *, with_classes: bool) -> bool:
    """True if all names are versions of the same images, at least one of them made from another.

    Args:
        spoken: the words of each name.
        with_classes: True if folders of the same classes lie below, so that `old` and `new` are versions as well.
    """
    sources = _SOURCES | (_LOOKS if with_classes else frozenset())
    made = _DERIVED | _COPIES | (_LOOKS if with_classes else frozenset())
    if any(_has_role(each, _CUT) for each in spoken) and any(_has_role(each, _WHOLE) for each in spoken):
        sources, made = sources | _WHOLE, made | _CUT
    if len(spoken) < 2 or any(each and not _has_role(each, made | sources) for each in spoken):
        return _are_numbered(spoken, {"v", "ver", "version"}) or (with_classes and all(map(_is_size, spoken)))
    return any(made & {*each} for each in spoken)


def are_parts(names: Sequence[str]) -> bool:
    """True if all names are numbered parts of one set, such as `fold1` and `fold2`."""
    spoken = [words(name) for name in names]
    return _are_numbered(spoken, _PARTS | _SPLIT_OF.keys() | {"split"}) or (
        _are_numbered(spoken, _NUMBERED) and all(_has_role(each, _NUMBERED) for each in spoken)
    )


def is_denied(name: str, others: Iterable[str]) -> bool:
    """True if another name is the opposite of a name, such as `no_mask` or `invalid`: then both are classes."""
    plain = "".join(words(name))
    opposites = {denial + plain for denial in _DENIALS}
    return any("".join(words(other)) in opposites for other in others)


def _has_role(spoken: Sequence[str], known: Iterable[str]) -> bool:
    known = frozenset(known)
    return any(word in known for word in spoken) and all(
        word in known or word in _EMPTY or word.isdigit() for word in spoken
    )


def _are_numbered(spoken: Sequence[Sequence[str]], known: Iterable[str]) -> bool:
    """True if names have the same words, one of them known, followed by different numbers."""
    known = frozenset(known)
    plain = {tuple(word for word in each if not word.isdigit()) for each in spoken}
    numbers = {tuple(word for word in each if word.isdigit()) for each in spoken}
    if len(spoken) < 2 or len(plain) > 1 or len(numbers) < len(spoken) or () in numbers:
        return False
    return all(any(a in known and b.isdigit() for a, b in itertools.pairwise(each)) for each in spoken)


def _is_size(spoken: Sequence[str]) -> bool:
    """True if words are a size in pixels, such as 100x100 or 64px."""
    numbers = sum(word.isdigit() for word in spoken)
    return numbers > 0 and all(word.isdigit() or word in ("x", "px", "by") for word in spoken) and len(spoken) > numbers


def _common(split: Sequence[Sequence[str]], most: int) -> int:
    """Number of words with which all names begin."""
    for place in range(most):
        if len({each[place] for each in split}) > 1:
            return place
    return most
