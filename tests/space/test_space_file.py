"""Spaces in files: TOML, Python, and the JSON of a run directory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairnas.errors import SpaceError, UnknownNameError
from fairnas.space import (
    CATALOG,
    Identity,
    InvertedResidual,
    SearchSpace,
    Separable,
    Stage,
    Stem,
    chain_space,
    get_space,
)
from fairnas.space.blocks import ShuffleUnit, ShuffleXception
from fairnas.space.file import from_dict, load_space, to_dict

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"

GOOD = """
name = "mine"
image_size = 16
head = 8
stem = { channels = 4, stride = 1 }
stages = [{ channels = 8, layers = 2, stride = 2 }]
"""


def test_the_documented_examples_give_the_same_space() -> None:
    from_toml, from_python = (get_space(str(EXAMPLES / name)) for name in ("space.toml", "space.py"))
    assert from_toml == from_python
    assert from_toml.name == "mine"
    assert from_toml.size == 4**6 == 4096
    assert from_toml.labels((0, 1, 2, 3, 0, 0))[:4] == ("k3e3", "k5e3", "k3e6", "k5e6")
    assert get_space(f"{EXAMPLES / 'space.py'}:space") == from_python
    for name in ("space.toml", "space.py"):
        assert len((EXAMPLES / name).read_text().splitlines()) <= 15


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_catalog_spaces_go_round_through_json(name: str) -> None:
    space = get_space(name)
    back = from_dict(json.loads(json.dumps(to_dict(space))))
    assert back == space
    assert hash(back) == hash(space)
    assert space.name == name
    assert space.source


def test_what_is_at_its_default_is_not_written_so_that_runs_of_before_know_their_space() -> None:
    plain = to_dict(get_space("digits"))
    assert "classifier_bias" not in plain
    assert "bn_eps" not in plain
    assert plain["layers"][0]["choices"][0] == {"kind": "InvertedResidual", "kernel": 3, "expansion": 3}
    assert to_dict(get_space("fbnet"))["layers"][0]["choices"][1] == {
        **{"kind": "InvertedResidual", "kernel": 3, "expansion": 1},
        "groups": 2,
    }
    assert to_dict(get_space("shufflenet_v2"))["classifier_bias"] is False


@pytest.mark.slow
@given(st.data())
def test_all_spaces_go_round_through_json(chain_spaces, data) -> None:
    space = data.draw(chain_spaces)
    assert from_dict(json.loads(json.dumps(to_dict(space)))) == space


def test_a_runs_space_can_be_named_by_its_file(tmp_path: Path) -> None:
    space = get_space("digits").for_data(num_classes=4)
    (tmp_path / "space.json").write_text(json.dumps(to_dict(space)))
    assert get_space(str(tmp_path / "space.json")) == space
    (tmp_path / "space.json").write_text("{")
    with pytest.raises(SpaceError, match=r"space.json: Expecting property name"):
        get_space(str(tmp_path / "space.json"))


SCALARS = st.none() | st.booleans() | st.integers(-2, 9) | st.floats(allow_nan=False) | st.text(max_size=4)
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner), max_leaves=6
)


@given(JSON)
def test_other_json_is_refused(plain) -> None:
    with pytest.raises(SpaceError, match=r"this is not a search space written by fairnas"):
        from_dict(plain)


@pytest.mark.slow
@given(st.data())
def test_a_damaged_space_is_refused_or_is_a_space(chain_spaces, data) -> None:
    """Whatever one value of the JSON is exchanged for, the outcome is a valid space or a `SpaceError`."""
    plain = json.loads(json.dumps(to_dict(data.draw(chain_spaces))))
    at = plain
    for _ in range(data.draw(st.integers(0, 6))):
        inner = [v for v in (at.values() if isinstance(at, dict) else at) if isinstance(v, dict | list) and v]
        if not inner:
            break
        at = data.draw(st.sampled_from(inner))
    key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
    if data.draw(st.booleans()):
        at[key] = data.draw(JSON)
    else:
        del at[key]
    try:
        space = from_dict(plain)
    except SpaceError:
        return
    assert from_dict(to_dict(space)) == space
    assert space.size >= 1
    assert space.reduction >= 1
    assert hash(space) == hash(from_dict(to_dict(space)))


def test_toml_takes_every_argument_of_a_chain(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD + 'kernels = [3]\nexpansions = [1, 2]\nfirst = 6\nskip = true\nactivation = "relu"\n')
    expected = chain_space(
        "mine",
        image_size=16,
        stem=Stem(4, 1),
        stages=(Stage(8, 2, 2),),
        head=8,
        kernels=(3,),
        expansions=(1, 2),
        first=6,
        skip=True,
        activation="relu",
    )
    assert load_space(path) == expected
    assert expected.choices == (2, 3)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("head = 8", "head = ", "Invalid value"),
        ("head = 8", "head = 8\nhead = 8", "Cannot overwrite a value"),
        ("head = 8", "", ": it lacks the key 'head'; see docs"),
        ("stem = { channels = 4, stride = 1 }", "", ": it lacks the key 'stem'; see docs/spaces.md for an example"),
        ("stages = [{ channels = 8, layers = 2, stride = 2 }]", "", ": it lacks the key 'stages'; see docs"),
        ("channels = 8, ", "", ": stage 1 lacks the key 'channels'; see docs"),
        ("head = 8", "head = 8\nkernel = [3]", ": unknown key 'kernel'; did you mean 'kernels'? (keys: name, "),
        ("head = 8", "head = 8\nkernels = [3, 4]", "kernel is 4; give an odd number"),
        (
            "head = 8",
            "head = 8\nkernels = 3",
            ": kernels of space 'mine' is 3; give a list such as [3, 5, 7]; see docs",
        ),
        ("head = 8", "head = 8.5", ": head of space 'mine' is 8.5; give a whole number"),
        ("head = 8", 'head = 8\nactivation = "gelu"', "activation of space 'mine' is 'gelu'; give relu6 or relu"),
        (
            "head = 8",
            'head = 8\nchoices = ["k3e3"]',
            ": choice 1 is 'k3e3'; give { kind = \"InvertedResidual\", kernel = 3, expansion = 6 }; see docs",
        ),
        (
            "stem = { channels = 4, stride = 1 }",
            "stem = 4",
            ": stem is 4; give { channels = 16, stride = 2 }; see docs",
        ),
        ("layers = 2", "layers = 0", "of space 'mine' is 0; give 1 or more"),
        ("image_size = 16", "image_size = true", "image_size of space 'mine' is True; give a whole number"),
        ("image_size = 16", "image_size = 1", "shrinks images 2 times; 1 pixels are too few, give 2 or more"),
        ('name = "mine"', 'name = " "', "name of a space is ' '; give a word"),
        (
            "layers = 2",
            "layers = 999 }, { channels = 8, layers = 2",
            "space 'mine' has 1,001 layers; give at most 1,000",
        ),
    ],
)
def test_wrong_toml(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    assert GOOD.count(old) == 1
    path.write_text(GOOD)
    load_space(path)
    path.write_text(GOOD.replace(old, new))
    with pytest.raises(SpaceError) as caught:
        load_space(path)
    assert message in str(caught.value)
    assert str(caught.value).startswith(f"space file {path}")
    assert len(str(caught.value).splitlines()) == 1


STEM, STAGE = "(keys: channels, stride)", "(keys: channels, layers, stride)"
BLOCK = 'choices = [{ kind = "InvertedResidual", kernel = 3, expansion = 6 }]'
INTO_EACH = "it belongs into 'stem' or each of 'stages'"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "channels = 4, stride = 1",
            "channels = 4, strid = 1",
            f"stem: unknown key 'strid'; did you mean 'stride'? {STEM}",
        ),
        ("stride = 2", "strid = 2", f"stage 1: unknown key 'strid'; did you mean 'stride'? {STAGE}"),
        ("layers = 2,", "layer = 2,", f"stage 1: unknown key 'layer'; did you mean 'layers'? {STAGE}"),
        (
            "stride = 2 }",
            "stride = 2 }, { chanels = 8 }",
            f"stage 2: unknown key 'chanels'; did you mean 'channels'? {STAGE}",
        ),
        (
            "head = 8",
            "head = 8\nEXPANSIONS = [3]",
            "unknown key 'EXPANSIONS'; did you mean 'expansions'? (keys: name, ",
        ),
        ("head = 8", "head = 8\nimage-channels = 1", "unknown key 'image-channels'; did you mean 'image_channels'?"),
        ("head = 8", "head = 8\nwidth = 8", "unknown key 'width' (keys: name, image_size, stem, stages, head, kernels"),
        ("head = 8", "head = 8\nstride = 2", f"unknown key 'stride'; {INTO_EACH}"),
        ("head = 8", "head = 8\nchannels = 2", f"unknown key 'channels'; {INTO_EACH}"),
        ("head = 8", "head = 8\nlayers = 2", "unknown key 'layers'; it belongs into each of 'stages'"),
        ("stride = 1", "stride = 1, kernels = [3]", "stem: unknown key 'kernels'; it belongs above the first table"),
        ("stride = 2", "stride = 2, skip = true", "stage 1: unknown key 'skip'; it belongs above the first table"),
        (
            "head = 8",
            f"head = 8\n{BLOCK}".replace("kernel", "kernal"),
            "choice 1 (InvertedResidual): unknown key 'kernal'; d",
        ),
        (
            "head = 8",
            f"head = 8\n{BLOCK}".replace("Inverted", "Invertd"),
            "choice 1: unknown kind 'InvertdResidual'; did yo",
        ),
        (
            "head = 8",
            f"head = 8\n{BLOCK}".replace('kind = "InvertedResidual", ', ""),
            "choice 1 lacks the key 'kind'; give ",
        ),
        (
            "head = 8",
            f"head = 8\n{BLOCK}".replace(", expansion = 6", ""),
            "(InvertedResidual) lacks the key 'expansion'",
        ),
        ("head = 8", 'head = 8\nchoices = [{ kind = "Identity", kernel = 3 }]', "'kernel'; it takes no keys"),
        (
            "head = 8",
            f"head = 8\nkernels = [3]\n{BLOCK}",
            "it has both 'choices' and 'kernels', which say the same; give one",
        ),
        ("head = 8", 'head = 8\nchoices = { kind = "Identity" }', "choices is a table; give a list, such as [{ kind"),
        ("stages = [{", "stages = {", "stages is a table; give a list, such as [{ channels"),
        ("head = 8", "head = 8\nkernels = [3, 3]", "kernels of space 'mine' has 3 twice; give each once"),
        ("head = 8", "head = 8\nexpansions = [3, 6, 3]", "expansions of space 'mine' has 3 twice; give each once"),
        ("head = 8", "head = 8\nkernels = []", "kernels of space 'mine' is []; give a list such as [3, 5, 7]"),
        ("head = 8", 'head = 8\nkernels = "35"', "kernels of space 'mine' is '35'; give a list such as [3, 5, 7]"),
        ("channels = 4", 'channels = "4"', "channels of the stem of space 'mine' is '4'; give a whole number"),
    ],
)
def test_every_wrong_key_of_a_toml_file_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.toml"
    text = GOOD.replace(old, new).replace("}]\n", "}\n") if new == "stages = {" else GOOD.replace(old, new)
    assert text != GOOD
    path.write_text(text)
    with pytest.raises(SpaceError) as caught:
        load_space(path)
    assert message in str(caught.value)
    for python in ("__init__", "argument", "iterable", "unexpected", "mapping", "object"):
        assert python not in str(caught.value)


def test_toml_takes_choice_blocks_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    blocks = (
        *(
            '{ kind = "InvertedResidual", kernel = 3, expansion = 6, squeeze = 0.25 }',
            '{ kind = "Separable", kernel = 5 }',
        ),
        *('{ kind = "ShuffleUnit", kernel = 3 }', '{ kind = "ShuffleXception" }', '{ kind = "Identity" }'),
    )
    path.write_text(f"{GOOD}choices = [{', '.join(blocks)}]\n")
    assert load_space(path).layers[0].choices == (
        *(InvertedResidual(3, 6, squeeze=0.25), Separable(5), ShuffleUnit(3), ShuffleXception(), Identity()),
    )


@pytest.mark.parametrize(
    "twin", [InvertedResidual(3, 6), InvertedResidual(3, 6, activation="relu6"), InvertedResidual(3, 6, squeeze=0)]
)
def test_a_choice_that_is_offered_twice_is_refused(twin: InvertedResidual) -> None:
    def made(*choices: InvertedResidual) -> SearchSpace:
        return chain_space("x", image_size=8, stem=Stem(8), stages=(Stage(8, 1),), head=8, choices=choices)

    with pytest.raises(
        SpaceError, match=r"^layer 0 of space 'x' offers k3e6 (twice|and k3e6relu6), which is one choice;"
    ):
        made(InvertedResidual(3, 6), InvertedResidual(5, 6), twin)
    assert made(InvertedResidual(3, 6), InvertedResidual(3, 6, activation="relu")).choices == (2,)


def test_toml_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "x.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SpaceError, match=r"x.toml: 'utf-8' codec can't decode .*; save it as UTF-8 text"):
        load_space(tmp_path / "x.toml")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise OSError('no such thing')", "raises OSError: no such thing"),
        ("1 / 0", "raises ZeroDivisionError: division by zero"),
        ("def", "raises SyntaxError"),
        ("import sys; sys.exit(3)", "raises SystemExit: 3"),
        ("x = 1", "does not define a SearchSpace called 'space'; build one with chain_space"),
        ("space = 'digits'", "does not define a SearchSpace called 'space'"),
        ("from fairnas.space import Separable; Separable(2)", "kernel is 2; give an odd number"),
    ],
)
def test_wrong_python(tmp_path: Path, code: str, message: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text(code)
    with pytest.raises(SpaceError) as caught:
        get_space(str(path))
    assert message in str(caught.value)


def test_a_python_file_may_hold_several_spaces(tmp_path: Path) -> None:
    path = tmp_path / "spaces.py"
    path.write_text("from fairnas.space import get_space\none = get_space('digits')\ntwo = get_space('compact')\n")
    assert get_space(f"{path}:two") == CATALOG["compact"]
    assert get_space(f"{path}:one") == CATALOG["digits"]
    with pytest.raises(SpaceError, match=r"spaces.py does not define a SearchSpace called 'three'"):
        get_space(f"{path}:three")


@pytest.mark.parametrize("name", ["none.toml", "none.py", "none.py:space", "none.json", "folder.toml"])
def test_absent_files(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(SpaceError, match=r"there is no space file .*; give a TOML file or FILE.py:NAME"):
        get_space(str(tmp_path / name))


def test_unknown_names() -> None:
    with pytest.raises(UnknownNameError, match=r"^unknown space 'mobilenet'; did you mean 'mobilenet_v2'\? \(spaces: "):
        get_space("mobilenet")
    with pytest.raises(UnknownNameError) as caught:
        get_space("resnet")
    listed = "mobilenet_v2, proxyless, proxyless_skip, shufflenet_v2, fbnet, nas_bench_macro, compact, digits"
    assert str(caught.value) == f"unknown space 'resnet' (spaces: {listed})"
    assert isinstance(get_space("digits"), SearchSpace)
    with pytest.raises(UnknownNameError, match=r"unknown space 'a\\nb'"):
        get_space("a\nb")


def test_spaces_are_made_without_torch() -> None:
    code = (
        "import sys, fairnas.config, fairnas.recipes, fairnas.rundir, fairnas.space; "
        "fairnas.space.get_space('digits').parse('0' * 8); "
        "heavy = {'torch', 'scipy', 'sklearn', 'pydantic', 'pymoo', 'plotly'} & set(sys.modules); "
        "sys.exit(f'imports {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
