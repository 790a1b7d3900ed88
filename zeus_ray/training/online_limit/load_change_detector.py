"""A test for a change of load during one run: has the level of a positive quantity shifted?"""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class ChangeTest:
    """Two-sided CUSUM test (Page, 1954) on the logarithm of a positive quantity.

    ``high`` and ``low`` accumulate what exceeds ``slack`` either way, in units of the block's standard
    deviation; above ``threshold`` the level has changed. ``since`` and ``drift`` count the blocks, and sum
    their deviations, since the side that is ahead was last at zero: the new level is ``drift / since``.
    """

    high: float = 0.0
    low: float = 0.0
    high_since: int = 0
    low_since: int = 0
    high_drift: float = 0.0
    low_drift: float = 0.0

    @property
    def level(self) -> float:
        """The side that is ahead, in standard deviations."""
        return max(self.high, self.low)

    def update(self, deviation: float, sd: float, *, slack: float, threshold: float) -> float:
        """Add a block; the new mean deviation if the level has changed, else 0.

        Args:
            deviation: ln(value / reference) of this block.
            sd: its standard deviation.
            slack: deviations up to this are no change.
            threshold: how many standard deviations beyond ``slack`` make a change.
        """
        if not math.isfinite(deviation) or not sd > 0:
            return 0.0
        # one block alone never makes a change: a passing disturbance is none
        bounded = 0.8 * threshold
        self.high = max(0.0, self.high + min(bounded, (deviation - slack) / sd))
        self.low = max(0.0, self.low + min(bounded, (-deviation - slack) / sd))
        self.high_since, self.high_drift = (
            (self.high_since + 1, self.high_drift + deviation) if self.high > 0 else (0, 0.0)
        )
        self.low_since, self.low_drift = (
            (self.low_since + 1, self.low_drift + deviation) if self.low > 0 else (0, 0.0)
        )
        if max(self.high, self.low) <= threshold:
            return 0.0
        if self.high >= self.low:
            return self.high_drift / self.high_since
        return self.low_drift / self.low_since
