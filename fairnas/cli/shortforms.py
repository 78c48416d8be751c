"""Flags as people write them, shared by several verbs: those of the search, and who does the work."""

import dataclasses
from dataclasses import dataclass

import tyro

from fairnas.config import Resources, RunConfig


@dataclass(frozen=True, kw_only=True)
class ShortForms:
    """Bounds such as 330M or 20ms, the latency table, and more objectives."""

    max_madds: str | None = None
    """Upper bound on multiply-adds, such as 330M."""
    max_params: str | None = None
    """Upper bound on parameters, such as 4.5M."""
    max_latency: str | None = None
    """Upper bound on latency, such as 20ms; measured on this CPU unless --latency-table gives another's."""
    latency_table: str | None = None
    """Short for --search.latency-table: a JSON file, such as `fairnas latency` writes."""
    objective: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """One more objective: balanced_accuracy, top5, loss, latency, or FILE.py:NAME. May be given several times."""

    def over(self, config: RunConfig) -> RunConfig:
        """The configuration with these settings in place of its own. Raises `ConfigError` for one that is no size."""
        from fairnas.search.objectives import parse_milliseconds, parse_quantity

        search = config.search
        if self.max_madds is not None:
            search = dataclasses.replace(search, max_madds=parse_quantity(self.max_madds))
        if self.max_params is not None:
            search = dataclasses.replace(search, max_params=parse_quantity(self.max_params))
        if self.max_latency is not None:
            search = dataclasses.replace(search, max_latency=parse_milliseconds(self.max_latency))
        if self.latency_table is not None:
            search = dataclasses.replace(search, latency_table=self.latency_table)
        if self.objective:
            named = dict.fromkeys([*search.objectives, *self.objective])
            search = dataclasses.replace(search, objectives=tuple(named))
        return dataclasses.replace(config, search=search)


@dataclass(frozen=True, kw_only=True)
class WorkerFlags:
    """Who scores genomes and trains single networks, instead of this process."""

    workers: int | None = None
    """Score genomes, or train networks, in so many processes on this machine."""
    scheduler: str | None = None
    """Score genomes, or train networks, on the workers of the Dask scheduler at this address."""

    def resources_for(self, config: RunConfig) -> Resources | None:
        """The configuration's resources with these workers; None if none were given."""
        if self.workers is None and self.scheduler is None:
            return None
        there = dataclasses.replace(config.resources, workers=self.workers, scheduler=self.scheduler)
        return there if self.workers is None else dataclasses.replace(there, processes=self.workers)
