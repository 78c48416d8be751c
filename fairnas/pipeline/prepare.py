"""Before a run starts: everything that could be wrong with its configuration, and the plan in plain words."""

from dataclasses import dataclass

from fairnas.config import RunConfig
from fairnas.data import Dataset, steps_per_epoch
from fairnas.errors import ConfigError, UnknownNameError
from fairnas.nets import cost_table
from fairnas.pipeline.experiment import open_data, pick_device
from fairnas.search import SEARCHERS, check_bounds, objectives_from
from fairnas.space import SearchSpace
from fairnas.train import make_strategy


@dataclass(frozen=True)
class Prepared:
    """A configuration that can be run, with its space and data at hand."""

    config: RunConfig
    space: SearchSpace
    dataset: Dataset

    def plan(self) -> tuple[str, ...]:
        """What is going to happen, line by line."""
        config, space, dataset = self.config, self.space, self.dataset
        train, search, alone = config.train, config.search, config.stand_alone
        steps = train.epochs * steps_per_epoch(dataset, train.batch_size)
        paths = make_strategy(train, space.choices, config.seed).passes_per_step
        light, heavy = cost_table(space).lightest, cost_table(space).heaviest
        colour = "grey" if dataset.image_channels == 1 else "colour"
        return (
            f"data       {dataset.name}: {len(dataset.classes)} classes, {len(dataset.train):,} training, "
            f"{len(dataset.validation):,} validation, {len(dataset.test):,} test images, "
            f"{dataset.image_size}x{dataset.image_size} {colour}",
            f"space      {space.name}: {space.size:,} networks of {space.depth} layers, "
            f"{light['madds'] / 1e6:.3g} to {heavy['madds'] / 1e6:.3g} M multiply-adds",
            f"train      {train.strategy}: {train.epochs} epochs, {steps:,} steps of {paths} "
            f"path{'s' if paths > 1 else ''} on {train.batch_size} images, lr {train.lr:g} cosine",
            f"search     {search.searcher}: {search.generations} generations of {search.population}, "
            f"then {search.select} networks at equal distances in multiply-adds",
            f"retrain    {search.select} networks from scratch, then {alone.models} more x {alone.seeds} for the "
            f"ranking, {alone.epochs or train.epochs} epochs each, lr {alone.lr or train.lr:g}",
            f"device     {pick_device(config.resources.device)}",
            *(f"note       {note}" for note in dataset.notes),
        )


def prepare(config: RunConfig) -> Prepared:
    """Check a configuration and open its data; writes nothing.

    Raises:
        FairnasError: one line, whatever is wrong: names, device, data, bounds that no network meets.
    """
    if config.search.searcher not in SEARCHERS:
        raise UnknownNameError("searcher", config.search.searcher, SEARCHERS)
    pick_device(config.resources.device)
    space, dataset = open_data(config)
    make_strategy(config.train, space.choices, config.seed)
    check_bounds(space, objectives_from(config.search), cost_table(space).lightest)
    if config.stand_alone.models > space.size:
        raise ConfigError(
            f"stand_alone.models is {config.stand_alone.models}; space '{space.name}' has only {space.size} networks"
        )
    for text in config.stand_alone.genomes:
        space.parse(text)
    return Prepared(config, space, dataset)
