"""One clock for all trials of a search: replayed boards are faster than processes start.

Each replayed board has a clock of its own, so a trial would be over before the next one has begun, and
no search could stop it for what another shows. Here nobody reports before all others have come as far
(a conservative simulation of discrete events); a new trial begins when the last report was let through.
While there is room for another trial, the driver first has the time to ask for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

STEPS = 2
"""Steps of the driver from a report to what is asked for because of it: it is read in the first of them."""


class Clock:
    """A Ray actor: trials wait here for their turn. The driver says who is there, step by step.

    ``at_once``: how many trials there may be.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        self._began_s: dict[str, float] = {}
        self._at_s: dict[str, float] = {}
        self.now_s = 0.0
        self._steps = self._last_report = 0
        self._moved = asyncio.Condition()

    async def step(self, present: Sequence[str]) -> None:
        """The driver has done a step, and these trials run, or have room to begin: all others wait for them.

        One that had room and lost it, since another began in its place, begins anew when it is named again.
        """
        async with self._moved:
            self._steps += 1
            for trial in self._at_s.keys() - set(present):
                del self._at_s[trial]
            for trial in present:
                if trial not in self._at_s:
                    self._began_s[trial] = self._at_s[trial] = self.now_s
            self._moved.notify_all()

    async def end(self, trial: str) -> None:
        """A trial is over: nobody waits for it any more."""
        async with self._moved:
            self._at_s.pop(trial, None)
            self._last_report = self._steps
            self._moved.notify_all()

    async def reach(self, trial: str, elapsed_s: float) -> None:
        """Return when every other trial has come as far as this one, ``elapsed_s`` after it began."""
        async with self._moved:
            await self._moved.wait_for(lambda: trial in self._at_s)
            self._at_s[trial] = time_s = self._began_s[trial] + elapsed_s
            self._moved.notify_all()
            await self._moved.wait_for(lambda: self._may_report(time_s))
            self.now_s, self._last_report = time_s, self._steps

    def _may_report(self, time_s: float) -> bool:
        asked = len(self._at_s) >= self._at_once or self._steps >= self._last_report + STEPS
        return asked and time_s <= min(self._at_s.values())
