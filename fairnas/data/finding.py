"""What is found out about a folder of images that its owner should know. No torch."""

from collections.abc import Iterable
from dataclasses import dataclass

from fairnas.errors import DataError

FINDINGS: dict[str, str] = {
    "class-sizes": "classes of very different sizes",
    "classes-too-small": "classes too small for the validation and test images wanted",
    "colour-to-grey": "colour images among grey ones",
    "corrupt-files": "images that cannot be decoded",
    "deep-narrow": "images of more than 8 bits that use a small part of their range",
    "extra-folders": "folders beside train/ that are no split",
    "linked-folders": "links to folders inside class folders",
    "mirrored-classes": "class names that say a direction, digits or letters, which flips and turns may change",
    "no-images": "files that are no images",
    "run-directories": "runs among the images",
    "setting-unused": "a setting that does nothing for these images",
    "test-unlabelled": "test images that lie in no class folders",
    "val-is-test": "a validation folder that serves as the test set",
    "val-is-val": "a validation folder that replaces carved validation images",
}
"""Stable identifiers, with what each is about in a few words. docs/folder.md has one example of each."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found, in one line for the owner of the images.

    Findings are told by the plan, by the run and by the report, and stand in `--json` with their identifiers.
    """

    id: str
    """A key of `FINDINGS`; programs may rely on it."""
    message: str

    def __post_init__(self) -> None:
        assert self.id in FINDINGS, self.id

    def to_dict(self) -> dict[str, str]:
        """Plain data, for JSON."""
        return {"id": self.id, "message": self.message}


class RefusedImages(DataError):
    """Images that would give a wrong result without a word, refused by a finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def messages(findings: Iterable[Finding]) -> tuple[str, ...]:
    """The lines of some findings."""
    return tuple(finding.message for finding in findings)
