"""Benchmarks of fairnas against the implementation that a competent user writes in an afternoon (`textbook`).

Each command measures both in one run, one after the other and again, and prints their ratio:

    python -m benchmarks.step
    python -m benchmarks.evaluate
"""
