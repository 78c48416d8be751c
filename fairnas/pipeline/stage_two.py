"""Stage two of a run: the search over the trained supernet, and the selection from its front."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from fairnas.nets import cost_table
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.judge import evaluation_setting, score_on_validation
from fairnas.pipeline.tracker import Tracker
from fairnas.search import ACCURACY, MADDS, Archive, Candidate, Evaluator, pareto_front, run_search, select_evenly
from fairnas.space import format_genome

ARCHIVE = "archive.sqlite"


def search(experiment: Experiment, evaluator: Evaluator | None = None) -> tuple[str, ...]:
    """Search; genomes that the archive knows are not scored again. Write the front and the selected networks.

    Args:
        experiment: whose supernet is searched.
        evaluator: who scores genomes in the supernet's place.
    """
    config, run = experiment.config.search, experiment.run
    setting = evaluation_setting(experiment)
    narrator = experiment.narrator
    with Archive(run.path / ARCHIVE, setting) as archive:
        result = run_search(
            experiment.space,
            config,
            evaluator or (lambda genomes: score_on_validation(experiment, genomes)),
            cost_table(experiment.space).measures,
            archive,
            experiment.config.seed,
            on_progress=narrator.progress,
            stop=experiment.stop,
        )
    selected = spread_over_front(result.front, config.select)
    if len(selected) < config.select:
        narrator.say(f"the front has only {len(selected)} networks; {config.select} were to be selected")
    run.write_json(
        "search.json",
        {
            "searcher": config.searcher,
            "population": config.population,
            "generations": result.generations,
            "evaluations": result.evaluations,
            "distinct": result.distinct,
            "rejected": result.rejected,
            "failed": result.failed,
            "operators": {name: dataclasses.asdict(tally) for name, tally in result.operators.items()},
            "hypervolume": list(result.hypervolume),
            "reference": list(result.reference),
            "bounds": {"madds": config.max_madds, "params": config.max_params},
            "setting": setting,
            "front": [candidate_row(candidate) for candidate in result.front],
            "selected": [candidate_row(candidate) for candidate in selected],
        },
    )
    with Tracker(run, "search") as tracker:
        tracker.rewind(-1)
        for generation, volume in enumerate(result.hypervolume):
            tracker.record(generation, {"hypervolume": volume})
    return ("search.json",)


def candidate_row(candidate: Candidate) -> dict[str, Any]:
    """A candidate as plain data."""
    return {
        "genome": format_genome(candidate.genome),
        "generation": candidate.generation,
        **dict(candidate.measures),
    }


def candidate_from_row(experiment: Experiment, row: Mapping[str, Any]) -> Candidate:
    """The inverse of `candidate_row`."""
    measures = {key: value for key, value in row.items() if key not in ("genome", "generation")}
    return Candidate.of(experiment.space.parse(row["genome"]), measures, row["generation"])


def known_candidates(experiment: Experiment) -> tuple[Candidate, ...]:
    """Every candidate in the archive that was scored with this supernet."""
    setting = experiment.run.read_json("search.json")["setting"]
    with Archive(experiment.run.path / ARCHIVE, setting) as archive:
        return tuple(candidate for candidate in archive.candidates() if not candidate.failed)


def front_and_selected(experiment: Experiment) -> tuple[tuple[Candidate, ...], tuple[Candidate, ...]]:
    """The front that the search found, and the networks selected from it, heaviest first."""
    stored = experiment.run.read_json("search.json")
    front, selected = (
        tuple(candidate_from_row(experiment, row) for row in stored[key]) for key in ("front", "selected")
    )
    return front, selected


def spread_over_front(front: Sequence[Candidate], count: int) -> tuple[Candidate, ...]:
    """Networks at equal distances in MAdds (paper 4.2), heaviest first.

    Those that no other network beats in accuracy and MAdds together come first; the rest of the front, which is
    there for few parameters alone, only fills up.
    """
    best = pareto_front(front, (ACCURACY, MADDS))
    return select_evenly(best if len(best) >= count else front, count)
