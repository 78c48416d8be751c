"""Lemma 1: the chance that uniform sampling has trained all m blocks of a layer equally often after n steps."""

import numpy as np

import fairnas

m, n, trials = 2, 20, 20_000
draws = np.random.default_rng(0).integers(0, m, (trials, n))
seen = np.mean([np.ptp(np.bincount(row, minlength=m)) == 0 for row in draws])
exact = fairnas.equal_count_probability(m, n)
print(f"f({m}, {n}) = {exact:.3f} by lemma 1, {seen:.3f} in {trials:,} trials")
assert abs(exact - seen) < 0.02
