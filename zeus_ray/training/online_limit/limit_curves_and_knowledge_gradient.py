"""Time and power over the power limit, from a few measured limits, and which limit to measure next.

ln(seconds per unit) and ln(watts) are Gaussian processes over ln(limit / uncapped power), around the shape
that GPUs usually have; each has an unknown level, so that one window at the highest limit scales the
shape. Limits that do not bind coincide on that axis: measuring one measures all. The next limit is
the one with the largest expected improvement that a window can bring (knowledge gradient for correlated
values: Frazier, Powell and Dayanik, INFORMS Journal on Computing 21, 2009; here by pairs).

Plain Python floats on purpose: every process of a job comes to the same bits, whatever its BLAS.
"""

from __future__ import annotations

import bisect
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

RATIO = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35)
"""Limit over uncapped average power. Above the last the limit does not bind."""
USUAL_TIME = (3.0, 1.95, 1.55, 1.37, 1.23, 1.155, 1.10, 1.06, 1.025, 1.01, 1.005, 1.0)
USUAL_POWER = (0.19, 0.27, 0.35, 0.45, 0.55, 0.63, 0.71, 0.80, 0.89, 0.95, 0.98, 1.0)
"""Medians of recorded profiles (V100, and two modelled cards) against the highest limit."""
LEVEL_SD = 1.0
SHAPE_SD = {"time": 0.07, "power": 0.06}
"""How far a GPU's curve strays from the usual shape (ln), over distances above ``LENGTH``."""
WINDOWS_AHEAD = (1, 3, 10)
LENGTH = 0.35
UNEVEN_SD = (0.003, 0.01, 0.03)
"""Irregularity from one limit to the next (ln) that a smooth curve does not have: the likeliest is taken,
each being taken for ``e`` times as unlikely beforehand as the one before it."""


def usual(ratio: float, values: Sequence[float]) -> float:
    """Ln of the usual curve at limit / uncapped power, linear between the points of ``RATIO``."""
    x = min(max(ratio, RATIO[0]), RATIO[-1])
    j = min(max(bisect.bisect_left(RATIO, x), 1), len(RATIO) - 1)
    share = (x - RATIO[j - 1]) / (RATIO[j] - RATIO[j - 1])
    return (1 - share) * math.log(values[j - 1]) + share * math.log(values[j])


@dataclass
class LogEstimate:
    """Mean and variance of the logarithm of a measured quantity."""

    mean: float
    var: float

    def add(self, mean: float, var: float, *, floor: float = 0.0) -> None:
        """Merge another measurement, weighted by precision; ``floor``: the least variance that remains."""
        weight = self.var / (self.var + var)
        self.mean += weight * (mean - self.mean)
        self.var = max(floor, (1 - weight) * self.var)


@dataclass(frozen=True)
class LimitCurve:
    """Posterior of ln(value) at each limit: means and covariance (all limits, in the order given)."""

    mean: list[float]
    cov: list[list[float]]

    @classmethod
    def fit(cls, ratios: Sequence[float], measured: Mapping[int, LogEstimate], kind: str) -> LimitCurve:
        """Condition the usual curve on what was measured.

        Args:
            ratios: each limit over the uncapped power.
            measured: estimates by the index of their limit.
            kind: "time" or "power".
        """
        shape = USUAL_TIME if kind == "time" else USUAL_POWER
        prior = [usual(r, shape) for r in ratios]
        place = [math.log(min(r, RATIO[-1])) for r in ratios]
        smooth = [[_kernel(a - b, SHAPE_SD[kind]) for b in place] for a in place]
        seen = sorted(measured)
        right = [measured[i].mean - prior[i] for i in seen]
        best: tuple[float, float, list[list[float]], list[float]] | None = None
        for rarity, uneven_sd in enumerate(UNEVEN_SD):
            lower = _cholesky(
                [[smooth[i][j] + (measured[i].var + uneven_sd**2) * (i == j) for j in seen] for i in seen]
            )
            residual = _forward(lower, right)
            misfit = 0.5 * _dot(residual, residual) + sum(math.log(row[-1]) for row in lower) + rarity
            if best is None or misfit < best[0]:
                best = (misfit, uneven_sd**2, lower, residual)
        assert best is not None  # noqa: S101 — for the type checker
        _misfit, uneven_var, lower, residual = best
        for i in range(len(ratios)):
            smooth[i][i] += uneven_var
        rows = [_forward(lower, [smooth[i][k] for k in seen]) for i in range(len(ratios))]
        mean = [p + _dot(row, residual) for p, row in zip(prior, rows, strict=True)]
        cov = [
            [value - _dot(row, other) for value, other in zip(smooth[i], rows, strict=True)]
            for i, row in enumerate(rows)
        ]
        return cls(mean, cov)


