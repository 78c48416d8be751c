"""Theory of fairness (paper 2.2 and 2.2.4).

m is the number of choice blocks of a layer, n the total number of trainings of the layer.
"""

import math
from dataclasses import dataclass

from fairnas.errors import FairnasError


def equal_count_probability(m: int, n: int) -> float:
    """Lemma 1: the probability that n uniform draws hit each of m choice blocks exactly n/m times.

    f(m, n) = n! / ((n/m)!^m m^n); 0 where m does not divide n. Exact to about 12 digits for any n: small
    factorials by log-gamma, large ones by Stirling's series, whose leading terms cancel analytically. (The paper's
    printed limit lost a power of m on the way; the lemma holds.)

    Raises:
        FairnasError: if m < 1 or n < 0.
    """
    if m < 1 or n < 0:
        raise FairnasError(f"m = {m}, n = {n}; give m of 1 or more and n of 0 or more")
    if n % m:
        return 0.0
    if n == 0 or m == 1:
        return 1.0
    if n // m < 32:  # above, logarithms of factorials would lose digits when subtracted
        return math.exp(math.lgamma(n + 1) - m * math.lgamma(n // m + 1) - n * math.log(m))
    return equal_count_asymptote(m, n) * math.exp(_stirling_rest(n) - m * _stirling_rest(n // m))


def equal_count_asymptote(m: int, n: float) -> float:
    """Asymptote of lemma 1: sqrt(m) (m / (2 pi n))^((m-1)/2); the paper's (b) without its printing error."""
    return math.exp(0.5 * math.log(m) + (m - 1) / 2 * math.log(m / (2 * math.pi * n)))


def _stirling_rest(x: float) -> float:
    """log(x!) minus Stirling's formula, to 1e-15 for x of 32 or more."""
    return 1 / (12 * x) - 1 / (360 * x**3) + 1 / (1260 * x**5) - 1 / (1680 * x**7)


def uniform_mean(m: int, n: int) -> float:
    """Equation 1: expected trainings of one choice block under uniform sampling, n/m; equal under strict fairness."""
    return n / m


def uniform_variance(m: int, n: int) -> float:
    """Variance of these trainings under uniform sampling, n(m-1)/m^2 (equation 1); 0 under strict fairness."""
    return n * (m - 1) / m**2


def choices_per_step(m: int, layers: int) -> int:
    """Number of different strict steps, (m!)^(L-1): the order of the m paths does not matter (footnote 2)."""
    return math.factorial(m) ** (layers - 1)


@dataclass(frozen=True)
class MethodClaims:
    """One row of the paper's Table 1: claims, not measurements."""

    method: str
    memory: str
    """Memory: `SP` a single path, `TP` two paths, `SN` the whole supernet."""
    train_gpu_days: float | None
    search_gpu_days: float | None
    expectation_fair: bool
    strict_fair: bool
    remark: str = ""


TABLE_1: tuple[MethodClaims, ...] = (
    MethodClaims("SMASH", "SN", None, None, False, False),
    MethodClaims("One-Shot", "SN", 16, 3.3, False, False, "measured on TPU"),
    MethodClaims("DARTS", "SN", 4, 0, False, False, "searched on CIFAR-10"),
    MethodClaims("FBNet", "SP", 20, 0, False, False, "its mixture runs every block, so memory grows with m"),
    MethodClaims("ProxylessNAS", "TP", 15, 0, False, False),
    MethodClaims("Single Path One-Shot", "SP", 12, 1, True, False, "search cost printed as below 1"),
    MethodClaims(
        "Single-Path NAS",
        "SP",
        1.25,
        0,
        True,
        False,
        "measured on TPU; thresholds choose, nothing is sampled",
    ),
    MethodClaims("FairNAS", "SP", 10, 2, True, True),
)
