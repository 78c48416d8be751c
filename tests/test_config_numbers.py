"""Every number that a configuration takes, from Python, a TOML file and flags: refused in a line, or kept as it is."""

import dataclasses
import tomllib
from collections.abc import Callable, Iterator
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fairnas.cli.run import read_arguments
from fairnas.config import DataConfig, RetrainConfig, RunConfig, StandAloneConfig
from fairnas.config.checks import LARGEST_COUNT
from fairnas.config.run import LARGEST_SEED
from fairnas.configfile import from_toml, to_file
from fairnas.errors import ConfigError, FairnasError
from fairnas.recipes import digits
from fairnas.rundir import RunDirectory

BASE = dataclasses.replace(digits(), retrain=RetrainConfig(recipe="product"))
"""A configuration that has all settings."""


def _numbers(section: Any, above: str = "") -> Iterator[tuple[str, type]]:
    for field in dataclasses.fields(section):
        value, kind = getattr(section, field.name), str(field.type)
        if dataclasses.is_dataclass(value):
            yield from _numbers(value, f"{above}{field.name}.")
        elif "Literal" not in kind and ("int" in kind or "float" in kind):
            yield above + field.name, float if "float" in kind else int


NUMBERS = dict(_numbers(BASE))
WHOLE = st.integers() | st.sampled_from(
    [0, 1, 2, 3, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, 10**18, 10**29, 10**30, 10**400, 10**5000]
).flatmap(lambda near: st.integers(near - 2, near + 2)).flatmap(lambda number: st.sampled_from([number, -number]))
REAL = st.floats() | st.sampled_from([float("nan"), float("inf"), -float("inf"), -0.0, 5e-324, 1.8e308, 1e22])


def value_of(config: RunConfig, name: str) -> Any:
    return reduce(getattr, name.split("."), config)


def put(config: Any, name: str, value: Any) -> Any:
    """The configuration with one setting, by its dotted name."""
    first, _, rest = name.partition(".")
    return dataclasses.replace(config, **{first: put(getattr(config, first), rest, value) if rest else value})


def made(make: Callable[[], RunConfig]) -> RunConfig | None:
    """A configuration, or None if it was refused, which takes one line."""
    try:
        return make()
    except FairnasError as error:
        said = str(error)
    assert "\n" not in said
    assert len(said) < 2100
    return None


def kept_as_it_is(config: RunConfig, name: str) -> None:
    read = from_toml(to_file(config).decode())
    assert read == config
    found, wanted = value_of(read, name), value_of(config, name)
    assert found is wanted or (found == wanted and isinstance(found, NUMBERS[name]))


def test_there_are_numbers() -> None:
    assert {"seed", "minutes", "train.lr", "search.hierarchy.prior", "resources.workers"} <= NUMBERS.keys()
    assert len(NUMBERS) > 70


@pytest.mark.slow
@settings(max_examples=1000)
@given(st.data(), st.sampled_from(sorted(NUMBERS)))
def test_from_python(data: st.DataObject, name: str) -> None:
    value = data.draw(WHOLE if NUMBERS[name] is int else REAL | WHOLE)
    if config := made(lambda: put(BASE, name, value)):
        kept_as_it_is(config, name)


SIGNS = st.sampled_from(["", "+", "-"])
EXPONENTS = st.builds("{}{}{}".format, st.sampled_from("eE"), SIGNS, st.integers(0, 420))
TEXTS = (
    st.builds("{}{}".format, SIGNS, st.integers(0, 10**40))
    | st.builds("{}{}.{}{}".format, SIGNS, st.integers(0, 10**20), st.integers(0, 10**20), st.just("") | EXPONENTS)
    | st.builds("{}{}{}".format, SIGNS, st.integers(0, 99), EXPONENTS)
    | st.builds("{}{}".format, SIGNS, st.sampled_from(["inf", "nan", "0.0", "0", "1_000", "1e5", "1_0.5e1_0"]))
    | st.sampled_from(["0xff", "0o17", "0b11", "0x" + "f" * 40, "1" * 31, "1" * 5000, "5e-324", "1e-400", "1e400"])
)
"""Numbers as TOML writes them."""


