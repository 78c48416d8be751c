"""The pages of figures in a real browser: they open from the disk, ask no network, and draw everything."""

import pytest

from fairnas.pipeline.figure_4 import draw_figure_4
from fairnas.report.figure_1 import render_comparison
from tests.report.test_browser import PAPER, browser  # noqa: F401
from tests.report.test_comparison import STRICT, comparison, make_arm


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    arms = [make_arm(name, (0.8, 0.82, 0.84)) for name in ("b", "c", "d", "e")]
    page = render_comparison(comparison(make_arm("a", (0.9, 0.91, 0.92), audit=STRICT), *arms))
    (folder / "figure1.html").write_text(page)
    draw_figure_4(folder, 1000, 0, "fairnas figure 4")
    return {
        folder / "figure1.html": ("epochs", "passes", "spread", "histograms"),
        folder / "figure4.html": ("linear", "logarithmic"),
    }


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_open_offline_and_draw_everything(browser, pages, width, scheme):  # noqa: F811
    for path, plots in pages.items():
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
        arms = page.locator(".legendtext").all_text_contents()
        assert len(set(arms)) == 5
        colours = [
            page.evaluate(f"getComputedStyle(document.documentElement).getPropertyValue('--arm-{letter}')")
            for letter in "abcde"
        ]
        assert len(set(colours)) == 5
        context.close()
        assert errors == []
        assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [path.as_uri()]
