"""How long trials take, and from that the remaining work of a sweep."""

from __future__ import annotations

import math
from collections.abc import Collection

from zeus_ray.carbon.planning.width_planner import RemainingWork
from zeus_ray.quantity_format import HOUR_S


class TrialHours:
    """Hours that trials ran, on the grid's clock, by trial id. They include the time to start a trial.

    Args:
        guess_h: hours of one trial, used until one has ended; None: unknown.
    """

    def __init__(self, guess_h: float | None) -> None:
        self._guess_h = guess_h
        self._spent_h: dict[str, float] = {}
        self._ended_h: dict[str, float] = {}
        self._observed_s = math.inf

    def observe(self, now_s: float, active: Collection[str], ended: Collection[str]) -> None:
        """Count the time since the last call for the trials that run; note those that have ended."""
        step_h = max(0.0, now_s - self._observed_s) / HOUR_S
        self._observed_s = now_s
        for trial_id in active:
            self._spent_h[trial_id] = self._spent_h.get(trial_id, 0.0) + step_h
        for trial_id in (set(ended) - set(active)) & set(self._spent_h):
            self._ended_h.setdefault(trial_id, self._spent_h[trial_id])

    def restore(self, trial_id: str, spent_h: float, *, ended: bool) -> None:
        """Hours of a trial before a restore."""
        if spent_h > 0:
            self._spent_h[trial_id] = spent_h
            if ended:
                self._ended_h[trial_id] = spent_h

    def remaining(self, unfinished: Collection[str], to_come: int, budget: float) -> RemainingWork | None:
        """The remaining work of a sweep; None while it is unknown how long a trial takes.

        Some trials stop early, so the mean of the ended ones counts for the work, and the longest for what
        one trial may still take. A trial that already ran longer than that counts as 90 % done.

        Args:
            unfinished: trials that have not ended.
            to_come: trials that have not been created.
            budget: see :class:`RemainingWork`.
        """
        ended_h = list(self._ended_h.values())
        if not ended_h and self._guess_h is None:
            return None
        mean_h = math.fsum(ended_h) / len(ended_h) if ended_h else float(self._guess_h or 0.0)
        longest_h = max(ended_h, default=mean_h)
        spent_h = [self._spent_h.get(trial_id, 0.0) for trial_id in unfinished]
        return RemainingWork(
            work_h=math.fsum(max(mean_h - h, h / 9) for h in spent_h) + to_come * mean_h,
            trials=len(spent_h) + to_come,
            longest_h=max([*(max(longest_h - h, h / 9) for h in spent_h), longest_h if to_come else 0.0]),
            budget=budget,
        )
