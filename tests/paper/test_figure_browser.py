"""The pages of figures in a real browser: they open from the disk, ask no network, and draw everything."""

import pytest

from fairnas.paper.figure_1_page import render_comparison
from fairnas.paper.figure_4 import draw_figure_4
from fairnas.paper.figure_6_page import render_search_comparison
from fairnas.paper.figure_8_page import render_ranking_comparison
from fairnas.paper.figure_10 import render_study_trainings
from fairnas.paper.figure_11 import Evolution, render_evolution
from fairnas.search.archive import ArchiveContent
from fairnas.search.record import ObjectiveRecord, SearchRecord
from tests.paper.test_figure_6_results import GOALS, OPERATORS, candidate, searched
from tests.paper.test_figure_6_results import comparison as search_comparison
from tests.paper.test_rank_figures import ranking_comparison, study_trainings
from tests.paper.test_training_comparison import STRICT, comparison, make_arm
from tests.report.test_browser import PAPER

pytestmark = [pytest.mark.slow, pytest.mark.full]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    arms = [make_arm(name, (0.8, 0.82, 0.84)) for name in ("b", "c", "d", "e")]
    page = render_comparison(comparison(make_arm("a", (0.9, 0.91, 0.92), audit=STRICT), *arms))
    (folder / "figure1.html").write_text(page)
    draw_figure_4(folder, 1000, 0, "fairnas figure 4")
    finals = {"moremnas": (0.99, 0.98), "nsga2": (0.9, 0.97), "random": (0.5, 0.6), "mnasnet_rl": (0.4, 0.3)}
    contenders = [searched(name, values, OPERATORS) for name, values in finals.items()]
    (folder / "figure6.html").write_text(render_search_comparison(search_comparison(*contenders)))
    (folder / "figure11.html").write_text(render_evolution(evolution()))
    (folder / "figure8.html").write_text(render_ranking_comparison(ranking_comparison()))
    (folder / "figure10.html").write_text(render_study_trainings(study_trainings()))
    return {  # the plots, and how many names there are in the legends
        folder / "figure1.html": (("epochs", "passes", "spread", "histograms"), 5),
        folder / "figure4.html": (("linear", "logarithmic"), 5),
        folder / "figure6.html": (("fronts", "hypervolume", "gap", "params"), 5),
        folder / "figure8.html": (("judge-0", "judge-1", "gap-0", "gap-1"), 5),
        folder / "figure10.html": (("curve-top1", "curve-loss"), 4),
        folder / "figure11.html": (("evolution-madds", "evolution-params", "hypervolume"), 3),
    }


def evolution() -> Evolution:
    """A made-up search of 12 generations of 10."""
    candidates = tuple(
        candidate(f"{n:03}", 0.5 + 0.3 * (n % 7) / 7 + n / 600, 1e6 * (5 - n / 60 + n % 5), 1e6 * (1 + n % 9), n // 10)
        for n in range(120)
    )
    volumes = tuple(0.5 + 0.03 * min(n, 8) for n in range(12))
    search = SearchRecord(
        searcher="moremnas",
        measure="top1",
        population=10,
        generations=12,
        evaluations=120,
        distinct=120,
        rejected=0,
        failed=0,
        failure="",
        operators=OPERATORS,
        hypervolume=volumes,
        reference=(),
        objectives=tuple(
            ObjectiveRecord(each.name, each.name, each.direction, each.unit, each.bound, None, False, "")
            for each in GOALS
        ),
        bounds={},
        front=candidates[-5:],
        selected=candidates[-2:],
        sources={},
        setting="",
        archive=ArchiveContent(120, ""),
    )
    return Evolution("run", "digits", "digits", 300, search, candidates, "top1", "fairnas figure 11")


@pytest.mark.parametrize(("width", "scheme"), [pytest.param(390, "light", marks=pytest.mark.full), (1400, "dark")])
def test_figures_open_offline_and_draw_everything(browser, pages, width, scheme):
    for path, (plots, names) in pages.items():
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        page = context.new_page()
        errors, requests = [], []
        page.on("console", lambda message, errors=errors: errors.append(message.text))
        page.on("pageerror", lambda error, errors=errors: errors.append(str(error)))
        page.on("request", lambda each, requests=requests: requests.append(each.url))
        page.goto(path.as_uri())
        for name in plots:
            page.locator(f"#plot-{name} svg.main-svg").first.wait_for()
            box = page.locator(f"#plot-{name} svg.main-svg").first.bounding_box()
            assert box["width"] > 250
            assert box["height"] > 200
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == PAPER[scheme]
        assert page.locator("a.skip").text_content() == "Skip to the outcome"
        assert len(set(page.locator(".legendtext").all_text_contents())) == names
        colours = [
            page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--arm-{letter}')")
            for letter in "abcdef"
        ]
        assert len(set(colours)) == 6
        context.close()
        assert errors == []
        assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()]
