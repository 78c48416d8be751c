"""Weight-sharing neural architecture search that can be trusted (FairNAS, arXiv 1907.01845).

Importing this package costs nothing: every public name loads its room on first use.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fairnas import zoo
    from fairnas.analysis.ranking import rank_agreement
    from fairnas.export.bundle import load
    from fairnas.fairness.theory import equal_count_probability
    from fairnas.nets.cost import cost
    from fairnas.nets.standalone import build
    from fairnas.nets.supernet import Supernet
    from fairnas.space.catalog import get_space

__version__ = "0.1.0"

_HOMES = {
    "get_space": "fairnas.space.catalog",
    "Supernet": "fairnas.nets.supernet",
    "build": "fairnas.nets.standalone",
    "cost": "fairnas.nets.cost",
    "rank_agreement": "fairnas.analysis.ranking",
    "equal_count_probability": "fairnas.fairness.theory",
    "load": "fairnas.export.bundle",
    "zoo": "fairnas.zoo",
}

__all__ = [
    "Supernet",
    "build",
    "cost",
    "equal_count_probability",
    "get_space",
    "load",
    "rank_agreement",
    "zoo",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fairnas' has no attribute '{name}' (it has {', '.join(_HOMES)})")
    module = importlib.import_module(_HOMES[name])
    return module if name == "zoo" else getattr(module, name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
