"""An upper bound for forecasts from history: a regression fitted on the hours on which it is judged.

It is linear: per lead, on the last values, the means of the last days and the same hour of earlier days, with
coefficients that vary over the day. What the planner saves with it is about what a linear forecast of that
form can reach, and a little more, since its coefficients are fitted on the answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from zeus_ray.carbon.forecasts.forecaster import HISTORY_S, ForecastUncertainty
from zeus_ray.carbon.forecasts.gp_forecast import GpForecast
from zeus_ray.carbon.series import Array, Series
from zeus_ray.quantity_format import DAY_S, HOUR_S

LAGS_H = (0, 1, 2, 3, 6, 12, 23, 24, 47, 71, 143, 167)
MEANS_H = (24, 72, 168)
REACH_S = 9 * DAY_S
"""The longest deadline of the benchmark: how far ahead it is fitted."""


@dataclass(frozen=True)
class HindsightView:
    """A ``sweep_simulation.View``; fitted on the origins in [first_s, last_s)."""

    truth: Series
    first_s: float
    last_s: float

    def forecast(self, now_s: float, until_s: float) -> tuple[Series, ForecastUncertainty | None]:
        """Four weeks of history, and the regression's values after it."""
        past = self.truth.between(now_s + self.truth.step_s - HISTORY_S, now_s + self.truth.step_s)
        count = int(np.ceil((until_s - past.end_s) / self.truth.step_s + 1))
        future = self._forecasts[round((now_s - self.first_s) / self.truth.step_s)][: max(0, count)]
        whole = Series(past.start_s, past.step_s, np.concatenate([past.values, future]))
        return whole, GpForecast().uncertainty(past, count * past.step_s)

    @cached_property
    def _forecasts(self) -> Array:
        """One row per origin, one column per step ahead."""
        per_h = HOUR_S / self.truth.step_s
        leads = np.arange(1, round(REACH_S / self.truth.step_s) + 1)
        origins = round((self.first_s - self.truth.start_s) / self.truth.step_s) + np.arange(
            round((self.last_s - self.first_s) / self.truth.step_s)
        )
        features = self._features(origins, per_h)
        answered = origins + leads[-1] < len(self.truth)
        answers = self.truth.values[origins[answered, None] + leads]
        return np.asarray(
            features @ np.linalg.lstsq(features[answered], answers, rcond=None)[0], dtype=np.float64
        )

    def _features(self, origins: np.ndarray, per_h: float) -> Array:
        """Lags and means, each alone and times the first two harmonics of the day."""
        values = self.truth.values - self.truth.values.mean()
        sums = np.concatenate([[0.0], np.cumsum(values)])
        lags = [values[origins - round(h * per_h)] for h in LAGS_H]
        means = [(sums[origins + 1] - sums[origins + 1 - round(h * per_h)]) / (h * per_h) for h in MEANS_H]
        angle = 2 * np.pi * origins / (24 * per_h)
        waves = [np.ones(len(origins))] + [f(k * angle) for k in (1, 2) for f in (np.cos, np.sin)]
        more = [f(k * angle) for k in (3, 4, 5) for f in (np.cos, np.sin)]
        return np.column_stack([a * w for a in (waves[0], *lags, *means) for w in waves] + more)
