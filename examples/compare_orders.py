"""Kendall's tau of a predicted order of networks, with its interval and a noise ceiling (paper 4.4)."""

import numpy as np

import fairnas

rng = np.random.default_rng(0)
truth = rng.normal(75, 1, 13)  # accuracies in percent, as if 13 networks had been trained
for noise in (0.3, 1.0, 3.0):
    predicted = truth + rng.normal(0, noise, 13)
    found = fairnas.rank_agreement(predicted, truth)
    low, high = found.interval
    print(f"predictions off by {noise} points: tau = {found.tau:.2f}, 95 % interval [{low:.2f}, {high:.2f}]")
    assert low <= found.tau <= high
