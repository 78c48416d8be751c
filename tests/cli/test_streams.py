"""Output that cannot be written, readers that leave, closed terminals, too little memory: an exit code and a line."""

import os
import signal
import sys

import numpy as np
import pytest
import torch

from fairnas.cli import main as entry
from fairnas.cli.hangup import HungUp, hangup_raised
from fairnas.cli.main import DONE, HUNG_UP, OUR_FAULT, WRONG_INPUT, main
from fairnas.cli.memory import too_little_memory
from fairnas.cli.progress import interruptible

COMMANDS = [
    ["--help"],
    ["--version"],
    ["describe", "digits", "00000000"],
    ["doctor"],
    ["run", "--help"],
    ["searchers"],
    ["spaces"],
    ["strategies"],
]
COMMANDS += [[*words, "--json"] for words in COMMANDS if not words[0].startswith("-") and "--help" not in words]
every_command = pytest.mark.parametrize(
    "words",
    [pytest.param(words, marks=pytest.mark.slow if words[0] == "describe" else ()) for words in COMMANDS],
    ids=" ".join,
)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
@every_command
def test_a_full_disk_under_standard_output_is_a_line_that_names_it(words, monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(words) == WRONG_INPUT
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("fairnas: cannot write to standard output: No space left on device; make room")


@every_command
def test_a_reader_that_has_gone_is_no_error(words, monkeypatch, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as left:
        monkeypatch.setattr(sys, "stdout", left)
        assert main(words) == DONE
    assert capsys.readouterr().err == ""


def test_an_error_is_an_error_although_the_reader_has_gone(monkeypatch, capsys):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as left:
        monkeypatch.setattr(sys, "stdout", left)
        assert main(["describe", "digits", "9"]) == WRONG_INPUT
    assert "genome" in capsys.readouterr().err


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_messages_that_nobody_can_be_told_end_nothing(monkeypatch, capsys):
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stderr", full)
        assert main(["describe", "digits", "9"]) == WRONG_INPUT
        assert main(["spaces"]) == DONE
    assert "digits" in capsys.readouterr().out


class TestHangup:
    @pytest.fixture(autouse=True)
    def not_ignored(self):
        before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
        yield
        signal.signal(signal.SIGHUP, before)

    def test_work_is_asked_to_stop_once_and_the_exit_code_is_129(self, monkeypatch, capsys):
        def work(words):
            with interruptible() as stop:
                for _ in range(3):
                    os.kill(os.getpid(), signal.SIGHUP)  # as often as it comes: what is saved must be finished
                assert stop()
                raise KeyboardInterrupt

        monkeypatch.setattr(entry, "_dispatch", work)
        assert main(["run"]) == HUNG_UP
        assert "the terminal was closed; run the same command again to go on" in capsys.readouterr().err

    def test_where_nothing_is_saved_it_ends_at_once(self, monkeypatch):
        def work(words):
            os.kill(os.getpid(), signal.SIGHUP)
            raise AssertionError("it went on")

        monkeypatch.setattr(entry, "_dispatch", work)
        assert main(["plan"]) == HUNG_UP

    def test_a_message_on_the_way_does_not_hide_it(self):
        def plan():
            try:
                os.kill(os.getpid(), signal.SIGHUP)
            except KeyboardInterrupt:
                raise KeyboardInterrupt("a plan keeps nothing") from None

        with pytest.raises(HungUp), hangup_raised():
            plan()

    def test_under_nohup_it_goes_on(self):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with hangup_raised(), interruptible() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stop()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN


class TestTooLittleMemory:
    def test_what_python_numpy_and_torch_raise_is_told_with_the_size(self):
        with pytest.raises(MemoryError) as by_numpy:
            np.empty(2**60, np.uint8)
        with pytest.raises(RuntimeError) as by_torch:
            torch.empty(2**60, dtype=torch.uint8)
        for error, size in ((by_numpy.value, "1.15e+09"), (by_torch.value, "1.15e+09"), (MemoryError(), "")):
            line = str(too_little_memory(error, "run"))
            assert f"another {size} GB" in line or not size
            assert "make --train.batch-size" in line
            assert "; use a machine with more memory" in str(too_little_memory(error, "report"))
        assert too_little_memory(ValueError("tried to allocate 3 GiB"), "run") is None

    def test_a_command_ends_with_a_line_and_2(self, monkeypatch, capsys):
        def work(words):
            np.empty(2**60, np.uint8)

        monkeypatch.setattr(entry, "_dispatch", work)
        assert main(["run"]) == WRONG_INPUT
        assert capsys.readouterr().err.startswith("fairnas: there is too little memory: another")

    def test_other_errors_stay_our_fault(self, monkeypatch, capsys):
        def work(words):
            raise RuntimeError("broken")

        monkeypatch.setattr(entry, "_dispatch", work)
        assert main(["run"]) == OUR_FAULT
        assert "our fault: RuntimeError: broken" in capsys.readouterr().err
