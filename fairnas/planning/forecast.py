"""Forecast of a configuration from the rehearsal of another: the plan's arithmetic over scaled measurements."""

import dataclasses

from fairnas.config import RunConfig
from fairnas.data import Dataset
from fairnas.pipeline.prepare import Prepared
from fairnas.planning.allocation import CostEstimate
from fairnas.planning.dry_run import DryRunTimes, SearchTimes
from fairnas.planning.plan import Plan, foresee
from fairnas.planning.timing import TrainingTimes
from fairnas.planning.training_times import JobTimes


def plan_of(
    prepared: Prepared, measured: DryRunTimes, config: RunConfig, ratio: float = 1.0, dataset: Dataset | None = None
) -> Plan:
    """Plan of a configuration.

    Args:
        prepared: the rehearsed run.
        measured: measurements of the rehearsal.
        config: configuration that may differ in lengths, images, image size and width.
        ratio: time of its supernet step relative to the rehearsed one.
        dataset: its images, possibly only counted; default: those of the rehearsal.
    """
    dataset = dataset or prepared.dataset
    measured = _with_images(_resized(prepared.config, measured, config, ratio), prepared.dataset, dataset)
    return foresee(dataclasses.replace(prepared, config=config, dataset=dataset), measured)


def estimate_of(plan: Plan) -> CostEstimate:
    """Part of a plan that choices depend on."""
    return CostEstimate(plan.steps, {stage.name: stage.seconds for stage in plan.stages})


def _resized(rehearsed: RunConfig, measured: DryRunTimes, config: RunConfig, ratio: float) -> DryRunTimes:
    """Measurements scaled as if this configuration had been rehearsed.

    Libraries are loaded by now, so the first export takes as long as others.
    """
    count, models = len(measured.studied), config.stand_alone.models
    named = bool(config.stand_alone.study)
    studied = measured.studied if named else tuple(measured.studied[n * count // models % count] for n in range(models))
    extra = len(config.stand_alone.genomes)
    found = len(measured.retrained) - extra  # a search may select fewer networks than wanted
    selected = min(config.search.select, found) if found > 0 else 0
    retrained = [measured.retrained[n * found // selected] for n in range(selected)]
    return dataclasses.replace(
        measured,
        supernet=_times(measured.supernet, ratio),
        curve=measured.curve * ratio,
        search=_search(rehearsed, measured.search, config, ratio),
        retrained=(*retrained, *measured.retrained[max(0, found) :]),
        studied=studied,
        jobs=tuple(_job(job, ratio) for job in measured.jobs),
        export=dataclasses.replace(measured.export, first=measured.export.next),
    )


def _with_images(measured: DryRunTimes, before: Dataset, now: Dataset) -> DryRunTimes:
    """Measurements scaled to other numbers of validation and test images."""
    scored = len(now.validation) / len(before.validation)
    judged = (len(now.validation) + len(now.test)) / (len(before.validation) + len(before.test))
    search = measured.search
    places = tuple((place, seconds * scored) for place, seconds in search.per_genome)
    return dataclasses.replace(
        measured,
        curve=measured.curve * scored,
        search=dataclasses.replace(search, per_genome=places),
        jobs=tuple(dataclasses.replace(job, scoring=job.scoring * judged) for job in measured.jobs),
    )


def _search(rehearsed: RunConfig, times: SearchTimes, config: RunConfig, ratio: float) -> SearchTimes:
    """Times scaled to another population and number of generations; a search that ended early does so again."""
    larger = config.search.population / rehearsed.search.population
    done, wanted = len(times.scored), config.search.generations
    kept = times.scored[:wanted]
    ended = done < rehearsed.search.generations and times.left == 0
    left = 0 if ended else max(0, wanted - done)
    places = [(min(place, len(kept) - 1), seconds * ratio) for place, seconds in times.per_genome if place < len(kept)]
    share = len(kept) / done
    return SearchTimes(
        tuple(max(1, round(count * larger)) for count in kept),
        left,
        tuple(places),
        times.bookkeeping * larger * share,
        round(times.archive * larger * share),
    )


def _job(job: JobTimes, ratio: float) -> JobTimes:
    return dataclasses.replace(job, training=_times(job.training, ratio), scoring=job.scoring * ratio)


def _times(times: TrainingTimes, ratio: float) -> TrainingTimes:
    return TrainingTimes(times.start, times.step * ratio, times.epoch)
