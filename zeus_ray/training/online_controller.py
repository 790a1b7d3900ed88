"""The power limit of one long run, found while it trains and found again when its load changes.

A controller is told what was measured and says which limit to hold; it has no clock and touches no GPU.
Every process of a job feeds its own copy the same gathered numbers and so comes to the same decision at the
same step. Units of work are steps, samples or tokens; epochs are not needed.

    warm-up -> first profile (highest limit first) -> settled -> (change of load) -> profile -> settled ...
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from typing_extensions import Self

from zeus_ray.errors import BadInput
from zeus_ray.records.serialization import from_plain, to_plain
from zeus_ray.training.limit_curve import LogEstimate
from zeus_ray.training.load_change_test import ChangeTest
from zeus_ray.training.merge_rank_windows import GroupWindow, join, merge
from zeus_ray.training.online_limit_choice import LimitChoice
from zeus_ray.training.online_records import (
    ControllerState,
    LimitRecord,
    LimitWindow,
    OnlineSettings,
    ProfilingCost,
    UnitPoint,
    Verdict,
)
from zeus_ray.training.profiles_after_load_change import LoadHistory
from zeus_ray.training.step_statistics import RankWindow

SETTLE_GAIN = 0.002
"""A first profile ends when no window is expected to lower the cost by this much (ln)."""
AGING_SD = 0.004
"""What was measured an hour ago is this much less certain (ln), so that it is measured again in time."""
WIDE_SD = 0.02
"""A window with a standard error above this (ln) is repeated."""
SUSPICIOUS_BLOCKS = 12
"""A change that is suspected for this many records and not found is slow drift."""
CHANGE_SLACK, CHANGE_THRESHOLD = 0.01, 5.0
"""Shifts below 1 % are no change; 5 standard deviations beyond that are."""
WINDOW_TRIES = 3
"""Windows at one limit in a row before it is taken as it is."""
REFINING_WORTH_S = 0.36
"""A closer look at a known load must be expected to save the cost of this many seconds from then on."""
BASE_S = 60.0
"""Time for profiling after the first profile that a run may use beside its share."""


class OnlineController:
    """Decides the limit of one run.

    Hold ``limits_w`` always. While ``next_window()`` is not None, measure such a window in every
    process and give all their records to ``observe_window``. When it is None, give ``observe_settled`` a
    record of every ``monitor_steps`` steps. ``settle_steps`` steps after a change of limit belong to neither.

    Args:
        settings: limits and objective.
        stored: the profile of an earlier run of the same job on the same kind of GPU. One window checks
            it; if time or power differ by more than 5 %, the run is profiled anew.
    """

    def __init__(self, settings: OnlineSettings, *, stored: Sequence[UnitPoint] = ()) -> None:
        self.settings = settings
        self._go_on(ControllerState([LimitRecord() for _ in settings.limits_w]))
        self._state.pending = self._choice.top
        self._load(stored)

    def _go_on(self, state: ControllerState) -> None:
        self._state = state
        self._choice = LimitChoice(self.settings, state)
        self._loads = LoadHistory(self._choice)

    @property
    def settled(self) -> bool:
        """Whether no window is to be measured."""
        return self._state.phase == "settled"

    @property
    def profiled(self) -> bool:
        """Whether the first profile is complete, or a stored one confirmed."""
        return self._state.first_done

    @property
    def limits_w(self) -> tuple[float, ...]:
        """The limit of each stage (W per GPU) that is to be held now."""
        state, limits = self._state, self.settings.limits_w
        if state.shared and state.phase in {"settled", "check"}:
            return tuple(limits[k] for k in state.shared)
        return (limits[state.pending],) * len(self.settings.gpus)

    @property
    def limit_w(self) -> float:
        """The limit that is to be held now (W per GPU); the highest of the stages'."""
        return max(self.limits_w)

    @property
    def settle_steps(self) -> int:
        """Steps to leave out after a change of limit."""
        step_s = self._state.step_s
        return max(1, math.ceil(self.settings.settle_s / step_s)) if step_s > 0 else 0

    @property
    def monitor_steps(self) -> int:
        """Steps of one record for ``observe_settled``: 0.2 % of the run so far, from 5 to 30 s."""
        return self._steps(min(30.0, max(5.0, 0.002 * self._state.elapsed_s)))

    def next_window(self) -> LimitWindow | None:
        """The window to measure now; None: settled."""
        state = self._state
        if state.phase == "settled":
            return None
        if state.phase == "warm-up":
            return LimitWindow(self.limits_w, 0, max(2, self.settings.warm_up_steps), "warm-up")
        purpose = "check" if state.phase == "check" else "profile"
        return LimitWindow(self.limits_w, self.settle_steps, self._steps(self._window_s()), purpose)

    def _window_s(self) -> float:
        """Seconds of a window: longer where a known load gets a closer look, the longer the run has been."""
        state, seconds = self._state, self.settings.window_s
        if state.refining:
            return max(2 * seconds, min(60.0, 0.004 * state.elapsed_s))
        at_top = self.settings.max_slowdown is not None and state.pending == self._choice.top
        return 2 * seconds if at_top else seconds  # everything is compared with the highest limit

    def _steps(self, seconds: float) -> int:
        step_s = self._state.step_s
        return max(self.settings.min_steps, math.ceil(seconds / step_s) if step_s > 0 else 0)

    def observe_window(self, ranks: Sequence[RankWindow]) -> Verdict:
        """Take in the window that ``next_window`` asked for, one record per process, in the order of ranks.

        Raises:
            BadInput: no window was asked for, or no process measured anything.
        """
        state = self._state
        if state.phase == "settled":
            raise BadInput("no window was asked for: next_window() is None, use observe_settled")
        window = join(ranks, self.settings.gpus)
        state.elapsed_s += window.wall_s
        if math.isfinite(window.step_s):
            state.step_s = window.step_s
        if state.phase == "warm-up":
            state.phase = "check" if state.stored >= 0 else "profile"
            state.tries = 0
            self._state.held.units += window.units
            return Verdict.ACCEPTED
        self._charge(window)
        state.tries += 1
        return self._disturbed(window) or self._weigh(window)

    def _disturbed(self, window: GroupWindow) -> Verdict | None:
        """What a window that cannot be taken as it is leads to; None: it can."""
        state = self._state
        last_try = state.tries >= WINDOW_TRIES
        if not math.isfinite(window.time.mean) or (window.clean < 0.5 and not last_try):
            return self._give_up() if last_try else Verdict.OUTLIER
        if state.first_done and not state.refining and self._loads.recall(window):
            self._settle()
            return Verdict.ACCEPTED
        if not (state.first_done or state.confirmed) or not self._contradicts(window):
            return None
        if state.tries == 1:
            return Verdict.REPEAT
        if state.refining:  # the load has not changed: what was measured here before had been disturbed
            state.held.time = state.held.power = None
            return None
        if self._loads.changed(window):
            self._settle()
        else:
            self._start_profile()
        return Verdict.ACCEPTED

    def _weigh(self, window: GroupWindow) -> Verdict:
        """Take a window in, then decide, unless it is too uncertain."""
        state = self._state
        last_try = state.tries >= WINDOW_TRIES
        too_short = window.wall_s < 0.5 * self.settings.window_s
        self._take(window)
        surprise = self._choice.surprise(window) and state.tries == 1
        spread = math.sqrt(max(self._held_time().var, 0.0))
        if not last_try and (too_short or surprise or spread > WIDE_SD):
            return Verdict.REPEAT
        state.tries = 0
        self._decide(window)
        return Verdict.ACCEPTED

    def observe_settled(self, ranks: Sequence[RankWindow]) -> bool:
        """Take in ``monitor_steps`` steps at the settled limit; True: the limit or the phase has changed.

        Records with many outliers are left out. Two tests look for a change in seconds and in
        watts; a change calls for a profile, within ``profiling_share`` of the run's time.
        """
        state = self._state
        if state.phase != "settled":
            raise BadInput("a window was asked for by next_window(): give it to observe_window")
        window, before = join(ranks, self.settings.gpus), (self.limits_w, state.phase)
        state.elapsed_s += window.wall_s
        held = self._state.held
        held.units += window.units
        if not math.isfinite(window.time.mean) or window.clean < 0.5:
            return False
        state.step_s = window.step_s
        if not state.energy_known or held.time is None:
            return self._measured_again(window)
        for record in state.records:
            if record.time is not None and record is not held:
                record.time.var += AGING_SD**2 * window.wall_s / 3600.0
        by_time, by_power = self._test(window, held)
        if by_time or by_power:
            if self._loads.changed(window):
                self._settle()
        elif not state.stale and self._quiet(window, held):
            merge(held, window)
            self._refine()
        if state.stale and self._may_profile_again():
            self._start_profile()
        return (self.limits_w, state.phase) != before

    def _measured_again(self, window: GroupWindow) -> bool:
        """Profile from the start, where energy or time, which were not known, are known now."""
        if window.power is None or not self._may_profile_again():
            return False
        self._state.energy_known = True
        self._loads.forget()
        self._start_profile()
        return True

    def set_energy_price(self, price: float) -> None:
        """A joule now costs ``price`` times what it does in the long run (carbon or tariff); decides anew."""
        if price == self._state.price:
            return
        self._state.price = price
        if self.settled and self._state.energy_known and not self._state.stale:
            self._settle()

    @property
    def profile(self) -> tuple[UnitPoint, ...]:
        """The limits measured under the present load, highest first: to be stored for a restart."""
        return tuple(
            UnitPoint(w, math.exp(r.power.mean) if r.power else math.nan, math.exp(r.time.mean))
            for w, r in zip(self.settings.limits_w, self._state.records, strict=True)
            if r.time is not None
        )

    @property
    def profiling_cost(self) -> ProfilingCost:
        """What profiling has cost so far, against the limit that is held now."""
        state = self._state
        extra_s, extra_j = self._loads.profiling_extra()
        return ProfilingCost(
            windows=state.windows,
            steps=state.profile_steps,
            time_s=state.profile_s,
            extra_s=state.closed_profile_s + extra_s,
            extra_j=state.closed_profile_j + extra_j,
        )

    @property
    def slowdown(self) -> float:
        """Time so far over what it would have been at the highest limit, profiling included; NaN: unknown."""
        work_s, extra_s = self._choice.work()
        return 1 + extra_s / work_s if work_s > 0 else math.nan

    def state(self) -> Any:  # noqa: ANN401 — JSON
        """Everything known, as plain JSON."""
        return to_plain(self._state)

    @classmethod
    def from_state(cls, settings: OnlineSettings, state: object) -> Self:
        """A controller that goes on where ``state`` was taken.

        Raises:
            BadInput: ``state`` is none, or of other limits than ``settings``.
        """
        controller = cls(settings)
        known = from_plain(ControllerState, state)
        if len(known.records) != len(settings.limits_w):
            raise BadInput(
                f"the state has {len(known.records)} limits, the settings have {len(settings.limits_w)}"
            )
        controller._go_on(known)
        return controller

    def _held_time(self) -> LogEstimate:
        return self._state.held.time or LogEstimate(0.0, math.inf)

    def _load(self, stored: Sequence[UnitPoint]) -> None:
        """Take over a stored profile; its best limit will be checked by one window."""
        for point in stored:
            known = point.power_limit_w in self.settings.limits_w and point.time_per_unit_s > 0
            if not (known and point.average_power_w > 0):
                continue
            record = self._state.records[self.settings.limits_w.index(point.power_limit_w)]
            record.time = LogEstimate(math.log(point.time_per_unit_s), 0.005**2)
            record.power = LogEstimate(math.log(point.average_power_w), 0.005**2)
        if self._state.records[self._choice.top].time is None:
            self._loads.forget()
            return
        self._state.stored = self._state.pending = self._choice.best(self._choice.curves())

    def _charge(self, window: GroupWindow) -> None:
        """Count a window as profiling."""
        state, held = self._state, self._state.held
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
        state, held = self._state, self._state.held
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
        merge(held, window)
        held.seen_s = state.elapsed_s

    def _contradicts(self, window: GroupWindow) -> bool:
        """Whether a window is far from what was measured at the same limit before: has the load changed?"""
        time = self._state.held.time
        if time is None or self._state.phase != "profile":
            return False
        return abs(window.time.mean - time.mean) > max(0.02, 4 * math.sqrt(window.time.var + time.var))

    def _give_up(self) -> Verdict:
        """No usable window at this limit after several tries: the highest limit stays."""
        self._state.pending, self._state.stored, self._state.shared = self._choice.top, -1, ()
        self._enter_settled()
        return Verdict.OUTLIER

    def _decide(self, window: GroupWindow) -> None:
        """After a complete window: the next limit to measure, or settle."""
        state = self._state
        if not state.energy_known or (self._choice.eta == 0 and self.settings.max_slowdown is None):
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
        compared = state.first_done or self.settings.max_slowdown is not None
        if (
            compared
            and not state.refining
            and not state.confirmed
            and self._choice.best(self._choice.curves()) != self._choice.top
        ):
            state.pending, state.confirmed = (
                self._choice.top,
                True,
            )  # did a disturbance end while all this was measured?
            return
        self._settle()
        chosen = self._choice.by_stage()
        if chosen is not None:
            state.shared, state.shared_record, state.phase = chosen, LimitRecord(), "check"

    def _affordable(self) -> bool:
        return not self._state.first_done or self._may_profile_again()

    def _after_check(self, window: GroupWindow) -> None:
        """One window at a stored limit, or at limits shared out among the stages, decides about them."""
        state = self._state
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
            self._settle()
            return
        self._loads.forget()
        merge(state.records[state.pending], window)
        state.phase, state.pending, state.windows_in_profile = "profile", self._choice.top, 0

    def _settle(self) -> None:
        self._state.pending = self._choice.best(self._choice.curves())
        self._enter_settled()

    def _enter_settled(self) -> None:
        state = self._state
        if not state.refining:
            state.settled_at_s = state.elapsed_s
        state.phase, state.first_done, state.stale, state.refining = "settled", True, False, True
        state.tries = state.windows_in_profile = 0
        state.confirmed = False
        state.time_test, state.power_test = ChangeTest(), ChangeTest()

    def _test(self, window: GroupWindow, held: LimitRecord) -> tuple[float, float]:
        """Both change tests on one block: the new mean deviations, 0 where there is none."""
        changes = []
        pairs = (
            (self._state.time_test, window.time, held.time),
            (self._state.power_test, window.power, held.power),
        )
        for test, new, old in pairs:
            change = 0.0
            if new is not None and old is not None:
                sd = math.sqrt(new.var + old.var)
                change = test.update(new.mean - old.mean, sd, slack=CHANGE_SLACK, threshold=CHANGE_THRESHOLD)
            changes.append(change)
        return changes[0], changes[1]

    def _quiet(self, window: GroupWindow, held: LimitRecord) -> bool:
        """Whether neither test suspects a change; a suspicion that lasts without one is taken as drift."""
        tests = (self._state.time_test, self._state.power_test)
        if max(test.level for test in tests) < 0.5 * CHANGE_THRESHOLD:
            return True
        if max(max(test.high_since, test.low_since) for test in tests) < SUSPICIOUS_BLOCKS:
            return False
        for old, new in ((held.time, window.time), (held.power, window.power)):
            if old is not None and new is not None:
                old.var += (new.mean - old.mean) ** 2
        self._state.time_test, self._state.power_test = ChangeTest(), ChangeTest()
        return True

    def _start_profile(self) -> None:
        """Profile again: what a shift left open, or everything from the highest limit on."""
        state = self._state
        state.windows_in_profile = state.tries = 0
        state.confirmed = False
        probe = (
            self._choice.top
            if state.records[self._choice.top].time is None
            else self._choice.next_probe(SETTLE_GAIN)
        )
        if probe is None:
            self._settle()
            return
        state.phase, state.pending, state.shared = "profile", probe, ()

    def _may_profile_again(self) -> bool:
        state = self._state
        return state.again_s < BASE_S + self.settings.profiling_share * state.elapsed_s

    def _refine(self) -> None:
        """Follow the slow-down budget; measure more where the time so far makes a closer look worth it."""
        state = self._state
        time_alone = self._choice.eta == 0 and self.settings.max_slowdown is None
        if time_alone or state.shared or not self._may_profile_again():
            return
        if self.settings.max_slowdown is not None:
            self._move(self._choice.best(self._choice.curves()))
        horizon_s = max(self.settings.expected_s - state.elapsed_s, state.elapsed_s)
        probe = self._choice.next_probe(REFINING_WORTH_S / horizon_s)
        if probe is None:
            probe = self._choice.neighbour_to_check()
        if probe is None or (probe == state.pending and self.settings.max_slowdown is None):
            best = self._choice.best(self._choice.curves())
            self._move(best)
            return
        state.phase, state.pending = "profile", probe
        state.windows_in_profile = state.tries = 0

    def _move(self, k: int) -> None:
        """Hold another measured limit from now on."""
        if k != self._state.pending:
            self._state.pending = k
            self._state.time_test, self._state.power_test = ChangeTest(), ChangeTest()
