"""The live page in a real browser: it reloads when the run has news, and only then, and stays where it was."""

import contextlib
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Error

from fairnas.report.live import LivePage
from fairnas.rundir import RunDirectory
from tests.report.test_live import serving

VERSION = "document.getElementById('live').dataset.version"


@pytest.mark.full
@pytest.mark.slow
def test_it_follows_the_run(browser, whole_run, tmp_path):
    run = RunDirectory(Path(shutil.copytree(whole_run.path, tmp_path / "copy")))
    live = LivePage(run, poll_seconds=0.2)
    page = browser.new_context(viewport={"width": 1200, "height": 700}, reduced_motion="reduce").new_page()
    said, loads = [], []
    page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("load", lambda _: loads.append(1))

    def wait_for(condition):
        """Replacement for `wait_for_function`, which the policy of the page forbids."""
        for _ in range(400):
            with contextlib.suppress(Error):  # the page is going away, or not there yet
                if page.evaluate(condition):
                    return
            page.wait_for_timeout(50)
        raise AssertionError(condition)

    def grow(epoch):
        run.append_metrics("train", epoch * 18, {"epoch": epoch, "loss": 0.1, "lr": 0.05})
        return live.state().version

    with serving(live) as server:
        page.goto(server.url)
        page.locator("#plot-training svg.main-svg").first.wait_for()
        wait_for("document.getElementById('live-state').textContent.startsWith('report; last change')")
        page.evaluate("document.querySelector('details').open = true; scrollTo({top: 900, behavior: 'instant'})")
        page.evaluate("document.querySelectorAll('table.front button.genome')[2].click()")
        shown = page.locator("#network").get_attribute("data-genome")
        page.evaluate("scrollTo({top: 900, behavior: 'instant'})")
        page.wait_for_timeout(600)
        assert len(loads) == 1, "nothing has changed"
        wait_for(f"{VERSION} === '{grow(41)}'")
        wait_for("scrollY === 900 && document.querySelector('details').open")
        assert page.evaluate("[...document.querySelectorAll('details')].filter((each) => each.open).length") == 1

        assert page.locator("#network").get_attribute("data-genome") == shown

        limit = page.get_by_label("generation, at least")
        limit.fill("3")
        wait_for("document.getElementById('networks-marked').textContent.includes('marked,')")
        before = page.evaluate(VERSION)
        marked = grow(43)
        page.wait_for_timeout(600)
        assert page.evaluate(VERSION) == before, "marks would be lost"
        page.get_by_role("button", name="Show all").click()
        wait_for(f"{VERSION} === '{marked}'")

        page.get_by_role("button", name="Pause").click()
        paused = page.evaluate(VERSION)
        latest = grow(44)
        page.wait_for_timeout(600)
        assert page.evaluate(VERSION) == paused
        page.get_by_role("button", name="Go on").click()
        wait_for(f"{VERSION} === '{latest}'")
        page.locator("#plot-training svg.main-svg").first.wait_for()
        assert said == []
    wait_for("document.getElementById('live').classList.contains('stopped')")
    page.context.close()
