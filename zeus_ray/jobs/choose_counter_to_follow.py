"""Which of a training's counters is followed, and how many steps each line of it adds."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zeus_ray.jobs.progress_parser import ProgressParser

LEAST_INTERVAL_S = 0.05
"""Lines that come faster, as from a buffer, are taken together."""
FIRST_LINES = 3
"""Lines of a counter that make it one."""
LONGEST_COUNTED_S = 10.0
FORGET_S = 300.0
MUCH_MORE = 1.2
MOST_COUNTERS = 100


@dataclass(frozen=True)
class StepsDone:
    """What a line of the followed counter says.

    Attributes:
        steps: how many were done since its last line.
        timed: whether all time since then belongs to them; not at the first line of a counter, nor where it
            has begun anew, as it does with each epoch.
    """

    steps: int
    timed: bool


@dataclass
class _Counter:
    done: int
    at_s: float
    lines: int = 1
    active_s: float = 0.0


class ProgressFollower:
    """Follows the counter that has been active most in the last minutes.

    That is not the bar of epochs above that of steps, nor the bar of an evaluation between them. Several
    processes may print the same counter: the first to say a count is heard.

    Args:
        parser: finds counts in lines.

    Attributes:
        line: the latest line of the followed counter; "" while there is none.
        interval_s: the usual time between its lines; NaN while it is not known.
    """

    def __init__(self, parser: ProgressParser) -> None:
        self.line = ""
        self.interval_s = math.nan
        self._parser = parser
        self._counters: dict[str, _Counter] = {}
        self._followed = ""

    def steps(self, line: str, now_s: float) -> StepsDone | None:
        """What ``line``, read at ``now_s``, adds to the followed counter; None: nothing."""
        count = self._parser.count(line)
        if count is None:
            return None
        if count.counter not in self._counters:
            self._forget_one()
        counter = self._counters.setdefault(count.counter, _Counter(count.done, now_s))
        is_followed = count.counter == self._followed
        if count.done < counter.done and 2 * count.done <= counter.done:
            counter.done, counter.at_s = count.done, now_s
            return StepsDone(count.done, timed=False) if is_followed else None
        more, passed_s = count.done - counter.done, now_s - counter.at_s
        if more <= 0 or passed_s < LEAST_INTERVAL_S:
            return None
        self._was_active(counter, min(passed_s, LONGEST_COUNTED_S))
        counter.done, counter.at_s, counter.lines = count.done, now_s, counter.lines + 1
        if not is_followed and not self._is_better(counter):
            return None
        before_s = self.interval_s if is_followed else passed_s
        self._followed, self.line = count.counter, line
        self.interval_s = before_s + 0.2 * (passed_s - before_s)
        return StepsDone(more if is_followed else 0, timed=is_followed)

    def _was_active(self, counter: _Counter, seconds: float) -> None:
        kept = math.exp(-seconds / FORGET_S)
        for one in self._counters.values():
            one.active_s *= kept
        counter.active_s += seconds

    def _is_better(self, counter: _Counter) -> bool:
        now = self._counters.get(self._followed)
        if counter.lines < FIRST_LINES:
            return False
        return now is None or counter.active_s > MUCH_MORE * now.active_s

    def _forget_one(self) -> None:
        if len(self._counters) >= MOST_COUNTERS:
            others = (name for name in self._counters if name != self._followed)
            del self._counters[min(others, key=lambda name: self._counters[name].active_s)]
