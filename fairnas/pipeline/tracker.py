"""Measurements of a stage: a line in `metrics.jsonl` each, and a TensorBoard event beside it.

Everything of ours reads the lines; the events are for people who keep TensorBoard open.
"""

import time
from collections.abc import Mapping

from fairnas.rundir import RunDirectory


class Tracker:
    """Records the measurements of one stage of a run. A context manager."""

    def __init__(self, run: RunDirectory, stage: str) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter  # a second to import

        self._run, self._stage = run, stage
        self._events = EventFileWriter(str(run.path / "tensorboard" / stage))

    def __enter__(self) -> "Tracker":
        return self

    def __exit__(self, *_: object) -> None:
        self._events.close()

    def rewind(self, step: int) -> None:
        """Drop measurements after `step`: they are made again when the stage goes on from there."""
        self._run.rewind_metrics(self._stage, step)

    def record(self, step: int, values: Mapping[str, float]) -> None:
        """Record named numbers at a step."""
        from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue]
        from tensorboard.compat.proto.summary_pb2 import Summary  # pyright: ignore[reportAttributeAccessIssue]

        self._run.append_metrics(self._stage, step, values)
        scalars = [Summary.Value(tag=f"{self._stage}/{name}", simple_value=value) for name, value in values.items()]
        self._events.add_event(Event(wall_time=time.time(), step=step, summary=Summary(value=scalars)))
        self._events.flush()
