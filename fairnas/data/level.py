"""Folders of one level, which may be classes: their names, and the message that refuses them. No torch."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

from fairnas.data import roles
from fairnas.data.branch import Branch
from fairnas.data.finding import Finding, RefusedImages
from fairnas.data.names import shortened

NAMED = 12
"""Number of folders that a message names."""


@dataclass(frozen=True)
class Level:
    """Non-empty folders of one level, and the words of their names."""

    parent: Branch
    folders: tuple[Branch, ...]
    setting: str
    """Value of `data.layout` with which these folders are classes."""

    @staticmethod
    def of(parent: Branch, setting: str) -> "Level":
        """Level of the folders that would be the classes of a folder."""
        folders = (each for each in parent.folders if any(inner.images or inner.others for inner in each.walk()))
        return Level(parent, tuple(folders), setting)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of the folders."""
        return tuple(each.name for each in self.folders)

    @cached_property
    def spoken(self) -> tuple[tuple[str, ...], ...]:
        """Words of each name."""
        return tuple(roles.words(name) for name in self.names)

    @cached_property
    def distinct(self) -> tuple[tuple[str, ...], ...]:
        """Words without those that all names share, such as `cats` in `cats_train` and `cats_test`."""
        return roles.distinct_words(self.names)

    @cached_property
    def common(self) -> frozenset[str]:
        """Names of subfolders that all of these folders contain."""
        return frozenset.intersection(*(each.inner_names for each in self.folders)) if self.folders else frozenset()

    def all_are(self, *kinds: Callable[[Sequence[str]], bool]) -> bool:
        """True if each name has one of some roles, with or without the words that all names share."""
        return len(self.folders) > 1 and any(
            all(any(kind(each) for kind in kinds) for each in spoken) for spoken in (self.spoken, self.distinct)
        )

    def shown(self, folders: Sequence[Branch] | None = None) -> str:
        """Names of some of the folders for a message; default: all."""
        return shortened([each.name for each in (self.folders if folders is None else folders)], NAMED)

    def refusal(self, identifier: str, found: str, remedy: str) -> RefusedImages:
        """Refusal in one line: the finding, the remedy, and the setting that overrules it."""
        one = "these really are classes" if len(self.folders) != 1 else "it really is a class"
        return RefusedImages(
            Finding(identifier, f"{found}; {remedy}; if {one}, give --data.layout {self.setting}"),
        )
