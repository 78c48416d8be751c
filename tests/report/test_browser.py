"""The page in a real browser: it opens from the disk, asks no network for anything, and shows what it should."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

PLOTS = ("front-madds", "front-params", "ranking", "accuracies", "curve-top1", "curve-loss", "training")
PLOTS += ("hypervolume", "evolution", "operators")
PAPER = {"light": "rgb(245, 246, 248)", "dark": "rgb(15, 20, 26)"}
TICK = "getComputedStyle(document.querySelector('#plot-ranking .xtick text')).fill"
INK = {"light": "rgb(23, 32, 43)", "dark": "rgb(228, 233, 239)"}


@pytest.fixture
def opened(browser, whole_page, request) -> Iterator[Page]:
    """The page, opened; afterwards: no error was logged, and nothing but the file itself was asked for."""
    width, scheme = request.param
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, has_touch=width < 500)
    page = context.new_page()
    errors: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("request", lambda each: requests.append(each.url))
    page.goto(whole_page.as_uri())
    page.locator("#plot-hypervolume svg.main-svg").first.wait_for()
    yield page
    context.close()
    assert errors == []
    assert [url for url in requests if not url.startswith(("data:", "blob:"))] == [whole_page.as_uri()]


views = pytest.mark.parametrize(
    "opened",
    [
        (390, "dark"),
        (1400, "light"),
        *(pytest.param(view, marks=pytest.mark.full) for view in ((390, "light"), (1400, "dark"))),
    ],
    indirect=True,
)
wide = pytest.mark.parametrize("opened", [(1400, "light")], indirect=True)
phone = pytest.mark.parametrize("opened", [(390, "light")], indirect=True)


@views
def test_the_page_fits_follows_the_scheme_draws_all_plots_and_answers_to_hovering(opened, whole_run, request):
    width, scheme = request.node.callspec.params["opened"]
    for name in PLOTS:
        box = opened.locator(f"#plot-{name} svg.main-svg").first.bounding_box()
        assert box is not None
        assert box["width"] > 250
        assert box["height"] > 200
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    colours = "getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color"
    assert opened.evaluate(f"[{colours}]") == [PAPER[scheme], INK[scheme]]
    assert opened.evaluate(TICK) == INK[scheme], "plots follow the scheme"
    assert opened.locator("svg.network").count() == 4, "three that were selected, and the one that is shown"
    check_hovering(opened, whole_run.read_json("search.json")["selected"][1]["genome"])


def check_hovering(opened: Page, genome: str) -> None:
    """The second selected network tells its genome and its multiply-adds."""
    point = opened.locator("#plot-front-madds .scatterlayer .trace").nth(3).locator(".point").nth(1)
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    assert box is not None
    opened.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    hover = opened.locator("#plot-front-madds .hoverlayer .hovertext").first
    hover.wait_for()
    text = hover.text_content() or ""
    assert genome in text
    assert "multiply-adds" in text


@wide
def test_plots_follow_when_the_system_turns_dark(opened):
    opened.emulate_media(color_scheme="dark")
    opened.wait_for_function(f"{TICK} === '{INK['dark']}'")


@wide
def test_keys_and_screen_readers_reach_everything(opened):
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.textContent") == "Skip to the verdicts"
    assert opened.locator(".scroll:not([tabindex='0'])").count() == 0
    for name in ("Verdicts", "Front", "Fairness", "Ranking", "How to reproduce this"):
        assert opened.get_by_role("region", name=name, exact=True).count() == 1
    assert opened.get_by_role("heading", level=1).count() == 1
    assert opened.get_by_role("table").count() >= 4
    assert opened.get_by_role("img", name="from stem to head").count() == 4
    assert opened.get_by_role("navigation", name="Contents").get_by_role("link").count() == 10


@phone
def test_the_stacked_table_stays_a_table_on_a_phone(opened):
    table = opened.get_by_role("table", name="Selected networks")
    assert table.get_by_role("rowheader").count() == 3
    assert table.get_by_role("cell").count() == 18
