"""Rank stage: networks trained from scratch to test how well one-shot accuracies rank them (paper 4.4)."""

from collections.abc import Mapping, Sequence

from fairnas.analysis import RankingRecord, StudiedModel, study_ranking
from fairnas.config import Measure
from fairnas.errors import TooFewNetworksError
from fairnas.nets import cost_table
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.job_pool import run_experiment_jobs
from fairnas.pipeline.other_scorers import by_each_statistics, name_beside, one_shot, other_supernet
from fairnas.pipeline.reselection import reselect
from fairnas.pipeline.scoring import score_on_validation, statistics_of
from fairnas.pipeline.search_stage import front_and_selected, known_candidates, spread_over_front
from fairnas.pipeline.training_job import Job, JobContext
from fairnas.pipeline.workers import Workers
from fairnas.randomness import generator
from fairnas.scores import TrainingResult
from fairnas.search import MADDS, Candidate
from fairnas.search.objectives import LOSS_OF, accuracy_by
from fairnas.space import Genome, format_genome
from fairnas.stage_records import NO_STUDY

LEAST = 3
"""Smallest number of networks for a ranking."""


def rank_if_possible(experiment: Experiment) -> tuple[str, ...]:
    """Make a ranking study as `rank` does, with fewer networks if there are not enough.

    Raises `TooFewNetworksError`, and records the reason, if they are too few for a ranking.
    """
    try:
        return rank(experiment, LEAST)
    except TooFewNetworksError as error:
        experiment.run.write_json(NO_STUDY, {"reason": str(error)})
        raise


def rank(experiment: Experiment, least: int | None = None, workers: Workers | None = None) -> tuple[str, ...]:
    """Train the networks of the ranking study, compare them with their one-shot accuracies, write the study.

    Args:
        experiment: experiment with a finished search.
        least: smallest accepted number of networks if the search found too few; default: all that are wanted.
        workers: who trains; default: whom the run's resources name.
    """
    ours = experiment.config.stand_alone
    genomes = choose_models(experiment, least)
    # scored first: a supernet that cannot be scored must not cost trainings
    scores, statistics = score_on_validation(experiment, genomes), by_each_statistics(experiment, genomes)
    other = other_supernet(experiment)
    measure = experiment.config.measure  # the other supernet's scores use the same measure, whatever its run measures
    against = (name_beside(experiment.run, other.run), one_shot(other, genomes, measure)) if other else None
    job_context = rank_context(experiment)
    jobs = [Job(genome, seed, False) for genome in genomes for seed in range(ours.seeds)]
    try:
        results = dict(zip(jobs, run_experiment_jobs(experiment, job_context, jobs, workers), strict=True))
    except KeyboardInterrupt:
        if experiment.is_stopped() or not experiment.watch.is_late():
            raise
        results = {job: result for job in jobs if (result := job_context.finished(job)) is not None}
    seeds, done = _complete(genomes, ours.seeds, results)
    jobs = [Job(genome, seed, False) for genome in done for seed in range(seeds)]
    if len(done) < len(genomes):
        experiment.narrator.say(f"its time is over: the study has {len(done)} networks of {len(genomes)}")
    statistics = {
        name: [score for genome, score in zip(genomes, each, strict=True) if genome in done]
        for name, each in statistics.items()
    }
    if against is not None:
        against = against[0], [score for genome, score in zip(genomes, against[1], strict=True) if genome in done]
    table = cost_table(experiment.space)
    models = []
    for number, genome in enumerate(genomes):
        if genome not in done:
            continue
        trainings = [results[Job(genome, seed, False)] for seed in range(seeds)]
        accuracies = tuple(each.test.accuracy(measure) if each.test else None for each in trainings)
        cost, depth = table(genome), experiment.space.network_depth(genome)
        mine = scores[number]
        loss = mine[LOSS_OF[measure]]
        models.append(StudiedModel(genome, mine[measure], accuracies, cost.madds, cost.params, depth, loss))
        for seed, result in enumerate(trainings):
            if result.status == "diverged":
                experiment.narrator.say(f"{format_genome(genome)} diverged with seed {seed}: {result.reason}")
    study = study_ranking(models, statistics=statistics, against=against)
    record = RankingRecord(
        choose="named" if ours.study else ours.choose,
        measure=measure,
        scored_by=statistics_of(experiment),
        against_run=ours.against,
        images={part: len(getattr(experiment.dataset, part)) for part in ("validation", "test")},
        study=study,
        second_choice=reselect(experiment, study),
    )
    experiment.run.write_json("ranking.json", record.to_dict())
    (experiment.run.path / NO_STUDY).unlink(missing_ok=True)
    return ("ranking.json", *(f"{job_context.folder.name}/{job_context.result_path(job).name}" for job in jobs))


