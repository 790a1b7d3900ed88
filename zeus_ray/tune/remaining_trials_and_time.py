"""How many trials and how much time an experiment of Ray Tune has left for a search."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass

from zeus_ray.records import TIME_USED, TRIALS_USED


@dataclass
class Remaining:
    """What an experiment may still run.

    Attributes:
        trials: suggestions that it may still ask for; None: no limit.
        time_s: of its time budget, when ``Remaining`` was made; None: no limit.
        since_s: when that was (s since 1970).
    """

    trials: int | None = None
    time_s: float | None = None
    since_s: float = 0.0

    @classmethod
    def of_experiment(
        cls, num_samples: int | None = None, time_budget_s: float | dt.timedelta | None = None
    ) -> Remaining:
        """From Tune's own settings; ``num_samples=-1`` has no limit."""
        budget = time_budget_s.total_seconds() if isinstance(time_budget_s, dt.timedelta) else time_budget_s
        trials = None if num_samples is None or num_samples < 0 else int(num_samples)
        return cls(trials=trials, time_s=None if budget is None else float(budget), since_s=time.time())

    def take_one(self) -> None:
        """One more trial was suggested."""
        if self.trials is not None:
            self.trials = max(0, self.trials - 1)

    def used_up(self) -> str:
        """Which of the two is used up; "": neither."""
        if self.trials == 0:
            return TRIALS_USED
        return TIME_USED if self.left_s() == 0 else ""

    def left_s(self) -> float | None:
        """Seconds left now; None: no limit."""
        return None if self.time_s is None else max(0.0, self.since_s + self.time_s - time.time())
