"""Second selection of networks, by the accuracies that a ranking study predicts.

A search selects by one-shot accuracy. Its archive has the one-shot loss of every network that it scored, and the study
has the weights of a sum of loss and a cost that orders networks better (`analysis/correction.py`). So all networks can
be compared again without scoring.
"""

import math

from fairnas.analysis import PredictedNetwork, RankingStudy, SecondChoice
from fairnas.analysis.correction import Correction
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.search_stage import front_and_selected, known_candidates, spread_over_front
from fairnas.search import MADDS, Candidate, Objective, objectives_from, pareto_front
from fairnas.search.objectives import LOSS_OF, pays_with, qualifies
from fairnas.space import SearchSpace

FORESEEN = Objective("foreseen", "max", "share of images")
"""Objective: predicted stand-alone test accuracy, trained as in the study."""


def reselect(experiment: Experiment, study: RankingStudy) -> SecondChoice | None:
    """Front of all networks that the search scored, by predicted accuracy, and a selection from it.

    Costs, bounds and the number of networks are the run's; the prediction replaces its measure of accuracy.

    Returns:
        None if the study's fitted sum does not order networks better than one-shot accuracy and loss do.
    """
    if study.corrected is None or not study.sum_is_better:
        return None
    measure = experiment.config.measure
    wanted, loss = objectives_from(experiment.config.search, measure), LOSS_OF[measure]
    allowed = [each for each in known_candidates(experiment) if loss in each.measures and qualifies(each, wanted)]
    looked_at = [
        Candidate.of(each.genome, {**each.measures, FORESEEN.name: value}, each.generation)
        for each in allowed
        for value in [predicted_accuracy(study.corrected, experiment.space, each, loss)]
        if math.isfinite(value)
    ]
    costs = [each for each in wanted if pays_with(each)] or [MADDS]
    chosen = spread_over_front(
        pareto_front(looked_at, (FORESEEN, *costs)), experiment.config.search.select, (FORESEEN, *costs)
    )
    before = {candidate.genome for candidate in front_and_selected(experiment)[1]}
    networks = tuple(
        PredictedNetwork(
            genome=each.genome,
            selected=each.genome in before,
            foreseen=each.value(FORESEEN.name),
            top1=each.value("top1"),
            balanced_accuracy=each.value("balanced_accuracy"),
            madds=int(each.value("madds")),
            params=int(each.value("params")),
        )
        for each in chosen
    )
    return SecondChoice(len(looked_at), networks)


def predicted_accuracy(correction: Correction, space: SearchSpace, candidate: Candidate, loss: str = "loss") -> float:
    """Predicted accuracy of a network by a study's sum; `loss` is the name of the loss that the sum was fitted with."""
    cost = space.network_depth(candidate.genome) if correction.cost == "depth" else candidate.value(correction.cost)
    return correction.predicted(candidate.value(loss), cost)
