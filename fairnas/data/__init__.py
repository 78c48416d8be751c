"""Images with labels: data sets by name, their splits, augmentation and batches.

Looking at a folder (`scan_folder`) needs no torch, so every name loads its file on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairnas.data.balance import class_weights
    from fairnas.data.batches import ordered_batches, steps_per_epoch, training_batches
    from fairnas.data.dataset import Dataset
    from fairnas.data.folder import FolderFacts, scan_folder
    from fairnas.data.images import Images
    from fairnas.data.load import load_dataset
    from fairnas.data.parts import divided
    from fairnas.data.survey import Survey

_HOMES = {
    "Dataset": "fairnas.data.dataset",
    "FolderFacts": "fairnas.data.folder",
    "Images": "fairnas.data.images",
    "Survey": "fairnas.data.survey",
    "class_weights": "fairnas.data.balance",
    "divided": "fairnas.data.parts",
    "load_dataset": "fairnas.data.load",
    "ordered_batches": "fairnas.data.batches",
    "scan_folder": "fairnas.data.folder",
    "steps_per_epoch": "fairnas.data.batches",
    "training_batches": "fairnas.data.batches",
}

__all__ = [
    "Dataset",
    "FolderFacts",
    "Images",
    "Survey",
    "class_weights",
    "divided",
    "load_dataset",
    "ordered_batches",
    "scan_folder",
    "steps_per_epoch",
    "training_batches",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fairnas.data' has no attribute '{name}' (it has {', '.join(_HOMES)})")
    return getattr(importlib.import_module(_HOMES[name]), name)
