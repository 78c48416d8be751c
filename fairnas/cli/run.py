"""`fairnas run RECIPE`: the whole story, going on where it stopped."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import tyro

from fairnas.cli.dial import dial_lines, given_settings, going_on, refuse_hopeless, timetable_of, with_hours
from fairnas.cli.output import print_json
from fairnas.cli.parsing import UsageError, parse, peek
from fairnas.cli.shortforms import ShortForms
from fairnas.cli.summary import print_summary
from fairnas.config import DataConfig, Resources, RunConfig
from fairnas.configfile import read_config
from fairnas.recipes import NAMES, folder, get_recipe
from fairnas.rundir import RunDirectory

if TYPE_CHECKING:
    from fairnas.pipeline import Prepared


@dataclass(frozen=True)
class RunVerb(ShortForms):
    """Train a fair supernet, search it, select networks, retrain, rank, export, report.

    Repeated on the same directory, it goes on where it stopped.

    Examples:
        fairnas run digits --out runs/digits
        fairnas run folder --data folder:my_images --minutes 20
        fairnas run folder --data folder:my_images --data.image-size 64 --max-madds 60M
        fairnas run folder --data folder:my_images --latency-table phone.json --max-latency 20ms
    """

    name: tyro.conf.Positional[str]
    """Recipe: digits, cifar10, imagenet_a, imagenet_b, or folder (with --data folder:PATH)."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")]
    out: Annotated[Path | None, tyro.conf.arg(aliases=("--run",))] = None
    """Run directory; default: runs/RECIPE."""
    config_file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """TOML file with settings over the recipe's."""
    data: str | None = None
    """Short for --data.name."""
    hours: float | None = None
    """Short for --minutes, 60 times as many."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Sequence[str]) -> None:
    """Parse, run, print."""
    begun = time.monotonic()
    config, verb = read_arguments(arguments, "run")
    # torch is only needed from here on
    from fairnas.cli.progress import interruptible, narrated
    from fairnas.pipeline import Experiment, run_story, summarise

    path, given = verb.out or Path("runs") / verb.name, given_settings(arguments)
    prepared, record = _prepared(config, given, path, begun)
    run = RunDirectory.create(path, prepared.config, prepared.dataset.fingerprint)
    with run.locked(), interruptible() as stop, narrated() as narrator:
        if record is not None:
            run.write_json("dial.json", record)
        for line in prepared.plan():
            narrator.say(line)
        timetable = timetable_of(run, given, begun if record is not None else None)
        run_story(Experiment(run, narrator, stop, (prepared.space, prepared.dataset)), timetable)
    result = summarise(run)
    print_json(result.to_dict()) if verb.json else print_summary(result)


def _prepared(
    config: RunConfig, given: frozenset[str], path: Path, begun: float
) -> "tuple[Prepared, dict[str, Any] | None]":
    """The run that is wanted, and the record of what was chosen for it if that was done now."""
    from fairnas.cli.progress import narrated
    from fairnas.pipeline import prepare
    from fairnas.pipeline.prepare import require_study

    if (path / "config.toml").exists():
        with narrated() as narrator:
            return prepare(going_on(RunDirectory(path), config, given), narrator=narrator), None
    from fairnas.planning.setting_ranges import BUDGETED_SETTINGS
    from fairnas.planning.time_budget import dial

    if config.minutes is None or given >= set(BUDGETED_SETTINGS):  # the file of another run gives everything
        with narrated() as narrator:
            prepared = prepare(config, narrator=narrator)
        require_study(prepared)
        return prepared, None

    with narrated() as narrator:
        budgeted = dial(config, given, begun, narrator)
        for line in dial_lines(budgeted):
            narrator.say(line)
    require_study(budgeted.prepared)
    return budgeted.prepared, budgeted.to_dict()


def read_arguments(arguments: Sequence[str], verb: str, kind: type[RunVerb] = RunVerb) -> tuple[RunConfig, RunVerb]:
    """Recipe, then TOML file, then flags: each over the one before.

    Args:
        arguments: what stands after the verb.
        verb: its name, for messages.
        kind: what says in its docstring what the verb does.

    Raises:
        FairnasError: for anything that cannot be read, in one line.
    """
    name = next((argument for argument in arguments[:1] if not argument.startswith("-")), None)
    wants_help = "--help" in arguments or "-h" in arguments
    if name is None and not wants_help:
        raise UsageError(f"`fairnas {verb}` needs a recipe first ({', '.join(NAMES)}); try `fairnas {verb} digits`")
    if verb in ("run", "plan") and not wants_help:
        refuse_hopeless(arguments)
    begun_before = None if wants_help else _begun_before(name, arguments, verb)
    default = begun_before or recipe_config(name or "digits", arguments, wants_help)
    file = peek(arguments, "--config")
    if file is not None:
        default = dataclasses.replace(read_config(Path(file), default), recipe=default.recipe)
    given = parse(kind, arguments, verb, kind(name or "digits", default))
    config = given.config
    if given.data is not None:
        config = dataclasses.replace(config, data=dataclasses.replace(config.data, name=given.data))
    return with_hours(given.over(config), given.hours, arguments, verb), given


def _begun_before(name: str | None, arguments: Sequence[str], verb: str) -> RunConfig | None:
    """The configuration of the run of recipe `folder` that a command goes on with, or None.

    What was chosen once stays chosen, although the folder, or the GPU, is not what it was.
    """
    path = Path(peek(arguments, "--out") or peek(arguments, "--run") or "runs/folder")
    if name != "folder" or verb not in ("run", "train") or not (path / "config.toml").exists():
        return None
    stored = RunDirectory(path).config
    given = _named_data(arguments)
    if stored.recipe != name or given is None:
        return None
    there, here = (DataConfig(each).absolute().name for each in (stored.data.name, given))
    if there != here and Path(there.removeprefix("folder:")).exists():
        return None  # other images, unless their fingerprint says that these are a copy
    minutes = stored.minutes if verb == "run" else None  # refused as another configuration: only a whole run has them
    return dataclasses.replace(stored, minutes=minutes, resources=Resources())


def _named_data(arguments: Sequence[str]) -> str | None:
    """The folder of images that is given as `folder:PATH`."""
    data = peek(arguments, "--data") or peek(arguments, "--data.name")
    return data if data is not None and data.startswith("folder:") else None


def recipe_config(name: str, arguments: Sequence[str], wants_help: bool) -> RunConfig:
    """The configuration of a recipe; `folder` looks at the images that are named, unless only help is wanted.

    What it chooses follows the image size and the device that are given, if they are.
    """
    if name != "folder":
        return get_recipe(name)
    data = _named_data(arguments)
    if data is None:
        if wants_help:
            return folder(
                "folder:PATH",
                images=5000,
                smallest_class=500,
                largest_class=500,
                has_test=False,
                median_side=64,
                with_gpu=False,
            )
        raise UsageError("the recipe 'folder' needs --data folder:PATH, a folder with one subfolder per class")
    import torch

    from fairnas.data import scan_folder
    from fairnas.data.orientation import default_flip

    reading = _reading(arguments)
    facts = scan_folder(Path(data.removeprefix("folder:")), reading.layout, reading.labels)
    size = peek(arguments, "--data.image-size") or peek(arguments, "--data.image_size") or ""
    config = folder(
        data,
        images=facts.train,
        smallest_class=facts.smallest_class,
        largest_class=facts.largest_class,
        has_test=bool(facts.test or facts.validation),
        median_side=facts.median_side,
        with_gpu=peek(arguments, "--resources.device") != "cpu" and torch.cuda.is_available(),
        image_size=int(size) if size.isdecimal() and int(size) else None,
        flip=default_flip(facts.classes),
    )
    data_config = dataclasses.replace(config.data, layout=reading.layout, labels=reading.labels)
    return dataclasses.replace(config, data=data_config)


def _reading(arguments: Sequence[str]) -> DataConfig:
    """How the folder is to be read, by the flags or the TOML file: what is chosen for it depends on that."""
    file = peek(arguments, "--config")
    data = DataConfig() if file is None else read_config(Path(file), get_recipe("digits")).data
    layout, labels = peek(arguments, "--data.layout"), peek(arguments, "--data.labels")
    return DataConfig(layout=cast(Any, layout or data.layout), labels=labels or data.labels)