def _kernel(apart: float, shape_sd: float) -> float:
    return LEVEL_SD**2 + shape_sd**2 * math.exp(-0.5 * (apart / LENGTH) ** 2)


def cost_curve(
    time: LimitCurve, power: LimitCurve, eta: float, max_power_w: float, second_w: float = 0.0
) -> LimitCurve:
    """Ln of cost per unit, (η·P + (1−η)·MAXPOWER)·t, Eq. 3 of Zeus, to first order in the uncertainty.

    ``second_w``: what a second costs besides (W).
    """
    rates = [eta * math.exp(p) for p in power.mean]
    rest = (1 - eta) * max_power_w + second_w
    mean = [t + math.log(max(r + rest, 1e-9)) for t, r in zip(time.mean, rates, strict=True)]
    share = [r / max(r + rest, 1e-9) for r in rates]
    n = range(len(rates))
    return LimitCurve(mean, [[time.cov[i][j] + share[i] * share[j] * power.cov[i][j] for j in n] for i in n])


def best_index(curve: LimitCurve, allowed: Sequence[int]) -> int:
    """The allowed limit with the lowest mean; of equals the first."""
    return min(allowed, key=lambda i: (curve.mean[i], i))


def improvement(curve: LimitCurve, k: int, held: int, rivals: Sequence[int], noise_var: float) -> float:
    """Expected gain (ln) from one window at limit ``k``, over going on at ``held`` without it.

    Windows move the difference of ``k`` and ``held`` by a normal variable of standard deviation ``moved``. A
    window at ``held`` itself pays where it shows that one of ``rivals`` is better. Where one window
    cannot tell but several can, the gain is that of several, per window.
    """
    pairs = [(k, held)] if k != held else [(r, held) for r in rivals if r != held]
    gain = 0.0
    for one, other in pairs:
        reach = abs(curve.cov[k][one] - curve.cov[k][other])
        worse = curve.mean[one] - curve.mean[other]
        for windows in WINDOWS_AHEAD:
            moved = reach / math.sqrt(curve.cov[k][k] + noise_var / windows)
            if moved > 0:
                z = worse / moved
                gain = max(gain, (moved * _density(z) - worse * _upper_tail(z)) / windows)
    return gain


def _density(z: float) -> float:
    return math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)


def _upper_tail(z: float) -> float:
    return 0.5 * math.erfc(z / math.sqrt(2))


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return float(sum(map(operator.mul, a, b)))


def _cholesky(matrix: list[list[float]]) -> list[list[float]]:
    lower: list[list[float]] = []
    for i, row in enumerate(matrix):
        new: list[float] = []
        for j in range(i):
            new.append((row[j] - _dot(new, lower[j][:j])) / lower[j][j])
        new.append(math.sqrt(max(row[i] - _dot(new, new), 1e-12)))
        lower.append(new)
    return lower


def _forward(lower: list[list[float]], right: list[float]) -> list[float]:
    solved: list[float] = []
    for row, value in zip(lower, right, strict=True):
        solved.append((value - _dot(row[:-1], solved)) / row[-1])
    return solved
