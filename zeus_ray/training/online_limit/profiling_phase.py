"""Profiling: whether a window is taken, which limit comes next, and when the run is settled.

All decisions are changes of the ``ControllerState``, which the
processes of a job have in common by deciding alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from zeus_ray.training.online_limit.choose_next_limit import SECOND_LOOK_S, LimitChoice
from zeus_ray.training.online_limit.controller_settings_and_state import (
    ControllerState,
    LimitRecord,
    UnitPoint,
    Verdict,
)
from zeus_ray.training.online_limit.limit_curves_and_knowledge_gradient import LogEstimate
from zeus_ray.training.online_limit.load_change_detector import ChangeTest
from zeus_ray.training.online_limit.merge_rank_windows import GroupWindow, merge
from zeus_ray.training.online_limit.profiles_after_load_change import NEW_LOAD, LoadHistory

SETTLE_GAIN = 0.002
"""A first profile ends when no window is expected to lower the cost by this much (ln)."""
WIDE_SD = 0.02
"""A window with a standard error above this (ln) is repeated."""
WINDOW_TRIES = 3
"""Windows at one limit in a row before it is taken as it is."""
BASE_S = 60.0
"""Time for profiling after the first profile that a run may use beside its share."""


class LimitProfiling:
    """The profiling of one run: the first profile, those after changes of load, and closer looks.

    Args:
        choice: chooses among the limits, and has the state.
        loads: what is remembered of earlier loads.
    """

    def __init__(self, choice: LimitChoice, loads: LoadHistory) -> None:
        self._choice = choice
        self._loads = loads

    @property
    def state(self) -> ControllerState:
        """What the controller knows; this class changes it."""
        return self._choice.state

    def observe(self, window: GroupWindow) -> Verdict:
        """Take in the window that was asked for, after the warm-up."""
        self.charge(window)
        self.state.tries += 1
        return self._disturbed(window) or self._weigh(window)

    def _disturbed(self, window: GroupWindow) -> Verdict | None:
        """What a window that cannot be taken as it is leads to; None: it can."""
        state = self.state
        last_try = state.tries >= WINDOW_TRIES
        if not math.isfinite(window.time.mean) or (window.clean < 0.5 and not last_try):
            return self._give_up() if last_try else Verdict.OUTLIER
        seen = state.held.time is not None
        doubtful = self._contradicts(window) if seen else self._choice.unexpected(window)
        if state.first_done and (doubtful or not state.refining) and self._loads.recall(window):
            self.settle()
            return Verdict.ACCEPTED
        if not (state.first_done or state.confirmed) or not self._contradicts(window):
            return None
        if state.tries == 1:
            return Verdict.REPEAT
        return self._contradicted_look(window) if state.refining else self._found_changed(window)

    def _contradicted_look(self, window: GroupWindow) -> Verdict | None:
        """A closer look twice contradicts what was known: disturbances slow a window down, for a while."""
        state, known = self.state, self._held_time()
        since_s = min(state.held.slower_since_s, state.elapsed_s)
        if window.time.mean > known.mean and state.elapsed_s - since_s < SECOND_LOOK_S:
            state.held.slower_since_s = since_s
            self.settle()  # a load that has changed shows at the limit held before, too
            return Verdict.OUTLIER
        self._doubt_others((window.time.mean - known.mean) ** 2)
        state.held.time = state.held.power = None
        return None

    def _found_changed(self, window: GroupWindow) -> Verdict:
        """The load has changed while it was being profiled."""
        if self._loads.changed(window):
            self.settle()
        else:
            self.start()
        return Verdict.ACCEPTED

    def _weigh(self, window: GroupWindow) -> Verdict:
        """Take a window in, then decide, unless it is too uncertain."""
        state = self.state
        last_try = state.tries >= WINDOW_TRIES
        too_short = window.wall_s < 0.5 * self._choice.settings.window_s
        self._take(window)
        surprise = self._choice.surprise(window) and state.tries == 1
        spread = math.sqrt(max(self._held_time().var, 0.0))
        if not last_try and (too_short or surprise or spread > WIDE_SD):
            return Verdict.REPEAT
        state.tries = 0
        self._decide(window)
        return Verdict.ACCEPTED

    def _doubt_others(self, var: float) -> None:
        """What was measured at other limits may not hold any more."""
        for record in self.state.records:
            if record.time is not None and record is not self.state.held:
                record.time.var += var

    def _held_time(self) -> LogEstimate:
        return self.state.held.time or LogEstimate(0.0, math.inf)

    def charge(self, window: GroupWindow) -> None:
        """Count a window as profiling."""
        state, held = self.state, self.state.held
        held.units += window.units
        held.profile_units += window.units
        state.windows += 1
        state.windows_in_profile += 1
        state.profile_steps += window.steps
        state.profile_s += window.wall_s
        if state.first_done:
            state.again_s += window.wall_s

    def _take(self, window: GroupWindow) -> None:
        """Merge a window into the record of the limit that was held."""
        state, held = self.state, self.state.held
        if window.power is None:
            state.energy_known = False
        if state.phase != "check" or not state.shared:
            again = state.tries > 1 and held.time is not None
            if again and held.time is not None:  # a repeat that disagrees says that neither is exact
                held.time.var += 0.25 * (held.time.mean - window.time.mean) ** 2
        share = 0.4
        state.noise_var = window.time.var + (share**2 * window.power.var if window.power else 0.0)
        if state.phase == "check" and not state.shared:
            return
        if not held.looks or state.elapsed_s - held.seen_s > SECOND_LOOK_S:
            held.looks += 1
        merge(held, window)
        held.seen_s, held.slower_since_s = state.elapsed_s, math.inf
        self._loads.confirm()

    def _contradicts(self, window: GroupWindow) -> bool:
        """Whether a window is far from what was measured at the same limit before: has the load changed?"""
        time = self.state.held.time
        if time is None or self.state.phase != "profile":
            return False
        return abs(window.time.mean - time.mean) > max(0.02, 4 * math.sqrt(window.time.var + time.var))

    def _give_up(self) -> Verdict:
        """No usable window at this limit after several tries: the highest limit stays."""
        self.state.pending, self.state.stored, self.state.shared = self._choice.top, -1, ()
        self._enter_settled()
        return Verdict.OUTLIER

    def _decide(self, window: GroupWindow) -> None:
        """After a complete window: the next limit to measure, or settle."""
        state = self.state
        if not state.energy_known or self._choice.eta == 0:
            state.pending, state.shared = self._choice.top, ()
            self._enter_settled()
            return
        if state.phase == "check":
            self._after_check(window)
            return
        if state.records[self._choice.top].time is None:
            state.pending = self._choice.top
            return
        full = state.windows_in_profile >= len(self._choice.usable) + 4
        probe = None if full or not self._affordable() else self._choice.next_probe(SETTLE_GAIN)
        if probe is not None:
            state.pending, state.confirmed = probe, False
            return
        bounded = self._choice.settings.max_slowdown is not None
        unconfirmed = not (state.refining or state.confirmed) and self._choice.best() != self._choice.top
        if bounded and unconfirmed:  # did a disturbance end while all this was measured?
            state.pending, state.confirmed = self._choice.top, True
            return
        self.settle()
        chosen = self._choice.by_stage()
        if chosen is not None:
            state.shared, state.shared_record, state.phase = chosen, LimitRecord(), "check"

    def _affordable(self) -> bool:
        return not self.state.first_done or self.affordable()

    def _after_check(self, window: GroupWindow) -> None:
        """One window at a stored limit, or at limits shared out among the stages, decides about them."""
        state = self.state
        if state.shared:
            common, mine = state.records[state.pending], state.shared_record
            if self._choice.record_cost(mine) >= self._choice.record_cost(common):
                state.shared = ()
            self._enter_settled()
            return
        record = state.records[state.stored]
        state.stored = -1
        same = (
            record.time is not None
            and record.power is not None
            and window.power is not None
            and abs(window.time.mean - record.time.mean) < 0.05
            and abs(window.power.mean - record.power.mean) < 0.05
        )
        if same:
            merge(record, window)
            self.settle()
            return
        self._loads.forget()
        merge(state.records[state.pending], window)
        state.phase, state.pending, state.windows_in_profile = "profile", self._choice.top, 0

    def settle(self) -> None:
        """Hold the best limit by what is known."""
        self.state.pending = self._choice.best()
        self._enter_settled()

    def _enter_settled(self) -> None:
        state = self.state
        if not state.refining:
            state.settled_at_s = state.elapsed_s
        state.phase, state.first_done, state.stale, state.refining = "settled", True, False, True
        state.tries = state.windows_in_profile = 0
        state.confirmed = False
        state.time_test, state.power_test = ChangeTest(), ChangeTest()

    def start(self) -> None:
        """Profile again: what a shift left open, or everything from the highest limit on."""
        state = self.state
        state.windows_in_profile = state.tries = 0
        state.confirmed = False
        top = state.records[self._choice.top].time
        known = top is not None and top.var < NEW_LOAD**2
        probe = self._choice.next_probe(SETTLE_GAIN) if known else self._choice.top
        if probe is None:
            self.settle()
            return
        state.phase, state.pending, state.shared = "profile", probe, ()

    def affordable(self) -> bool:
        """Whether profiling after the first profile is still within its share of the run."""
        state = self.state
        return state.again_s < BASE_S + self._choice.settings.profiling_share * state.elapsed_s

    def take_over(self, stored: Sequence[UnitPoint]) -> None:
        """Take over a stored profile; its best limit will be checked by one window."""
        for point in stored:
            known = point.power_limit_w in self._choice.settings.limits_w and point.time_per_unit_s > 0
            if not (known and point.average_power_w > 0):
                continue
            record = self.state.records[self._choice.settings.limits_w.index(point.power_limit_w)]
            record.time = LogEstimate(math.log(point.time_per_unit_s), 0.005**2)
            record.power = LogEstimate(math.log(point.average_power_w), 0.005**2)
        if self.state.records[self._choice.top].time is None:
            self._loads.forget()
            return
        self.state.stored = self.state.pending = self._choice.best()
