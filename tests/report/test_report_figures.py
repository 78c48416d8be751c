"""Plots as data: what plotly accepts, and what they show."""

import dataclasses
import itertools
import json
import re

import plotly.graph_objects as go
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.analysis import StudiedModel
from fairnas.report import plots
from fairnas.report.evolution_section import operator_figure
from fairnas.report.networks import GENERATION, Networks, accuracy_by, costs_of, view_figure
from fairnas.report.run_records import Epoch
from fairnas.search import ACCURACY, LATENCY, Candidate
from fairnas.search.mutators import OperatorCounts
from fairnas.space import parse_genome


def candidate(genome: str, top1: float, madds: float, params: float, generation: int) -> Candidate:
    return Candidate.of(parse_genome(genome), {"top1": top1, "madds": madds, "params": params}, generation)


CLOUD = tuple(candidate(f"{n:08d}", 0.9 + 0.001 * (n % 50), 1e6 + n, 2e4 - n, n // 10) for n in range(90))
MODELS = (
    StudiedModel((0, 0, 0), 0.9, (0.95, 0.97), 1_000_000, 20_000),
    StudiedModel((1, 1, 1), 0.8, (0.9, None), 1_000_000, 20_000),
    StudiedModel((2, 2, 2), 0.7, (0.9, 0.9), 1_000_000, 20_000),
)
EPOCHS = tuple(Epoch(n, 2 / n, 0.1 * n, 0.05) for n in range(1, 9))
NETWORKS = Networks(CLOUD, tuple(range(90)), (0, 1, 12, 33, 4), (1, 33), accuracy_by("top1"))
MADDS, PARAMS = costs_of(())
ALL = {
    "madds": view_figure(NETWORKS, MADDS),
    "params": view_figure(NETWORKS, PARAMS),
    "empty": view_figure(Networks((), (), (), (), accuracy_by("top1")), MADDS),
    "generations": view_figure(NETWORKS, GENERATION, best_so_far=True),
    "operators": operator_figure(
        {"first": OperatorCounts(9, 9, 9), "random": OperatorCounts(10, 4, 1), "prior": OperatorCounts(30, 9, 0)}
    ),
    "rank": plots.rank_figure(MODELS),
    "rank with images": plots.rank_figure(MODELS, 300, 300),
    "histogram": plots.histogram_figure([each.value("top1") for each in CLOUD]),
    "training": plots.training_figure(EPOCHS),
    "loss only": plots.training_figure([Epoch(1, 2.0, None, None), Epoch(2, 1.0, None, None)]),
    "hypervolume": plots.hypervolume_figure([0.1, 0.4, 0.5]),
}


@pytest.mark.parametrize("name", ALL)
def test_plotly_accepts_the_figure_and_json_holds_it(name):
    go.Figure(ALL[name])
    json.dumps(ALL[name], allow_nan=False)


@pytest.mark.parametrize("name", ALL)
def test_every_colour_is_in_the_style_sheet_for_light_and_dark(name):
    from importlib.resources import files

    light, dark = files("fairnas.report").joinpath("page.css").read_text().split("prefers-color-scheme: dark")
    for variable in set(re.findall(r"var\((--[a-z-]+)\)", json.dumps(ALL[name]))):
        assert f"{variable}:" in light
        assert f"{variable}:" in dark


def trace(figure: plots.Figure, name: str) -> dict:
    return next(each for each in figure["data"] if each.get("name") == name)


def test_front_figure_marks_cloud_front_and_selected():
    figure = ALL["madds"]
    assert len(trace(figure, "candidates")["x"]) == 90
    assert len(trace(figure, "front")["x"]) == 5
    assert trace(figure, "selected")["text"] == ["<b>1</b>", "<b>2</b>"]
    assert trace(figure, "front")["x"][0] == 1.0
    assert trace(figure, "front")["y"][1] == pytest.approx(90.1)
    assert "multiply-adds (M)" in str(figure["layout"]["xaxis"])
    assert "parameters (M)" in str(ALL["params"]["layout"]["xaxis"])


def test_every_mark_of_a_linked_view_is_a_row_at_its_own_numbers():
    numbers = {"madds": lambda each: each.value("madds") / 1e6, "params": lambda each: each.value("params") / 1e6}
    numbers["generations"] = lambda each: each.generation + 1
    for name, number in numbers.items():
        assert ALL[name]["layout"]["meta"] == {"linked": True}
        for marks in (trace(ALL[name], each) for each in ("candidates", "front", "selected")):
            points = zip(marks["customdata"], marks["x"], marks["y"], strict=True)
            for row, x, y in points:
                assert (x, y) == pytest.approx((number(CLOUD[row]), 100 * CLOUD[row].value("top1")), rel=1e-5)


def test_networks_without_a_number_are_left_out_of_its_view_alone():
    latency = costs_of((ACCURACY, LATENCY))[-1]
    some = tuple(
        each if each.generation else Candidate.of(each.genome, {**each.measures, "latency": 2.5}) for each in CLOUD
    )
    figure = view_figure(dataclasses.replace(NETWORKS, rows=some), latency)
    assert trace(figure, "candidates")["customdata"] == list(range(10))
    assert trace(figure, "candidates")["marker"]["color"] == [0] * 10
    assert "latency (ms)" in str(figure["layout"]["xaxis"])


def test_operator_shares_leave_the_random_first_generation_out():
    made, lived = (trace(ALL["operators"], name) for name in ("made", "lived on"))
    assert (made["y"], made["x"]) == (["random", "prior"], [25, 75])
    assert lived["x"] == [pytest.approx(100 * 4 / 13, abs=1e-3), pytest.approx(100 * 9 / 13, abs=1e-3)]


def test_bars_of_one_training_are_intervals_from_the_number_of_images():
    one = plots.rank_figure((StudiedModel((0, 0, 0), 0.5, (0.5,), 1_000_000, 20_000),), 100, 400)["data"][0]
    assert one["error_x"]["array"] == [pytest.approx(9.62, abs=0.01)]
    assert one["error_y"]["array"] == [pytest.approx(4.88, abs=0.01)]
    assert ALL["rank with images"]["data"][0]["error_y"] == ALL["rank"]["data"][0]["error_y"], "seeds tell more"


def test_rank_figure_shows_means_with_the_spread_of_seeds_and_leaves_diverged_networks_out():
    shown = ALL["rank"]["data"][0]
    assert (shown["x"], shown["y"]) == ([90.0, 70.0], [96.0, 90.0])
    assert shown["error_y"]["array"] == [pytest.approx(1), 0]
    assert shown["error_y"]["arrayminus"] == [pytest.approx(1), 0]


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=30))
def test_staircase_is_what_nobody_beats(points):
    stairs = plots.staircase(points)
    expected = {
        (cost, top)
        for cost, top in points
        if not any((c <= cost and t >= top) and (c, t) != (cost, top) for c, t in points)
    }
    assert set(stairs) == expected
    assert list(stairs) == sorted(stairs)


