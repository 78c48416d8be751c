"""Measurements of a stage: one line each in `metrics.jsonl`, and a TensorBoard event.

Our own code reads only the lines; the events are for people who use TensorBoard.
"""

import contextlib
import os
import time
from collections.abc import Mapping
from typing import Any

from fairnas.errors import RunDirectoryError
from fairnas.rundir import RunDirectory


class MetricsLog:
    """Log of the measurements of one stage of a run. A context manager."""

    def __init__(self, run: RunDirectory, stage: str) -> None:
        self._run, self._stage = run, stage
        self._events = _Events(run, stage)

    def __enter__(self) -> "MetricsLog":
        return self

    def __exit__(self, *_: object) -> None:
        self._events.close()

    def rewind(self, step: int) -> None:
        """Drop measurements after `step`: they are repeated when the stage resumes there."""
        self._run.rewind_metrics(self._stage, step)

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Record named numbers at a step."""
        self._run.append_metrics(self._stage, step, values)
        self._events.add(step, {f"{self._stage}/{name}": value for name, value in values.items()})


class _Events:
    """TensorBoard event file, written without a thread.

    TensorBoard's own writer has a thread, whose errors on a full disk would be tracebacks.
    """

    def __init__(self, run: RunDirectory, stage: str) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboard.summary.writer.record_writer import RecordWriter

        folder = run.path / "tensorboard" / stage
        self._path = folder / f"events.out.tfevents.{time.time():010.0f}.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._writer = RecordWriter(open(self._path, "ab"))  # noqa: SIM115 - closed by `close`
        except OSError as error:
            raise self._cannot(error) from error
        self._write(Event(wall_time=time.time(), file_version="brain.Event:2"))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add an event with named numbers."""
        from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        scalars = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(Event(wall_time=time.time(), step=step, summary=Summary(value=scalars)))

    def close(self) -> None:
        """Release the file."""
        with contextlib.suppress(OSError):  # write errors were already reported
            self._writer.close()

    def _write(self, event: Any) -> None:
        try:
            self._writer.write(event.SerializeToString())
            self._writer.flush()
        except OSError as error:
            self.close()
            raise self._cannot(error) from error

    def _cannot(self, error: OSError) -> RunDirectoryError:
        return RunDirectoryError(
            f"cannot write {self._path}: {error.strerror}; make room or permission and run it again"
        )
