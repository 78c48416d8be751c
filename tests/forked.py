"""Python programs in processes of their own that begin at once: forked from one that has torch imported already.

`start("-m", "fairnas", "audit", ...)` is what `subprocess.Popen([sys.executable, "-m", "fairnas", "audit", ...])` is:
another process with its own signals, environment, working directory and end, exit handlers included. Importing torch
and fairnas takes 3 seconds of processor time, which tests that start a process would spend again and again. What is
read while torch is imported (OMP_NUM_THREADS) is that of the first process, and everything is imported already: tests
of imports take `subprocess`.
"""

import atexit
import functools
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

_IMPORTED = ("fairnas.pipeline.stages", "fairnas.cli.run", "torch._dynamo")  # the last is for torch's optimizers
_IGNORABLE = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
_MESSAGE = 1 << 20  # bytes


_SPENT: list[float] = []


def processor_s() -> float:
    """Processor time of all programs that have ended, in seconds."""
    return sum(_SPENT)


class Process:
    """A running program, as `subprocess.Popen` with pipes and text."""

    def __init__(self, pid: int, ended: socket.socket, stdout: int, stderr: int):
        self.pid = pid
        self.stdout = open(stdout)  # noqa: SIM115 - closed by who reads to the end
        self.stderr = open(stderr)  # noqa: SIM115
        self.returncode: int | None = None
        self._ended = ended

    def poll(self) -> int | None:
        """Exit code, or the negative number of the signal that killed it; None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end and return the exit code."""
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            code, seconds = self._ended.recv(100).split()
            self._ended.close()
            _SPENT.append(float(seconds))
            self.returncode = int(code)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Read what it prints until it has ended; one that takes longer than `timeout` seconds is killed."""
        with ThreadPoolExecutor(2) as readers, self.stdout, self.stderr:
            texts = [readers.submit(file.read) for file in (self.stdout, self.stderr)]
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            out, err = (text.result() for text in texts)
        return out, err

    def send_signal(self, number: int) -> None:
        """Send a signal to it, if it has not ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)


def start(*arguments: object) -> Process:
    """Start `python ARGUMENTS`, which begin with `-m MODULE` or `-c CODE`."""
    out, err = os.pipe(), os.pipe()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)  # its number and its end are two messages
    request = {
        "arguments": list(map(str, arguments)),
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "ignored": [number for number in _IGNORABLE if signal.getsignal(number) is signal.SIG_IGN],
    }
    with theirs:
        socket.send_fds(_server(), [json.dumps(request).encode()], [out[1], err[1], theirs.fileno()])
    os.close(out[1])
    os.close(err[1])
    return Process(int(ours.recv(100)), ours, out[0], err[0])


def run(*arguments: object, timeout: float = 500) -> subprocess.CompletedProcess[str]:
    """Run `python ARGUMENTS` to its end."""
    process = start(*arguments)
    out, err = process.communicate(timeout)
    return subprocess.CompletedProcess(list(arguments), process.wait(), out, err)


@functools.cache
def _server() -> socket.socket:
    """Start the process that all others are forked from, once for each process of tests; it ends with that."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    code = f"from tests.forked import serve; serve({theirs.fileno()})"
    path = os.pathsep.join([str(Path(__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    with theirs:
        server = subprocess.Popen(
            [sys.executable, "-c", code],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path},
        )

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


def serve(number: int) -> None:
    """Fork a process for every request from a socket; return in it, to run the program and end as any other."""
    for name in _IMPORTED:
        __import__(name)
    requests = socket.socket(fileno=number)
    while True:
        message, files, _, _ = socket.recv_fds(requests, _MESSAGE, 3)
        if not message:
            os._exit(0)
        if not os.fork():
            break
        for each in files:
            os.close(each)
        _reap()
    # One that waits for the program, and tells its end.
    requests.close()
    out, err, told = files
    program = os.fork()
    if program:
        os.close(out)
        os.close(err)
        os.write(told, str(program).encode())
        code = os.waitstatus_to_exitcode(os.waitpid(program, 0)[1])
        times = os.times()
        os.write(told, f"{code} {times.children_user + times.children_system}".encode())
        os._exit(0)
    os.close(told)
    _become(json.loads(message), out, err)


def _reap() -> None:
    """Forget children that have ended."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def _become(request: dict[str, Any], out: int, err: int) -> None:
    for number in _IGNORABLE:
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in request["ignored"] else usual)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.close(out)
    os.close(err)
    how, what, *arguments = request["arguments"]
    sys.argv = [what if how == "-m" else how, *arguments]
    if how == "-m":
        runpy.run_module(what, run_name="__main__", alter_sys=True)
    else:
        main = sys.modules["__main__"].__dict__
        exec(compile(what, "<string>", "exec"), main)
