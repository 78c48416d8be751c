"""Hostile input for everything in fairnas that reads: `python -m benchmarks.fuzz` (docs/foreign-data.md).

`targets` lists the readers, `mutations` and `formats` bend valid examples of what they read, `attempt` gives a reader
one input and says what came of it. Input `number` of a target with a seed is always the same bytes.
"""
