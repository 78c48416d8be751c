"""Figures 8 and 10: their sentences, plots, and files for a paper."""

import dataclasses
import math

import pytest

from fairnas.analysis import StudiedModel, study_ranking
from fairnas.paper.figure_8_page import (
    RankingComparison,
    SupernetResult,
    findings,
    gap_figure,
    histogram,
    render_ranking_comparison,
    scatter_figure,
)
from fairnas.paper.figure_8_page import draw_plots as draw_figure_8
from fairnas.paper.figure_10 import StudyTrainings, render_study_trainings
from fairnas.paper.figure_10 import draw_plots as draw_figure_10
from fairnas.paper.figure_10 import findings as findings_10
from fairnas.report.training_curves import TrainingCurve, colour_of, mean_curve


def ranking_comparison() -> RankingComparison:
    """A made-up study of 9 networks, one of which diverged, by two supernets."""
    models = [
        StudiedModel((k, 0, 0), 0.5 + 0.01 * k, (0.7 + 0.01 * k, 0.71 + 0.01 * k), 100 + k, 50 + k % 4)
        for k in range(8)
    ]
    models.append(StudiedModel((9, 9, 9), 0.4, (0.1, None), 1, 1))
    others = [0.3 + 0.02 * (k * 3 % 8) for k in range(9)]
    study = study_ranking(models, against=("uniform", others))
    ours = tuple(model.one_shot for model in models[:8])
    results = (
        SupernetResult("strict", "strict", ours, study.tau, study.gap, (0.5, 0.52, 0.55)),
        SupernetResult("b", "uniform", tuple(others[:8]), study.against.tau, study.against.gap, (0.2, 0.3)),
    )
    return RankingComparison(
        "strict", "digits", "digits", "front", (300, 797), study, results, study.against.difference, "drawn", "fairnas"
    )


def study_trainings() -> StudyTrainings:
    """Four made-up networks, the last of which diverged."""
    curves = [
        TrainingCurve(f"{k}00", 0.9 - 0.1 * k, ((1, 2.0 + k), (2, 1.0 + k)), ((2, 0.8 - 0.1 * k),), 2, 0.9)
        for k in range(3)
    ]
    curves.append(TrainingCurve("<b>", 0.2, ((1, 5.0),), (), 2, None))
    return StudyTrainings("run", "digits", "digits", 300, tuple(curves), "fairnas figure 10")


def test_figure_8_says_tau_difference_lambda_and_who_is_left_out():
    ours, theirs, difference, ceiling, lost = findings(ranking_comparison())
    assert ours.startswith("The supernet of strict orders the networks with tau = 1.00 [")
    assert "lambda = 0.000, n = 8" in ours
    assert theirs.startswith("The supernet of b (uniform) orders")
    assert difference.startswith("Tau of strict less tau of b, on the same networks: ")
    assert difference.endswith("n = 8. strict orders them better.")
    assert "one training seed against another gives tau = 1.00" in ceiling
    assert lost == "1 network diverged in training and is in no number: 999."
    page = render_ranking_comparison(dataclasses.replace(ranking_comparison(), run="<b>"))
    assert "&lt;b&gt;" in page
    assert "<b></p>" not in page


def test_figure_8_shows_means_with_the_reach_of_seeds_on_one_axis():
    both = [scatter_figure(ranking_comparison(), number) for number in (0, 1)]
    (trace,) = both[0]["data"]
    assert trace["x"] == pytest.approx([50 + k for k in range(8)])
    assert trace["y"] == pytest.approx([70.5 + k for k in range(8)])
    assert trace["error_y"]["array"] == pytest.approx([0.5] * 8)
    assert both[0]["layout"]["yaxis"]["range"] == both[1]["layout"]["yaxis"]["range"]
    assert "tau = 1.00" in trace["name"]


def test_histograms_hold_all_of_their_values():
    values = [0.1, 0.1, 0.2, 0.25, 0.9]
    centres, widths, shares = histogram(values)
    assert math.fsum(width * share for width, share in zip(widths, shares, strict=True)) == pytest.approx(100, abs=1e-3)
    assert centres == sorted(centres)
    names = [each["name"] for each in gap_figure(ranking_comparison().results[0], values, "--arm-a")["data"]]
    assert names == ["one-shot, n = 3", "stand-alone, n = 5"]
    assert ranking_comparison().results[0].sampled_gap == pytest.approx(abs(0.05 - 0.07))


@pytest.mark.slow
def test_one_supernet_alone_has_a_figure_too(tmp_path):
    alone = dataclasses.replace(ranking_comparison(), results=ranking_comparison().results[:1], difference=None)
    assert not any("less tau" in sentence for sentence in findings(alone))
    assert "judge-1" not in render_ranking_comparison(alone)
    assert len(draw_figure_8(alone, tmp_path)) == 4


def test_a_supernet_that_knows_no_difference_is_said_to_be_beyond_comparison():
    made = ranking_comparison()
    flat = study_ranking(made.study.models, against=("uniform", [0.1] * 9)).against
    result = dataclasses.replace(made.results[1], one_shot=(0.1,) * 8, tau=flat.tau, gap=flat.gap)
    constant = dataclasses.replace(made, results=(made.results[0], result), difference=flat.difference)
    _, theirs, difference, *_ = findings(constant)
    assert "tau = \u2013 (constant), n = 8" in theirs
    assert difference == "Their taus cannot be compared: a list of accuracies is constant."


def test_figure_10_says_when_the_order_shows():
    said = findings_10(study_trainings())
    assert said[0].startswith(
        "After epoch 2, the last, validation accuracy and one-shot accuracy agree to tau = 1.00 ["
    )
    assert said[-1] == "Diverged, drawn as far as they came and in no number: <b>."
    assert "&lt;b&gt;" in render_study_trainings(study_trainings())
    few = dataclasses.replace(study_trainings(), curves=study_trainings().curves[:2])
    assert findings_10(few)[0].startswith("Fewer than 3 networks were trained without diverging")


def test_curves_are_means_over_seeds_where_all_have_a_value():
    assert mean_curve([[(1, 2.0), (2, 1.0)], [(1, 4.0)]]) == ((1, 3.0),)
    assert colour_of(0, 3) != colour_of(1, 3) != colour_of(2, 3)
    assert colour_of(0, 1) == colour_of(0, 5)


@pytest.mark.slow
def test_pictures_are_the_same_bytes_for_the_same_numbers(tmp_path):
    for folder in ("one", "two"):
        draw_figure_8(ranking_comparison(), tmp_path / folder)
        draw_figure_10(study_trainings(), tmp_path / folder)
    names = {path.name for path in (tmp_path / "one").iterdir()}
    plates = {f"{name}.{suffix}" for name in ("figure8", "figure8-gap", "figure10") for suffix in ("png", "svg")}
    assert names == plates
    for name in names:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
