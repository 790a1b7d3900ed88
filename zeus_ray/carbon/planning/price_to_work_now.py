"""The price below which work is done now rather than later, while the future is uncertain.

The cheapest hours of a forecast cost more than the cheapest hours that will really come, because some
hours turn out better than expected and the work can still be moved to them. How much that is worth is an
optimal-stopping problem with m units of work, one interval each. Its dynamic programme over time,
remaining work and the error of the forecast is small enough to be solved for each plan:

    V(t, j, x) = min( price(t, x) + E V(t+1, j−1, x'),  E V(t+1, j, x') ),    V(end, j > 0) = ∞
    price(t, x) = expected(t) + spread(t) · x,   x' = ρ · x + √(1 − ρ²) · normal,   x = 0 now

x is a Markov chain of a few states with persistence ρ (Rouwenhorst 1995).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from zeus_ray.carbon.series import Array

STATES = 5
"""Odd, so that x = 0 is one of them. More than five change the emissions by nothing measurable."""
INFINITE_PRICE = 1e9
"""Stands for ∞, in units of the highest price: differences of infinities would be NaN."""


def reservation_price(expected: Array, spread: Array, persistence: float, units: int) -> float:
    """The price at which a unit of work costs as much now as later.

    Args:
        expected: forecast of each *later* interval, the next one first.
        spread: standard deviation of the forecast's error in the long run, per interval.
        persistence: the share of an error that remains one interval later, 0 to 1.
        units: remaining work in intervals, 1 or more.

    Returns:
        A price; a very large one if the work does not fit into the later intervals.
    """
    states, transitions = error_chain(persistence)
    scale = float(np.max(np.abs(expected), initial=1.0))
    value = np.full((units + 1, STATES), INFINITE_PRICE * scale)
    value[0] = 0.0
    value *= np.arange(units + 1)[:, None]
    for price in (expected[:, None] + spread[:, None] * states)[::-1]:
        later = value @ transitions.T
        value = later.copy()
        np.minimum(later[1:], price + later[:-1], out=value[1:])
    now = value @ transitions[STATES // 2]
    return float(now[units] - now[units - 1])


@cache
def error_chain(persistence: float) -> tuple[Array, Array]:
    """The states of x, in standard deviations, and its transition matrix (rows sum to 1)."""
    p = (1 + min(max(persistence, 0.0), 1.0)) / 2
    transitions = np.array([[p, 1 - p], [1 - p, p]])
    for size in range(3, STATES + 1):
        larger = np.zeros((size, size))
        larger[:-1, :-1] += p * transitions
        larger[:-1, 1:] += (1 - p) * transitions
        larger[1:, :-1] += (1 - p) * transitions
        larger[1:, 1:] += p * transitions
        larger[1:-1] /= 2
        transitions = larger
    edge = math.sqrt(STATES - 1)
    return np.linspace(-edge, edge, STATES), transitions