@pytest.mark.slow
@settings(deadline=None)
@given(st.integers(0, 20_000))
def test_thinning_keeps_order_and_limit(count):
    cloud = [candidate("0", 0.5, n, n, n) for n in range(count)]
    drawn = plots.thinned(cloud)
    assert len(drawn) <= plots.MOST_POINTS
    assert len(drawn) > plots.MOST_POINTS / 2 or len(drawn) == count
    assert [each.generation for each in drawn] == sorted(each.generation for each in drawn)


@settings(deadline=None)
@given(st.integers(5, 5000), st.data())
def test_histogram_counts_every_candidate_and_no_bin_holds_more_possible_values_than_another(images, data):
    right = data.draw(st.lists(st.integers(0, images), min_size=1, max_size=200))
    figure = plots.histogram_figure([number / images for number in right])
    bars = figure["data"][0]
    assert sum(bars["y"]) == len(right)
    assert len(bars["y"]) <= 41
    edges = plots.bin_edges(sorted({float(number) for number in right}))
    assert len({round(b - a, 6) for a, b in itertools.pairwise(edges)}) == 1
    assert round(edges[1] - edges[0], 6) == round(edges[1] - edges[0]), "a whole number of possible values"


def test_histogram_of_coarse_accuracies_is_no_comb():
    values = [number / 300 for number in range(280, 297)]
    assert plots.histogram_figure(values)["data"][0]["y"] == [1] * 17


def test_training_curve_shades_one_standard_deviation_within_0_and_100():
    low, high = ALL["training"]["data"][1:3]
    assert (low["y"][0], high["y"][0]) == (pytest.approx(5), pytest.approx(15))
    assert max(plots.training_figure([Epoch(1, 1.0, 0.99, 0.1), EPOCHS[0]])["data"][2]["y"]) == 100
    assert len(ALL["loss only"]["data"]) == 1


def test_generations_count_from_1():
    assert ALL["hypervolume"]["data"][0]["x"] == [1, 2, 3]
