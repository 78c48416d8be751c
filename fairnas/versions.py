"""Versions of the packages that results depend on, read without importing them."""

import importlib.metadata
import platform

PACKAGES = (
    "torch", "numpy", "scipy", "scikit-learn", "pillow", "pymoo", "onnx", "onnxscript", "onnxruntime", "safetensors",
    "plotly", "pydantic", "tyro", "tomli-w", "rich", "tensorboard", "distributed", "pyarrow", "matplotlib",
)  # fmt: skip


def version_of(package: str) -> str | None:
    """Installed version, or None."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def installed_versions() -> dict[str, str]:
    """Versions of Python, fairnas and every package that is installed."""
    found = {name: version_of(name) for name in ("fairnas", *PACKAGES)}
    return {"python": platform.python_version()} | {name: version for name, version in found.items() if version}
