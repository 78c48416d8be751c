"""`fairnas run RECIPE`: the whole story, going on where it stopped."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import tyro

from fairnas.cli.dial import dial_lines, going_on, timetable_of
from fairnas.cli.output import column, interval, millions, percent, print_json, print_table, value
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
from fairnas.config import ACCURACY_WORDS, DataConfig, Measure, Resources, RunConfig, are_unequal
from fairnas.errors import FairnasError
from fairnas.recipes import NAMES
from fairnas.rundir import RunDirectory

if TYPE_CHECKING:
    from fairnas.pipeline import Prepared


@dataclass(frozen=True)
class RunVerb:
    """Train a fair supernet, search it, select networks, retrain, rank, export, report.

    Repeated on the same directory, it goes on where it stopped.

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
    """TOML file with settings over the recipe's."""
    objective: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """One more objective: balanced_accuracy, top5, loss, latency, or FILE.py:NAME. May be given several times."""
    json: bool = False
    """Print one JSON object and nothing else."""


def main(arguments: Sequence[str]) -> None:
    """Parse, run, print."""
    begun = time.monotonic()
    command = read_arguments(arguments, "run")
    verb, given = command.verb, command.given
    with RunDirectory.begin(verb.out or Path("runs") / verb.name) as run:
        # torch is only needed from here on
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
    print_json(result) if verb.json else print_summary(result)


def _prepared(
    config: RunConfig, given: frozenset[str], run: RunDirectory, begun: float
) -> "tuple[Prepared, dict[str, Any] | None]":
    """The run that is wanted, and the record of what was chosen for it if that was done now."""
    from fairnas.cli.progress import narrated
    from fairnas.pipeline import prepare
    from fairnas.pipeline.prepare import require_study

    if (run.path / "config.toml").exists():
        with narrated() as narrator:
            return prepare(going_on(run, config, given), narrator=narrator), None
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


@dataclass(frozen=True)
class Command:
    """A command that begins or continues a run, as it was given."""

    config: RunConfig
    verb: RunVerb
    given: frozenset[str]
    """Dotted names of the settings that flags or the file give, whatever their values; they stay as they are."""


def read_arguments(arguments: Sequence[str], verb: str, kind: type[RunVerb] = RunVerb) -> Command:
    """Recipe, then TOML file, then flags: each over the one before.

    Args:
        arguments: what stands after the verb.
        verb: its name, for messages.
        kind: what says in its docstring what the verb does.

    Raises:
        FairnasError: for anything that cannot be read, in one line.
    """
    if wants_help(arguments):
        show_run_help(arguments, verb, kind)
    return command_from(given_flags(kind, arguments, verb), verb, kind)


def command_from(given: Given, verb: str, kind: type[RunVerb]) -> Command:
    """The command that flags give, as `read_arguments`."""
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
            f"a whole run ends within so many minutes, `fairnas {verb}` is a part of it; give them to `fairnas run`"
        )
    return Command(config, kind(config=config, **given.own), frozenset(settings))


def show_run_help(arguments: Sequence[str], verb: str, kind: type[RunVerb]) -> NoReturn:
    """Print the settings with the values of the recipe, the file and the flags, if these can be read, and exit."""
    others = without_help(arguments)
    name = next((argument for argument in others[:1] if not argument.startswith("-")), "digits")
    try:
        config = read_arguments(others, verb, kind).config
    except FairnasError:  # help is wanted because something is missing or wrong
        config = shown_config(name)
    show_help(kind, arguments, verb, kind(config=config))


def _begun_before(given: Given, settings: Settings, verb: str) -> RunConfig | None:
    """The configuration of the run of recipe `folder` that a command goes on with, or None.

    What was chosen once stays chosen, although the folder, or the GPU, is not what it was.
    """
    path, name = given.own.get("out") or Path("runs/folder"), given.own["name"]
    if name != "folder" or verb not in ("run", "train") or not (path / "config.toml").exists():
        return None
    stored, data = RunDirectory.open(path).config, given_folder(settings)
    if stored.recipe != name or data is None:
        return None
    there, here = (DataConfig(each).absolute().name for each in (stored.data.name, data))
    if there != here and Path(there.removeprefix("folder:")).exists():
        return None  # other images, unless their fingerprint says that these are a copy
    minutes = stored.minutes if verb == "run" else None  # refused as another configuration: only a whole run has them
    return dataclasses.replace(stored, minutes=minutes, resources=Resources())


