"""One example of every finding about a folder of images: how it is laid out, the settings, what to do."""

from dataclasses import dataclass, field
from typing import Any

from tests.data.exampleimages import (
    Item,
    cut_off,
    deep,
    file,
    files,
    like,
    link,
    photos,
    png_inside,
    same_as,
    table,
)


@dataclass(frozen=True)
class Example:
    """A folder that has one finding, `also` with further ones that go with it."""

    tree: dict[str, Item]
    advice: str
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings of `DataConfig`, as the page shows them."""
    also: tuple[str, ...] = ()


def _rows(*rows: str) -> Item:
    return table("".join(f"{row}\n" for row in ("filename,label", *rows)))


def _numbered(count: int) -> Item:
    return photos(count, words=f"000.jpg to {count - 1:03}.jpg")


def _classes(*names: str, **how) -> dict[str, Item]:
    return {name: photos(3, **how) for name in names}


EXAMPLES: dict[str, Example] = {
    "annotations-as-classes": Example(
        {"images": photos(3), "labels": files(3, ".txt")},
        "Boxes and masks are not used. To classify what the boxes hold, cut them out first, into one folder per class.",
    ),
    "annotations-inside-classes": Example(
        {f"{name}/{inner}": photos(3) for name in ("healthy", "sick") for inner in ("images", "masks")},
        "Move the masks out; `healthy/images/` can stay as it is.",
    ),
    "class-copied": Example(
        {"cat": photos(2), "dog": photos(3), "kitten/000.jpg": same_as("cat/000.jpg"),
         "kitten/001.jpg": same_as("cat/001.jpg")},
        "Look which of the two names is meant. `--data.copies none` takes both classes as they are.",
    ),
    "class-like-a-split": Example(
        _classes("bus", "car", "train"),
        "Nothing to do if trains are meant. If it is a split, put the folders of the classes into `train/`.",
    ),
    "class-sizes": Example(
        {"crow": photos(31), "owl": photos(3)},
        "Nothing to do: the recipe balances training, and [balanced accuracy](folder.md#classes-of-unequal-size) is "
        "measured. More images of the small class help most.",
    ),
    "classes-differ": Example(
        _classes("train/cat", "train/dog", "test/cat", "test/Dog"),
        "Where names differ in more than their spelling, add the missing folders or remove those that are too many.",
    ),
    "classes-inside-class": Example(
        _classes("cat", "dog", "set/cat", "set/dog"),
        "Often an archive that was unpacked into itself: keep one of the two.",
    ),
    "classes-too-small": Example(
        {"crow": photos(30), "owl": photos(5)},
        "Add images of the small class, or give a smaller number for all.",
        {"validation_per_class": 4},
    ),
    "colour-to-grey": Example(
        {"cat/000a.jpg": photos(words="in colour"),
         **{name: photos(200, mode="L", words="in grey") for name in ("cat", "dog")}},
        "Nothing to do if grey is meant. Images are taken for grey if all that are looked at are, up to 200 evenly "
        "spaced ones.",
    ),
    "copies-between-classes": Example(
        {**_classes("cat", "dog"), "dog/rex.jpg": same_as("cat/001.jpg")},
        "Both images are used as they are until you remove one.",
    ),
    "copies-between-splits": Example(
        {"train/cat": photos(3), "train/dog": photos(3), "test/cat": photos(2), "test/dog": photos(2),
         "test/dog/rex.jpg": same_as("train/dog/001.jpg")},
        "Remove them from training, so that the test set stays what it is.",
    ),
    "copies-within-class": Example(
        {**_classes("cat", "dog"), "cat/tom.jpg": same_as("cat/001.jpg")},
        "Nothing to do: copies stay in one split. Each still counts as an image.",
    ),
    "corrupt-files": Example(
        {"cat": photos(11), "cat/tom.jpg": cut_off(), "dog": photos(3)},
        "Fetch the file again. More than a tenth of a class is an error, which says what is wrong with the first.",
    ),
    "cut-away": Example(
        _classes("cliff", "coast", size=(48, 16), words="48 x 16 pixels"),
        "Give `--data.fit pad`, unless what matters is in the middle.",
    ),
    "deep-clipped": Example(
        {"cold": deep(29000, 31000, 3), "warm": deep(30000, 34000, 3)},
        "Fine if pixels outside the range say nothing about the class.",
        {"range": "29000:33000"},
        also=("deep-range",),
    ),
    "deep-mixed": Example(
        {"cold": deep(29000, 31000, 3), "warm": photos(3, mode="L", words="8 bits")},
        "Save all images in one way, as the camera gave them.",
        also=("deep-range",),
    ),
    "deep-narrow": Example(
        {name: deep(29000, 29200, 3, hot=0.05, words="PNG of 16 bits, values from 29,000 to 29,200, some 65,000")
         for name in ("cold", "warm")},
        "Give the range that matters, such as `--data.range 28900:29300`.",
        also=("deep-range",),
    ),
    "deep-range": Example(
        {"cold": deep(29000, 31000, 3), "warm": deep(30000, 32000, 3)},
        "Compare it with what your camera means; [how it is chosen](folder.md#images-of-more-than-8-bits).",
    ),
    "extra-folders": Example(
        {**_classes("train/cat", "train/dog"), "unsorted": photos(2)},
        "Move their images into class folders if they are to be used.",
    ),
    "folds-as-classes": Example(
        _classes("fold1", "fold2", "fold3"),
        "Folders for cross-validation are not read: one of them may become `test/`, the others `train/`.",
    ),
    "groups-between-splits": Example(
        {f"{split}/{name}/video_{video}": photos(2)
         for split, videos in (("train", (1, 2)), ("test", (2, 3))) for name, more in (("cat", 0), ("dog", 4))
         for video in (videos[0] + more, videos[1] + more)},
        "Splits that you bring are used as they are: move the files yourself, or leave `test/` out, so that groups are "
        "kept together.",
        {"group": r"video_(\d+)"},
        also=("image-groups",),
    ),
    "groups-none": Example(
        {f"{name}/clip_{video}": photos(2) for name, videos in (("cat", "123"), ("dog", "456")) for video in videos},
        "The pattern is looked for in `cat/clip_1/000.jpg`, so `clip_(\\d+)` is meant.",
        {"group": r"video_(\d+)"},
    ),
    "groups-too-few": Example(
        {f"{name}/video_{video}": photos(4) for name, videos in (("cat", "123"), ("dog", "45")) for video in videos},
        "Training, validation and test need a group of each class. Where you bring `val/` and `test/`, one is enough.",
        {"group": r"video_(\d+)"},
    ),
    "groups-too-large": Example(
        {f"{name}/video_{video}": photos(4) for name, videos in (("cat", "123"), ("dog", "456")) for video in videos},
        "Splits of other sizes than wanted are the price of whole groups; more and smaller groups help.",
        {"group": r"video_(\d+)"},
        also=("image-groups",),
    ),
    "image-groups": Example(
        {f"{name}/video_{video}": photos(2) for name, videos in (("cat", "123"), ("dog", "456")) for video in videos},
        "See that these are the groups that you mean: a pattern may fit too much, or too little.",
        {"group": r"video_(\d+)"},
    ),
    "images-without-group": Example(
        {f"{name}/{stem}.jpg": photos() for name, numbers in (("cat", "123"), ("dog", "456"))
         for stem in (*(f"video_{number}" for number in numbers), name)},
        "Rename them, or extend the pattern, if they belong to a group.",
        {"group": r"video_(\d+)"},
        also=("image-groups",),
    ),
    "labels-contradict": Example(
        {"photos": _numbered(4),
         "labels.csv": _rows("000.jpg,cat", "001.jpg,cat", "002.jpg,dog", "003.jpg,dog", "001.jpg,dog")},
        "Two splits for one image are refused in the same way.",
    ),
    "labels-file": Example(
        {"photos": _numbered(6), "labels.csv": _rows(*(f"{n:03}.jpg,{'cat' if n < 3 else 'dog'}" for n in range(6)))},
        "See that it is the file and the column that you mean; `--data.labels FILE` gives another.",
    ),
    "labels-no-classes": Example(
        {"photos": _numbered(22), "labels.csv": _rows(*(f"{n:03}.jpg,{4.1 + n / 10:.1f}" for n in range(22)))},
        "A classifier needs classes: turn the numbers into a few of them, such as `low` and `high`.",
    ),
    "labels-no-image": Example(
        {"photos": _numbered(10), "labels.csv": _rows(
            "tom.jpg,cat", *(f"{n:03}.jpg,{'cat' if n < 5 else 'dog'}" for n in range(10)))},
        "Where more than a tenth of the rows have no image, it is an error.",
        also=("labels-file",),
    ),
    "labels-repeated": Example(
        {"photos": _numbered(6), "labels.csv": _rows(
            "000.jpg,cat", *(f"{n:03}.jpg,{'cat' if n < 3 else 'dog'}" for n in range(6)))},
        "Nothing to do: each image counts once.",
        also=("labels-file",),
    ),
    "labels-unlisted": Example(
        {"photos": _numbered(7), "labels.csv": _rows(*(f"{n:03}.jpg,{'cat' if n < 3 else 'dog'}" for n in range(6)))},
        "Add rows for them if they are to be used.",
        also=("labels-file",),
    ),
    "labels-unreadable": Example(
        {"photos": _numbered(3), "labels.csv": table("picture,breed,colour\n000.jpg,cat,red\n001.jpg,dog,black\n")},
        "Other faults have lines of the same kind: an encoding, a line without a class, a path out of the folder.",
    ),
    "linked-folders": Example(
        {**_classes("cat", "dog"), "cat/more": link("dog")},
        "Put images there instead of the link; a class folder itself may be a link.",
    ),
    "mirrored-classes": Example(
        _classes("arrow_left", "arrow_right"),
        "Nothing to do: `--data.flip none` is chosen for such names. If you give `horizontal` all the same, the line "
        "says what it does to them.",
        {"flip": "none"},
    ),
    "names-alike": Example(
        _classes("hot dog", "hot_dog"),
        "They stay two classes until you do.",
    ),
    "near-copies-between-classes": Example(
        {**_classes("cat", "dog"), "dog/007.jpg": like("cat/001.jpg")},
        "One of the two labels is wrong, if it is the same picture.",
    ),
    "near-copies-between-splits": Example(
        {"train/cat": photos(3), "train/dog": photos(3), "test/cat": photos(2), "test/dog": photos(2),
         "test/dog/007.jpg": like("train/dog/001.jpg")},
        "Look at the pairs; if they are one picture, remove them from training.",
    ),
    "near-copies-too-many": Example(
        {"day": photos(3), "night/000.jpg": photos(), "night/001.jpg": like("night/000.jpg"),
         "night/002.jpg": like("night/000.jpg"), "night/003.jpg": like("night/000.jpg")},
        "Say with `--data.group` what belongs together, such as pictures of one night.",
    ),
    "near-copies-within-class": Example(
        {"cat": photos(4), "cat/007.jpg": like("cat/001.jpg"), "dog": photos(3)},
        "Nothing to do: they stay in one split. Where different pictures are taken for one, as with icons, give "
        "`--data.copies exact`.",
    ),
    "no-classes": Example(
        {"": photos(3)},
        "Make one subfolder per class, or a [labels file](folder.md#labels-from-a-file).",
    ),
    "no-images": Example(
        {**_classes("cat", "dog"), "cat/notes.txt": file()},
        "Nothing to do if they are no images; images need an ending that is read.",
    ),
    "one-class": Example(
        {"photos/cat": photos(3), "photos/dog": photos(3)},
        "Mostly the path ends one folder too early.",
    ),
    "other-format": Example(
        {"cat": photos(3), "dog": png_inside(3)},
        "Nothing to do here. Where one class alone has them, a network may tell classes by their files.",
    ),
    "run-directories": Example(
        {**_classes("cat", "dog"), "dog/test run/stages.json": file("a run of fairnas")},
        "Nothing to do; better, give runs a place of their own with `--out`.",
    ),
    "same-subfolders": Example(
        {f"{name}/{inner}": photos(3) for name in ("cat", "dog") for inner in ("day", "night")},
        "If `day` and `night` are the classes, turn the two levels round.",
    ),
    "setting-unused": Example(
        _classes("cat", "dog"),
        "Leave the setting out, or see whether it was meant for other images.",
        {"range": "0:4095"},
    ),
    "split-beside-classes": Example(
        {**_classes("cat", "dog"), "test": photos(3)},
        "If nobody knows the classes of the images in `test/`, move it out of the folder.",
    ),
    "split-twice": Example(
        _classes(*(f"{split}/{name}" for split in ("train", "val", "valid") for name in ("cat", "dog"))),
        "They may hold the same images: look before you put them together.",
    ),
    "split-without-classes": Example(
        {**_classes("train/cat", "train/dog"), "val": photos(3)},
        "A list such as `val/val_annotations.txt`, as some sets have it, is read.",
    ),
    "splits-as-classes": Example(
        {"train": photos(3), "test": photos(3)},
        "Other names of splits with class folders in them, such as `Training/` and `Testing/`, are refused in the same "
        "way.",
    ),
    "splits-inside-classes": Example(
        {f"{name}/{split}": photos(3) for name in ("cat", "dog") for split in ("train", "test")},
        "If they are classes all the same, their images are taken together under the name above.",
    ),
    "test-unlabelled": Example(
        {**_classes("train/cat", "train/dog"), "test": photos(3)},
        "Nothing to do: test images are carved out of `train/`. After the run, `fairnas predict` can say the classes "
        "of those in `test/`.",
    ),
    "unread-images": Example(
        {**_classes("cat", "dog"), "cat/tom.psd": file()},
        "Convert them before a run is begun: images that are added later are refused.",
    ),
    "val-is-test": Example(
        _classes("train/cat", "train/dog", "val/cat", "val/dog"),
        "Nothing to do: ImageNet's validation set is the test set of the paper, too. With a `test/`, each is what its "
        "name says.",
    ),
    "val-is-val": Example(
        _classes(*(f"{split}/{name}" for split in ("train", "val", "test") for name in ("cat", "dog"))),
        "Nothing to do: all three splits are yours.",
    ),
    "versions-as-classes": Example(
        {"Original": photos(3), "Augmented": photos(3)},
        "Give the originals: training augments images by itself, and versions of test images in training make accuracy "
        "too high.",
    ),
    "versions-inside-classes": Example(
        {"cat/original": photos(3), "cat/augmented": photos(3), "dog": photos(3)},
        "Remove the versions, or say with `--data.group` what belongs together.",
    ),
}  # fmt: skip
