"""Settings of every stage, as frozen dataclasses. No torch.

A recipe (`recipes.py`) returns one complete `RunConfig`; a TOML file or flags change single fields of it, `train.lr`
in a file as `--train.lr`. Fields that are `Common` are shown by `fairnas run --help`, `Advanced` ones by `--help-all`.
Epochs count passes over the training images, rates are per step, sizes are pixels, times are seconds.
"""

from fairnas.config.augmentation import Augmentation, AugmentationPreset, FlipSetting
from fairnas.config.export import ExportConfig
from fairnas.config.retrain import RetrainConfig, RetrainRecipe
from fairnas.config.run import Compilation, Device, ExecutorName, Resources, RunConfig
from fairnas.config.search import (
    ACCURACY_WORDS,
    Calibration,
    ControllerConfig,
    EvaluateConfig,
    HierarchyConfig,
    Measure,
    RewardConfig,
    SearchConfig,
    WantedStatistics,
    are_unequal,
)
from fairnas.config.stand_alone import StandAloneConfig
from fairnas.config.training import (
    ArchitectureConfig,
    Balance,
    DataConfig,
    Fit,
    FolderReading,
    IdleBlocks,
    Precision,
    SharedGradient,
    TrainConfig,
)

__all__ = [
    "ACCURACY_WORDS",
    "ArchitectureConfig",
    "Augmentation",
    "AugmentationPreset",
    "Balance",
    "Calibration",
    "Compilation",
    "ControllerConfig",
    "DataConfig",
    "Device",
    "EvaluateConfig",
    "ExecutorName",
    "ExportConfig",
    "Fit",
    "FlipSetting",
    "FolderReading",
    "HierarchyConfig",
    "IdleBlocks",
    "Measure",
    "Precision",
    "Resources",
    "RetrainConfig",
    "RetrainRecipe",
    "RewardConfig",
    "RunConfig",
    "SearchConfig",
    "SharedGradient",
    "StandAloneConfig",
    "TrainConfig",
    "WantedStatistics",
    "are_unequal",
]
