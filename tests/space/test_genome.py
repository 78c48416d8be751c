"""Genomes and their text form."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnas.errors import GenomeError
from fairnas.space import distance, format_genome, parse_genome
from fairnas.space.genome import ALPHABET

GENOMES = st.lists(st.integers(0, 35), max_size=30).map(tuple)
TRIPLES = st.integers(0, 12).flatmap(
    lambda length: st.tuples(*[st.lists(st.integers(0, 3), min_size=length, max_size=length).map(tuple)] * 3)
)


@given(GENOMES)
def test_parsing_undoes_formatting(genome) -> None:
    assert parse_genome(format_genome(genome)) == genome


@given(st.text(alphabet=ALPHABET, max_size=30))
def test_formatting_undoes_parsing(text: str) -> None:
    assert format_genome(parse_genome(text)) == text


@given(st.text(min_size=1, max_size=10))
def test_parsing_takes_the_alphabet_and_nothing_else(text: str) -> None:
    foreign = [character for character in text if character not in ALPHABET]
    if not foreign:
        assert len(parse_genome(text)) == len(text)
        return
    with pytest.raises(GenomeError) as caught:
        parse_genome(text)
    assert repr(foreign[0]) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_the_papers_model_and_the_alphabet() -> None:
    assert parse_genome("2023500551311335354") == (2, 0, 2, 3, 5, 0, 0, 5, 5, 1, 3, 1, 1, 3, 3, 5, 3, 5, 4)
    assert parse_genome("09az") == (0, 9, 10, 35)
    assert len(set(ALPHABET)) == 36


@pytest.mark.parametrize("text", ["01A2", "01-2", "0 1", "²", "٣"])
def test_digits_of_other_alphabets_are_refused(text: str) -> None:
    with pytest.raises(GenomeError, match=r"write one character of 0-9a-z per layer, such as '2023500'"):
        parse_genome(text)


@given(TRIPLES)
def test_distance_is_a_metric(genomes) -> None:
    a, b, c = genomes
    assert (distance(a, b) == 0) == (a == b)
    assert distance(a, b) == distance(b, a)
    assert distance(a, c) <= distance(a, b) + distance(b, c)
    assert 0 <= distance(a, b) <= len(a)


def test_distance_counts_layers() -> None:
    assert distance((0, 1, 2, 3), (0, 2, 2, 0)) == 2
    with pytest.raises(GenomeError, match=r"genomes of 2 and 3 layers have no distance; give two of the same space"):
        distance((0, 1), (0, 1, 2))
