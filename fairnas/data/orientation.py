"""Class names of directions, digits or letters, which a flip or a turn would change. No torch.

Only names are used, split into words (`arrow_left`, `turnRight`). Other names may still mean a direction (`class_33`),
so the plan always prints the augmentation of training images.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from fairnas.config import DataConfig, FlipSetting
from fairnas.config.augmentation import PRESETS
from fairnas.data.directions import (
    ALIKE,
    CORRECTNESS,
    DIRECTIONS,
    LEFT,
    LETTERS_OF_SIDES,
    MOVES,
    NUMBER_WORDS,
    OTHER_RIGHT,
    PRINTED,
    RIGHT,
    Direction,
    Move,
)
from fairnas.data.finding import Finding

_SHOWN = 3  # names in a message
_MOST_DIGITS = 10  # consecutive classes from 0 or 1 that may be digits; more of them are numbered classes
_LONGEST_NUMBER = 3  # digits of a number that may be on a sign
_DONE: dict[Move, str] = {
    "horizontal": "flipped left to right",
    "vertical": "flipped top to bottom",
    "quarter": "turned by quarters",
}
_BOUNDARY = re.compile(r"[\W_]+|(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=\d)(?=[^\W\d_])|(?<=[^\W\d_])(?=\d)")

Words = Mapping[str, tuple[str, ...]]
"""Words of every class name, in lower case."""


@dataclass(frozen=True)
class OrientedNames:
    """Class names whose images may show another class, or none, after a flip or a turn."""

    names: tuple[str, ...]
    say: str
    """Phrase for messages, to follow the names."""
    changed_by: tuple[Move, ...]


def oriented_names(classes: Sequence[str]) -> tuple[OrientedNames, ...]:
    """Find class names that are directions, digits or letters; one group per kind."""
    words = {name: _words(name) for name in classes}
    groups = [OrientedNames(_saying(words, kind), kind.say, kind.changed_by) for kind in DIRECTIONS]
    printed = _printed(words)
    changed: list[Move] = [move for move in MOVES if not set(printed) <= ALIKE[move]]
    groups.append(OrientedNames(printed, "are digits or letters", tuple(changed)))
    return tuple(group for group in groups if group.names and group.changed_by)


def default_flip(classes: Sequence[str]) -> FlipSetting:
    """`none` if a horizontal flip may change the meaning of class names, else `auto`: the augmentation's own flip."""
    return "none" if any("horizontal" in group.changed_by for group in oriented_names(classes)) else "auto"


def orientation_findings(classes: Sequence[str], config: DataConfig) -> Iterator[Finding]:
    """Findings about class names that are directions: what is done to their images, and what to set instead."""
    moves, preset = _moves(config), PRESETS[config.augmentation]
    for group in oriented_names(classes):
        say = group.say if len(group.names) > 1 else group.say.replace("say", "says", 1)
        which = f"{_listed(group.names)} {say}"
        changed: list[Move] = [move for move in group.changed_by if move in moves]
        if changed:
            done = " and ".join(_DONE[move] for move in changed)
            message = (
                f"{which}, but training images are {done}; give {_remedy(moves, changed)}, unless an image keeps its "
                "class when that is done"
            )
            yield Finding("mirrored-classes", message)
        elif "horizontal" in group.changed_by and preset.horizontal and config.flip == "none":
            message = (
                f"{which}, so training images are not flipped left to right; give --data.flip horizontal if mirrored "
                "images keep their class"
            )
            yield Finding("mirrored-classes", message)


def _moves(config: DataConfig) -> tuple[Move, ...]:
    applied = config.applied
    done: dict[Move, bool] = {
        "horizontal": applied.horizontal,
        "vertical": applied.vertical,
        "quarter": applied.rotate == "quarter",
    }
    return tuple(move for move in MOVES if done[move])


