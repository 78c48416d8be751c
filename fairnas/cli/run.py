"""`fairnas run RECIPE`: all stages, resumed where they stopped."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import tyro

from fairnas.cli.dial import dial_lines, going_on, timetable_of
from fairnas.cli.output import print_json
from fairnas.cli.parsing import Given, Settings, UsageError, given_flags, show_help, wants_help, without_help
from fairnas.cli.settings import (
    configured,
    given_folder,
    merged,
    recipe_config,
    refuse_hopeless,
    shown_config,
    with_objectives,
)
from fairnas.cli.summary import print_summary
from fairnas.config import DataConfig, Resources, RunConfig
from fairnas.errors import FairnasError
from fairnas.recipes import NAMES
from fairnas.rundir import RunDirectory

if TYPE_CHECKING:
    from fairnas.pipeline import Prepared


@dataclass(frozen=True)
class RunVerb:
    """Train a fair supernet, search it, select networks, retrain, rank, export, report.

    The same command on the same directory resumes.

    Examples:
        fairnas run digits --out runs/digits
        fairnas run folder --data folder:my_images --minutes 20
        fairnas run folder --data folder:my_images --data.image-size 64 --max-madds 60M
        fairnas run folder --data folder:my_images --latency-table phone.json --max-latency 20ms
    """

    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")] = ""
    """digits, cifar10, imagenet_a, imagenet_b, or folder (with --data folder:PATH)."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=lambda: RunConfig(""))
    out: Annotated[Path | None, tyro.conf.arg(aliases=("--run",))] = None
    """Run directory; default: runs/RECIPE."""
    config_file: Annotated[Path | None, tyro.conf.arg(name="config")] = None
    """TOML file with settings that replace the recipe's."""
    objective: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """An additional objective: balanced_accuracy, top5, loss, latency, or FILE.py:NAME. May be given several times."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Sequence[str]) -> None:
    """Parse, run, print."""
    begun = time.monotonic()
    command = read_arguments(arguments, "run")
    verb, given = command.verb, command.given
    with RunDirectory.begin(verb.out or Path("runs") / verb.name) as run:
        # imported here, because only the work itself needs torch
        from fairnas.cli.progress import interruptible, narrated
        from fairnas.pipeline import Experiment, run_story, summarise

        prepared, record = _prepared(command.config, given, run, begun)
        timetable = timetable_of(run, given, None) if (run.path / "config.toml").exists() else None
        run.configure(prepared.config, prepared.dataset.fingerprint)
        if record is not None:
            run.write_json("dial.json", record)
            timetable = timetable_of(run, given, begun)
        with interruptible() as stop, narrated() as narrator:
            for line in prepared.plan():
                narrator.say(line)
            run_story(Experiment(run, narrator, stop, (prepared.space, prepared.dataset)), timetable)
    result = summarise(run)
    print_json(result.to_dict()) if verb.json else print_summary(result)


def _prepared(
    config: RunConfig, given: frozenset[str], run: RunDirectory, begun: float
) -> "tuple[Prepared, dict[str, Any] | None]":
    """Prepare the run, with settings chosen to fit its time; also return the record of a choice made now."""
    from fairnas.cli.progress import narrated
    from fairnas.pipeline import prepare
    from fairnas.pipeline.prepare import require_study

    if (run.path / "config.toml").exists():
        with narrated() as narrator:
            return prepare(going_on(run, config, given), narrator=narrator), None
    from fairnas.planning.setting_ranges import BUDGETED_SETTINGS
    from fairnas.planning.time_budget import dial

    # the configuration of another run gives every setting
    if config.minutes is None or given >= set(BUDGETED_SETTINGS):
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


@dataclass(frozen=True)
class Command:
    """A command that begins or resumes a run, as given."""

    config: RunConfig
    verb: RunVerb
    given: frozenset[str]
    """Dotted names of the settings given by flags or the file; these are not changed to fit the time."""


def read_arguments(arguments: Sequence[str], verb: str, kind: type[RunVerb] = RunVerb) -> Command:
    """Read recipe, then TOML file, then flags, each replacing values of the one before.

    Args:
        arguments: arguments after the verb.
        verb: name of the verb, for messages.
        kind: dataclass of the verb, whose docstring is the description.

    Raises:
        FairnasError: for any mistake, with a message of one line.
    """
    if wants_help(arguments):
        show_run_help(arguments, verb, kind)
    return command_from(given_flags(kind, arguments, verb), verb, kind)


def command_from(given: Given, verb: str, kind: type[RunVerb]) -> Command:
    """Return the command for flags already parsed, as `read_arguments`."""
    name = given.own.get("name")
    if name is None:
        raise UsageError(f"`fairnas {verb}` needs a recipe ({', '.join(NAMES)}); try `fairnas {verb} digits`")
    settings = merged(given)
    if verb in ("run", "plan"):
        refuse_hopeless(settings)
    default = _begun_before(given, settings, verb) or recipe_config(name, given, settings)
    config = with_objectives(configured(default, given, settings), given.own["objective"])
    if config.minutes is not None and verb not in ("run", "plan"):
        raise UsageError(
            f"they limit the time of a whole run, and `fairnas {verb}` is a part of it; give them to `fairnas run`"
        )
    return Command(config, kind(config=config, **given.own), frozenset(settings))


def show_run_help(arguments: Sequence[str], verb: str, kind: type[RunVerb]) -> NoReturn:
    """Print the settings with values of recipe, file and flags, as far as these can be read, and exit."""
    others = without_help(arguments)
    name = next((argument for argument in others[:1] if not argument.startswith("-")), "digits")
    try:
        config = read_arguments(others, verb, kind).config
    except FairnasError:  # help is also wanted when something is missing or wrong
        config = shown_config(name)
    show_help(kind, arguments, verb, kind(config=config))


def _begun_before(given: Given, settings: Settings, verb: str) -> RunConfig | None:
    """Return the configuration of the existing run of recipe `folder` that a command resumes, or None.

    Settings chosen at the beginning stay as chosen, even if the folder or the GPU has changed since.
    """
    path, name = given.own.get("out") or Path("runs/folder"), given.own["name"]
    if name != "folder" or verb not in ("run", "train") or not (path / "config.toml").exists():
        return None
    stored, data = RunDirectory.open(path).config, given_folder(settings)
    if stored.recipe != name or data is None:
        return None
    there, here = (DataConfig(each).absolute().name for each in (stored.data.name, data))
    if there != here and Path(there.removeprefix("folder:")).exists():
        return None  # other images; `configure` accepts them if their fingerprint shows that they are a copy
    minutes = stored.minutes if verb == "run" else None  # refused as another configuration: only a whole run has them
    return dataclasses.replace(stored, minutes=minutes, resources=Resources())
