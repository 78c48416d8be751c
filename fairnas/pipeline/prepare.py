"""Checks of a configuration before a run starts, and the plan in plain words."""

from dataclasses import dataclass
from pathlib import Path

from fairnas.config import RunConfig
from fairnas.data import Dataset, Survey
from fairnas.data.names import shortened
from fairnas.errors import ConfigError, UnknownNameError
from fairnas.nets import cost_table
from fairnas.pipeline.balancing import balance_lines
from fairnas.pipeline.costs import costs_before_run, measured_first, measures_latency, networks_wanted
from fairnas.pipeline.experiment import open_data, pick_device, require_scorable, said_by, training_identity
from fairnas.pipeline.other_scorers import require_like
from fairnas.pipeline.retrain_stage import require_retrainable, retrain_config, retraining_length
from fairnas.progress import Narrator, SilentNarrator
from fairnas.search import SEARCHERS, Objective, check_bounds, cost_ranges, objectives_from, scarcities
from fairnas.space import SearchSpace
from fairnas.space.file import to_dict
from fairnas.train import (
    Execution,
    Group,
    arranged,
    choose_execution,
    require_own_gpu,
    strategy_facts,
    training_steps,
    unsupported_reason,
)
from fairnas.train.supernet import parts_of

CLASSES_NAMED = 12
"""Largest number of class names in the plan; if there are more, they are only counted."""


@dataclass(frozen=True)
class Prepared:
    """Valid configuration, with its space and data."""

    config: RunConfig
    space: SearchSpace
    dataset: Dataset
    execution: Execution
    group: Group
    """Processes that train the supernet, and their division of work."""

    def require_same(self) -> None:
        """Raise `ConfigError` unless all processes of the group have the same settings and data."""
        identity = training_identity(self.config.train, self.config, self.space, self.dataset)
        if self.group.size > 1 and len(set(self.group.gather(identity))) > 1:
            raise ConfigError(
                "the processes of the group have different settings or data; start them all with the same command, "
                "on the same images"
            )

    def plan(self) -> tuple[str, ...]:
        """Plan of the run, line by line."""
        train, search, alone = self.config.train, self.config.search, self.config.stand_alone
        trained, length = retrain_config(self.config), retraining_length(self.config, self.dataset)
        return (
            *self.training_plan(),
            f"search     {search.searcher}: {search.generations} generations of {search.population}{self._bounds()}, "
            f"then {search.select} networks at equal distances in "
            f"{'multiply-adds' if search.max_latency is None else 'latency'}",
            *self._scarcities(),
            *self._latency_plan(),
            f"retrain    {search.select} networks by the recipe '{self.config.retrain.recipe}': "
            f"{length.epochs} epochs, {length.steps:,} steps of {length.batch_size} images, lr {trained.lr:.3g}",
            f"rank       {alone.models} networks x {alone.seeds} from scratch, "
            f"{alone.epochs or train.epochs} epochs each, lr {alone.lr or train.lr:g}"
            if alone.models or alone.study
            else "rank       no ranking study",
        )

    def _bounds(self) -> str:
        objectives = objectives_from(self.config.search, self.config.measure)
        bounds = [each for each in objectives if each.bound is not None]
        said = [
            f"{each.name} {'up to' if each.direction == 'min' else 'from'} {_format_bound(each)}" for each in bounds
        ]
        return f" with {' and '.join(said)}" if said else ""

    def _scarcities(self) -> tuple[str, ...]:
        search, costs = self.config.search, costs_before_run(self.space, self.config.search)
        objectives = objectives_from(search, self.config.measure)
        found = scarcities(self.space, objectives, costs, networks_wanted(self.config))
        return tuple(f"note       {line}" for line in found)

    def _latency_plan(self) -> tuple[str, ...]:
        if not measures_latency(self.config.search):
            return ()
        search = self.config.search
        when = "before anything is trained" if measured_first(search) else "before the search"
        return (
            f"latency    of every choice block, measured on this CPU {when}, "
            f"for {search.latency_minutes:g} minutes at most",
        )

    def training_plan(self) -> tuple[str, ...]:
        """Lines of the plan about stage one."""
        config, space, dataset = self.config, self.space, self.dataset
        train = config.train
        strategy = strategy_facts(train, space.choices)
        paths = strategy.passes_per_step
        batches = "" if strategy.batches_per_step == 1 else f"{strategy.batches_per_step} x "
        light, heavy = cost_table(space).lightest, cost_table(space).heaviest
        narrower = f" at width {config.width:g}" if config.width != 1 else ""
        colour = "grey" if dataset.image_channels == 1 else "colour"
        return (
            f"data       {dataset.name}: {len(dataset.classes)} classes, {len(dataset.train):,} training, "
            f"{len(dataset.validation):,} validation, {len(dataset.test):,} test images, "
            f"{dataset.image_size}x{dataset.image_size} {colour}",
            f"classes    {shortened(dataset.classes, CLASSES_NAMED)}",
            f"augment    {dataset.augmentation.words(dataset.image_size, dataset.fit == 'pad')} "
            f"({dataset.augmentation.advice()})",
            *(f"note       {note}" for note in dataset.notes),
            f"space      {space.name}{narrower}: {space.size:,} networks of {space.depth} layers, "
            f"{light['madds'] / 1e6:.3g} to {heavy['madds'] / 1e6:.3g} M multiply-adds",
            f"device     {pick_device(config.resources.device)}{self._processes()}",
            f"train      {train.strategy}: {train.epochs} epochs, {self.steps:,} steps of {paths} "
            f"path{'s' if paths > 1 else ''} on {batches}{train.batch_size} images, "
            f"lr {train.lr * train.lr_scale:.3g} cosine",
            *balance_lines(config, dataset),
            f"execution  {self.execution.reason}",
        )

    @property
    def steps(self) -> int:
        """Number of supernet steps of the whole training."""
        train = self.config.train
        strategy = strategy_facts(train, self.space.choices)
        return train.epochs * training_steps(parts_of(self.dataset, strategy)[0], train, strategy.batches_per_step)

    def _processes(self) -> str:
        group = self.group
        if group.size == 1:
            wanted = self.config.resources.path_processes or 1
            return f" (resources.path_processes = {wanted} needs torchrun)" if wanted > 1 else ""
        return (
            f", {group.size} processes: {group.path_processes} share out the paths, "
            f"{group.image_processes} the images of a mini-batch"
        )


