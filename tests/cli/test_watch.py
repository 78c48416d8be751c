"""`fairnas watch`: the address that it prints is that of the page; Ctrl-C ends it; mistakes are one line."""

import json
import signal
import socket
import urllib.request

import pytest

from fairnas.config import RunConfig
from fairnas.rundir import RunDirectory
from tests.cli.process import start, start_anew


@pytest.fixture
def run(tmp_path):
    return RunDirectory.create(tmp_path / "run", RunConfig(recipe="digits", space="digits"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "token"), [(("--json",), False), (("--host", "0.0.0.0", "--json"), True), ((), False)]
)
def test_it_serves_until_ctrl_c(run, flags, token):
    process = (start if flags else start_anew)("watch", "--run", run.path, *flags)
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        if flags:
            told = json.loads(line)
            assert bool(told["token"]) == token
            url = f"http://127.0.0.1:{told['port']}/{'?token=' + told['token'] if token else ''}"
            assert told["url"].split("/", 3)[3] == url.split("/", 3)[3]
        else:
            url = line.split()[3]
        with urllib.request.urlopen(url, timeout=30) as answer:
            assert b"fairnas report" in answer.read()
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert err.count("\n") == 1
    assert "interrupted" in err


def test_a_port_that_is_taken(fairnas, run):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        outcome = fairnas("watch", "--run", run.path, "--port", port)
    assert outcome.code == 2
    assert outcome.err == (
        f"fairnas: cannot serve on 127.0.0.1, port {port}: Address already in use; "
        "give another --port, or 0 for any free one\n"
    )


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--port", "70000"), "--port is 70000; give 1 to 65535, or 0 for any free one"),
        (("--host", "203.0.113.7"), "cannot serve on 203.0.113.7"),
        (("--host", "a b"), "cannot serve on a b"),
    ],
)
def test_an_address_that_cannot_be_had(fairnas, run, flags, said):
    outcome = fairnas("watch", "--run", run.path, *flags)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert said in outcome.err


def test_what_is_no_run(fairnas, tmp_path):
    assert "makes one" in fairnas("watch", "--run", tmp_path / "nowhere").err
    (tmp_path / "config.toml").write_text("schema = 2\ncolour = 'red'\n")
    outcome = fairnas("watch", "--run", tmp_path)
    assert (outcome.code, outcome.err.count("\n")) == (2, 1)
    assert "unknown key 'colour'" in outcome.err
