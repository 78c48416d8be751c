"""Progress of a run on standard error: a live bar in a terminal, plain lines elsewhere."""

import contextlib
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Column

from fairnas.cli.hangup import SIGHUP, HungUp, is_heard

if TYPE_CHECKING:
    from fairnas.progress import Narrator

PLAIN_SECONDS = 10.0
"""Shortest time in seconds between two progress lines outside a terminal."""


class LiveNarrator:
    """Progress bar with stage, share done, time left, and the next stage."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = None

    def stage(self, number: int, total: int, title: str, upcoming: str) -> None:
        """Finish the bar of the previous stage and begin a new one."""
        self._complete()
        name = f"[bold]{number}/{total} {title}[/bold]"
        upcoming = f"[dim] next: {upcoming}[/dim]" if upcoming else ""
        self._task = self._progress.add_task(name, total=None, text="", upcoming=upcoming)

    def progress(self, done: int, total: int, text: str) -> None:
        """Move the bar."""
        if self._task is not None:
            self._progress.update(self._task, completed=done, total=total, text=text)

    def say(self, text: str) -> None:
        """Print a line above the bars."""
        self._progress.console.print(text, style="dim", highlight=False, markup=False)

    def _complete(self) -> None:
        if self._task is not None:
            task = next(task for task in self._progress.tasks if task.id == self._task)
            self._progress.update(self._task, completed=task.total or 1, total=task.total or 1, upcoming="")

    def close(self) -> None:
        """Finish the last bar."""
        self._complete()


class PlainNarrator:
    """Progress as plain lines, for logs."""

    def __init__(self) -> None:
        self._title, self._last = "", 0.0

    def stage(self, number: int, total: int, title: str, upcoming: str) -> None:
        """Print which stage begins and which comes next."""
        self._title, self._last = title, time.monotonic()
        self.say(f"[{number}/{total}] {title}" + (f" (next: {upcoming})" if upcoming else ""))

    def progress(self, done: int, total: int, text: str) -> None:
        """Print the progress, at most every `PLAIN_SECONDS`."""
        if time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            self.say(f"  {self._title}: {done}/{total} {text}".rstrip())

    def say(self, text: str) -> None:
        """Print a line."""
        print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def narrated() -> Iterator["Narrator"]:
    """Context manager with the narrator that suits standard error."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield PlainNarrator()
        return
    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=12),
        TextColumn("{task.percentage:>3.0f}%", table_column=Column(no_wrap=True)),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TextColumn("[dim]left[/dim]", table_column=Column(no_wrap=True)),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        TextColumn(
            "{task.fields[text]}{task.fields[upcoming]}", table_column=Column(no_wrap=True, overflow="ellipsis")
        ),
    )
    # printed lines go above the bar in a terminal; a file or a pipe gets them unchanged
    with Progress(*columns, console=console, redirect_stdout=sys.stdout.isatty()) as progress:
        narrator = LiveNarrator(progress)
        yield narrator
        narrator.close()


@contextlib.contextmanager
def interruptible(silent: bool = False) -> Iterator[Callable[[], bool]]:
    """Context manager in which Ctrl-C, SIGTERM and SIGHUP set a flag that the work checks, so that it saves first.

    A second Ctrl-C interrupts at once. With `silent`, nothing is printed, because another process does.

    Raises:
        HungUp: instead of `KeyboardInterrupt`, if the work stopped because the terminal was closed.
    """
    asked = hung_up = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked, hung_up
        if number == SIGHUP and asked:
            return  # both the system and the shell may send it, and saving must not be interrupted
        if asked:
            raise KeyboardInterrupt
        asked, hung_up = True, number == SIGHUP
        if not silent:
            print("\nfairnas: saving, then stopping (once more to stop at once)", file=sys.stderr, flush=True)

    numbers = [signal.SIGINT, signal.SIGTERM, *([SIGHUP] if SIGHUP is not None and is_heard() else [])]
    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield lambda: asked
    except KeyboardInterrupt:
        if hung_up:
            raise HungUp from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