def _complete(
    genomes: Sequence[Genome], seeds: int, results: Mapping[Job, TrainingResult]
) -> tuple[int, tuple[Genome, ...]]:
    """Number of trainings that all usable networks have, and these networks, if the study's time ran out.

    Raises `TooFewNetworksError` if too few have been trained.
    """
    found: tuple[Genome, ...] = ()
    for count in range(seeds, 0, -1):
        found = tuple(g for g in genomes if all(Job(g, seed, False) in results for seed in range(count)))
        if len(found) >= min(LEAST, len(genomes)):
            return count, found
    raise TooFewNetworksError(
        f"the time was over when {len(found)} of its {len(genomes)} networks were trained; the same command goes on "
        "with it"
    )


def choose_models(experiment: Experiment, least: int | None = None) -> tuple[Genome, ...]:
    """Networks of the ranking study, as `stand_alone.choose` says.

    `front`: from the front at equal distances in MAdds (paper 4.4); a front with too few networks is completed by
    stratified ones. `stratified`: from all candidates of the search, at equal distances in one-shot accuracy. `random`:
    drawn uniformly from the space. Networks named by `stand_alone.study` replace all of these. If fewer are known than
    wanted, all of them are taken, if there are at least `least`.

    Raises:
        TooFewNetworksError: if there are fewer candidates.
        GenomeError: if a network is named twice, or does not fit the space.
    """
    ours = experiment.config.stand_alone
    if ours.study:
        return experiment.studied
    if not ours.models:
        raise TooFewNetworksError(
            "none was wanted (stand_alone.models is 0); "
            f"`fairnas rank --run {experiment.run.path} --models 6` makes one of 6 networks"
        )
    if ours.choose == "random":
        rng = generator(experiment.config.seed, "ranking models")
        drawn = dict.fromkeys(
            experiment.space.canonical(experiment.space.sample(rng)) for _ in range(100 * ours.models)
        )
        return tuple(drawn)[: ours.models]
    chosen: list[Candidate] = []
    if ours.choose == "front":
        front, _ = front_and_selected(experiment)
        chosen = list(spread_over_front(front, ours.models, (accuracy_by(experiment.config.measure), MADDS)))
    # in the archive, because another search may have scored them first
    taken = {candidate.genome for candidate in chosen}
    others = [candidate for candidate in known_candidates(experiment) if candidate.genome not in taken]
    known = len(chosen) + len(others)
    networks = "1 network" if known == 1 else f"{known} networks"
    if known < (least or ours.models):
        wanted = f"the study wants {ours.models}, so search longer or give a smaller stand_alone.models"
        if least:
            wanted = f"a ranking needs {least}, so search with looser bounds"
        raise TooFewNetworksError(f"the search has evaluated {networks}; {wanted}")
    if known < ours.models:
        experiment.narrator.say(
            f"the search has evaluated {networks}; the study takes all, where {ours.models} were wanted"
        )
    chosen += _stratified(others, min(known, ours.models) - len(chosen), experiment.config.measure)
    return tuple(candidate.genome for candidate in chosen)


def _stratified(candidates: Sequence[Candidate], count: int, measure: Measure) -> list[Candidate]:
    """Candidates at equal distances in one-shot accuracy, from the worst to the best."""
    if count == 0:
        return []
    free = sorted(candidates, key=lambda c: (c.value(measure), c.genome))
    low, high = free[0].value(measure), free[-1].value(measure)
    taken: list[Candidate] = []
    for number in range(count):
        target = low + (high - low) * (number / (count - 1) if count > 1 else 0.5)
        nearest = min(free, key=lambda c: (abs(c.value(measure) - target), c.genome))
        free.remove(nearest)
        taken.append(nearest)
    return taken


def rank_context(experiment: Experiment) -> JobContext:
    """Shared settings of the trainings of this run's ranking study."""
    train = experiment.stand_alone
    folder = experiment.run.path / "stand_alone"
    identity, legacy_identities = (
        experiment.identity_of(train),
        experiment.longer_identities_of(train, "stand_alone.epochs"),
    )
    return JobContext(
        experiment.config, train, identity, folder, experiment.device.type, legacy_identities=legacy_identities
    )