@pytest.mark.slow
@settings(max_examples=500)
@given(TEXTS, st.sampled_from(sorted(NUMBERS)))
def test_from_a_file(text: str, name: str) -> None:
    section, _, key = name.rpartition(".")
    file = f"[{section}]\n{key} = {text}" if section else f"{key} = {text}"
    if config := made(lambda: from_toml(file, BASE)):
        written = tomllib.loads(f"x = {text}")["x"]
        assert value_of(config, name) == (written if NUMBERS[name] is int else float(written))
        kept_as_it_is(config, name)


@pytest.mark.slow
@settings(max_examples=40)
@given(TEXTS | st.builds(str, REAL), st.sampled_from(sorted(NUMBERS)))
@example("1" * 31, "seed")
@example("1" * 30, "seed")
@example("1e400", "train.lr")
@example("-0.0", "train.weight_decay")
def test_from_a_flag(text: str, name: str) -> None:
    flags = ["digits", "--retrain.recipe", "product", f"--{name.replace('_', '-')}={text}"]
    if config := made(lambda: read_arguments(flags, "train").config):
        kept_as_it_is(config, name)


@given(st.builds("{}:{}".format, TEXTS, TEXTS))
def test_the_range_of_values(text: str) -> None:
    if config := made(lambda: dataclasses.replace(BASE, data=DataConfig(range=text))):
        assert from_toml(to_file(config).decode()) == config


def test_limits() -> None:
    for seed in (0, 2**64, LARGEST_SEED):
        kept_as_it_is(put(BASE, "seed", seed), "seed")
    with pytest.raises(ConfigError, match=r"^seed is 1{31}; give 999,999,.*,999 or less$"):
        put(BASE, "seed", int("1" * 31))
    with pytest.raises(ConfigError, match=r"^seed is a number of about 5,000 digits; give 999,"):
        put(BASE, "seed", 10**5000)
    with pytest.raises(ConfigError, match=r"^train.epochs is 9007199254740993; give 9,007,199,254,740,992 or less$"):
        put(BASE, "train.epochs", LARGEST_COUNT + 1)
    with pytest.raises(ConfigError, match=r"^stand_alone.models is 1000000000000000000000; give 9,007,.* or less$"):
        StandAloneConfig(models=10**21)  # at once, and without a list of all these numbers


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("seed", 1.5, r"^the settings cannot be kept in a file: .*'seed' = 1.5: Input should be a valid integer"),
        ("train.accumulate", 1, "'train.accumulate' = 1: Input should be a valid boolean"),
        (
            "data.name",
            "folder:\udcff",
            r"^data.name is 'folder:.*\\udcff', which is not valid text; rename the file or class",
        ),
        ("stand_alone.genomes", ("\ud800",), r"cannot be kept in a file"),
    ],
)
def test_what_a_file_would_not_keep_is_refused_before_anything_is_written(
    name: str, value: Any, message: str, tmp_path: Path
) -> None:
    config = put(BASE, name, value)
    with pytest.raises(ConfigError, match=message) as caught:
        RunDirectory.create(tmp_path / "new" / "run", config)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "new").exists()
    run = RunDirectory.create(tmp_path / "run", BASE)
    before = (run.path / "config.toml").read_bytes()
    with pytest.raises(ConfigError):
        run.write_config(config)
    assert (run.path / "config.toml").read_bytes() == before


def test_a_list_is_kept_where_a_tuple_is_meant() -> None:
    config = put(BASE, "stand_alone.genomes", ["01", "10"])
    assert from_toml(to_file(config).decode()).stand_alone.genomes == ("01", "10")
