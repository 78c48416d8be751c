"""Stages of a run in order, their requirements, and resuming."""

from fairnas.pipeline.evaluators import RemoteEvaluator
from fairnas.pipeline.experiment import Experiment
from fairnas.pipeline.prepare import Prepared, prepare
from fairnas.pipeline.stages import STAGES, RunStage, require_changeable, run_stage, run_story
from fairnas.pipeline.summary import audit, summarise
from fairnas.pipeline.train_stage import follow
from fairnas.pipeline.workers import Workers

__all__ = [
    "STAGES",
    "Experiment",
    "Prepared",
    "RemoteEvaluator",
    "RunStage",
    "Workers",
    "audit",
    "follow",
    "prepare",
    "require_changeable",
    "run_stage",
    "run_story",
    "summarise",
]
