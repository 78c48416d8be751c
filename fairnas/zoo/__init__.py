"""Published networks that our spaces can express, by name, with the figures of the paper's Table 2."""

from fairnas.zoo.networks import NETWORKS, PaperFigures, ZooEntry, create, row

__all__ = ["NETWORKS", "PaperFigures", "ZooEntry", "create", "row"]
