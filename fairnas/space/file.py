"""Search spaces in files: a user's own as TOML or Python, a resolved one as JSON in a run directory."""

import dataclasses
import runpy
from pathlib import Path
from typing import Any

from fairnas.errors import FairnasError, SpaceError
from fairnas.foreign import parse_json, parse_toml
from fairnas.space.blocks import Block, Identity, InvertedResidual, Separable, ShuffleUnit, ShuffleXception
from fairnas.space.chain import Stage, Stem, chain_space
from fairnas.space.space import Layer, SearchSpace

_KINDS: dict[str, type] = {
    kind.__name__: kind for kind in (InvertedResidual, Separable, ShuffleUnit, ShuffleXception, Identity)
}
_LATER = ("classifier_bias", "bn_eps")  # fields of a space that its first files did not have


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
        if path.suffix == ".json":
            return from_dict(parse_json(text))
        given = parse_toml(text)
        given["stem"] = Stem(**given["stem"])
        given["stages"] = tuple(Stage(**stage) for stage in given["stages"])
        return chain_space(**given)
    except KeyError as error:
        raise SpaceError(f"space file {path} lacks {error}; see docs/spaces.md for an example") from None
    except (TypeError, ValueError) as error:
        raise SpaceError(f"space file {path}: {error}; see docs/spaces.md for an example") from None


def run_python(path: Path, what: str, kind: type[FairnasError]) -> dict[str, Any]:
    """Execute a user's Python file and return its names; `what` and `kind` say what its error is about."""
    if not path.is_file():
        raise kind(f"there is no {what} file {path}; give FILE.py:NAME")
    try:
        return runpy.run_path(str(path))
    except FairnasError:
        raise
    except (Exception, SystemExit) as error:  # the user's own code may raise anything; they get its last line
        raise kind(f"{what} file {path} raises {type(error).__name__}: {error}") from error


def _from_python(path: Path, attribute: str) -> SearchSpace:
    space = run_python(path, "space", SpaceError).get(attribute)
    if not isinstance(space, SearchSpace):
        raise SpaceError(
            f"space file {path} does not define a SearchSpace called '{attribute}'; build one with chain_space"
        )
    return space


def to_dict(space: SearchSpace) -> dict[str, Any]:
    """The space as plain data (for JSON); `from_dict` gives an equal space."""

    def layer(value: Layer) -> dict[str, Any]:
        blocks = [{"kind": type(block).__name__, **_differing(block)} for block in value.choices]
        return {**dataclasses.asdict(value), "choices": blocks}

    unusual = _differing(space)
    plain = {key: each for key, each in dataclasses.asdict(space).items() if key not in _LATER or key in unusual}
    return {**plain, "fixed": [layer(v) for v in space.fixed], "layers": [layer(v) for v in space.layers]}


def _differing(value: Block | SearchSpace) -> dict[str, Any]:
    """The fields of a dataclass that are not at their defaults: runs know their space by what was written once."""
    fields = dataclasses.fields(value)
    return {field.name: getattr(value, field.name) for field in fields if getattr(value, field.name) != field.default}


def from_dict(plain: dict[str, Any]) -> SearchSpace:
    """The inverse of `to_dict`. Raises `SpaceError` for anything else."""

    def block(given: dict[str, Any]) -> Block:
        return _KINDS[given["kind"]](**{key: value for key, value in given.items() if key != "kind"})

    def layer(given: dict[str, Any]) -> Layer:
        return Layer(**{**given, "choices": tuple(block(choice) for choice in given["choices"])})

    try:
        fixed, layers = (tuple(layer(given) for given in plain[key]) for key in ("fixed", "layers"))
        return SearchSpace(**{**plain, "fixed": fixed, "layers": layers})
    except (KeyError, TypeError, AttributeError) as error:
        raise SpaceError(f"this is not a search space written by fairnas: {type(error).__name__}: {error}") from None
