"""Images with labels: data sets by name, their splits, augmentation and batches.

Looking at a folder (`scan_folder`) needs no torch, so every name loads its file on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairnas.data.balance import class_weights
    from fairnas.data.batches import ordered_batches, steps_per_epoch, training_batches
    from fairnas.data.dataset import Dataset
    from fairnas.data.folder_scan import FolderFacts, scan_folder
    from fairnas.data.images import Images
    from fairnas.data.load import load_dataset
    from fairnas.data.subsets import split_for_architecture
    from fairnas.data.summary import DataSummary
    from fairnas.data.survey import Survey

_HOMES = {
    "DataSummary": "fairnas.data.summary",
    "Dataset": "fairnas.data.dataset",
    "FolderFacts": "fairnas.data.folder_scan",
    "Images": "fairnas.data.images",
    "Survey": "fairnas.data.survey",
    "class_weights": "fairnas.data.balance",
    "split_for_architecture": "fairnas.data.subsets",
    "load_dataset": "fairnas.data.load",
    "ordered_batches": "fairnas.data.batches",
    "scan_folder": "fairnas.data.folder_scan",
    "steps_per_epoch": "fairnas.data.batches",
    "training_batches": "fairnas.data.batches",
}

__all__ = [
    "DataSummary",
    "Dataset",
    "FolderFacts",
    "Images",
    "Survey",
    "class_weights",
    "load_dataset",
    "ordered_batches",
    "scan_folder",
    "split_for_architecture",
    "steps_per_epoch",
    "training_batches",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fairnas.data' has no attribute '{name}' (it has {', '.join(_HOMES)})")
    return getattr(importlib.import_module(_HOMES[name]), name)