def _format_bound(objective: Objective) -> str:
    """Bound as a flag takes it."""
    assert objective.bound is not None
    return f"{objective.bound / 1e6:g}M" if objective.bound >= 1e5 else f"{objective.bound:g} {objective.unit}"


def prepare(
    config: RunConfig, group: Group | None = None, narrator: Narrator | None = None, survey: Survey | None = None
) -> Prepared:
    """Check a configuration and open its data; writes nothing.

    Args:
        config: configuration of the run.
        group: the processes that will train the supernet.
        narrator: receives the progress of loading images.
        survey: survey of the data, if counting the images is enough.

    Raises:
        FairnasError: for wrong names, device, data or objectives, and for bounds that no network meets.
    """
    if config.search.searcher not in SEARCHERS:
        raise UnknownNameError("searcher", config.search.searcher, SEARCHERS)
    require_own_gpu(pick_device(config.resources.device))
    space, dataset = open_data(config, said_by(narrator or SilentNarrator()), survey)
    strategy = strategy_facts(config.train, space.choices)
    reason = unsupported_reason(config.train, space)
    if reason:
        raise ConfigError(f"'{config.train.strategy}' cannot train space '{space.name}': {reason}")
    require_scorable(config, strategy.has_own_networks)
    training_steps(parts_of(dataset, strategy)[0], config.train, strategy.batches_per_step)
    group = arranged(
        group or Group(),
        strategy,
        config.train.strategy,
        batch_size=min(config.train.batch_size, len(dataset.train)),
        path_processes=config.resources.path_processes,
    )
    execution = choose_execution(space, config.train, config.resources, pick_device(config.resources.device), group)
    objectives = objectives_from(config.search, config.measure)
    check_bounds(space, objectives, cost_ranges(space, costs_before_run(space, config.search)))
    if config.stand_alone.models > space.size:
        raise ConfigError(
            f"stand_alone.models is {config.stand_alone.models}; space '{space.name}' has only {space.size} networks"
        )
    require_retrainable(config, space, dataset)
    for text in config.stand_alone.genomes:
        space.parse(text)
    space.require_distinct([space.parse(text) for text in config.stand_alone.study])
    return Prepared(config, space, dataset, execution, group)


def require_study(prepared: Prepared) -> None:
    """Refuse, before anything is trained, a ranking study that a new run could not make at the end.

    Raises:
        RunDirectoryError: if the run to compare with is not there, or is of another space or other images.
        ConfigError: if it wants more networks than the search looks at.
    """
    ours, search = prepared.config.stand_alone, prepared.config.search
    if ours.against is not None:
        require_like(Path(ours.against), to_dict(prepared.space), prepared.dataset.fingerprint, "this run")
    most = search.population * search.generations
    if not ours.study and ours.choose != "random" and ours.models > most:
        raise ConfigError(
            f"stand_alone.models is {ours.models}, but a search of {search.generations} generations of "
            f"{search.population} looks at {most} networks at most; search longer, give a smaller "
            "stand_alone.models, or stand_alone.choose 'random'"
        )
