"""Stage one: strategies, the supernet step, the loop, checkpoints; and training from scratch by the same loop."""

from fairnas.train.checkpoint import read_checkpoint, write_checkpoint
from fairnas.train.loop import DivergedError, Pace, Training, train
from fairnas.train.scratch import stand_alone_training
from fairnas.train.step import StepResult, supernet_step
from fairnas.train.strategies import STRATEGIES, Strategy, make_strategy
from fairnas.train.supernet import supernet_training

__all__ = [
    "STRATEGIES",
    "DivergedError",
    "Pace",
    "StepResult",
    "Strategy",
    "Training",
    "make_strategy",
    "read_checkpoint",
    "stand_alone_training",
    "supernet_step",
    "supernet_training",
    "train",
    "write_checkpoint",
]
