"""What another configuration would take, from a rehearsal of one: the plan's arithmetic over resized measurements."""

import dataclasses

from fairnas.config import RunConfig
from fairnas.pipeline.planning.effort import Foreseen
from fairnas.pipeline.planning.plan import Plan, foresee
from fairnas.pipeline.planning.rehearsal import JobTimes, Measured, SearchTimes
from fairnas.pipeline.planning.stopwatch import TrainingTimes
from fairnas.pipeline.prepare import Prepared


def plan_of(prepared: Prepared, measured: Measured, config: RunConfig, ratio: float = 1.0) -> Plan:
    """The plan of a configuration.

    Args:
        prepared: what was rehearsed.
        measured: by the rehearsal.
        config: differs from it in how long everything is done, and perhaps in the size of images and network.
        ratio: how many times as long a supernet step takes there.
    """
    return foresee(dataclasses.replace(prepared, config=config), _resized(prepared.config, measured, config, ratio))


def foreseen(plan: Plan) -> Foreseen:
    """The part of a plan that choices depend on."""
    return Foreseen(plan.steps, {stage.name: stage.seconds for stage in plan.stages})


def _resized(rehearsed: RunConfig, measured: Measured, config: RunConfig, ratio: float) -> Measured:
    """The measurements as if this configuration had been rehearsed.

    Libraries are loaded by now, so the first export takes what others take.
    """
    count, models = len(measured.studied), config.stand_alone.models
    named = bool(config.stand_alone.study)
    studied = measured.studied if named else tuple(measured.studied[n * count // models % count] for n in range(models))
    return dataclasses.replace(
        measured,
        supernet=_times(measured.supernet, ratio),
        curve=measured.curve * ratio,
        search=_search(rehearsed, measured.search, config, ratio),
        studied=studied,
        jobs=tuple(_job(job, ratio) for job in measured.jobs),
        export=dataclasses.replace(measured.export, first=measured.export.next),
    )


def _search(rehearsed: RunConfig, times: SearchTimes, config: RunConfig, ratio: float) -> SearchTimes:
    """Another population scores as many times more genomes per generation; a search that ended early ends again."""
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
