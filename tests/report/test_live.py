"""The live page: what it answers to whom, that it follows the run, and that the run never notices."""

import contextlib
import http.client
import json
import re
import shutil
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairnas.report import live, progress, server
from fairnas.report.live import LivePage
from fairnas.report.server import LiveServer
from fairnas.rundir import RunDirectory
from fairnas.search import Archive

STRICT = ("Cache-Control", "X-Content-Type-Options", "Referrer-Policy", "Content-Security-Policy")


@contextlib.contextmanager
def serving(page, host="127.0.0.1", token=""):
    with LiveServer(page, host, 0, token) as opened:
        thread = threading.Thread(target=opened.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield opened
        finally:
            opened.shutdown()
            thread.join()


def ask(opened, path="/", method="GET", hosts=("localhost",)):
    """Status, headers and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", opened.server_port, timeout=20)
    with contextlib.closing(connection):
        connection.putrequest(method, path, skip_host=True)
        for host in hosts:
            connection.putheader("Host", host)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch):
    monkeypatch.setattr("plotly.offline.get_plotlyjs", lambda: "var Plotly;")


@pytest.fixture
def run_copy(whole_run, tmp_path) -> RunDirectory:
    return RunDirectory(Path(shutil.copytree(whole_run.path, tmp_path / "copy")))


@pytest.fixture(scope="module")
def opened(whole_run):
    with serving(LivePage(whole_run)) as opened:
        yield opened


# Who is answered ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT", "TRACE", "GOT"])
def test_only_get_is_answered(opened, method):
    for path in ("/", "/version", "/config.toml"):
        status, headers, _ = ask(opened, path, method)
        assert (status, headers["Allow"]) == (405, "GET")


PATHS = [
    *("/config.toml", "/../config.toml", "/%2e%2e/config.toml", "/%2e%2e", "//etc/passwd", "/etc/passwd", "/.."),
    *("/report.html", "/.lock", "/models/", "/archive.sqlite", "/version/", "/./version", "/version%00", "/index.html"),
    *("http://localhost/", "file:///etc/passwd", "*", "etc/passwd", "/\\..\\config.toml", "/;", "/#"),
]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_but_two_addresses_is_there(opened, path):
    status, headers, body = ask(opened, path)
    assert (status, body) == (404, "404 Not Found\n")
    assert all(name in headers for name in STRICT)


@pytest.mark.slow
@settings(max_examples=40)
@given(st.text(alphabet="/.%2eE\\;:@versionabc~0", max_size=20))
def test_no_other_address_whatever_it_is(opened, path):
    expected = 200 if f"/{path.lstrip('/')}" in ("/", "/version") else 404
    assert ask(opened, f"/{path}")[0] == expected


@pytest.mark.parametrize(
    "hosts",
    [(), ("evil.example",), ("localhost.evil.example",), ("127.0.0.1.evil.example:80",), ("localhost", "evil.example")],
)
def test_a_foreign_name_for_this_machine_is_refused(opened, hosts):
    assert [ask(opened, path, hosts=hosts)[0] for path in ("/", "/version", "/x")] == [403] * 3


@pytest.mark.parametrize("host", ["localhost", "localhost:1", "127.0.0.1:80", "[::1]:8080", "LOCALHOST"])
def test_own_names_are_answered(opened, host):
    assert ask(opened, "/version", hosts=(host,))[0] == 200


def test_answers_are_strict_about_what_a_browser_may_do(opened):
    _, headers, body = ask(opened)
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    policy = headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "'unsafe-inline'" not in policy.split("style-src")[0]
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert policy.count("sha256-") == 4
    inside = re.search(r'Content-Security-Policy" content="([^"]*)"', body)
    assert inside is not None
    assert policy.startswith(inside[1])
    assert 'href="models/' not in body, "files that are not served are not linked"


def test_a_token_is_required_and_compared_in_constant_time(whole_run, monkeypatch):
    compared = []

    def compare(given, expected):
        compared.append((given, expected))
        return given == expected

    monkeypatch.setattr(server.hmac, "compare_digest", compare)
    with serving(LivePage(whole_run), "0.0.0.0", "secret") as opened:
        refused = (
            "",
            "?token=",
            "?token=secre",
            "?token=secrets",
            "?Token=secret",
            "?token=%FF",
            "?token=x&token=secret",
        )
        for path in ("/", "/version", "/x"):
            assert [ask(opened, path + query)[0] for query in refused] == [403] * len(refused)
        assert ask(opened, "/version?token=secret", hosts=("any.name",))[0] == 200
        assert opened.url.endswith(f":{opened.server_port}/?token=secret")
        assert "0.0.0.0" not in opened.url
    assert len(compared) == 3 * len(refused) + 1


def test_other_machines_are_never_served_without_a_token(whole_run):
    with pytest.raises(AssertionError, match="could read the run"):
        LiveServer(LivePage(whole_run), "0.0.0.0", 0)


def test_who_sends_nonsense_or_leaves_does_no_harm(opened, capfd):
    for sent in (b"\x16\x03\x01\x00\xff nonsense\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET " + b"/" * 70_000, b""):
        with socket.create_connection(("127.0.0.1", opened.server_port)) as connection:
            connection.sendall(sent)
    assert ask(opened, "/version")[0] == 200
    assert capfd.readouterr().err == ""


# What is shown --------------------------------------------------------------------------------------------------


def news(opened):
    return json.loads(ask(opened, "/version")[2])


def shown(opened):
    """The version in the page, and the page."""
    status, _, body = ask(opened)
    assert status == 200
    match = re.search(r'id="live" data-version="([0-9a-f]{16})"', body)
    assert match is not None
    return match[1], body


@pytest.mark.slow
def test_the_version_changes_when_a_file_grows_and_only_then(run_copy):
    with serving(LivePage(run_copy)) as opened:
        first = news(opened)
        assert first | {"line": ""} == {"version": shown(opened)[0], "stage": "report", "done": False, "line": ""}
        (run_copy.path / "supernet").mkdir()
        (run_copy.path / "supernet" / "checkpoint.pt").write_bytes(b"not on the page")
        assert news(opened)["version"] == first["version"]
        run_copy.append_metrics("train", 738, {"epoch": 41, "loss": 0.1, "lr": 0.05})
        second = news(opened)
        assert second["version"] != first["version"]
        assert shown(opened)[0] == second["version"]
        (run_copy.path / "report.html").write_text("")
        run_copy.finish_stage("report", ("report.html",))
        assert news(opened)["done"]
        assert news(opened)["line"].startswith("finished; last change ")


@pytest.mark.slow
def test_a_page_is_made_once_per_version_for_any_number_of_clients(run_copy, monkeypatch):
    made = []
    monkeypatch.setattr(live, "render", lambda *given, render=live.render: made.append(1) or render(*given))
    with serving(LivePage(run_copy)) as opened, ThreadPoolExecutor(8) as clients:
        pages = {body for _, body in clients.map(lambda _: shown(opened), range(16))}
        assert len(pages) == len(made) == 1
        run_copy.append_metrics("train", 738, {"epoch": 41, "loss": 0.1, "lr": 0.05})
        assert shown(opened)[1] == shown(opened)[1] not in pages
        assert len(made) == 2


@pytest.mark.slow
@pytest.mark.parametrize("fresh", [True, False])
def test_whatever_is_missing_there_is_a_page(run_copy, fresh):
    """Files and folders go one by one, in the end those that say what was finished, and what the run is."""
    page = LivePage(run_copy)
    assert b"tau = 0.82" in page.page().content
    last = ("space.json", "stages.json", "config.toml")
    for path in sorted(run_copy.path.iterdir(), key=lambda path: (path.name in last, path.name)):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        page = LivePage(run_copy) if fresh else page
        text = page.page().content.decode()
        assert text.count('id="live"') == 1
        assert page.state().version in text
        assert "Traceback" not in text
    assert ("Nothing yet" in text) == fresh, "without files the last page stays, if there was one"
    assert page.state().line(0) == "stage not known"


@pytest.mark.slow
@pytest.mark.parametrize("done", range(6))
def test_every_stage_of_a_run_has_its_page(make_run, done):
    stages = ("train", "search", "retrain", "rank", "export")[:done]
    page = LivePage(make_run(stages))
    assert page.state().stage == progress.STAGES[done]
    text = page.page().content.decode()
    assert "cannot be read right now" not in text
    assert ("Yes, strictly fair" in text) == (done > 0)


def test_progress_is_told_before_a_stage_is_finished(make_run):
    run = make_run(())
    page = LivePage(run)
    assert page.state().where == "train"
    run.append_metrics("train", 18, {"epoch": 1, "loss": 2.0, "lr": 0.05})
    assert page.state().where == "train, epoch 1 of 40"
    assert b"plot-training" in page.page().content


@pytest.mark.slow
def test_the_last_page_stays_while_a_file_cannot_be_read(run_copy):
    with serving(LivePage(run_copy)) as opened:
        whole = (run_copy.path / "ranking.json").read_bytes()
        assert "tau = 0.82" in shown(opened)[1]
        (run_copy.path / "ranking.json").write_bytes(whole[:100])
        version, text = shown(opened)
        assert "tau = 0.82" in text
        assert f"cannot be read right now: {run_copy.path}/ranking.json is damaged" in text
        assert version == news(opened)["version"], "else the page would reload for ever"
        (run_copy.path / "ranking.json").write_bytes(whole)
        assert "cannot be read" not in shown(opened)[1]


@pytest.mark.slow
def test_stages_are_those_of_the_story():
    from fairnas.pipeline import STAGES

    assert tuple(stage.name for stage in STAGES) == progress.STAGES


# The run never notices ------------------------------------------------------------------------------------------


def traces(path: Path):
    """Everything that a write would change."""
    return {each: (each.stat().st_mtime_ns, each.stat().st_ctime_ns) for each in (path, *path.rglob("*"))}


@pytest.mark.slow
def test_a_run_that_is_locked_and_read_only_is_served_and_not_touched(run_copy):
    with run_copy.locked(), Archive(run_copy.path / "archive.sqlite", "setting") as archive:
        archive.add({(5,) * 8: {"top1": 0.5}}, 0)  # makes a log beside the archive
        for path in (run_copy.path, *run_copy.path.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        before = traces(run_copy.path)
        assert run_copy.path / "archive.sqlite-wal" in before
        with serving(LivePage(run_copy)) as opened:
            assert "cannot be read" not in shown(opened)[1]
            assert news(opened)["stage"] == "report"
        assert traces(run_copy.path) == before
        for path in (run_copy.path, *run_copy.path.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)


@pytest.mark.slow
def test_a_run_at_rest_is_not_touched_either(run_copy):
    for path in run_copy.path.glob("archive.sqlite-*"):
        path.unlink()
    before = traces(run_copy.path)
    LivePage(run_copy).page()
    assert traces(run_copy.path) == before


def test_the_copy_of_an_archive_holds_what_is_only_in_its_log_yet(tmp_path, make_run):
    run = make_run(())
    with Archive(run.path / "archive.sqlite", "setting") as archive:
        archive.add({(0, 1): {"top1": 0.5}}, 0)
        assert (run.path / "archive.sqlite-wal").stat().st_size
        with progress.archive_copy(run) as copy, Archive(copy, "setting", read_only=True) as copied:
            assert len(copied) == 1
    assert not copy.exists()


def test_an_archive_that_changes_all_the_time_is_not_read(run_copy, monkeypatch):
    copyfile = shutil.copyfile

    def disturbed(source, target):
        copyfile(source, target)
        with open(source, "ab") as file:
            file.write(b"\0")

    monkeypatch.setattr(progress.shutil, "copyfile", disturbed)
    assert b"archive.sqlite is being written; wait a moment" in LivePage(run_copy).page().content
