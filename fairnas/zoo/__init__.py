"""Published networks by name, built and counted: every row of the paper's Table 2, and related networks."""

from fairnas.zoo.entry import TABLE_2, Printed, UnpublishedError, ZooEntry
from fairnas.zoo.networks import NETWORKS, create
from fairnas.zoo.verdict import row

__all__ = ["NETWORKS", "TABLE_2", "Printed", "UnpublishedError", "ZooEntry", "create", "row"]
