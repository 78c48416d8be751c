"""The linked views in a real browser: brushing, limits, clicks and keys do what the page says they do."""

import json

import pytest
from playwright.sync_api import Page, expect

from fairnas.report import write_comparison
from fairnas.report.drawing import draw_network
from fairnas.report.format import millions, percent
from fairnas.space import get_space
from tests.report.test_browser import opened, phone, wide  # noqa: F401

# ruff: noqa: F811
LINKED = ("front-madds", "front-params", "evolution")
MARKED = "#networks-marked"
ROWS = """(name) => {
  const traces = document.getElementById("plot-" + name).data.filter((each) => each.customdata);
  return traces.map((each) => each.selectedpoints ? each.selectedpoints.map((point) => each.customdata[point]) : null);
}"""


def networks(opened: Page) -> dict:
    """Data of the page, and the values of each quantity."""
    known = json.loads(opened.locator("#networks").text_content() or "")
    return known | {each["name"]: each["values"] for each in known["quantities"]}


def marked(opened: Page) -> list[list[list[int]]]:
    """Per view and trace, the rows that stay strong."""
    return [opened.evaluate(ROWS, name) for name in LINKED]


def drag(opened: Page, name: str, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Over shares of the width and height of a plot."""
    opened.emulate_media(reduced_motion="reduce")  # else the page scrolls for a while
    area = opened.locator(f"#plot-{name} .nsewdrag").first
    area.scroll_into_view_if_needed()
    box = area.bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in (start, end)]
    opened.mouse.move(*places[0])
    opened.mouse.down()
    opened.mouse.move(*places[1], steps=6)
    opened.mouse.up()


def until(opened: Page, condition: str) -> None:
    """Replacement for `wait_for_function`, which the policy of the page forbids."""
    for _ in range(200):
        if opened.evaluate(condition):
            return
        opened.wait_for_timeout(50)
    raise AssertionError(condition)


@wide
def test_a_box_in_one_view_marks_the_same_networks_in_all(opened):
    drag(opened, "front-madds", (0.3, 0.02), (0.7, 0.6))
    expect(opened.locator(MARKED)).to_contain_text("of 480 networks marked")
    cloud, shown = marked(opened)[0][0], opened.evaluate("document.getElementById('plot-front-madds').layout.shapes")
    (box,) = [each for each in shown if each["type"] == "rect"]
    known = networks(opened)
    low, high, bottom, top = (*sorted((box["x0"], box["x1"])), *sorted((box["y0"], box["y1"])))
    inside = [
        row
        for row, (x, y) in enumerate(zip(known["madds"], known["accuracy"], strict=True))
        if low <= x <= high and bottom <= y <= top
    ]
    assert 5 < len(inside) < 475
    assert sorted(cloud) == inside
    for view in marked(opened):
        assert sorted(view[0]) == inside
        assert sorted(view[1]) == sorted(set(inside) & set(known["front"]))
        assert sorted(view[2]) == sorted(set(inside) & set(known["selected"]))
    assert opened.locator(".front tbody tr:not(.faded)").count() == len(set(inside) & set(known["front"]))

    drag(opened, "evolution", (0.6, 0.04), (0.97, 0.96))
    gone = "!document.getElementById('plot-front-madds').layout.shapes.some((each) => each.type === 'rect')"
    until(opened, gone)
    late = marked(opened)[1][0]
    assert late != inside
    assert min(known["generation"][row] for row in late) > 8, "a new box takes the place of the old one"
    opened.get_by_role("button", name="Show all").click()
    expect(opened.locator(MARKED)).to_contain_text("Nothing is marked")
    assert marked(opened) == [[None] * 3] * 3


@wide
def test_limits_mark_with_keys_alone_what_boxes_mark_with_a_mouse(opened):
    known = networks(opened)
    opened.get_by_label("generation, at least").fill("15")
    opened.get_by_label("multiply-adds, at most").fill("0.5")
    expect(opened.locator(MARKED)).to_contain_text("of 480 networks marked")
    inside = [
        row for row, (x, y) in enumerate(zip(known["madds"], known["generation"], strict=True)) if x <= 0.5 and y >= 15
    ]
    assert [sorted(view[0]) for view in marked(opened)] == [inside] * 3
    assert f"{len(inside)} of 480 networks marked" in opened.locator(MARKED).text_content()
    best = max(inside, key=lambda row: known["accuracy"][row])
    first = opened.get_by_role("list", name="Marked networks").get_by_role("button").first
    opened.get_by_role("button", name="Show all").focus()
    opened.keyboard.press("Tab")
    opened.keyboard.press("Enter")
    assert first.get_attribute("aria-pressed") == "true"
    shown = known["genomes"].index(opened.locator("#network").get_attribute("data-genome"))
    assert known["accuracy"][shown] == known["accuracy"][best]


@wide
def test_a_click_shows_a_network_with_the_command_that_exports_it(opened, whole_run):
    search = whole_run.read_json("search.json")
    row = next(each for each in search["front"] if each not in search["selected"])
    button = opened.locator(f"table.front button[data-genome='{row['genome']}']")
    button.focus()
    opened.keyboard.press("Enter")
    panel = opened.get_by_role("complementary", name="The chosen network")
    told = panel.text_content().replace("\u00a0", " ")
    numbers = percent(row["top1"]), millions(row["madds"]), millions(row["params"])
    for said in ("On the front", row["genome"], *numbers, str(row["generation"] + 1)):
        assert said.replace("\u00a0", " ") in told
    space = get_space("digits")
    words = draw_network(space, space.parse(row["genome"])).split('aria-label="')[1].split('"')[0]
    assert panel.get_by_role("img").get_attribute("aria-label") == words
    retrain = f"fairnas retrain {row['genome']} --run {whole_run.path}"
    export = f"fairnas export --run {whole_run.path}"
    assert panel.locator("pre").text_content() == f"{retrain}\n{export}"
    panel.get_by_role("button", name="Copy").click()
    expect(panel.get_by_role("button", name="Copied")).to_be_visible()
    opened.get_by_label("generation, at least").evaluate("(field) => { field.type = 'text'; field.focus(); }")
    opened.keyboard.press("Control+V")
    assert retrain in opened.get_by_label("generation, at least").input_value()

    first = search["selected"][0]["genome"]
    point = opened.locator("#plot-front-params .scatterlayer .trace").nth(3).locator(".point").first
    point.scroll_into_view_if_needed()
    box = point.bounding_box()
    opened.mouse.move(box["x"] + 9, box["y"] + 9)
    rings = "document.getElementById('plot-evolution').layout.shapes.filter((each) => each.type === 'circle').length"
    until(opened, f"{rings} === 2")  # the network that is shown, and the one under the mouse
    opened.mouse.down()
    opened.mouse.up()
    expect(panel.get_by_role("heading")).to_contain_text(f"Selected network 1 {first}")
    assert panel.locator("pre").text_content() == export, "it was trained from scratch already"


@phone
def test_on_a_phone_a_finger_scrolls_and_limits_mark(opened):
    assert opened.evaluate("document.getElementById('plot-front-madds').layout.dragmode") is False
    opened.get_by_label("generation, at most").fill("2")
    expect(opened.locator(MARKED)).to_contain_text("48 of 480 networks marked")
    box = opened.locator("#networks-found").bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390


@pytest.mark.slow
def test_the_page_of_two_runs(browser, whole_run, make_run, tmp_path):
    other = make_run(strategy="uniform", name="other")
    found = write_comparison(whole_run, other, tmp_path / "both.html")
    for width, scheme in ((390, "dark"), (1400, "light")):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        said, asked = [], []
        page.on("console", lambda message, said=said: said.append(message.text))
        page.on("pageerror", lambda error, said=said: said.append(str(error)))
        page.on("request", lambda request, asked=asked: asked.append(request.url))
        page.goto((tmp_path / "both.html").as_uri())
        page.locator("#plot-both-top1 svg.main-svg").first.wait_for()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.get_by_role("region", name="What differs").get_by_role("table").count() == 1
        assert page.get_by_role("heading", level=4, name="other").count() == 3
        assert page.locator("#plot-fronts-madds .legendtext").all_text_contents() == ["a-run", "other"]
        assert said == []
        assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [(tmp_path / "both.html").as_uri()]
        page.close()
    assert found["page"] == str(tmp_path / "both.html")


FRONTS = ("fronts-madds", "fronts-params")


@pytest.mark.slow
def test_a_box_over_the_fronts_of_two_runs_marks_the_same_networks_in_both_plots(
    browser, whole_run, make_run, tmp_path
):
    other = make_run(strategy="uniform", name="other")
    write_comparison(whole_run, other, tmp_path / "both.html")
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto((tmp_path / "both.html").as_uri())
    page.locator("#plot-fronts-params svg.main-svg").first.wait_for()

    def marked_keys() -> list[set[str]]:
        rows = [page.evaluate(ROWS, name) for name in FRONTS]
        return [{key for trace in traces for key in trace or ()} for traces in rows]

    drag(page, "fronts-madds", (0.02, 0.02), (0.6, 0.98))
    expect(page.locator("#fronts-marked")).to_contain_text("Marked:")
    one, both = marked_keys()
    assert one == both != set()
    fronts = [run.read_json("search.json")["front"] for run in (whole_run, other)]
    counts = [sum(f"{place} {each['genome']}" in one for each in front) for place, front in enumerate(fronts)]
    assert 0 < sum(counts) < sum(map(len, fronts))
    told = (f"{count} of {len(front)} networks of" for count, front in zip(counts, fronts, strict=True))
    assert all(each in page.locator("#fronts-marked").inner_text() for each in told)
    listed = page.get_by_role("list", name="Marked networks").get_by_role("listitem").all_inner_texts()
    assert len(listed) == sum(counts)
    assert {text.split()[0] for text in listed} == {key.split()[1] for key in one}
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#fronts-marked")).to_contain_text("Drag a box")
    assert [page.evaluate(ROWS, name) for name in FRONTS] == [[None, None]] * 2
    page.close()
    assert errors == []
