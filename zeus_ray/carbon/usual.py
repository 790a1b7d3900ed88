"""What is usual at each time of day, and how today differs: the forecast the planner of trials wants.

To pick the cheapest hours one must know when *cheap* is, not tomorrow's value. The mean of many days
knows that better than any single day, whose weather does not come back; where the grid is now,
against what is usual, is news that fades.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zeus_ray.carbon.forecast import DAY_S, Persistence
from zeus_ray.carbon.series import Series
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
        per_day = round(DAY_S / history.step_s)
        days = min(self.days, len(history) // per_day if per_day else 0)
        if not days or abs(per_day * history.step_s - DAY_S) > 1e-6:
            return Persistence().forecast(history, horizon_s)
        values = hold(history.values[-days * per_day :])
        if np.isnan(values[-1]):
            return Persistence().forecast(history, horizon_s)
        usual = values.reshape(days, per_day).mean(axis=0)
        lead = np.arange(1, max(0, int(np.ceil(horizon_s / history.step_s - 1e-9))) + 1)
        # The mean day begins where the history ends; its last interval is the one just seen.
        error = values[-1] - usual[-1]
        ahead = usual[(lead - 1) % per_day] + error * np.exp(-lead * history.step_s / self.fades_s)
        return Series(history.end_s, history.step_s, ahead)
