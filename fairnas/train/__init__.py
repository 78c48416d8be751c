"""Stage one: strategies, the supernet step, the loop, checkpoints; and training from scratch by the same loop."""

from fairnas.train.checkpoint import read_checkpoint, write_checkpoint
from fairnas.train.execution import Execution, choose_execution
from fairnas.train.launch import arranged, in_all_processes, joined_group, require_own_gpu, started_processes
from fairnas.train.loop import DivergedError, LoopOptions, Training, train, training_steps
from fairnas.train.process_group import Group
from fairnas.train.product import product_training
from fairnas.train.scratch import stand_alone_training
from fairnas.train.step import StepContext, StepResult, supernet_step
from fairnas.train.strategies import (
    STRATEGIES,
    Strategy,
    StrategyFacts,
    make_strategy,
    scoring_statistics,
    strategy_facts,
    unsupported_reason,
)
from fairnas.train.supernet import new_supernet, supernet_training, weights_digest

__all__ = [
    "STRATEGIES",
    "DivergedError",
    "Execution",
    "Group",
    "LoopOptions",
    "StepContext",
    "StepResult",
    "Strategy",
    "StrategyFacts",
    "Training",
    "arranged",
    "choose_execution",
    "in_all_processes",
    "joined_group",
    "make_strategy",
    "new_supernet",
    "product_training",
    "read_checkpoint",
    "require_own_gpu",
    "scoring_statistics",
    "stand_alone_training",
    "started_processes",
    "strategy_facts",
    "supernet_step",
    "supernet_training",
    "train",
    "training_steps",
    "unsupported_reason",
    "weights_digest",
    "write_checkpoint",
]
