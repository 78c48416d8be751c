"""Genome: one architecture as a tuple of choice indices, and its text form.

The text form has one character per layer, `0-9a-z`, so the paper's model [2, 0, 2, 3, ...] reads `2023...`.
"""

from collections.abc import Sequence
from typing import Annotated, Any

from fairnas.errors import GenomeError
from fairnas.record import StoredAs

Genome = tuple[int, ...]

ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_INDEX = {character: index for index, character in enumerate(ALPHABET)}


def parse_genome(text: str) -> Genome:
    """Parse the text form. Raises `GenomeError` for a character outside `0-9a-z`."""
    try:
        return tuple(_INDEX[character] for character in text)
    except KeyError as error:
        raise GenomeError(
            f"genome {text!r} holds {error.args[0]!r}; write one character of 0-9a-z per layer, such as '2023500'"
        ) from None


def format_genome(genome: Sequence[int]) -> str:
    """Text form of a genome; the inverse of `parse_genome`."""
    return "".join(ALPHABET[choice] for choice in genome)


def _parse_stored(value: Any) -> Genome:
    if not isinstance(value, str):
        raise GenomeError(f"genome {value!r} is no text; write one character of 0-9a-z per layer, such as '2023500'")
    return parse_genome(value)


StoredGenome = Annotated[Genome, StoredAs(_parse_stored, format_genome)]
"""A genome in a record: its text form in JSON."""


def distance(a: Genome, b: Genome) -> int:
    """Number of layers in which two genomes of one space differ (Hamming distance).

    Raises:
        GenomeError: if they differ in length.
    """
    if len(a) != len(b):
        raise GenomeError(f"genomes of {len(a)} and {len(b)} layers have no distance; give two of the same space")
    return sum(x != y for x, y in zip(a, b, strict=True))
