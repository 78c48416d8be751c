"""An objective of your own: bytes of the weights in 8 bits, at most 150,000 (docs/search.md)."""

import fairnas
from fairnas.search import Objective


def count_bytes(space, genome):
    """Bytes of a genome's weights, one for each parameter."""
    return fairnas.cost(space, genome).params


weight_bytes = Objective("weight_bytes", "min", "bytes", bound=150_000, function=count_bytes)
