"""What leaves a run: weights, ONNX and facts of a trained network, proved to agree, and the way back."""

from fairnas.export.bundle import ExportReport, export_product, load
from fairnas.export.parity import check_parity
from fairnas.export.product import ExportError, Preprocessing, Product
from fairnas.export.weights import ModelFileError

__all__ = [
    "ExportError",
    "ExportReport",
    "ModelFileError",
    "Preprocessing",
    "Product",
    "check_parity",
    "export_product",
    "load",
]
