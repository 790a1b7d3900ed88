"""How sure a saved share is: its 90 % interval, and how many trainings would tell it from chance.

Cost, energy and time of a training go with the epochs it needs, whose logarithm scatters from run to run: a
share saved is one minus a ratio of two means of epochs.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from statistics import NormalDist
from typing import NamedTuple

from zeus_ray.quantity_format import signed_percent


class SavingInterval(NamedTuple):
    """90 % interval of a share saved, as the mean of many trainings; NaN where unknown."""

    low: float
    high: float

    @property
    def may_be_chance(self) -> bool:
        """Whether it includes no change; False where unknown."""
        return self.low * self.high <= 0

    def change(self, between: str = "to") -> str:
        """As a change, as in "−41.4 % to +20.4 %"; "" where unknown."""
        if math.isnan(self.low):
            return ""
        return f"{signed_percent(-self.high)} {between} {signed_percent(-self.low)}"


UNKNOWN_INTERVAL = SavingInterval(math.nan, math.nan)


def saving_interval(share: float, *, scatter: float, runs: Iterable[int], compared: int) -> SavingInterval:
    """The interval of a share saved by one batch size against another.

    Args:
        share: saved.
        scatter: standard deviation of log epochs from run to run.
        runs: of either batch size, from which its mean is expected; 0 counts as 1.
        compared: among so many the batch size was chosen. With 90 % the shares of all of them lie in such
            intervals, and so does that of the one that was chosen (Bonferroni).
    """
    error = scatter * math.sqrt(sum(1 / max(1, count) for count in runs))
    width = math.exp(_half_width(compared) * error)
    return SavingInterval(1 - (1 - share) * width, 1 - (1 - share) / width)


def runs_beyond_chance(share: float, *, scatter: float, compared: int) -> int | None:
    """Runs of either batch size with which the interval would not include no change; None without a share."""
    if not abs(share) > 0 or not share < 1:
        return None
    return math.ceil(2 * (_half_width(compared) * scatter / math.log(1 - share)) ** 2)


def _half_width(compared: int) -> float:
    """Of an interval, in standard errors."""
    return NormalDist().inv_cdf(1 - 0.05 / max(1, compared))
