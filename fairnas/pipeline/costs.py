"""Costs of a genome in a run: multiply-adds, parameters, and latency from a given or measured table."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fairnas.config import RunConfig, SearchConfig
from fairnas.errors import ConfigError
from fairnas.export.timing import device_name
from fairnas.latency import LatencyCheck, LatencyTable, read_latency_table
from fairnas.latency.measure import measure_table
from fairnas.nets import cost_table
from fairnas.pipeline.experiment import Experiment
from fairnas.search import LATENCY, Costs, check_bounds, cost_ranges, objectives_from, scarcities
from fairnas.search.candidate import Measures
from fairnas.space import Genome, SearchSpace
from fairnas.versions import version_of


@dataclass(frozen=True)
class RunCosts(Costs):
    """Costs of the genomes of a space."""

    space: SearchSpace
    latency: LatencyTable | None = None

    def __call__(self, genome: Genome, /) -> Measures:
        """All costs of a (valid) genome."""
        return {**cost_table(self.space).measures(genome), **(self.latency.measures(genome) if self.latency else {})}

    @property
    def sources(self) -> Mapping[str, str]:
        """Sources of costs that depend on more than the space."""
        return {LATENCY.name: f"table {self.latency.fingerprint}"} if self.latency else {}


MEASURED = "latency.json"
"""Name of the table that a run measures itself."""


def needs_latency(search: SearchConfig) -> bool:
    """True if a search uses latency."""
    if search.searcher == "mnasnet_rl" and search.reward.cost == LATENCY.name:
        return True
    return search.max_latency is not None or LATENCY.name in search.objectives


def measures_latency(search: SearchConfig) -> bool:
    """True if a run has to measure latency itself."""
    return needs_latency(search) and search.latency_table is None


def search_costs(space: SearchSpace, search: SearchConfig, measured: Path | None = None) -> RunCosts:
    """Costs that a search knows.

    Args:
        space: resolved for the data.
        search: settings, with the path of a latency table if one is given.
        measured: path of the run's own table, if it is needed.

    Raises:
        ConfigError: for a latency table that is missing or of another space.
    """
    if search.latency_table is not None:
        return RunCosts(space, read_latency_table(Path(search.latency_table), space))
    if not needs_latency(search):
        return RunCosts(space)
    if measured is not None and measured.exists():
        try:
            return RunCosts(space, read_latency_table(measured, space))
        except ConfigError as error:
            again = f"delete {measured}, and the same command makes it again from the measurements beside it"
            raise ConfigError(f"{error}; it is the run's own: {again}") from None
    reason = "search.reward.cost is 'latency'"
    if search.max_latency is not None or LATENCY.name in search.objectives:
        reason = "latency is to be optimised or bounded"
    raise ConfigError(f"{reason}; give its table with --search.latency-table FILE.json")


def costs_before_run(space: SearchSpace, search: SearchConfig) -> RunCosts:
    """Costs known before a run measures latency itself. Raises `ConfigError`, also if it cannot measure it."""
    if not measures_latency(search):
        return search_costs(space, search)
    if version_of("onnxruntime") is None:
        raise ConfigError(
            "latency is measured with onnxruntime, which is not installed; pip install onnxruntime, "
            "or give a table with --search.latency-table FILE.json"
        )
    return RunCosts(space)


def costs_of_run(experiment: Experiment) -> RunCosts:
    """Costs of the search of a run; measures the latency table if necessary, once."""
    config, path, narrator = experiment.config.search, experiment.run.path / MEASURED, experiment.narrator
    if measures_latency(config) and not path.exists():
        narrator.say(f"measuring latency on this machine, for {config.latency_minutes:g} minutes at most")
        table = measure_table(experiment.space, path, config.latency_minutes, narrator=narrator, stop=experiment.stop)
        narrator.say(f"latency measured on {table.device}{format_check(table.check)}")
        experiment.latency_table, costs = table, RunCosts(experiment.space, table)
        narrator.say(f"networks of space '{experiment.space.name}' take {format_range(costs, config)}")
    costs = known_costs(experiment)
    if measures_latency(config) and costs.latency is not None and costs.latency.device != device_name(1):
        files = f"{MEASURED} and {path.with_suffix('.jsonl').name}"
        narrator.say(f"{MEASURED} was measured on {costs.latency.device}; delete {files} to measure it here")
    return costs


def known_costs(experiment: Experiment) -> RunCosts:
    """Return the costs known to the search of a run at present. The run's own latency table is read once.

    Raises `ConfigError` if that table is needed but not measured yet.
    """
    config, space = experiment.config.search, experiment.space
    if not measures_latency(config):
        return search_costs(space, config)
    if experiment.latency_table is None:
        experiment.latency_table = search_costs(space, config, experiment.run.path / MEASURED).latency
    return RunCosts(space, experiment.latency_table)


def measured_first(search: SearchConfig) -> bool:
    """True if a run measures latency before it trains anything, because its bound may be impossible."""
    return measures_latency(search) and search.max_latency is not None


def require_reachable_latency(experiment: Experiment) -> None:
    """Measure latency. Raises `ConfigError` for a bound that no network meets: after minutes rather than hours."""
    config = experiment.config.search
    costs = costs_of_run(experiment)
    try:
        _check_bounds(costs, config)
    except ConfigError as error:
        path = experiment.run.path
        raise ConfigError(f"{error}; {path} keeps the old bound: delete it, or give another --out, too") from None
    bounded = [each for each in objectives_from(config, experiment.config.measure) if each.name == LATENCY.name]
    for line in scarcities(experiment.space, bounded, costs, networks_wanted(experiment.config)):
        experiment.narrator.say(line)


def networks_wanted(config: RunConfig) -> int:
    """Number of networks that a search has to find for the later stages."""
    return max(config.stand_alone.models, config.search.select)


def check_measured(space: SearchSpace, search: SearchConfig, path: Path) -> None:
    """Raise `ConfigError` for a bound that no network meets according to the run's measured table, if there is one."""
    if measures_latency(search) and path.exists():
        _check_bounds(search_costs(space, search, path), search)


def _check_bounds(costs: RunCosts, search: SearchConfig) -> None:
    check_bounds(costs.space, objectives_from(search), cost_ranges(costs.space, costs))


def format_range(costs: RunCosts, search: SearchConfig) -> str:
    """Range of latencies as text, with a note if the bound excludes no network."""
    low, high = cost_ranges(costs.space, costs)[LATENCY.name]
    said = f"{low:.3g} to {high:.3g} ms"
    if search.max_latency is not None and search.max_latency >= high:
        return f"{said}; the bound of {search.max_latency:g} ms leaves none out"
    return said


def format_check(check: LatencyCheck | None) -> str:
    """Quality of a table's predictions, as the end of a sentence."""
    if check is None:
        return ""
    rank = "" if check.spearman is None else f", rank correlation {check.spearman:.3f}"
    return f"; {len(check.networks)} other networks: median error {check.median_error:.1%}{rank}"
