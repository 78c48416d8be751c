"""Findings: facts about a folder of images that its owner should know. No torch."""

from collections.abc import Iterable
from dataclasses import dataclass

from fairnas.errors import DataError

FINDINGS: dict[str, str] = {
    "annotations-as-classes": "a folder of labels, masks or boxes where classes are expected",
    "annotations-inside-classes": "masks or labels beside the images of each class",
    "class-copied": "a class whose images all lie in another class",
    "class-like-a-split": "a class whose name may mean a split",
    "class-sizes": "classes of very different sizes",
    "classes-differ": "class folders that one split has and another lacks",
    "classes-inside-class": "a folder beside class folders that holds folders of the same names",
    "classes-too-small": "classes too small for the validation and test images wanted",
    "colour-to-grey": "colour images among grey ones",
    "copies-between-classes": "one image in several classes",
    "copies-between-splits": "test or validation images that are training images, too",
    "copies-within-class": "one image under several names",
    "corrupt-files": "images that cannot be decoded",
    "cut-away": "images of which the centre crop leaves out more than a third",
    "deep-clipped": "images of more than 8 bits with many pixels outside the range of values",
    "deep-mixed": "images of different depths side by side",
    "deep-narrow": "images of more than 8 bits of which few levels are left",
    "deep-range": "the range of values of images of more than 8 bits",
    "extra-folders": "folders beside train/ that are no split",
    "folds-as-classes": "folds or numbered parts of a set where classes are expected",
    "groups-between-splits": "groups of images that are divided among the splits as they were brought",
    "groups-none": "a data.group that gives no image a group",
    "groups-too-few": "a class with too few groups for the splits",
    "groups-too-large": "groups so large that splits are far from the shares wanted",
    "image-groups": "groups of images that data.group names",
    "images-without-group": "images that data.group gives no group",
    "labels-contradict": "one image with two labels in a labels file",
    "labels-file": "labels that come from a file",
    "labels-no-classes": "a labels file whose labels are no classes",
    "labels-no-image": "rows of a labels file whose images are not there",
    "labels-repeated": "rows that stand in a labels file twice",
    "labels-unlisted": "images that a labels file does not list",
    "labels-unreadable": "a labels file that cannot be read as one",
    "linked-folders": "links to folders inside class folders",
    "mirrored-classes": "class names that say a direction, digits or letters, which flips and turns may change",
    "names-alike": "class names that differ in what people overlook",
    "near-copies-between-classes": "images that look the same in several classes",
    "near-copies-between-splits": "test or validation images that look the same as training images",
    "near-copies-too-many": "most images of a class look the same",
    "near-copies-within-class": "images that look the same as others of their class",
    "no-classes": "images without class folders",
    "no-images": "files that are no images",
    "one-class": "a single class folder",
    "other-format": "images of another format than their ending says",
    "run-directories": "runs among the images",
    "same-subfolders": "class folders that all hold the same subfolders",
    "setting-unused": "a setting that does nothing for these images",
    "split-beside-classes": "a split beside class folders",
    "split-twice": "two folders that mean the same split",
    "split-without-classes": "a split without class folders beside one with them",
    "splits-as-classes": "splits where classes are expected",
    "splits-inside-classes": "train, val and test folders inside class folders",
    "test-unlabelled": "test images that lie in no class folders",
    "unread-images": "images in formats that are not read",
    "val-is-test": "a validation folder that serves as the test set",
    "val-is-val": "a validation folder that replaces carved validation images",
    "versions-as-classes": "versions of the same images where classes are expected",
    "versions-inside-classes": "versions of the same images inside class folders",
}
"""Stable identifiers with short descriptions. docs/findings-images.md has one example of each."""


@dataclass(frozen=True)
class Finding:
    """One fact about the images, in one line for their owner.

    The plan, the run and the report print findings; `--json` contains them with their identifiers.
    """

    id: str
    """Key of `FINDINGS`; programs may rely on it."""
    message: str

    def __post_init__(self) -> None:
        assert self.id in FINDINGS, self.id

    def to_dict(self) -> dict[str, str]:
        """Plain data, for JSON."""
        return {"id": self.id, "message": self.message}


class RefusedImages(DataError):
    """Refusal of images that would silently give a wrong result, with a finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def messages(findings: Iterable[Finding]) -> tuple[str, ...]:
    """Lines of some findings."""
    return tuple(finding.message for finding in findings)