def _remedy(moves: Sequence[Move], changed: Sequence[Move]) -> str:
    """Flags that leave out exactly the changes that affect classes."""
    left = [move for move in moves if move not in changed and move != "quarter"]
    flags = [f"--data.flip {left[0] if left else 'none'}"] if set(changed) - {"quarter"} else []
    return " and ".join([*flags, *(["--data.rotate none"] if "quarter" in changed else [])])


def _listed(names: Sequence[str]) -> str:
    quoted = [f"'{name}'" for name in names[:_SHOWN]]
    if len(names) > _SHOWN:
        return f"classes {', '.join(quoted)}, ... ({len(names)})"
    return f"classes {', '.join(quoted[:-1])} and {quoted[-1]}" if quoted[1:] else f"class {quoted[0]}"


def _words(name: str) -> tuple[str, ...]:
    parts = _BOUNDARY.split(unicodedata.normalize("NFC", name))
    return tuple(part.casefold() for part in parts if part)


def _saying(words: Words, kind: Direction) -> tuple[str, ...]:
    """Names that contain a direction of one kind, in the order of the classes."""
    there = {word for each in words.values() for word in each}
    counting = {word for pair in kind.pairs if there.issuperset(pair.split("/")) for word in pair.split("/")}
    counting |= kind.alone
    if not there & LEFT and there & CORRECTNESS:
        counting -= RIGHT
    found = {name for name, each in words.items() if any(_counts(each, place, counting) for place in range(len(each)))}
    found |= {name for pair in kind.pairs for name in _exchanged(words, pair)}
    if kind.alone >= LEFT:
        found |= {name for pair in LETTERS_OF_SIDES for name in _letter_exchanged(words, pair)}
    return tuple(name for name in words if name in found)


def _counts(words: Sequence[str], place: int, counting: set[str]) -> bool:
    """True if a word of a name is a direction; the right of a right whale is not."""
    if words[place] == "right" and OTHER_RIGHT & set(words[place + 1 : place + 2]):
        return False
    return words[place] in counting


def _exchanged(words: Words, pair: str) -> Iterator[str]:
    """Names that become each other when the words of a pair are exchanged, such as `turnleft` and `turnright`."""
    one, other = pair.split("/")
    joined = {" ".join(each): name for name, each in words.items()}
    for text, name in joined.items():
        partner = joined.get(text.replace(one, other)) if one in text and other not in text else None
        if partner is not None:
            yield from (name, partner)


def _letter_exchanged(words: Words, pair: str) -> Iterator[str]:
    one, other = pair.split("/")
    by_words: dict[tuple[str, ...], str] = {each: name for name, each in words.items() if len(each) > 1}
    for each, name in by_words.items():
        partner = by_words.get(tuple(other if word == one else word for word in each)) if one in each else None
        if partner is not None:
            yield from (name, partner)


def _printed(words: Words) -> tuple[str, ...]:
    """Names of classes whose images show a digit, a letter or a number."""
    found = {name for name in words if len(name) == 1 and not name.isdecimal()}  # of any alphabet, and brackets
    found |= _numbers(words)
    found |= {name for name, each in words.items() if len(each) == 1 and each[0] in NUMBER_WORDS}
    found |= {name for name, each in words.items() if PRINTED & set(each) and any(_is_sign(word) for word in each)}
    return tuple(name for name in words if name in found) if len(found) > 1 else ()


def _is_sign(word: str) -> bool:
    return len(word) == 1 or (word.isdecimal() and len(word) <= _LONGEST_NUMBER)


def _numbers(words: Words) -> set[str]:
    """Names that are digits, or numbers as on signs, but not numbers that only count the classes."""
    numbers = {name: int(name) for name in words if name.isdecimal() and len(name) <= _LONGEST_NUMBER}
    if any(name.startswith("0") and len(name) > 1 for name in numbers):
        return set()
    values = sorted(numbers.values())
    is_count = values[:1] in ([0], [1]) and values == list(range(values[0], values[0] + len(values)))
    return set() if is_count and len(values) > _MOST_DIGITS else set(numbers)
