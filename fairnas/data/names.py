"""Names of classes as a person sees them: invisible characters shown, comparisons beyond spelling. No torch."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

_LOOKALIKES = str.maketrans(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u0501\u04bb\u051b\u051d"  # Cyrillic
    "\u03b1\u03bf\u03c1\u03c5\u03bd\u03ba\u03b9\u0131",  # Greek, and the dotless i
    "aeopcyxijsdhqwaopuvkii",
)
_SPACES = re.compile(r"\s+")
_SEPARATORS = re.compile(r"(?<!\d)[\s_-]+|[\s_-]+(?!\d)")  # not between digits: 1-2 and 12 are two numbers
_COPY = re.compile(
    r"(?P<of>copy of )?(?P<name>.+?)[\s_-]*"
    r"(?P<mark>\(\d+\)|(?<![^\W_])(?:copy|kopie|copie|copia|aug|augmented)[\s_-]*(?:\d+|\(\d+\))?)?"
)


@dataclass(frozen=True)
class Alike:
    """Two names that a person may have meant as one, with their difference."""

    one: str
    other: str
    difference: str

    def __str__(self) -> str:
        return f"{quoted(self.one)} and {quoted(self.other)} ({self.difference})"


def visible(name: str) -> str:
    """Name as it is if all of it is visible; else quoted, with code points for invisible characters."""
    return name if _is_plain(name) else quoted(name)


def quoted(name: str) -> str:
    """Name in quotes, with escapes for unusual spaces, zero-width characters and separate accents."""
    whole = unicodedata.normalize("NFC", name)
    inner = "".join(
        character.encode("unicode_escape").decode() if _is_hidden(character, whole) else character for character in name
    )
    return f"'{inner}'"


def shortened(names: Sequence[str], most: int) -> str:
    """First few names, and the total number if there are more."""
    rest = f", ... ({len(names):,})" if len(names) > most else ""
    return ", ".join(visible(name) for name in names[:most]) + rest


def alike(names: Sequence[str]) -> tuple[Alike, ...]:
    """Pairs of names that differ in something easily overlooked, each name at most once as the second."""
    found: dict[str, Alike] = {}
    for level in range(len(_LEVELS)):
        met: dict[str, str] = {}
        for name in names:
            first = met.setdefault(_key(name, level), name)
            if first != name and name not in found:
                found[name] = Alike(first, name, _difference(first, name, level))
    last = {_key(name, len(_LEVELS) - 1): name for name in reversed(names)}
    for name in names:
        for base, difference in _bases(name):
            first = last.get(_key(base, len(_LEVELS) - 1))
            if first is not None and first != name and name not in found:
                found[name] = Alike(first, name, difference)
    return tuple(found.values())


def counterpart(name: str, others: Iterable[str]) -> Alike | None:
    """Name among others that a name was probably meant to be."""
    for other in others:
        if pairs := alike((name, other)) or alike((other, name)):
            return Alike(name, other, pairs[0].difference)
    return None


def _is_plain(name: str) -> bool:
    return bool(name) and quoted(name) == f"'{name}'" and name == _SPACES.sub(" ", name).strip() and "," not in name


def _is_hidden(character: str, whole: str) -> bool:
    """True if a reader cannot see a character or takes it for part of another: the composed name `whole` lacks it."""
    return character != " " and (unicodedata.category(character)[0] in "CZ" or character not in whole)


# Each level makes more names equal than the level before.
_LEVELS = (
    "the same letters in two Unicode forms",
    "spaces or invisible characters only",
    "upper and lower case only",
    "letters that look the same only",
    "spaces, hyphens or underscores only",
)


def _key(name: str, level: int) -> str:
    """Common form of all names that differ in no more than `_LEVELS[level]`."""
    key = unicodedata.normalize("NFC", name)
    if level >= 1:
        seen = (" " if character.isspace() else character for character in key)
        key = _SPACES.sub(" ", "".join(each for each in seen if unicodedata.category(each)[0] != "C")).strip()
    if level >= 2 and len(key) > 1:  # A and a are different classes in sets of letters
        key = key.casefold()
    if level >= 3 and len(key) > 1:
        key = unicodedata.normalize("NFKC", key).casefold().translate(_LOOKALIKES)
    return _SEPARATORS.sub("", key) or key if level >= 4 else key


def _difference(one: str, other: str, level: int) -> str:
    """Difference of two names, with the names of characters if these are informative."""
    if level not in (0, 1, 3):
        return _LEVELS[level]
    left, right = Counter(one), Counter(other)
    apart = sorted({*(left - right), *(right - left)} - {" "}) or [" "]
    if level != 1:
        apart = [character for character in apart if not character.isascii()]
    told = ", ".join(_character(character) for character in apart[:3])
    return f"{_LEVELS[level]}: {told}" if told else _LEVELS[level]


def _character(character: str) -> str:
    return f"U+{ord(character):04X} {unicodedata.name(character, 'without a name')}"


def _bases(name: str) -> Iterator[tuple[str, str]]:
    """Names of which a name may be a copy or the plural."""
    plain = _key(name, 2)
    match = _COPY.fullmatch(plain)
    if match and (match["of"] or match["mark"]):
        yield match["name"], "named like a copy of it"
    for ending, stem in (("ies", "y"), ("es", ""), ("s", "")):
        base = plain.removesuffix(ending) + stem
        if plain.endswith(ending) and not plain.endswith("ss") and len(base) >= 3:
            yield base, "singular and plural"
