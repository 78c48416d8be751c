"""The whole story: the stages in order, what each needs, and where a run goes on."""

from fairnas.pipeline.experiment import Experiment, Narrator, SilentNarrator
from fairnas.pipeline.planning.plan import Plan, measure_plan
from fairnas.pipeline.prepare import Prepared, prepare
from fairnas.pipeline.remote import RemoteEvaluator
from fairnas.pipeline.stage_one import follow
from fairnas.pipeline.stages import STAGES, Stage, require_changeable, run_stage, run_story
from fairnas.pipeline.summary import audit, summarise

__all__ = [
    "STAGES",
    "Experiment",
    "Narrator",
    "Plan",
    "Prepared",
    "RemoteEvaluator",
    "SilentNarrator",
    "Stage",
    "audit",
    "follow",
    "measure_plan",
    "prepare",
    "require_changeable",
    "run_stage",
    "run_story",
    "summarise",
]
