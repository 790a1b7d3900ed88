"""Watching a settled run: has its load changed, is a change suspected, is it drift?"""

from __future__ import annotations

import math

from zeus_ray.training.online_limit.choose_next_limit import LimitChoice
from zeus_ray.training.online_limit.controller_settings_and_state import LimitRecord
from zeus_ray.training.online_limit.load_change_detector import ChangeTest
from zeus_ray.training.online_limit.merge_rank_windows import GroupWindow

AGING_SD = 0.004
"""What was measured an hour ago is this much less certain (ln), so that it is measured again in time."""
SUSPICIOUS_BLOCKS = 12
"""A change that is suspected for this many records and not found is slow drift."""
MOST_DRIFT = 0.02
"""A record further (ln) than this from what was known is no drift, however long a change is suspected."""
CHANGE_SLACK, CHANGE_THRESHOLD = 0.01, 5.0
"""Shifts below 1 % are no change; 5 standard deviations beyond that are."""


class LoadWatch:
    """Tests each record of a settled run against what was measured at the same limit before.

    Args:
        choice: has the state.
    """

    def __init__(self, choice: LimitChoice) -> None:
        self._choice = choice

    def age(self, wall_s: float) -> None:
        """The limits that are not held become less certain with time."""
        for record in self._choice.state.records:
            if record.time is not None and record is not self._choice.state.held:
                record.time.var += AGING_SD**2 * wall_s / 3600.0

    def changes(self, window: GroupWindow, held: LimitRecord) -> tuple[float, float]:
        """Both change tests on one block: the new mean deviations, 0 where there is none."""
        changes = []
        pairs = (
            (self._choice.state.time_test, window.time, held.time),
            (self._choice.state.power_test, window.power, held.power),
        )
        for test, new, old in pairs:
            change = 0.0
            if new is not None and old is not None:
                sd = math.sqrt(new.var + old.var)
                change = test.update(new.mean - old.mean, sd, slack=CHANGE_SLACK, threshold=CHANGE_THRESHOLD)
            changes.append(change)
        return changes[0], changes[1]

    def is_quiet(self, window: GroupWindow, held: LimitRecord) -> bool:
        """Whether neither test suspects a change; a small one that lasts and is not found is drift."""
        tests = (self._choice.state.time_test, self._choice.state.power_test)
        if max(test.level for test in tests) < 0.5 * CHANGE_THRESHOLD:
            return True
        if max(max(test.high_since, test.low_since) for test in tests) < SUSPICIOUS_BLOCKS:
            return False
        pairs = [(held.time, window.time), (held.power, window.power)]
        known = [(old, new) for old, new in pairs if old is not None and new is not None]
        if any(abs(new.mean - old.mean) > MOST_DRIFT for old, new in known):
            return False
        for old, new in known:
            old.var += (new.mean - old.mean) ** 2
        self._choice.state.time_test, self._choice.state.power_test = ChangeTest(), ChangeTest()
        return True
