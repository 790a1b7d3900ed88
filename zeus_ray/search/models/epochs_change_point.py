"""Change-point detection: a two-sided CUSUM on the standardised log epochs of repeated runs (Page 1954)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

SLACK, ALARM = 0.75, 6.0
"""In standard deviations. Slack: half of the change to detect (1.5). Alarm: with these about one false
alarm in 10⁴ runs of Gaussian scatter, and a change of three deviations is found after three runs."""
STALE_VAR = 0.16
"""Variance that observations from before a change gain: epochs then differ by a factor of 1.5 as a rule."""


class DriftDetector:
    """Sums of deviations above and below what earlier runs of the same size took."""

    def __init__(self) -> None:
        self.since = 0
        """Index of the first run of the job as it is now."""
        self._high = self._low = 0.0

    def observe(self, log_epochs: float, earlier: Sequence[float], scatter: float, index: int) -> bool:
        """Take in run number ``index``. Returns whether the job has changed."""
        if not earlier:
            return False
        sd = scatter * math.sqrt(1 + 1 / len(earlier))
        z = (log_epochs - float(np.mean(earlier))) / sd
        self._high = max(0.0, self._high + z - SLACK)
        self._low = max(0.0, self._low - z - SLACK)
        if max(self._high, self._low) <= ALARM:
            return False
        self.since, self._high, self._low = index, 0.0, 0.0
        return True

    def state(self) -> list[Any]:
        """Plain JSON."""
        return [self.since, self._high, self._low]

    def restore(self, state: Sequence[Any]) -> None:
        """Inverse of :meth:`state`."""
        self.since, self._high, self._low = state
