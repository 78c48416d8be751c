"""Networks: choice blocks as modules, the supernet, stand-alone networks, and their costs."""

from fairnas.nets.cost import Cost, CostTable, cost, cost_table
from fairnas.nets.standalone import StandAlone, build
from fairnas.nets.supernet import Supernet, batch_norms, has_shortcut

__all__ = ["Cost", "CostTable", "StandAlone", "Supernet", "batch_norms", "build", "cost", "cost_table", "has_shortcut"]
