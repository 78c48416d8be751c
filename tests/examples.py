"""How many random examples hypothesis tries a property on: fewer in `make test` than in `make test-full`."""

import os

ALL = os.environ.get("FAIRNAS_EXAMPLES") == "all"
"""Whether every property is tried on as many examples as in `make test-full`."""


def examples(most: int) -> int:
    """`most` in `make test-full`, else a quarter of it, but 2 or more."""
    return most if ALL else max(2, most // 4)
