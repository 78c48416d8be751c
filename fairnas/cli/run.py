"""`fairnas run RECIPE`: the whole story, going on where it stopped."""

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import tyro

from fairnas.cli.dial import dial_lines, given_settings, going_on, refuse_hopeless, timetable_of, with_hours
from fairnas.cli.output import column, interval, millions, percent, print_json, print_table, value
from fairnas.cli.parsing import UsageError, parse, peek
from fairnas.cli.shortforms import ShortForms
from fairnas.config import ACCURACY_WORDS, DataConfig, Measure, Resources, RunConfig, are_unequal
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
    given = given_settings(arguments)
    with RunDirectory.begin(verb.out or Path("runs") / verb.name) as run:
        # torch is only needed from here on
        from fairnas.cli.progress import interruptible, narrated
        from fairnas.pipeline import Experiment, run_story, summarise

        prepared, record = _prepared(config, given, run, begun)
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
