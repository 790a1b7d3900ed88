"""What a forecast from history is: its protocol, its history, its uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from zeus_ray.carbon.series import Array, Series
from zeus_ray.quantity_format import WEEK_S

HISTORY_S = 4 * WEEK_S
"""How much history a forecast uses. More would mix seasons."""


class Forecaster(Protocol):
    """A forecast of a signal from its history alone.

    It begins where the history ends, with the same step. Gaps in the history are left out.
    """

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """At least ``horizon_s`` (s) from ``history.end_s`` on; NaN only if the history has no value."""


@dataclass(frozen=True)
class ForecastUncertainty:
    """The error of a forecast: its size in the long run, and how slowly it fades.

    Attributes:
        spread: standard deviation of the error at each time (per kWh).
        decay_s: after this long 1/e of an error is left.
    """

    spread: Series
    decay_s: float


def step_count(history: Series, horizon_s: float) -> int:
    """How many of the history's steps cover the horizon."""
    return max(0, math.ceil(horizon_s / history.step_s - 1e-9))


def series_after(history: Series, values: Array) -> Series:
    """``values`` from the history's end on."""
    return Series(history.end_s, history.step_s, values)
