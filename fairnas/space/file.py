"""Search spaces in files: a user's own space as TOML or Python, a run's space as JSON."""

import dataclasses
import inspect
import runpy
from pathlib import Path
from typing import Any

from fairnas.errors import FairnasError, SpaceError
from fairnas.space.blocks import Block, InvertedResidual
from fairnas.space.chain import Stage, Stem, chain_space
from fairnas.space.space import Layer, SearchSpace
from fairnas.space.tables import TableError, read_block, read_list, read_table, require_keys
from fairnas.untrusted import parse_json, parse_toml

# fields that are left out of files if they have their defaults, so that hashes of older runs stay valid
_LATER = ("classifier_bias", "bn_eps")
_STAGES_EXAMPLE = "a list, such as [{ channels = 24, layers = 2, stride = 2 }], or [[stages]] above each of them"
_CHOICES_EXAMPLE = 'a list, such as [{ kind = "InvertedResidual", kernel = 3, expansion = 6 }, { kind = "Identity" }]'


def load_space(path: Path, attribute: str = "space") -> SearchSpace:
    """Read a space from a file.

    TOML holds the arguments of `chain_space`; Python defines `space` (or `attribute`); JSON is a run's `space.json`.
    Raises `SpaceError` naming the file and what is wrong with it. A Python file is executed: it is code.
    """
    if not path.is_file():
        raise SpaceError(f"there is no space file {path}; give a TOML file or FILE.py:NAME")
    if path.suffix == ".py":
        return _from_python(path, attribute)
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpaceError(f"cannot read the space file {path}: {error.strerror}; make it readable") from None
    except UnicodeDecodeError as error:
        raise SpaceError(f"space file {path}: {error}; save it as UTF-8 text") from None
    try:
        return from_dict(parse_json(text)) if path.suffix == ".json" else from_table(parse_toml(text))
    except ValueError as error:
        raise SpaceError(f"space file {path}: {error}; see docs/spaces.md for an example") from None


def from_table(given: dict[str, Any]) -> SearchSpace:
    """Make a space from the content of a TOML file, which are the arguments of `chain_space`.

    Raises `SpaceError` for an unknown key at any depth (with the nearest known one), a missing key, a value of another
    type, a number out of range, and a choice that is offered twice.
    """
    arguments = inspect.signature(chain_space).parameters
    required = [name for name, each in arguments.items() if each.default is inspect.Parameter.empty]
    above = dict.fromkeys(arguments, "above the first table in brackets, because what follows one is part of it")
    inner = {
        **{field.name: "into each block of 'choices'" for field in dataclasses.fields(InvertedResidual)},
        **{"kind": "into each block of 'choices'"},
        **{field.name: "into each of 'stages'" for field in dataclasses.fields(Stage)},
        **{field.name: "into 'stem' or each of 'stages'" for field in dataclasses.fields(Stem)},
    }
    require_keys(given, "", list(arguments), required, elsewhere=inner)
    if "choices" in given and (double := [key for key in ("kernels", "expansions") if key in given]):
        raise TableError(f"it has both 'choices' and '{double[0]}', which say the same; give one of them")
    made = dict(given)
    made["stem"] = read_table(Stem, given["stem"], "stem", above)
    stages = enumerate(read_list(given["stages"], "stages", _STAGES_EXAMPLE), start=1)
    made["stages"] = tuple(read_table(Stage, each, f"stage {number}", above) for number, each in stages)
    if "choices" in given:
        choices = enumerate(read_list(given["choices"], "choices", _CHOICES_EXAMPLE), start=1)
        made["choices"] = tuple(read_block(each, f"choice {number}", above) for number, each in choices)
    return chain_space(**made).for_data()  # refuses an image size that is too small for the space


def run_python(path: Path, what: str, kind: type[FairnasError]) -> dict[str, Any]:
    """Execute a user's Python file and return its names; `what` and `kind` are subject and class of its errors."""
    if not path.is_file():
        raise kind(f"there is no {what} file {path}; give FILE.py:NAME")
    try:
        return runpy.run_path(str(path))
    except FairnasError:
        raise
    except (Exception, SystemExit) as error:  # the user's own code may raise anything; its last line is shown
        raise kind(f"{what} file {path} raises {type(error).__name__}: {error}") from error


def _from_python(path: Path, attribute: str) -> SearchSpace:
    space = run_python(path, "space", SpaceError).get(attribute)
    if not isinstance(space, SearchSpace):
        raise SpaceError(
            f"space file {path} does not define a SearchSpace called '{attribute}'; build one with chain_space"
        )
    return space


def to_dict(space: SearchSpace) -> dict[str, Any]:
    """Space as plain data (for JSON); `from_dict` gives an equal space."""

    def layer(value: Layer) -> dict[str, Any]:
        blocks = [{"kind": type(block).__name__, **_differing(block)} for block in value.choices]
        return {**dataclasses.asdict(value), "choices": blocks}

    unusual = _differing(space)
    plain = {key: each for key, each in dataclasses.asdict(space).items() if key not in _LATER or key in unusual}
    return {**plain, "fixed": [layer(v) for v in space.fixed], "layers": [layer(v) for v in space.layers]}


def _differing(value: Block | SearchSpace) -> dict[str, Any]:
    """Fields of a dataclass that differ from their defaults: hashes of runs depend on exactly this content."""
    fields = dataclasses.fields(value)
    return {field.name: getattr(value, field.name) for field in fields if getattr(value, field.name) != field.default}


def from_dict(plain: dict[str, Any]) -> SearchSpace:
    """Space from the result of `to_dict`. Raises `SpaceError` for anything else."""

    def layer(given: Any, where: str) -> Layer:
        require_keys(given, where, [field.name for field in dataclasses.fields(Layer)], ["choices"])
        choices = read_list(given["choices"], f"choices of {where}", "a list of blocks")
        return read_table(Layer, {**given, "choices": tuple(read_block(each, where) for each in choices)}, where)

    def layers(key: str) -> tuple[Layer, ...]:
        return tuple(layer(each, f"{key} {number}") for number, each in enumerate(read_list(plain[key], key, "a list")))

    try:
        require_keys(plain, "", [field.name for field in dataclasses.fields(SearchSpace)], ["fixed", "layers"])
        return read_table(SearchSpace, {**plain, "fixed": layers("fixed"), "layers": layers("layers")}, "")
    except TableError as error:
        raise SpaceError(f"this is not a search space written by fairnas: {error}") from None
