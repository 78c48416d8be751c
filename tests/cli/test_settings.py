"""Settings of a run: flags and files count the same, and help shows those that people use."""

import random
import re
import types
from typing import Any, Literal, get_args, get_origin

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fairnas.cli.parsing import UsageError
from fairnas.cli.run import read_arguments
from fairnas.config import RunConfig
from fairnas.config.settings import Setting, declared_settings, takes_none, with_settings
from fairnas.errors import ConfigError, FairnasError
from fairnas.recipes import NAMES, get_recipe

SETTINGS = {each.key: each for each in declared_settings(RunConfig) if each.key != "recipe"}
TEXTS = st.text("abcXYZ019_.: ", min_size=1, max_size=8).filter(lambda text: text not in ("None", " "))
IN_A_RANGE = st.integers(1, 200), st.floats(0.001, 0.9)


def value_of(setting: Setting) -> st.SearchStrategy[Any]:
    """Values of a setting's type; most are possible."""
    kind = setting.type
    if get_origin(kind) in (types.UnionType,):
        kind = next(each for each in get_args(kind) if each is not types.NoneType)
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is tuple:
        return st.lists(TEXTS, max_size=3).map(tuple)
    return {bool: st.booleans(), int: IN_A_RANGE[0], float: IN_A_RANGE[1], str: TEXTS}[kind]


def spelled(key: str, value: Any, how: random.Random) -> list[str]:
    """One of the ways to give a setting as a flag."""
    short = SETTINGS[key].flag.short
    names = [key if how.random() < 0.5 else key.replace("_", "-")]
    if short is not None and short.read is None:
        names.append(short.name)
    name = how.choice(names)
    if isinstance(value, bool):
        above, _, last = name.rpartition(".")
        return [f"--{above}{'.' if above else ''}{'' if value else 'no-'}{last}"]
    if isinstance(value, tuple):
        return [f"--{name}", *value]
    text = repr(value) if isinstance(value, float) else str(value)
    return [f"--{name}={text}"] if how.random() < 0.5 else [f"--{name}", text]


