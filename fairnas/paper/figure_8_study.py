"""Figure 8: the networks of a run's ranking study, scored by its supernet and by that of another run."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fairnas.analysis import study_ranking
from fairnas.atomic_files import write_atomically
from fairnas.errors import ConfigError
from fairnas.paper.figure_8_page import (
    RankingComparison,
    SupernetResult,
    draw_plots,
    findings,
    render_ranking_comparison,
)
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.other_scorers import name_beside, one_shot, opened_beside, other_supernet
from fairnas.progress import Narrator
from fairnas.randomness import generator
from fairnas.report.run_data import read_inputs
from fairnas.rundir import RunDirectory
from fairnas.space import Genome
from fairnas.versions import installed_versions


@dataclasses.dataclass(frozen=True)
class FigureEight:
    """Settings of the figure."""

    run: Path
    against: Path | None
    """Second run; default: the run that the study was compared with, if any."""
    sample: int
    """Number of random networks for the histograms; 0: use those that the search scored."""
    command: str


def draw_figure_8(out: Path, figure: FigureEight, narrator: Narrator) -> dict[str, Any]:
    """Write page, numbers, PNG and SVG, and return the numbers. Does not train, and changes no run.

    Raises:
        RunDirectoryError: if there is no run, its ranking study is not finished, or the other run does not fit.
        ConfigError: if the sample is invalid.
    """
    comparison = _believed(figure, narrator)
    numbers = as_numbers(comparison)
    write_atomically(out / "figure8.json", (json.dumps(numbers, indent=1, allow_nan=False) + "\n").encode())
    write_atomically(out / "figure8.html", render_ranking_comparison(comparison).encode())
    files = draw_plots(comparison, out)
    return numbers | {"page": str(out / "figure8.html"), "files": [str(path) for path in files]}


def _believed(figure: FigureEight, narrator: Narrator) -> RankingComparison:
    if figure.sample < 0:
        raise ConfigError(f"--sample is {figure.sample}; give 0 or more networks")
    run = RunDirectory.open(figure.run)
    run.require_finished("rank")
    inputs = read_inputs(run)
    assert inputs.ranking is not None, "the study is finished"
    record, models = inputs.ranking, inputs.ranking.study.models
    # without the run's lock: it only reads files that are replaced atomically
    experiment = Experiment(run, narrator)
    other = opened_beside(experiment, figure.against) if figure.against else other_supernet(experiment)
    genomes = [model.genome for model in models]
    name, measure = name_beside(run, other.run) if other else "", run.config.measure
    study = study_ranking(models, against=(name, one_shot(other, genomes, measure)) if other else None)
    drawn = _drawn(experiment, figure.sample) if figure.sample else ()
    finished = [number for number, model in enumerate(models) if model.mean is not None]

    def sample(result: Experiment) -> tuple[float, ...]:
        return tuple(one_shot(result, drawn, measure))

    candidates = tuple(each.value(measure) for each in inputs.candidates)
    results = [
        SupernetResult(
            name=run.path.resolve().name,
            strategy=run.config.train.strategy,
            one_shot=tuple(models[number].one_shot for number in finished),
            tau=study.tau,
            gap=study.gap,
            sample=sample(experiment) if drawn else candidates,
        )
    ]
    if other and study.against:
        scores = study.against.scores
        results.append(
            SupernetResult(
                name=name,
                strategy=other.config.train.strategy,
                one_shot=tuple(scores[number] for number in finished),
                tau=study.against.tau,
                gap=study.against.gap,
                sample=sample(other) if drawn else (),
            )
        )
    counts = inputs.data.counts if inputs.data else {}
    return RankingComparison(
        run=run.path.resolve().name,
        space=inputs.space.name,
        data=inputs.data.name if inputs.data else inputs.config.data.name,
        choose=record.choose,
        images=(counts.get("validation", 0), counts.get("test", 0)),
        study=study,
        results=tuple(results),
        difference=study.against.difference if study.against else None,
        sampled="drawn at random, the same for all supernets" if drawn else "all that the search scored",
        command=figure.command,
        accuracy=inputs.accuracy_words,
    )


def _drawn(experiment: Experiment, count: int) -> Sequence[Genome]:
    space = experiment.space
    rng = generator(experiment.config.seed, "sample of accuracies")
    drawn = dict.fromkeys(space.canonical(space.sample(rng)) for _ in range(10 * count))
    return tuple(drawn)[:count]


def as_numbers(comparison: RankingComparison) -> dict[str, Any]:
    """Figure as plain data."""
    study = comparison.study.to_dict()
    return {
        "figure": 8,
        "run": comparison.run,
        "space": comparison.space,
        "data": comparison.data,
        "choose": comparison.choose,
        "images": dict(zip(("validation", "test"), comparison.images, strict=True)),
        "networks": study["models"],
        "diverged": list(comparison.diverged),
        "supernets": [
            {
                "name": result.name,
                "strategy": result.strategy,
                "one_shot": list(result.one_shot),
                **_agreement(study["tau"] if not number else study["against"]["tau"]),
                "gap": dataclasses.asdict(result.gap),
                "sample": list(result.sample),
            }
            for number, result in enumerate(comparison.results)
        ],
        "difference": study["against"]["difference"] if study["against"] else None,
        "ceiling": study["ceiling"],
        "sampled": comparison.sampled,
        "sentences": list(findings(comparison)),
        "command": comparison.command,
        "versions": installed_versions(),
    }


def _agreement(plain: dict[str, Any]) -> dict[str, Any]:
    return {key: plain[key] for key in ("tau", "interval", "n", "spearman", "p_value")}
