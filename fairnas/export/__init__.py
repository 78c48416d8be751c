"""Export of trained networks: weights, ONNX, a PyTorch program and facts, checked for agreement; and loading them.

Using an exported network (`predict`) needs no torch, so every name loads its file on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

from fairnas.errors import ExportError, ModelFileError

if TYPE_CHECKING:
    from fairnas.export.bundle import ExportReport, export_product, load
    from fairnas.export.facts import Aim, ModelFacts
    from fairnas.export.int8 import Quantisation
    from fairnas.export.parity import check_parity
    from fairnas.export.predict import Classifier, Prediction, Unreadable
    from fairnas.export.preprocessing import Preprocessing
    from fairnas.export.product import Product
    from fairnas.export.weights import LoadedNetwork

_HOMES = {
    "Aim": "fairnas.export.facts",
    "Classifier": "fairnas.export.predict",
    "ExportReport": "fairnas.export.bundle",
    "LoadedNetwork": "fairnas.export.weights",
    "ModelFacts": "fairnas.export.facts",
    "Prediction": "fairnas.export.predict",
    "Preprocessing": "fairnas.export.preprocessing",
    "Product": "fairnas.export.product",
    "Quantisation": "fairnas.export.int8",
    "Unreadable": "fairnas.export.predict",
    "check_parity": "fairnas.export.parity",
    "export_product": "fairnas.export.bundle",
    "load": "fairnas.export.bundle",
}

__all__ = [
    "Aim",
    "Classifier",
    "ExportError",
    "ExportReport",
    "LoadedNetwork",
    "ModelFacts",
    "ModelFileError",
    "Prediction",
    "Preprocessing",
    "Product",
    "Quantisation",
    "Unreadable",
    "check_parity",
    "export_product",
    "load",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fairnas.export' has no attribute '{name}' (it has {', '.join(_HOMES)})")
    return getattr(importlib.import_module(_HOMES[name]), name)
