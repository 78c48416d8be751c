"""The networks of the zoo that can be built, and which of them are made of the same modules."""

import pytest

from fairnas import zoo

BUILT = [name for name, entry in zoo.NETWORKS.items() if entry.architecture is not None]
OF_THE_SAME_MODULES = [
    "fairnas_a",
    "fairnas_b",
    "fairnas_b_se",
    "fairnas_c_se",
    "proxyless_cpu",
    "proxyless_gpu",
    "fbnet_b",
    *(name for name in BUILT if name.endswith("_05")),  # half the squeeze
]
"""Networks of the same families as others, of other widths and orders."""

every_network = pytest.mark.parametrize("name", BUILT)
of_every_family = pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.full if name in OF_THE_SAME_MODULES else ()) for name in BUILT]
)
"""One network of each family in `make test`, all in `make test-full`."""
