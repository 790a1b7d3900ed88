"""What waiting is worth when the future is uncertain: the price below which work is done now.

A forecast's cheapest hours are dearer than the cheapest hours that will really come, because some hour
always turns out better than expected and one may still take it. How much better is an optimal-stopping
problem (m units of work, one interval each): its dynamic programme over time, work left and how far off
the forecast has turned out is small enough to be solved at each look.

    V(t, j, x) = min( price(t, x) + E V(t+1, j−1, x'),  E V(t+1, j, x') ),    V(end, j > 0) = ∞
    price(t, x) = expected(t) + spread(t) · x,   x' = keep · x + √(1 − keep²) · normal,   x = 0 now

x is a Markov chain of a few states with that persistence (Rouwenhorst 1995).
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from zeus_ray.carbon.series import Array

STATES = 5
"""Odd, so that x = 0 is one of them; more than five change nothing that can be seen in the grams."""
NEVER = 1e9
"""For ∞, in units of the dearest price: infinities subtracted give NaN."""


def reservation_price(expected: Array, spread: Array, keep: float, units: int) -> float:
    """The price at which a unit of work done now costs as much as one kept for later.

    Args:
        expected: forecast of each *later* interval, the next one first.
        spread: standard deviation of its error in the long run, per interval.
        keep: how much of an error is left one interval later, 0 to 1.
        units: intervals' worth of work left, 1 or more.

    Returns:
        A price; a very large one where the work would no longer fit later.
    """
    states, moves = chain(keep)
    scale = float(np.max(np.abs(expected), initial=1.0))
    value = np.full((units + 1, STATES), NEVER * scale)
    value[0] = 0.0
    value *= np.arange(units + 1)[:, None]
    for price in (expected[:, None] + spread[:, None] * states)[::-1]:
        later = value @ moves.T
        value = later.copy()
        np.minimum(later[1:], price + later[:-1], out=value[1:])
    now = value @ moves[STATES // 2]
    return float(now[units] - now[units - 1])


@cache
def chain(keep: float) -> tuple[Array, Array]:
    """States, in standard deviations, and the matrix of moves between them (rows sum to 1)."""
    p = (1 + min(max(keep, 0.0), 1.0)) / 2
    moves = np.array([[p, 1 - p], [1 - p, p]])
    for size in range(3, STATES + 1):
        wider = np.zeros((size, size))
        wider[:-1, :-1] += p * moves
        wider[:-1, 1:] += (1 - p) * moves
        wider[1:, :-1] += (1 - p) * moves
        wider[1:, 1:] += p * moves
        wider[1:-1] /= 2
        moves = wider
    edge = math.sqrt(STATES - 1)
    return np.linspace(-edge, edge, STATES), moves
