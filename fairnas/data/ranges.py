"""Range of values of a folder's training images, if they have more than 8 bits. No torch."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fairnas.data.class_folders import shown
from fairnas.data.decode import Header, deep_values, look, quiet_pillow
from fairnas.data.finding import Finding
from fairnas.data.formats import CorruptImageError
from fairnas.data.image_files import Files
from fairnas.data.values import Sample, ValueRange, chosen_range, clipped_share, levels_used, shown_range

_LOOKED_AT = 200  # number of headers in the sample
_DECODED = 32  # number of deep images in the sample
_CLIPPED = 0.01  # share of pixels outside the range that gives a note
_FEW_LEVELS = 32  # of 256 grey levels; images that use fewer may have lost detail, which gives a note


@dataclass(frozen=True)
class FoundRange:
    """Range of values, None if no image in the sample has more than 8 bits; and findings about it."""

    value_range: ValueRange | None
    findings: tuple[Finding, ...]


def find_range(train: Files, classes: Sequence[str], given: ValueRange | None) -> FoundRange:
    """Find the range from a sample of the training images: up to 200 headers, and the values of up to 32 deep ones.

    Args:
        train: training images in an order that mixes the classes, so that the first ones are a fair sample.
        classes: names of all classes.
        given: the user's range; it is used, and compared with the sample.
    """
    with quiet_pillow():
        headers = dict(_headers(train))
        deep = [place for place, header in headers.items() if header.deep]
        samples = list(_samples(train, deep[:_DECODED]))
    if not samples:
        unused = Finding("setting-unused", "data.range is not used: no image looked at has more than 8 bits")
        return FoundRange(given, (unused,) if given and not deep else ())
    value_range = given or chosen_range(samples)
    findings = _told(samples, value_range, given is not None, f"{len(deep)} of {len(headers)} images looked at")
    return FoundRange(value_range, (*findings, *_mixed(train, classes, headers, samples)))


def _headers(train: Files) -> Iterator[tuple[int, Header]]:
    for place in range(min(len(train), _LOOKED_AT)):
        with contextlib.suppress(CorruptImageError):
            yield place, look(train.path(place))


def _samples(train: Files, places: Sequence[int]) -> Iterator[Sample]:
    for place in places:
        with contextlib.suppress(CorruptImageError):
            values = deep_values(train.path(place))
            sample = None if values is None else Sample.of(values)
            if sample:
                yield sample


def _told(samples: Sequence[Sample], value_range: ValueRange, given: bool, of: str) -> Iterator[Finding]:
    """Findings about a range: its origin, the pixels it clips, and the levels it leaves."""
    text, outside = shown_range(value_range), clipped_share(samples, value_range)
    how = "as given" if given else f"chosen from {len(samples)} of them; --data.range LOW:HIGH changes it"
    strange = "; pixels that are no numbers become black" if any(sample.strange for sample in samples) else ""
    yield Finding(
        "deep-range", f"{of} have more than 8 bits: values {text} become 256 levels from black to white, {how}{strange}"
    )
    if outside > _CLIPPED:
        yield Finding(
            "deep-clipped",
            f"{outside:.0%} of the pixels of images of more than 8 bits lie outside {text} and become black or white; "
            "give another --data.range LOW:HIGH if they matter",
        )
    levels, values = levels_used(samples, value_range)
    if levels < _FEW_LEVELS and values > 2 * levels:
        low, high = _middle(samples)
        yield Finding(
            "deep-narrow",
            f"of images of more than 8 bits, nine tenths of the pixels fall on {levels} of 256 levels in the range "
            f"{text}, and half of them lie between {low} and {high}: give --data.range LOW:HIGH",
        )


def _middle(samples: Sequence[Sample]) -> tuple[str, str]:
    quarters = [sample.values[[len(sample.values) // 4, 3 * len(sample.values) // 4]] for sample in samples]
    low, high = shown_range((min(pair[0] for pair in quarters), max(pair[1] for pair in quarters))).split(":")
    return low, high


def _mixed(
    train: Files, classes: Sequence[str], headers: dict[int, Header], samples: Sequence[Sample]
) -> Iterator[Finding]:
    """Findings about images of different depths in one set."""
    kinds = {sample.is_float for sample in samples}
    if len(kinds) == 2:
        yield Finding(
            "deep-mixed",
            "one range holds for integers and floating point numbers, which lie side by side; convert them",
        )
    shallow = {int(train.labels[place]) for place, header in headers.items() if not header.deep}
    if not shallow:
        return
    deep = {int(train.labels[place]) for place, header in headers.items() if header.deep}
    count = sum(not header.deep for header in headers.values())
    apart = sorted(shallow ^ deep)
    by_class = (
        f"; class '{shown(classes[apart[0]])}' has only images of {'more than 8' if apart[0] in deep else '8'} bits, "
        "so a network may tell classes by their files"
        if apart
        else ""
    )
    yield Finding(
        "deep-mixed",
        f"{count} of {len(headers)} images looked at have 8 bits, the others more: those of 8 bits stay as they are, "
        f"so the same brightness may become another level{by_class}",
    )
