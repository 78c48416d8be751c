"""Telling how far a run is: which stage, how far, what comes next."""

import io
import os
import signal

import pytest
from rich.console import Console
from rich.progress import Progress, TextColumn

from fairnas.cli.progress import LiveNarrator, PlainNarrator, interruptible


def test_the_live_bar_names_stage_share_and_what_comes_next():
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    columns = (TextColumn("{task.description} {task.percentage:.0f}% {task.fields[text]}{task.fields[upcoming]}"),)
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        narrator = LiveNarrator(progress)
        narrator.stage(1, 2, "train", "search")
        narrator.progress(3, 4, "loss [1.5]")
        progress.refresh()
        narrator.say("a note")
        narrator.stage(2, 2, "search", "")
        progress.refresh()
        narrator.close()
        assert all(task.finished for task in progress.tasks)
    shown = screen.getvalue()
    for part in ("1/2 train", "75%", "next: search", "a note", "2/2 search"):
        assert part in shown, part


def test_plain_lines_come_at_stages_and_now_and_then(capsys, monkeypatch):
    clock = iter([0.0, 5.0, 11.0, 11.0, 12.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    narrator = PlainNarrator()
    narrator.stage(1, 2, "train", "search")
    narrator.progress(1, 9, "early")
    narrator.progress(2, 9, "later")
    narrator.progress(3, 9, "soon after")
    assert capsys.readouterr().err == "[1/2] train (next: search)\n  train: 2/9 later\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_and_the_second_interrupts(number, capsys):
    before = signal.getsignal(number)
    with interruptible() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before
    assert "saving, then stopping" in capsys.readouterr().err