def nested(values: dict[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for key, value in values.items():
        *above, name = key.split(".")
        place = tree
        for part in above:
            place = place.setdefault(part, {})
        place[name] = list(value) if isinstance(value, tuple) else value
    return tree


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name in ("cats", "dogs"):
        (folder / name).mkdir()
        for number in range(30):
            Image.new("RGB", (40, 40), (number, 9, 9)).save(folder / name / f"{number}.png")
    return folder


def outcome(recipe: str, arguments: list[str]) -> tuple[Any, Any]:
    try:
        command = read_arguments([recipe, *arguments], "run")
    except FairnasError as error:
        return type(error), str(error).split(": ", 1)[-1]
    return command.config, command.given


@pytest.mark.slow
@given(st.sampled_from(NAMES), st.data(), st.randoms(use_true_random=False))
@settings(max_examples=12, suppress_health_check=[*HealthCheck])  # an example has a value for every setting
def test_any_settings_as_flags_or_in_a_file_give_the_same_configuration(images, tmp_path_factory, recipe, data, how):
    config = get_recipe("digits" if recipe == "folder" else recipe)
    values: dict[str, Any] = {}
    for key in data.draw(st.permutations(sorted(SETTINGS))):
        drawn = data.draw(value_of(SETTINGS[key]))
        try:  # what does not go with those before is left out
            config = with_settings(config, {key: drawn})
        except ConfigError:
            continue
        values[key] = drawn
    if recipe == "folder":
        values |= {"data.name": f"folder:{images}", "data.layout": "auto", "data.group": "cat"}
        values.pop("data.labels", None)
    assert len(values) > 60
    flags = [word for key, value in values.items() for word in spelled(key, value, how)]
    file = tmp_path_factory.mktemp("file") / "all.toml"
    file.write_text(tomli_w.dumps(nested(values)))
    by_flags, by_file = outcome(recipe, flags), outcome(recipe, ["--config", str(file)])
    assert by_flags == by_file
    half = {key: value for key, value in values.items() if how.random() < 0.5}
    file.write_text(tomli_w.dumps(nested({key: values[key] for key in values if key not in half})))
    flags = [word for key, value in half.items() for word in spelled(key, value, how)]
    assert outcome(recipe, ["--config", str(file), *flags]) == by_flags


@pytest.mark.parametrize("key", ["data.image_size", "resources.device", "data.fit", "minutes", "data.name"])
def test_what_the_recipe_folder_looks_at_counts_in_a_file_as_in_a_flag(key, images, tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    value: Any = {"data.image_size": 128, "minutes": 30.0, "data.name": f"folder:{images}"}.get(key, "cpu")
    value = "squash" if key == "data.fit" else value
    data = [] if key == "data.name" else ["--data", f"folder:{images}"]
    (tmp_path / "my.toml").write_text(tomli_w.dumps(nested({key: value})))
    config, given_names = outcome("folder", [*data, "--config", str(tmp_path / "my.toml")])
    assert (config, given_names) == outcome("folder", [*data, f"--{key}={value}"])
    assert key in given_names
    if key == "data.image_size":
        assert (config.space, config.data.augmentation) == ("mobilenet_v2", "inception")
    if key == "resources.device":
        assert config.search.population == 32, "as without a GPU"


def test_short_forms_are_the_settings_that_they_are_short_for(tmp_path):
    given_short, names = outcome("digits", ["--hours", "0.5", "--max-madds", "330k", "--max-latency", "20ms"])
    (tmp_path / "my.toml").write_text('minutes = 30.0\n[search]\nmax_madds = "330k"\nmax_latency = 20.0\n')
    assert outcome("digits", ["--config", str(tmp_path / "my.toml")]) == (given_short, names)
    assert (given_short.minutes, given_short.search.max_madds, given_short.search.max_latency) == (30.0, 330e3, 20.0)
    for short, long in (("--data", "--data.name"), ("--latency-table", "--search.latency-table")):
        with pytest.raises(UsageError, match=f"^{short} a and {long} are both given; give one of them$"):
            read_arguments(["digits", short, "a", long, "b"], "run")


def test_a_mistake_names_the_file_if_it_is_in_the_file(tmp_path):
    (tmp_path / "my.toml").write_text("[train]\nlr = -1.0\n")
    arguments = ["digits", "--config", str(tmp_path / "my.toml")]
    with pytest.raises(ConfigError, match=r"my\.toml: train\.lr is -1\.0; give a number above 0$"):
        read_arguments(arguments, "run")
    with pytest.raises(ConfigError, match=r"^train\.lr is -2\.0; give a number above 0$"):
        read_arguments([*arguments, "--train.lr", "-2"], "run")


def test_a_flag_repairs_what_a_file_has_wrong(tmp_path):
    (tmp_path / "my.toml").write_text("[retrain]\nmixup = 0.2\n")
    arguments = ["digits", "--config", str(tmp_path / "my.toml")]
    with pytest.raises(ConfigError, match=r"my\.toml: retrain\.mixup is 0\.2, which retrain\.recipe 'supernet'"):
        read_arguments(arguments, "run")
    assert read_arguments([*arguments, "--retrain.recipe", "product"], "run").config.retrain.mixup == 0.2


def shown(fairnas_help: str) -> set[str]:
    return set(re.findall(r"^(?:│ |  )(--[^ ,│]+)", fairnas_help, re.MULTILINE))


@pytest.fixture
def flags_in_help(capsys):
    def read(*arguments: str) -> set[str]:
        from fairnas.cli.main import main

        with pytest.raises(SystemExit):
            main([*arguments])
        return shown(capsys.readouterr().out)

    return read


def test_every_setting_says_whether_help_shows_it():
    assert [each.key for each in SETTINGS.values() if each.flag is None] == []


@pytest.mark.slow
@pytest.mark.parametrize("verb", ["run", "plan", "train"])
def test_help_shows_what_people_use_and_help_all_the_rest(verb, flags_in_help):
    common, everything = flags_in_help(verb, "--help"), flags_in_help(verb, "digits", "--help-all")
    assert 35 <= len(common) <= 45
    assert common < everything
    flags = {}
    for key, setting in SETTINGS.items():
        short = setting.flag.short
        flag = short.name if short and short.preferred else key
        flags[f"--{flag.replace('_', '-')}"] = setting.flag.level
    negated = {re.sub(r"no-(?=[a-z-]*$)", "", flag) for flag in everything}
    assert set(flags) <= negated, "one spelling of each"
    assert not {"--data.name", "--search.max-madds", "--hours", "--run"} & everything
    assert {flag for flag, level in flags.items() if level == "common"} == common & set(flags)


def test_verbs_of_stages_have_their_settings_in_help_all(flags_in_help):
    assert "--search.hierarchy.random" in flags_in_help("search", "--help-all") - flags_in_help("search", "--help")
    assert "--mixup" in flags_in_help("retrain", "--help-all") - flags_in_help("retrain", "--help")
    assert "--models" in flags_in_help("rank", "--help")


def test_a_setting_of_each_kind_may_be_left_open():
    assert {each.key for each in SETTINGS.values() if takes_none(each)} >= {"minutes", "data.image_size"}
    assert outcome("digits", ["--stand-alone.epochs", "None"])[0].stand_alone.epochs is None
