"""The whole page, from run directories at every stage, and from damaged ones."""

import base64
import hashlib
import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from fairnas.errors import RunDirectoryError
from fairnas.report import write_report
from fairnas.report.drawing import draw_network
from fairnas.report.page import render
from fairnas.report.run_data import read_inputs
from fairnas.rundir import RunDirectory
from fairnas.search import Archive
from fairnas.space import get_space
from tests.report.conftest import model_facts
from tests.rewriting import rewrite_json, rewrite_text

NASTY = "</script><b>&\"'`<!--"
STAGES = ("train", "search", "retrain", "rank", "export")


class Page(HTMLParser):
    """Elements and visible text of the page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text, self.scripts, self._script = "", [], ""
        self.data: dict[str, str] = {}
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        self._script = tag if tag in ("script", "style") else ""
        self._id = dict(attrs).get("id") if dict(attrs).get("type") == "application/json" else None
        if tag == "script" and not self._id:
            self.scripts.append("")

    def handle_endtag(self, tag):
        self._script = ""

    def handle_data(self, data):
        if self._script == "script" and self._id:
            self.data[self._id] = self.data.get(self._id, "") + data
        elif self._script == "script":
            self.scripts[-1] += data
        elif not self._script:
            self.text += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


@pytest.fixture
def run_copy(whole_run, tmp_path) -> RunDirectory:
    return RunDirectory(Path(shutil.copytree(whole_run.path, tmp_path / "copy")))


@pytest.fixture(scope="module")
def page(whole_page) -> Page:
    return Page(whole_page)


def test_it_lies_in_the_run_and_is_small(whole_run, whole_page):
    assert whole_page == whole_run.path / "report.html"
    assert whole_page.stat().st_size < 8e6
    assert not list(whole_run.path.glob(".*tmp"))


@pytest.mark.slow
def test_it_is_the_same_every_time(whole_run, whole_page):
    before = whole_page.read_bytes()
    assert write_report(whole_run).read_bytes() == before


def test_nothing_is_loaded_from_anywhere(page):
    loading = [a for _, a in page.elements if "src" in a or "srcset" in a] + page.all("link") + page.all("iframe")
    assert loading == []
    links = [str(a["href"]) for a in page.all("a")]
    assert all(link.startswith(("#", "models/")) for link in links)
    policy = next(a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert str(policy).startswith("default-src 'none'; script-src 'sha256-")


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_the_policy_allows_exactly_the_scripts_of_the_page(whole_run, tmp_path, monkeypatch, line_end):
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: f"var Plotly;{line_end}// end")
    copy = tmp_path / "page.html"
    copy.write_bytes(render(read_inputs(whole_run)).encode())
    page = Page(copy)
    policy = next(str(a["content"]) for a in page.all("meta") if "http-equiv" in a)
    assert "connect-src" not in policy
    for script in page.scripts:
        digest = hashlib.sha256(script.replace("\r\n", "\n").encode()).digest()
        assert base64.b64encode(digest).decode() in policy
    assert policy.count("sha256-") == 3


def test_plotly_is_embedded_once(page):
    assert [len(text) > 4e6 for text in page.scripts] == [True, False, False]
    assert page.source.count("plotly.js v") == 1


def test_every_plot_has_its_data_and_a_description(page):
    figures = json.loads(page.data["figures"])
    places = {str(a["id"]): a for a in page.all("div") if str(a.get("id", "")).startswith("plot-")}
    assert {f"plot-{name}" for name in figures} == set(places)
    assert set(figures) == {
        "front-madds",
        "front-params",
        "ranking",
        "accuracies",
        "curve-top1",
        "curve-loss",
        "training",
        "hypervolume",
        "evolution",
        "operators",
    }
    assert all(place["role"] == "img" and place["aria-label"] for place in places.values())


def test_landmarks_headings_and_anchors(page):
    names = [tag for tag, _ in page.elements]
    assert [names.count(each) for each in ("h1", "main", "nav", "header", "footer")] == [1] * 5
    assert len(page.all("section")) == len(page.all("h2")) == 10
    ids = {a["id"] for _, a in page.elements if "id" in a}
    assert {a["aria-labelledby"] for a in page.all("section")} <= ids
    assert {str(a["href"])[1:] for a in page.all("a") if str(a["href"]).startswith("#")} <= ids
    assert page.all("html") == [{"lang": "en"}]


def test_it_opens_with_the_verdicts(page):
    text = page.text.replace("\u00a0", " ")
    questions = ["Is this supernet fair?", "Can its ranking be believed?", "Which networks to take?"]
    places = [text.index(question) for question in questions]
    assert places == sorted(places)
    assert "Yes, strictly fair" in text
    assert "tau = 0.82 (95 % interval 0.55 to 0.95, n = 13)" in text
    assert "Rank 30 networks instead of 13" in text
    assert "λ = |" in text


def test_selected_networks_with_their_files(page, whole_run):
    selected = whole_run.read_json("search.json")["selected"]
    links = {a["href"] for a in page.all("a")}
    for row in selected:
        assert f"models/{row['genome']}/model.onnx" in links
        assert page.text.count(row["genome"]) >= 2
    assert len(page.all("svg")) == len(selected) == 3


@pytest.mark.slow
def test_latency_and_int8_stand_beside_the_networks_that_they_were_measured_of(run_copy):
    search = run_copy.read_json("search.json")
    for number, row in enumerate(search["selected"]):
        row["latency"] = 1.25 + number
    top1, *_ = search["objectives"]
    latency = {"name": "latency", "text": "latency", "direction": "min", "unit": "ms", "bound": 4.5}
    search["objectives"] = [top1, top1 | latency]
    search["sources"] = {"latency": "table 0123"}
    rewrite_json(run_copy, "search.json", search)
    with Archive(run_copy.path / "archive.sqlite", search["setting"]) as archive:
        times = {candidate.genome: {"latency": 2.5} for candidate in archive.candidates()}
        archive.add(times, 0, setting="latency: table 0123")
    timed, plain, _ = (row["genome"] for row in search["selected"])
    both = model_facts(timed, "a phone", 0.625, float32=1.5, int8=0.75)
    rewrite_json(run_copy, f"models/{timed}/model.json", both)
    rewrite_json(run_copy, f"models/{plain}/model.json", model_facts(plain, "a phone", float32=2.5))
    rewrite_json(run_copy, "models/55555555/model.json", model_facts("55555555", "a tablet", float32=1.5))
    page = Page(write_report(run_copy))
    cloud = json.loads(page.data["figures"])["front-latency"]["data"][0]
    assert cloud["x"].count(2.5) == 480 - len(search["front"]), "those on the front are as search.json has them"
    text = page.text.replace("\u00a0", " ")
    assert "a tablet" not in text, "that network is not offered"
    for said in (
        "Selected networks with latency up to 4.50 ms, each trained from scratch once by the recipe 'supernet'",
        "measured on a phone",
        "1.25 ms",
        "1.50 msint8 0.750 ms, 62.5 % top-1 on the test images",
        "2.50 ms",
    ):
        assert said in text, said


def test_all_candidates_of_the_search_and_no_others_are_drawn(page, whole_run):
    cloud = json.loads(page.data["figures"])["front-madds"]["data"][0]
    assert len(cloud["x"]) == 480
    assert max(cloud["x"]) < 1000, "the candidate of another supernet has a billion multiply-adds"


@pytest.mark.slow
def test_linked_networks_are_each_there_once_with_their_drawings(page, whole_run):
    known = json.loads(page.data["networks"])
    assert len(set(known["genomes"])) == len(known["genomes"]) == 480
    inputs = read_inputs(whole_run)
    space, drawing = inputs.space, known["drawing"]
    for number in (*known["selected"], 7):
        genome = space.parse(known["genomes"][number])
        pieces = [drawing["choices"][layer][choice] for layer, choice in enumerate(genome)]
        whole = f"{drawing['first']}{''.join(pieces)}{drawing['last']}</svg>"
        assert draw_network(space, genome).endswith(whole), "the page's script puts the same together"
    offered = [known["genomes"][number] for number in known["selected"]]
    assert offered == [each.text for each in inputs.search.selected] if inputs.search else False
    told = dict(known["told"][str(known["selected"][0])])
    assert told["exported to"] == f"models/{offered[0]}/"
    assert "%" in told["stand-alone top-1, test"]


@pytest.mark.slow
def test_what_earlier_searches_scored_is_said_to_be_theirs(run_copy):
    assert "from other searches" not in Page(write_report(run_copy)).text
    search = run_copy.read_json("search.json")
    rejected, search["distinct"] = 7, search["distinct"] - 30
    rewrite_json(run_copy, "search.json", search | {"rejected": rejected})
    text = Page(write_report(run_copy)).text
    assert f"scored {search['distinct'] - 7 - search['failed']} different networks" in text
    assert "; 7 networks missed a bound" in text
    assert "37 candidates more than this search scored are here, from other searches of the same supernet" in text
    assert "Mean accuracy of the new networks" not in text


@pytest.mark.slow
def test_a_run_of_many_candidates_stays_small(run_copy):
    space, rng = get_space("digits"), np.random.default_rng(0)
    with Archive(run_copy.path / "archive.sqlite", run_copy.read_json("search.json")["setting"]) as archive:
        for generation in range(40):
            archive.add({space.sample(rng): {"top1": 0.5, "madds": 1e6, "params": 2e4} for _ in range(320)}, generation)
    assert write_report(run_copy).stat().st_size < 6.5e6


@pytest.mark.slow
def test_tables_of_the_paper_stand_where_they_were_made(run_copy):
    assert "Table 1" not in Page(write_report(run_copy)).text
    verdict = {"claim": "memory", "claimed": "a single path", "verdict": "confirmed", "measured": NASTY}
    table = {
        "space": "digits",
        "data": "cats",
        "truth": "trained from scratch",
        "networks": 24,
        "command": "fairnas ...",
    }
    table |= {"columns": ["system", "tau"], "rows": [["strict", "0.71"]]}
    rewrite_json(run_copy, "table1/table1.json", table | {"systems": {"strict": {"verdicts": {"memory": verdict}}}})
    paper = {"where": "FairNAS, Table 2", "madds_millions": 388, "params_millions": 4.4, "top1": 75.3}
    fair = {"name": "fairnas_a", "title": "FairNAS-A", "madds": 388e6, "params": 4.65e6, "verdict": "match"}
    rewrite_json(run_copy, "table2.json", {"networks": [fair | {"paper": paper}]})
    rewrite_json(run_copy, "table2-latency.json", {"device": "a CPU", "networks": {"fairnas_a": {"latency_ms": 12.5}}})
    page = Page(write_report(run_copy))
    text = page.text.replace("\u00a0", " ")
    for said in (
        "strict0.71",
        "another space or other data",
        "confirmed" + NASTY,
        "FairNAS-A388 M388 M4.65 M4.4 M75.3 %",
    ):
        assert said in text, said
    for said in ("12.500 ms", "on one thread of a CPU", "not ImageNet"):
        assert said in text, said
    assert {"table1/table1.html"} <= {a["href"] for a in page.all("a")}


def test_updates_are_shaded_by_side_and_distance(make_run):
    page = Page(write_report(make_run(("train",), strategy="greedy")))
    shades = [a for a in page.all("span") if a.get("class") in ("over", "under", "level")]
    assert len(shades) == 48
    assert [a["class"] for a in shades[:6]] == ["over"] * 3 + ["under"] * 3, "it prefers the first choices"
    strengths = [int(str(a["style"]).removeprefix("--share:").removesuffix("%")) for a in shades]
    assert max(strengths) == 100
    assert "No, not fair" in page.text


def test_level_updates_are_all_level(page):
    assert sum(a.get("class") == "level" for a in page.all("span")) == 48
    assert "All rows are level" in page.text


def test_what_users_wrote_stays_text(page):
    assert page.text.count(NASTY) == 3
    assert "b" not in [tag for tag, _ in page.elements]


def test_reproduction_holds_configuration_seed_and_versions(page, whole_run):
    assert (whole_run.path / "config.toml").read_text().strip() in page.text
    assert f"--config {whole_run.path}/config.toml --out" in page.text
    assert "torch" in page.text
    assert "5b1d6f0c9e3a" in page.text


# A run that is not finished -------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("done", range(len(STAGES) + 1))
def test_missing_parts_name_the_command_that_makes_them(make_run, done):
    run = make_run(STAGES[:done])
    text = Page(write_report(run)).text
    for stage in STAGES[:done]:
        assert f"fairnas {stage} --run" not in text
    expected = [stage for stage in STAGES[done:] if done >= 2 or stage not in ("retrain", "export")]
    for stage in expected:
        assert f"fairnas {stage} --run {run.path}" in text


def test_a_run_directory_with_a_nasty_name(make_run):
    page = Page(write_report(make_run(("train",), name="my <b>'run'")))
    assert page.text.count("my <b>'run'") >= 2
    assert "fairnas search --run '" in page.text
    assert "b" not in [tag for tag, _ in page.elements]


@pytest.mark.slow
def test_networks_the_user_named_are_offered_too(make_run):
    run = make_run(("train", "search"))
    config = (run.path / "config.toml").read_text().replace("genomes = []", 'genomes = ["00000000", "55555555"]')
    (run.path / "config.toml").write_text(config)
    page = Page(write_report(run))
    assert "5 networks, not trained from scratch yet" in page.text
    assert "55555555" in page.text


@pytest.mark.slow
def test_versions_of_the_run_are_shown_where_the_run_kept_them(run_copy):
    rewrite_json(run_copy, "versions.json", {"torch": "9.8.7"})
    text = Page(write_report(run_copy)).text
    assert "Versions that made this run" in text
    assert "9.8.7" in text


def test_a_diverged_training_is_told(run_copy):
    genome = run_copy.read_json("search.json")["selected"][0]["genome"]
    ranking = run_copy.read_json("ranking.json")
    ranking["models"][0]["stand_alone"] = [0.9, None]
    ranking["models"][0]["mean"] = None
    ranking["tau"]["n"] -= 1
    rewrite_json(run_copy, "ranking.json", ranking)
    path = run_copy.path / "stand_alone" / f"{genome}-s0.json"
    done = {key: value for key, value in json.loads(path.read_text()).items() if key not in ("validation", "test")}
    rewrite_text(path, json.dumps(done | {"status": "diverged", "reason": "the loss is NaN"}))
    text = Page(write_report(run_copy)).text
    assert "1 network left out, because a training diverged" in text
    assert f"gap over the {ranking['tau']['n']} networks" in text
    assert "none, it diverged" in text
    assert "1 network diverged or was not trained from scratch" in text


@pytest.mark.slow
def test_the_largest_class_of_the_test_images_is_what_networks_have_to_beat(run_copy):
    data = run_copy.read_json("data.json")
    even = {"train": [120] * 10, "validation": [30] * 10, "test": [1] * 9 + [291]}
    rewrite_json(run_copy, "data.json", data | {"classes": list("abcdefghij"), "class_counts": even})
    text = Page(write_report(run_copy)).text
    assert "Always answering 'j', the largest class of the test images, reaches 97.0" in text
    assert "train 120; validation 30; test 1 (a) to 291 (j)" in text


def test_accuracies_stand_class_by_class_the_weakest_first(page, whole_run):
    data, search = whole_run.read_json("data.json"), whole_run.read_json("search.json")
    tests = [whole_run.read_json(f"stand_alone/{row['genome']}-s0.json")["test"] for row in search["selected"]]
    assert all(sum(each["class_hits"]) == round(each["top1"] * each["images"]) for each in tests)
    shares = {
        f"{name}{count}": [each["class_hits"][place] / count for each in tests]
        for place, (name, count) in enumerate(zip(data["classes"], data["class_counts"]["test"], strict=True))
    }
    text = page.text.replace("\u00a0", " ")
    rows = [name + "".join(f"{100 * share:.1f} %" for share in each) for name, each in shares.items()]
    places = [text.index(row) for row in sorted(rows, key=lambda row: sum(shares[name_of(row, shares)]))]
    assert places == sorted(places)
    assert len(rows) == 10


def name_of(row: str, names) -> str:
    return next(name for name in names if row.startswith(name))


@pytest.mark.slow
def test_undefined_statistics_are_dashes(run_copy):
    ranking = run_copy.read_json("ranking.json")
    nothing = {"tau": None, "interval": [None, None], "n": 13, "p_value": None, "spearman": None}
    ranking |= {"tau": nothing, "ceiling": None, "predictors": {"madds": nothing}}
    rewrite_json(run_copy, "ranking.json", ranking)
    text = Page(write_report(run_copy)).text
    assert "This cannot be said" in text
    assert "not known, one seed" in text
    assert "nan" not in text.lower().replace("finance", "")


# Damage ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "spoil", "message"),
    [
        (
            "ranking.json",
            lambda x: x.pop("tau"),
            r"ranking.json is not what fairnas writes \(lacks 'tau'\).*rank --run",
        ),
        ("ranking.json", lambda x: x["models"][0].update(genome="9"), "has 1 choices; space 'digits' has 8 layers"),
        ("search.json", lambda x: x.pop("front"), r"lacks 'front'.*`fairnas search --run"),
        ("search.json", lambda x: x.pop("setting"), r"lacks 'setting'.*`fairnas search --run"),
        ("search.json", lambda x: x["front"][0].update(genome="</script>"), "holds '<'"),
        ("data.json", lambda x: x.pop("findings"), r"data.json is not what.*lacks 'findings'.*`fairnas train --run"),
        ("data.json", lambda x: x.update(class_counts={"test": [3]}), "1 counts of 10 classes"),
        ("ledger.json", lambda x: x.pop("passes"), "this is not a ledger"),
        (
            "search.json",
            lambda x: x["operators"].update(random={"children": "3"}),
            "'operators.random.children' is '3'",
        ),
    ],
)
def test_damaged_files_are_named_with_the_remedy(run_copy, name, spoil, message):
    content = run_copy.read_json(name)
    spoil(content)
    rewrite_json(run_copy, name, content)
    with pytest.raises(RunDirectoryError, match=message):
        write_report(run_copy)


@pytest.mark.parametrize("name", ["table1/table1.json", "table2.json"])
def test_a_table_that_is_none_is_refused(run_copy, name):
    rewrite_json(run_copy, name, {"rows": 3})
    with pytest.raises(RunDirectoryError, match=r"is not what fairnas writes.*make"):
        write_report(run_copy)


def test_a_strange_status_is_refused(run_copy):
    genome = run_copy.read_json("search.json")["selected"][0]["genome"]
    path = run_copy.path / "stand_alone" / f"{genome}-s0.json"
    rewrite_text(path, json.dumps(json.loads(path.read_text()) | {"status": "maybe"}))
    with pytest.raises(
        RunDirectoryError, match=r"'status' is 'maybe': it should be 'done' or 'diverged'.*retrain --run"
    ):
        write_report(run_copy)


def test_what_an_unfinished_stage_left_is_not_shown(run_copy):
    run_copy.forget_stages(("search", "retrain", "rank", "export"))
    page = Page(write_report(run_copy))
    assert "Yes, strictly fair" in page.text
    assert list(json.loads(page.data["figures"])) == ["training"]
    for stage in ("search", "rank"):
        assert f"fairnas {stage} --run" in page.text


def test_a_file_that_a_finished_stage_lost_is_an_error(run_copy):
    (run_copy.path / "ranking.json").unlink()
    with pytest.raises(RunDirectoryError, match=r"ranking.json is not there yet; `fairnas rank --run"):
        write_report(run_copy)


@pytest.mark.slow
def test_a_failed_report_leaves_the_old_one(run_copy):
    old = write_report(run_copy).read_bytes()
    (run_copy.path / "ranking.json").write_text("{")
    with pytest.raises(RunDirectoryError, match="is damaged"):
        write_report(run_copy)
    assert (run_copy.path / "report.html").read_bytes() == old


@pytest.mark.slow
def test_an_archive_that_was_not_kept_is_no_error(run_copy):
    for path in run_copy.path.glob("archive.sqlite*"):
        path.unlink()
    assert "There is no archive of candidates yet" in Page(write_report(run_copy)).text


@pytest.mark.slow
def test_the_fixture_is_read_whole(whole_run):
    inputs = read_inputs(whole_run)
    assert len(inputs.epochs) == 40
    assert len(inputs.trained) == 3
    assert inputs.ledger is not None
    assert re.fullmatch(r"[0-5]{8}", inputs.candidates[0].text)
