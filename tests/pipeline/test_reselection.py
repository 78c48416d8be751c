"""Networks chosen once more by foreseen accuracy, from the archive of a search."""

import dataclasses

import numpy as np
import pytest

from fairnas.analysis import SecondChoice, StudiedModel, study_ranking
from fairnas.config import SearchConfig
from fairnas.latency import LatencyTable, write_latency_table
from fairnas.latency.table import channels_of
from fairnas.nets import Supernet, cost_table
from fairnas.pipeline import Experiment
from fairnas.pipeline.reselection import reselect
from fairnas.pipeline.search_stage import front_and_selected, known_candidates, search
from fairnas.recipes import get_recipe
from fairnas.rundir import RunDirectory
from fairnas.space import get_space

SPACE = get_space("digits")


class Scores:
    """An evaluator that needs no supernet: by chance, the same for a genome at every time."""

    def __init__(self, lossless: bool = False) -> None:
        self.lossless = lossless

    def __call__(self, genomes):
        rows = []
        for genome in genomes:
            rng = np.random.default_rng(genome)
            accuracy = float(rng.random())
            loss = {} if self.lossless else {"loss": float(rng.random())}
            rows.append({"top1": accuracy, "balanced_accuracy": accuracy, **loss})
        return rows


@pytest.fixture
def searched(tmp_path):
    def make(lossless=False, **changes) -> Experiment:
        config = dataclasses.replace(
            get_recipe("digits"), search=SearchConfig(population=8, generations=4, select=3, **changes)
        )
        experiment = Experiment(RunDirectory.create(tmp_path / str(len(list(tmp_path.iterdir()))), config))
        experiment.__dict__["supernet"] = Supernet(experiment.space).eval()  # nobody asks it for scores
        search(experiment, Scores(lossless))
        return experiment

    return make


def study_in_which(weight_of_loss: float, count: int = 14):
    """A study whose truth is a sum of loss and multiply-adds."""
    rng, table = np.random.default_rng(0), cost_table(SPACE)
    models = []
    for _ in range(count):
        genome = SPACE.sample(rng)
        loss, madds = float(rng.random()), table(genome).madds
        true = 0.5 + weight_of_loss * loss + madds / 1e8
        models.append(StudiedModel(genome, float(rng.random()), (true,), madds, 10, SPACE.depth, loss))
    return study_ranking(models)


def test_the_front_of_all_that_was_scored_by_what_the_sum_foresees(searched):
    experiment, study = searched(), study_in_which(-0.1)
    assert study.sum_is_better
    found = reselect(experiment, study)
    candidates = known_candidates(experiment)
    assert found.looked_at == len(candidates) > 8
    rows = found.networks
    assert len(rows) == 3
    assert [row.madds for row in rows] == sorted((row.madds for row in rows), reverse=True)
    foreseen = {
        each.genome: (study.corrected.predicted(each.value("loss"), each.value("madds")), each) for each in candidates
    }
    _, before = front_and_selected(experiment)
    for row in rows:
        value, candidate = foreseen[row.genome]
        assert row.foreseen == value
        assert row.top1 == candidate.value("top1")
        assert row.selected == (candidate.genome in {each.genome for each in before})
        as_cheap = [
            other
            for other, each in foreseen.values()
            if all(each.value(cost) <= getattr(row, cost) for cost in ("madds", "params"))
        ]
        assert max(as_cheap) == value
    assert not all(row.selected for row in rows)


@pytest.mark.slow
def test_bounds_of_the_run_hold(searched):
    free = reselect(searched(), study_in_which(-0.1)).networks
    bound = 0.9 * free[0].madds
    bounded = reselect(searched(max_madds=bound), study_in_which(-0.1)).networks
    assert free[0].madds > bound >= bounded[0].madds


@pytest.mark.slow
def test_no_second_choice_where_the_sum_is_no_better_or_losses_are_unknown(searched):
    experiment = searched()
    few = study_in_which(-0.1, count=4)
    assert (few.corrected, reselect(experiment, few)) == (None, None)
    study = study_in_which(-0.1)
    perfect = dataclasses.replace(study.by_loss, tau=dataclasses.replace(study.tau, tau=1.0))
    assert reselect(experiment, dataclasses.replace(study, by_loss=perfect)) is None
    assert reselect(searched(lossless=True), study) == SecondChoice(0, ())


@pytest.mark.slow
def test_costs_from_files_of_the_users_hold_too(searched, tmp_path):
    rows = tuple(tuple(float(choice + 1) for choice in range(count)) for count in SPACE.choices)
    table = LatencyTable(SPACE.name, "a phone", 1.0, rows, SPACE.image_size, None, channels_of(SPACE))
    write_latency_table(tmp_path / "phone.json", table)
    (tmp_path / "energy.py").write_text(
        "from fairnas.search import Objective\n"
        "energy = Objective('energy', 'min', 'mJ', function=lambda space, genome: sum(genome))\n"
    )
    wanted = ("top1", "madds", f"{tmp_path / 'energy.py'}:energy")
    experiment = searched(latency_table=str(tmp_path / "phone.json"), max_latency=25, objectives=wanted)
    found = reselect(experiment, study_in_which(-0.1))
    assert found.looked_at == len(known_candidates(experiment)) > 8
    genomes = [row.genome for row in found.networks]
    assert len(genomes) == 3
    assert all(table(genome) <= 25 for genome in genomes)
