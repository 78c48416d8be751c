"""Settings given by recipe, file and flags, merged into a configuration, each replacing values of the one before."""

from collections.abc import Sequence
from pathlib import Path

from fairnas.cli.parsing import Given, GivenSetting, Settings, UsageError, values_of
from fairnas.config import Resources, RunConfig
from fairnas.config.settings import with_settings
from fairnas.configfile import read_settings
from fairnas.errors import ConfigError, TooLittleTimeError
from fairnas.recipes import folder, get_recipe

LEAST_MINUTES = 0.1
"""Shortest time limit in minutes: loading the libraries and exporting one network take longer on any machine."""


def merged(given: Given) -> Settings:
    """Return the settings that a command gives: those of the `--config` file, replaced by flags."""
    file = given.own.get("config_file")
    if file is None:
        return given.settings
    stored = {
        key: GivenSetting(value, "file", f"{key} = {value} in {file}")
        for key, value in read_settings(file).items()
        if key != "recipe"  # the command itself names the recipe
    }
    return {**stored, **given.settings}


def configured(default: RunConfig, given: Given, settings: Settings) -> RunConfig:
    """Return a configuration with the given settings. Raises `ConfigError`, which names the file of the setting."""
    try:
        return with_settings(default, values_of(settings))
    except ConfigError as error:
        raise _with_origin(error, given, settings) from None


def with_objectives(config: RunConfig, more: Sequence[str]) -> RunConfig:
    """Return a configuration with additional objectives of the search. Raises `ConfigError`."""
    return with_settings(config, {"search.objectives": tuple(dict.fromkeys([*config.search.objectives, *more]))})


def _with_origin(error: ConfigError, given: Given, settings: Settings) -> ConfigError:
    key = str(error).split()[0].rstrip(":")
    if key in settings and settings[key].origin == "file":
        return ConfigError(f"{given.own['config_file']}: {error}")
    return error


def stage_settings(stored: RunConfig, given: Given) -> tuple[RunConfig, Resources | None]:
    """Return a run's configuration with the settings given for one stage, and the resources to use this time.

    Resources are not stored; None: those of the run's configuration. Raises `ConfigError`.
    """
    lasting = {key: each for key, each in given.settings.items() if not key.startswith("resources.")}
    config = configured(stored, given, lasting)
    once = {key: each.value for key, each in given.settings.items() if key not in lasting}
    if not once:
        return config, None
    if not once.keys().isdisjoint(("resources.workers", "resources.scheduler")):  # each of the two replaces the other
        once = {"resources.workers": None, "resources.scheduler": None, **once}
    if once.get("resources.workers") is not None:  # of this machine, whether they score or train
        once.setdefault("resources.processes", once["resources.workers"])
    return config, with_settings(stored, once).resources


def refuse_hopeless(settings: Settings) -> None:
    """Raise `TooLittleTimeError` for a time limit in which no run can end, before anything is loaded or read."""
    if "minutes" not in settings:
        return
    minutes, said = settings["minutes"].value, settings["minutes"].said
    if minutes is not None and 0 < minutes < LEAST_MINUTES:
        raise TooLittleTimeError(f"{said}: no run ends within {minutes * 60:.2g} seconds; give --minutes 10 or more")


def given_folder(settings: Settings) -> str | None:
    """Folder of images given as `folder:PATH`."""
    name = settings["data.name"].value if "data.name" in settings else None
    return name if name is not None and name.startswith("folder:") else None


def recipe_config(name: str, given: Given, settings: Settings) -> RunConfig:
    """Return the configuration of a recipe; the recipe `folder` looks at the images given.

    Its choices follow the layout of the folder, the image size and the device, if given.
    """
    if name != "folder":
        return get_recipe(name)
    data = given_folder(settings)
    if data is None:
        raise UsageError("the recipe 'folder' needs --data folder:PATH, a folder with one subfolder per class")
    wanted = configured(RunConfig("folder"), given, _only(settings, "data.", "resources."))
    import torch

    from fairnas.data import scan_folder
    from fairnas.data.orientation import default_flip

    facts = scan_folder(Path(data.removeprefix("folder:")), wanted.data.layout, wanted.data.labels)
    return folder(
        data,
        images=facts.train,
        smallest_class=facts.smallest_class,
        largest_class=facts.largest_class,
        has_test=bool(facts.test or facts.validation),
        median_side=facts.median_side,
        with_gpu=wanted.resources.device != "cpu" and torch.cuda.is_available(),
        image_size=wanted.data.image_size,
        flip=default_flip(facts.classes),
    )


def shown_config(name: str) -> RunConfig:
    """Return the configuration whose values help shows for a recipe, without images."""
    if name != "folder":
        return get_recipe(name)
    return folder(
        "folder:PATH",
        images=5000,
        smallest_class=500,
        largest_class=500,
        has_test=False,
        median_side=64,
        with_gpu=False,
    )


def _only(settings: Settings, *sections: str) -> Settings:
    return {key: setting for key, setting in settings.items() if key.startswith(sections)}