def print_summary(result: dict[str, Any]) -> None:
    """The table at the end of a run, the verdicts, and where the report lies."""
    if result["selected"]:
        measure = result["measure"]
        words, other = ACCURACY_WORDS[measure], other_measure(result)
        rows = [
            [row["genome"], millions(row["madds"]), millions(row["params"]), percent(row[f"one_shot_{measure}"])]
            + [value(row[name]) for name in result["units"]]
            + [percent(row[f"stand_alone_{measure}"])]
            + ([percent(row[f"stand_alone_{other}"])] if other else [])
            for row in result["selected"]
        ]
        columns = ["genome", " MAdds", " params", f" one-shot {words} (validation)"]
        columns += [column(name, unit) for name, unit in result["units"].items()]
        columns += [f" stand-alone {words} (test)", *([f" {ACCURACY_WORDS[other]} (test)"] if other else [])]
        print_table(columns, rows)
        print_exported(result)
    if result["operators"]:
        born = [
            f"{name} {tally['children']:,} ({tally['survived'] / tally['children']:.0%})"
            for name, tally in sorted(result["operators"].items(), key=lambda item: -item[1]["children"])
        ]
        print(f"operators {', '.join(born)}: children, and how many of them lived on")
    fairness = result["fairness"]
    if fairness:
        print(fairness_line(fairness))
    ranking = result["ranking"]
    if ranking:
        print(f"ranking   tau = {interval(ranking['tau'])} (one-shot against stand-alone; 95 % interval)")
        if ranking["ceiling"]:
            print(f"ceiling   tau = {interval(ranking['ceiling'])} (one training seed against another)")
        known = {name: found for name, found in ranking["predictors"].items() if found["tau"] is not None}
        for name, found in known.items():
            print(f"{name:9} tau = {interval(found)} (as predictor)")
        for sentence in ranking["advice"]:
            print(f"          {sentence}")
    if result["no_ranking"]:
        print(f"ranking   none: {result['no_ranking']}")
    if result["report"]:
        print(f"report    {result['report']}")


def other_measure(result: dict[str, Any]) -> Measure | None:
    """Which accuracy says something beside the one that a run measures; balanced accuracy where classes differ."""
    if result["measure"] != "top1":
        return "top1"
    counts = next((row["class_images"] for row in result["selected"] if row["class_images"]), [])
    return "balanced_accuracy" if are_unequal(counts) else None


def print_exported(result: dict[str, Any]) -> None:
    """What was measured of the exported files, and whether it is what was asked for."""
    found = result["selected"]
    if any(row["onnx_ms"] is not None for row in found):
        columns, rows = ["ONNX files", " float32 (ms)"], [[row["genome"], value(row["onnx_ms"])] for row in found]
        if any(row["int8_ms"] is not None for row in found):
            columns += [" int8 (ms)", " int8 top-1 (test)"]
            for cells, row in zip(rows, found, strict=True):
                cells += [value(row["int8_ms"]), percent(row["int8_top1"])]
        print_table(columns, rows)
    for line in bound_lines(result):
        print(line)


def bound_lines(result: dict[str, Any]) -> list[str]:
    """Whether the exported networks are as fast as was asked for: the search only knew predictions."""
    bound, rows = result["latency_bound"], [row for row in result["selected"] if row["onnx_ms"] is not None]
    if bound is None or not rows:
        return []
    files = [(row["genome"], row["onnx_ms"]) for row in rows]
    files += [(f"{row['genome']} in 8 bits", row["int8_ms"]) for row in rows if row["int8_ms"] is not None]
    over = [(name, taken) for name, taken in files if taken > bound]
    if not over:
        return [f"bound     every ONNX file takes at most {value(bound)} ms, as measured at its export"]
    return [
        f"bound     {name} takes {value(taken)} ms, {taken / bound - 1:.1%} more than the {value(bound)} ms asked for "
        "(median, as measured at its export)"
        for name, taken in over
    ]


def fairness_line(fairness: dict[str, Any]) -> str:
    """The fairness verdict in a line."""
    verdict = (
        "strictly fair"
        if fairness["strict_fair"]
        else "fair in expectation, not strictly"
        if fairness["expectation_fair"]
        else "NOT fair"
        if fairness["single_paths"]
        else "NOT fair, because it does not train single paths (definition 1)"
    )
    return (
        f"fairness  {verdict}: each choice block updated {fairness['updates_min']:,} to {fairness['updates_max']:,} "
        f"times in {fairness['steps']:,} steps"
    )
