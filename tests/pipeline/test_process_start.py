"""Start of training processes."""

import os
import signal
import subprocess
import sys
import time
from multiprocessing import forkserver

import pytest

from fairnas.pipeline.job_pool import from_one_that_has_imported

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")

_PROGRAM = """
import time
from fairnas.pipeline.job_pool import from_one_that_has_imported

if __name__ == "__main__":
    context = from_one_that_has_imported("fairnas.pipeline.job_pool")
    print("begun", flush=True)
    try:
        time.sleep(60)
    except KeyboardInterrupt:
        process = context.Process(target=print, args=("a process",))
        process.start()
        process.join()
        print(context.get_start_method(), process.exitcode)
"""


def blocks_interrupts_while_it_starts(monkeypatch) -> bool:
    """True if interrupts are blocked while the server starts, and not afterwards."""
    seen = []
    blocked = lambda: signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())  # noqa: E731
    monkeypatch.setattr(forkserver, "ensure_running", lambda: seen.append(blocked()))
    from_one_that_has_imported(__name__)
    return [*seen, blocked()] == [True, False]


@on_linux
def test_interrupts_are_blocked_only_while_the_server_starts(monkeypatch):
    assert blocks_interrupts_while_it_starts(monkeypatch)


@pytest.mark.slow
@on_linux
def test_ctrl_c_while_the_server_imports_leaves_it_and_what_it_forks_alive(tmp_path):
    program = tmp_path / "program.py"  # processes import it again
    program.write_text(_PROGRAM)
    process = subprocess.Popen(
        [sys.executable, program],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.3)  # importing torch takes longer
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert said.splitlines() == ["a process", "forkserver 0"]


def test_where_no_server_can_listen_processes_start_from_nothing(monkeypatch):
    def fails():
        raise OSError("AF_UNIX path too long")

    monkeypatch.setattr(forkserver, "ensure_running", fails)
    assert from_one_that_has_imported(__name__).get_start_method() == "spawn"
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
