"""Layouts that people have: classes are taken for classes, and what is something else is refused with its name."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.data.finding import FINDINGS, RefusedImages
from fairnas.data.folder_layout import read_layout
from fairnas.errors import DataError
from tests.data.trees import grow

# What lies in the folder, the finding that refuses it, and words of the line.
REFUSED = {
    # splits
    "train and test, flat": ("train*4 test*4", "splits-as-classes", "labels.csv beside them (filename,label)"),
    "train and val, flat": ("train*4 val*4", "splits-as-classes", "train, val in "),
    "files begin with their class": (
        "train/cat.1.jpg train/cat.2.jpg train/dog.1.jpg train/dog.2.jpg test*4",
        "splits-as-classes",
        "files such as cat.1.jpg seem to begin with the name of their class",
    ),
    "train and test1": ("train*4 test1*4", "splits-as-classes", "test1, train in"),
    "train and test hold images/": ("train/images*4 test/images*4", "splits-as-classes", "one subfolder per class"),
    "three with other words": ("seg_train*3 seg_test*3 seg_pred*3", "splits-as-classes", "look like splits"),
    "training and testing with classes": (
        "Training/cat*2 Training/dog*2 Testing/cat*2 Testing/dog*2",
        "splits-as-classes",
        "name them train, val and test",
    ),
    "a split, and images": ("images*4 test*4", "splits-as-classes", "images, test in"),
    "test without train": ("test/cat*2 test/dog*2", "splits-as-classes", "no train/ with class folders"),
    "class and split in one name": (
        "cat_train*2 cat_test*2 dog_train*2 dog_test*2",
        "splits-as-classes",
        "name a class and a split in one",
    ),
    # a split beside classes
    "test beside classes": ("cat*3 dog*3 test*3", "split-beside-classes", "has test beside class folders (cat, dog)"),
    "test with classes beside classes": ("cat*3 dog*3 test/cat*2 test/dog*2", "split-beside-classes", "train"),
    "unlabelled beside classes": ("cat*3 dog*3 unlabeled*3", "split-beside-classes", "unlabeled"),
    "train and test beside classes": ("cat*3 dog*3 train*3 test*3", "split-beside-classes", "test, train beside"),
    "train with files named after classes": (
        "cat*3 dog*3 train/cat.1.jpg train/dog.1.jpg",
        "split-beside-classes",
        "train",
    ),
    "train may be class or split": (
        "train/steam*2 train/diesel*2 bus*2",
        "split-beside-classes",
        "give --data.layout splits if diesel, steam are the classes",
    ),
    "a split among the classes of train": ("train/cat*2 train/dog*2 train/val*2", "split-beside-classes", "val"),
    "val without classes": ("train/cat*2 train/dog*2 val*2", "split-without-classes", "val has no class folders"),
    "val/images without a list": (
        "train/cat/images*2 train/dog/images*2 val/images*2",
        "split-without-classes",
        "labels.csv",
    ),
    # splits inside classes
    "splits in every class": ("cat/train*2 cat/test*2 dog/train*2 dog/test*2", "splits-inside-classes", "train/cat"),
    "test in every class": ("cat*2 cat/test*2 dog*2 dog/test*2", "splits-inside-classes", "inside a class"),
    # folds and parts
    "folds": ("fold1*3 fold2*3 fold3*3", "folds-as-classes", "numbered parts of one set"),
    "folds of classes": (
        "fold_1/cat*2 fold_1/dog*2 fold_2/cat*2 fold_2/dog*2",
        "folds-as-classes",
        "train, val and test",
    ),
    "parts": ("images_part_1*3 images_part_2*3", "folds-as-classes", "numbered parts"),
    "batches": ("batch1*3 batch2*3", "folds-as-classes", "numbered parts"),
    "numbered sets": ("set_1*3 set_2*3", "folds-as-classes", "numbered parts"),
    "numbered sets of classes": ("set1/cat*2 set1/dog*2 set2/cat*2 set2/dog*2", "folds-as-classes", "numbered parts"),
    "numbered data sets": ("dataset1*3 dataset2*3 dataset3*3", "folds-as-classes", "numbered parts"),
    # annotations
    "images and labels": ("images*3 labels*3", "annotations-as-classes", "images with their masks or labels"),
    "images and masks": ("images*3 masks*3.png", "annotations-as-classes", "images, masks"),
    "YOLO": ("images/train*3 labels/train*3.txt", "annotations-as-classes", "YOLO's layout"),
    "YOLO with splits first": (
        "train/images*3 train/labels*3.txt valid/images*3 valid/labels*3.txt data.yaml",
        "annotations-as-classes",
        "YOLO's layout",
    ),
    "COCO": ("train2017*3 val2017*3 annotations/instances.json", "annotations-as-classes", "COCO's layout"),
    "VOC": ("JPEGImages*3 Annotations*3.xml ImageSets/Main/train.txt", "annotations-as-classes", "Pascal VOC's layout"),
    "VOC with masks": (
        "JPEGImages*3 SegmentationClass*3.png SegmentationObject*3.png",
        "annotations-as-classes",
        "VOC",
    ),
    "img and lbl": ("img*3 lbl*3.png", "annotations-as-classes", "img, lbl"),
    "img and lbl with text": ("imgs*3 lbls*3.txt", "annotations-as-classes", "YOLO's layout"),
    "images and annos": ("images*3 annos*3.json", "annotations-as-classes", "COCO's layout"),
    "boxes in XML": ("img*3 xml*3.xml", "annotations-as-classes", "boxes in .xml files"),
    "images with classes, and boxes": (
        "Images/cat*2 Images/dog*2 Annotation/cat/a.xml Annotation/dog/a.xml",
        "annotations-as-classes",
        "Images if its subfolders are the classes",
    ),
    "originals and ground truth": ("Original*3 Ground~Truth*3", "annotations-as-classes", "Ground Truth, Original"),
    "labels that hold text beside classes": ("cat*3 dog*3 labels*3.txt", "annotations-as-classes", "3 .txt files"),
    "a mask of every class": (
        "101_ObjectCategories/cat*2 101_ObjectCategories/dog*2 masks/cat*2 masks/dog*2",
        "annotations-as-classes",
        "masks",
    ),
    "masks inside classes": (
        "sick/images*2 sick/masks*2 well/images*2 well/masks*2",
        "annotations-inside-classes",
        "masks beside its images",
    ),
    "masks beside the images of classes": (
        "sick*2 sick/masks*2 well*2 well/masks*2",
        "annotations-inside-classes",
        "masks",
    ),
    # versions
    "original and augmented": ("Original*3 Augmented*3", "versions-as-classes", "versions of the same images"),
    "original and augmented with classes": (
        "Original/cat*2 Original/dog*2 Augmented/cat*2 Augmented/dog*2",
        "versions-as-classes",
        "give one of them, such as folder:",
    ),
    "numbered versions": ("v1*3 v2*3", "versions-as-classes", "v1, v2"),
    "raw and processed": ("raw*3 processed*3", "versions-as-classes", "processed, raw"),
    "cropped and full": ("cropped*3 full*3", "versions-as-classes", "cropped, full"),
    "full and cropped images": ("full_images*3 cropped_images*3", "versions-as-classes", "look like versions"),
    "whole and cropped with classes": (
        "whole/cat*2 whole/dog*2 cropped/cat*2 cropped/dog*2",
        "versions-as-classes",
        "such as folder:",
    ),
    "a copy": ("original*3 copy*3", "versions-as-classes", "copy, original"),
    "a set and its resized copy": ("birds*3 birds_resized*3", "versions-as-classes", "birds"),
    "thumbnails beside classes": ("cat*3 dog*3 thumbnails*3", "versions-as-classes", "thumbnails"),
    "augmented classes beside classes": (
        "cat*3 dog*3 augmented/cat*2 augmented/dog*2",
        "versions-as-classes",
        "augmented",
    ),
    "an augmented class": ("cat*3 cat_augmented*3 dog*3", "versions-as-classes", "version of the class 'cat'"),
    "looks": (
        "color/cat*2 color/dog*2 grayscale/cat*2 grayscale/dog*2 segmented/cat*2 segmented/dog*2",
        "versions-as-classes",
        "such as folder:",
    ),
    "sizes": ("64x64/cat*2 64x64/dog*2 128x128/cat*2 128x128/dog*2", "versions-as-classes", "128x128, 64x64"),
    # levels
    "one level more": ("set/cat*2 set/dog*2", "one-class", "set if the classes are in there"),
    "two levels more": ("set/set/cat*2 set/set/dog*2", "one-class", "set/set if the classes are in there"),
    "splits one level more": ("set/train/cat*2 set/train/dog*2 set/test/cat*2 set/test/dog*2", "one-class", "set if"),
    "the set within itself": ("cat*2 dog*2 set/cat*2 set/dog*2", "classes-inside-class", "folders of the same names"),
    "no folders": ("a.jpg b.jpg", "no-classes", "put the images of each class into its own subfolder"),
    # names
    "two of a split": ("train/cat*2 train/dog*2 Train/cat*2 Train/dog*2", "split-twice", "both Train/ and train/"),
    "two names of a split": (
        "train/cat*2 train/dog*2 val/cat*1 val/dog*1 valid/cat*1",
        "split-twice",
        "val/ and valid/",
    ),
}

# What lies in the folder, its classes, and the findings that tell of something.
ACCEPTED = {
    "classes": ("cat*2 dog*2", "cat dog", ""),
    "a train beside a bus": ("bus*2 train*2", "bus train", "class-like-a-split"),
    "classes of Pascal VOC": (
        "bus*2 car*2 cat*2 dog*2 person*2 train*2",
        "bus car cat dog person train",
        "class-like-a-split",
    ),
    "a train and a bus with images/ each": ("bus/images*2 train/images*2", "bus train", "class-like-a-split"),
    "trains with kinds and images": ("train*2 train/old*2 bus*2", "bus train", "class-like-a-split"),
    "test tubes": ("beaker*2 test_tube*2", "beaker test_tube", ""),
    "a test group": ("control*2 test*2", "control test", ""),
    "training as an activity": ("resting*2 training*2 walking*2", "resting training walking", "class-like-a-split"),
    "valid and invalid": ("invalid*2 valid*2", "invalid valid", ""),
    "validation stamps": ("date_stamp*2 validation_stamp*2", "date_stamp validation_stamp", ""),
    "forgeries": ("forgery*2 original*2", "forgery original", ""),
    "original paintings": ("copy_by_pupil*2 original*2", "copy_by_pupil original", ""),
    "masks on faces": ("mask*2 no_mask*2", "mask no_mask", ""),
    "with and without mask": (
        "mask_weared_incorrect*2 with_mask*2 without_mask*2",
        "mask_weared_incorrect with_mask without_mask",
        "",
    ),
    "masks among carnival things": ("costume*2 hat*2 mask*2", "costume hat mask", ""),
    "kinds of faces with masks": (
        "adult/mask*2 adult/no_mask*2 child/mask*2 child/no_mask*2",
        "adult child",
        "same-subfolders",
    ),
    "labels on parcels": ("label*2 no_label*2", "label no_label", ""),
    "parts of a page": ("image*2 table*2 text*2", "image table text", ""),
    "left and right": ("left*2 right*2", "left right", ""),
    "old and new": ("new*2 old*2", "new old", ""),
    "small and large": ("large*2 small*2", "large small", ""),
    "raw and cooked": ("cooked*2 raw*2", "cooked raw", ""),
    "fresh, frozen, processed": ("fresh*2 frozen*2 processed*2", "fresh frozen processed", ""),
    "colours": ("color*2 grayscale*2", "color grayscale", ""),
    "fingers": ("index*2 middle*2 thumb*2", "index middle thumb", ""),
    "thumbs": ("thumbs_down*2 thumbs_up*2", "thumbs_down thumbs_up", ""),
    "weeds": ("crop*2 weed*2", "crop weed", ""),
    "months": ("aug*2 jul*2 jun*2", "aug jul jun", ""),
    "photos and sketches": ("photos*2 sketches*2", "photos sketches", ""),
    "digits": ("0*2 1*2 10*2 2*2", "0 1 10 2", ""),
    "numbered classes": ("class_1*2 class_2*2", "class_1 class_2", ""),
    "grades": ("grade1*2 grade2*2 grade3*2", "grade1 grade2 grade3", ""),
    "letters of both sizes": ("A*2 a*2 B*2", "A B a", ""),
    "images/ in every class": ("cat/images*2 dog/images*2", "cat dog", ""),
    "synsets with images/ and boxes": (
        "train/n01443537/images*2 train/n01443537/n01443537_boxes.txt train/n01629819/images*2",
        "n01443537 n01629819",
        "no-images",
    ),
    "years in every class": ("sick/2023*2 sick/2024*2 well/2023*2 well/2024*2", "sick well", "same-subfolders"),
    "a folder called test in one class": ("cat*2 dog*2 dog/test*2 fox*2", "cat dog fox", ""),
    "versions inside classes": (
        "cat/original*2 cat/augmented*2 dog/original*2 dog/augmented*2",
        "cat dog",
        "same-subfolders versions-inside-classes",
    ),
    "splits with leftovers": ("train/cat*2 train/dog*2 extra*2 unlabeled*2", "cat dog", "extra-folders"),
    "splits of which a part is unsorted": ("train/cat*2 train/dog*2 cat*2", "cat dog", "extra-folders"),
    "a class train in train": (
        "train/bus*2 train/train*2 val/bus*1 val/train*1",
        "bus train",
        "val-is-test class-like-a-split",
    ),
    "development and value": ("development*2 value*2", "development value", ""),
    "product and device": ("dev_board*2 device*2", "dev_board device", ""),
    "annotated, and not": ("annotated*2 unannotated*2", "annotated unannotated", ""),
    "full and empty": ("empty*2 full*2", "empty full", ""),
    "full and half": ("full*2 half*2", "full half", ""),
    "cropped, dyed and full": ("cropped*2 dyed*2 full*2", "cropped dyed full", ""),
    "whole and broken": ("broken*2 whole*2", "broken whole", ""),
    "whole and processed food": ("processed*2 whole*2", "processed whole", ""),
    "labels of bottles": ("img*2 lbl*2 lid*2", "img lbl lid", ""),
    "kinds of sets": ("set_square*2 tea_set*2", "set_square tea_set", ""),
    "sets of bricks by number": ("brick_set_1*2 brick_set_2*2", "brick_set_1 brick_set_2", ""),
    "folds of cloth": ("crease*2 fold*2", "crease fold", ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_class_is_refused_with_what_it_is(tmp_path, name):
    tree, identifier, words = REFUSED[name]
    with pytest.raises(RefusedImages) as caught:
        read_layout(grow(tmp_path / "set", tree))
    assert caught.value.finding.id == identifier, str(caught.value)
    assert words in str(caught.value)
    assert str(caught.value) == caught.value.finding.message
    assert str(tmp_path / "set") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ACCEPTED)
def test_classes_with_such_names_stay_classes(tmp_path, name):
    tree, classes, told = ACCEPTED[name]
    layout = read_layout(grow(tmp_path / "set", tree))
    assert list(layout.train.names) == classes.split()
    assert sorted(finding.id for finding in layout.findings) == sorted(told.split())


# The way out that a refusal names.


@pytest.mark.parametrize("name", REFUSED)
def test_a_refusal_names_the_setting_with_which_they_are_classes(tmp_path, name):
    root = grow(tmp_path / "set", REFUSED[name][0])
    with pytest.raises(RefusedImages) as caught:
        read_layout(root)
    found = re.search(r"give --data.layout (classes|splits)$", str(caught.value))
    if found is None:
        assert REFUSED[name][1] in NO_WAY_OUT or "--data.layout" in str(caught.value) or name == "test without train"
        return
    parent = root if found[1] == "classes" else root / "train"
    images = {path.name: any(each.suffix in (".jpg", ".png") for each in path.rglob("*")) for path in folders(parent)}
    if all(images.values()):
        assert set(read_layout(root, found[1]).train.names) == set(images)
    else:  # a folder without images is no class, whatever is said
        with pytest.raises(DataError, match="holds no images"):
            read_layout(root, found[1])


NO_WAY_OUT = ("split-without-classes", "one-class", "no-classes", "split-twice")


def folders(path: Path) -> list[Path]:
    return [each for each in path.iterdir() if each.is_dir()]


def test_splits_are_splits_whatever_their_classes_are_called(tmp_path):
    root = grow(tmp_path, "train/original*2 train/augmented*2 test/original*2 test/augmented*2")
    with pytest.raises(RefusedImages, match=r"if these really are classes, give --data\.layout splits"):
        read_layout(root)
    layout = read_layout(root, "splits")
    assert layout.train.names == ("augmented", "original")
    assert layout.test is not None


def test_classes_are_classes_although_one_looks_like_splits(tmp_path):
    root = grow(tmp_path, "train/steam*2 train/diesel*2 bus*3")
    assert read_layout(root, "classes").train.names == ("bus", "train")
    assert read_layout(root, "splits").train.names == ("diesel", "steam")


def test_splits_must_be_there_if_they_are_asked_for(tmp_path):
    with pytest.raises(DataError, match=r"no train/ with class folders, but data\.layout is 'splits'"):
        read_layout(grow(tmp_path, "cat*2 dog*2"), "splits")


@pytest.mark.parametrize("name", REFUSED)
def test_every_refusal_has_a_known_identifier(name):
    assert REFUSED[name][1] in FINDINGS


# A law: nothing that innocuous names can do is taken for something else.

SYLLABLES = st.sampled_from(["ba", "ko", "mi", "ru", "ze", "lo", "pu", "ta", "nei", "sha", "gro", "fle"])
NAMES = st.lists(SYLLABLES, min_size=2, max_size=4).map("".join)
INNER = st.sampled_from(["images", "2023", "2024", "indoors", "far"])
TREES = st.dictionaries(NAMES, st.lists(INNER, max_size=2, unique=True), min_size=2, max_size=6)


@given(tree=TREES, split=st.booleans(), capital=st.booleans())
@settings(max_examples=25, deadline=None)
def test_trees_of_innocuous_names_are_accepted_with_their_classes(tmp_path_factory, tree, split, capital):
    root = tmp_path_factory.mktemp("tree")
    classes = {name.capitalize() if capital else name: below for name, below in tree.items()}
    for name, below in classes.items():
        for folder in ("", *below):
            grow(root / ("train" if split else "") / name / folder, "0.jpg")
    layout = read_layout(root)
    assert layout.train.names == tuple(sorted(classes))
    assert {finding.id for finding in layout.findings} <= {"same-subfolders"}
