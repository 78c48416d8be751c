"""The live page of a run: the current report, rendered again only when a file of the run has changed."""

import dataclasses
import html
import importlib.resources
import threading
import time
from dataclasses import dataclass

from fairnas import __version__
from fairnas.errors import FairnasError
from fairnas.report.html import Html, Section, joined, paragraphs, tag
from fairnas.report.page import Live, policy, render, whole_page
from fairnas.report.progress import State, archive_copy, read_state
from fairnas.report.run_data import Inputs, read_inputs
from fairnas.rundir import RunDirectory

POLL_SECONDS = 4.0
"""Seconds between two questions of an open page whether anything changed."""


@dataclass(frozen=True)
class Served:
    """A page, with the content security policy to send as a header."""

    content: bytes
    policy: str


class LivePage:
    """The page of one run. Any number of threads may ask for it; one at a time renders it.

    Args:
        run: run to show; only read, without its lock.
        poll_seconds: seconds between two questions of an open page for changes.
    """

    def __init__(self, run: RunDirectory, poll_seconds: float = POLL_SECONDS) -> None:
        self._run, self._poll_seconds = run, poll_seconds
        self._lock = threading.Lock()
        self._state: State | None = None
        self._version, self._served = "", Served(b"", "")
        self._last: Inputs | None = None

    def state(self) -> State:
        """Current state of the run."""
        self._state = read_state(self._run, self._state)
        return self._state

    def page(self) -> Served:
        """Page of the run as it is now, or as it was when it could last be read."""
        with self._lock:
            # Read the state before the files: a change in between gives another version, so the page will ask again.
            state = self.state()
            if state.version != self._version:
                self._served = self._made(state)
                self._version = state.version
            return self._served

    def _made(self, state: State) -> Served:
        try:
            inputs = self._read()
            live = self._live(state)
            text = render(inputs, live)
            self._last = inputs
        except Exception as error:  # a run in progress may hold anything; the page must stay available
            live = self._live(state, problem=_one_line(error))
            text = render(self._last, live) if self._last else _nothing_yet(self._run, live)
        return Served(text.encode(), policy(live, views="networks"))

    def _read(self) -> Inputs:
        with archive_copy(self._run) as copy:
            try:
                inputs = read_inputs(self._run, archive=copy)
            except FairnasError as error:
                raise type(error)(str(error).replace(str(copy.parent), str(self._run.path))) from error
        return dataclasses.replace(inputs, linked=False)  # the server serves no other files

    def _live(self, state: State, problem: str = "") -> Live:
        said = tag("span", state.line(time.time()), attributes='id="live-state"')
        trouble = paragraphs([f"The files of the run cannot be read right now: {problem}"]) if problem else Html("")
        pause = tag("button", "Pause", attributes='type="button" id="live-pause" aria-pressed="false"')
        data = f'id="live" data-version="{html.escape(state.version)}" data-seconds="{self._poll_seconds}"'
        line = tag("aside", tag("p", tag("strong", "Live"), " ", said, " ", pause), trouble, attributes=data)
        return Live(line, _resource("live.css"), _resource("live.js").replace("\r\n", "\n"))


def _nothing_yet(run: RunDirectory, live: Live) -> str:
    """Page of a run that has nothing to show yet."""
    name = run.path.resolve().name
    header = joined([tag("p", "fairnas report", classes="eyebrow"), tag("h1", name)])
    body = paragraphs(["There is nothing to show of this run yet. This page reloads itself when there is."])
    footer = f"Made by fairnas {__version__} from the files of the run directory, and nothing else."
    return whole_page(f"{name}: fairnas report", header, [Section("nothing", "Nothing yet", body)], footer, live)


def _one_line(error: Exception) -> str:
    reason = str(error).splitlines()[0] if str(error) else ""
    return reason if isinstance(error, FairnasError) else f"{type(error).__name__}: {reason}"


def _resource(name: str) -> str:
    return importlib.resources.files("fairnas.report").joinpath(name).read_text(encoding="utf-8")
