"""What is usual at each time of day, and how today differs: the forecast the planner of trials wants.

To pick the cheapest hours one must know when *cheap* is, not tomorrow's value. The mean of many days
knows that better than any single day, whose weather does not come back; where the grid is now,
against what is usual, is news that fades.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from zeus_ray.carbon.elastic import Doubt
from zeus_ray.carbon.forecast import DAY_S, Persistence
from zeus_ray.carbon.series import Array, Series
from zeus_ray.carbon.signal import hold


@dataclass(frozen=True)
class Usual:
    """The mean day of the last ``days``, corrected by the latest error, which fades.

    Satisfies :class:`zeus_ray.carbon.forecast.Forecaster`. ``fades_s``: after this long 1/e of the
    error is left. Both were chosen on the first halves of the year of two grids (CISO and ERCO 2022);
    the benchmark reports on the second.
    """

    days: int = 28
    fades_s: float = 20 * 3600.0

    def forecast(self, history: Series, horizon_s: float) -> Series:
        """From ``history.end_s`` on. With less than a day of history: persistence."""
        days = self._days(history)
        if not len(days):
            return Persistence().forecast(history, horizon_s)
        usual = days.mean(axis=0)
        lead = _leads(history, horizon_s)
        # The mean day begins where the history ends; its last interval is the one just seen.
        error = days[-1, -1] - usual[-1]
        ahead = usual[(lead - 1) % len(usual)] + error * np.exp(-lead * history.step_s / self.fades_s)
        return Series(history.end_s, history.step_s, ahead)

    def doubt(self, history: Series, horizon_s: float) -> Doubt:
        """How far days have been from the mean day: what :meth:`forecast` may be off by, on its axis."""
        days, lead = self._days(history), _leads(history, horizon_s)
        spread = days.std(axis=0)[(lead - 1) % days.shape[1]] if len(days) else np.zeros(len(lead))
        return Doubt(Series(history.end_s, history.step_s, spread), self.fades_s)

    def _days(self, history: Series) -> Array:
        """The last whole days before the history's end, one a row, gaps held; none where there is none."""
        per_day = round(DAY_S / history.step_s)
        days = min(self.days, len(history) // per_day if per_day else 0)
        if not days or abs(per_day * history.step_s - DAY_S) > 1e-6:
            return np.empty((0, 1))
        values = hold(history.values[-days * per_day :])
        return np.empty((0, 1)) if np.isnan(values[-1]) else values.reshape(days, per_day)


def _leads(history: Series, horizon_s: float) -> npt.NDArray[np.int64]:
    return np.arange(1, max(0, math.ceil(horizon_s / history.step_s - 1e-9)) + 1)
