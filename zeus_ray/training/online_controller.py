"""The power limit of one long run, found while it trains and found again when its load changes.

A controller is told what was measured and says which limit to hold; it has no clock and touches no GPU.
Every process of a job feeds its own copy the same gathered numbers and so comes to the same decision at the
same step. Units of work are steps, samples or tokens; epochs are not needed.

    warm-up -> first profile (highest limit first) -> settled -> (change of load) -> profile -> settled ...
"""

from __future__ import annotations

import math
from copy import deepcopy
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any

from typing_extensions import Self

from zeus_ray.errors import BadInput
from zeus_ray.objective import eta_at, max_power_or_fallback_w
from zeus_ray.records.serialization import from_plain, to_plain
from zeus_ray.training.limit_curve import LimitCurve, LogEstimate, best_index, cost_curve, improvement
from zeus_ray.training.limit_sharing import StageCurve, share_limits
from zeus_ray.training.step_statistics import ChangeTest, RankWindow

SETTLE_GAIN = 0.002
"""A first profile ends when no window is expected to lower the cost by this much (ln)."""
WINDOW_SD = 0.003
"""Scatter between two windows at the same limit (ln) beyond what their steps show."""
DRIFT_SD = 0.001
"""A settled limit is never known better than this (ln), so that its estimate follows slow drift."""
CHECK_EVERY, CHECK_EVERY_S = 0.25, 1200.0
"""The limits next to the one held are measured again after this share of the run, at least these seconds."""
AGING_SD = 0.004
"""What was measured an hour ago is this much less certain (ln), so that it is measured again in time."""
WIDE_SD = 0.02
"""A window with a standard error above this (ln) is repeated."""
SUSPICIOUS_BLOCKS = 12
"""A change that is suspected for this many records and not found is slow drift."""
CHANGE_SLACK, CHANGE_THRESHOLD = 0.01, 5.0
"""Shifts below 1 % are no change; 5 standard deviations beyond that are."""
NEW_LOAD = 0.1
"""A shift above this (ln, time and power together) leaves nothing of the old profile."""
TRIES = 3
"""Windows at one limit in a row before it is taken as it is."""
SAME_LOAD = 0.015
"""Time and power within this (ln) of an earlier load's at the same limit: that load is back."""
PAST_LOADS = 3
"""How many earlier loads are remembered."""
REFINING_WORTH_S = 0.36
"""A closer look at a known load must be expected to save the cost of this many seconds in the time to come."""
BASE_S = 60.0
"""Time for profiling after the first profile that a run may use beside its share."""


class Verdict(str, Enum):
    """What became of a window."""

    ACCEPTED = "accepted"
    REPEAT = "repeat"
    OUTLIER = "outlier"


@dataclass(frozen=True, kw_only=True)
class OnlineSettings:
    """What a controller decides by.

    Attributes:
        limits_w: the power limits to choose from (W per GPU).
        gpus: GPUs of each pipeline stage; one entry where all GPUs do the same.
        max_power_w: MAXPOWER of Zeus's Eq. 2, per GPU; None: the highest of ``limits_w``.
        eta: 1 weighs energy alone, 0 time alone.
        max_slowdown: least energy, at most this many times as long as at the highest limit, instead of ``eta``.
        power_budget_w: the most that the limits of all GPUs may add up to.
        window_s: seconds of a window, at least.
        settle_s: seconds left out after a change of limit.
        min_steps: steps of a window, at least.
        warm_up_steps: first steps of a run, which belong to no window (compilation).
        profiling_share: the most of the run's time that profiling after the first profile takes.
        expected_s: how long a run is taken to last while that is not known.
    """

    limits_w: tuple[float, ...]
    gpus: tuple[int, ...] = (1,)
    max_power_w: float | None = None
    eta: float = 0.5
    max_slowdown: float | None = None
    power_budget_w: float | None = None
    window_s: float = 5.0
    settle_s: float = 1.5
    min_steps: int = 5
    warm_up_steps: int = 5
    profiling_share: float = 0.1
    expected_s: float = 3600.0

    def __post_init__(self) -> None:
        """Sort the limits, highest first, and refuse what cannot be."""
        limits = tuple(sorted({float(w) for w in self.limits_w}, reverse=True))
        object.__setattr__(self, "limits_w", limits)
        if not limits or not all(math.isfinite(w) and w > 0 for w in limits):
            raise BadInput(f"limits_w is {self.limits_w}; needed: one or more limits above 0 W")
        if not self.gpus or min(self.gpus) < 1:
            raise BadInput(f"gpus is {self.gpus}; needed: the number of GPUs of each stage, 1 or more")
        if not 0 <= self.eta <= 1:
            raise BadInput(f"eta is {self.eta}; allowed: 0 (time alone) to 1 (energy alone)")
        if self.max_slowdown is not None and not 1 <= self.max_slowdown < math.inf:
            raise BadInput(f"max_slowdown is {self.max_slowdown}; allowed: 1 (none) or more")
        if not (self.window_s > 0 and self.settle_s >= 0 and self.min_steps >= 2 and self.warm_up_steps >= 0):
            raise BadInput(
                f"window_s {self.window_s}, settle_s {self.settle_s}, min_steps {self.min_steps}, warm_up_steps "
                f"{self.warm_up_steps}; needed: window_s > 0, settle_s >= 0, min_steps >= 2, warm_up_steps >= 0"
            )
        if not 0 <= self.profiling_share < 1:
            raise BadInput(f"profiling_share is {self.profiling_share}; allowed: 0 to less than 1")
        least_w = limits[-1] * sum(self.gpus)
        if self.power_budget_w is not None and not self.power_budget_w >= least_w:
            raise BadInput(
                f"power_budget_w is {self.power_budget_w:g} W for {sum(self.gpus)} GPUs, whose lowest limits "
                f"add up to {least_w:g} W; allowed: that or more"
            )


@dataclass(frozen=True)
class LimitWindow:
    """Hold ``limits_w`` (W per GPU, one per stage), leave out ``settle_steps``, then measure ``steps``."""

    limits_w: tuple[float, ...]
    settle_steps: int
    steps: int
    purpose: str
    """"warm-up", "profile", "check" (of a stored or a shared-out limit)."""


@dataclass(frozen=True)
class UnitPoint:
    """One measured limit: W per GPU, average W per GPU, seconds per unit of work."""

    power_limit_w: float
    average_power_w: float
    time_per_unit_s: float


@dataclass(frozen=True, kw_only=True)
class ProfilingCost:
    """What profiling has cost: steps and seconds of its windows, s and J more than at the best limit."""

    windows: int
    steps: int
    time_s: float
    extra_s: float
    extra_j: float


@dataclass
class LimitRecord:
    """What is known of one limit under the present load, over the whole group and by stage."""

    time: LogEstimate | None = None
    power: LogEstimate | None = None
    busy: list[LogEstimate | None] = field(default_factory=list)
    stage_power: list[LogEstimate | None] = field(default_factory=list)
    units: float = 0.0
    profile_units: float = 0.0
    doubted: bool = False
    seen_s: float = 0.0
    """Where in the run (s) it was measured last."""


@dataclass
class GroupWindow:
    """One window over all processes, in logarithms."""

    time: LogEstimate
    power: LogEstimate | None
    busy: list[LogEstimate | None]
    stage_power: list[LogEstimate | None]
    clean: float
    step_s: float
    steps: int
    units: float
    wall_s: float


@dataclass
class ControllerState:
    """Everything a controller knows; plain JSON through ``records.serialization``."""

    records: list[LimitRecord]
    past: list[list[LimitRecord]] = field(default_factory=list)
    """What was known of earlier loads, the latest last."""
    version: int = 1
    phase: str = "warm-up"
    pending: int = 0
    shared: tuple[int, ...] = ()
    """The limit of each stage (index) where stages differ; () where they do not."""
    shared_record: LimitRecord = field(default_factory=LimitRecord)
    stored: int = -1
    """The limit (index) of a stored profile that waits for its check."""
    energy_known: bool = True
    price: float = 1.0
    tries: int = 0
    confirmed: bool = False
    """Whether the highest limit has been measured again at the end of a profile."""
    windows_in_profile: int = 0
    first_done: bool = False
    stale: bool = False
    settled_at_s: float = 0.0
    """Where the latest profile that was not only a closer look ended."""
    refining: bool = False
    """Whether windows only look closer at a load that has not changed."""
    step_s: float = 0.0
    noise_var: float = 1e-4
    elapsed_s: float = 0.0
    again_s: float = 0.0
    windows: int = 0
    profile_steps: int = 0
    profile_s: float = 0.0
    closed_work_s: float = 0.0
    closed_extra_s: float = 0.0
    closed_profile_s: float = 0.0
    closed_profile_j: float = 0.0
    time_test: ChangeTest = field(default_factory=ChangeTest)
    power_test: ChangeTest = field(default_factory=ChangeTest)


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
        self._gpus = sum(settings.gpus)
        self._max_power_w = max_power_or_fallback_w(settings.max_power_w or settings.limits_w[0])
        budget_w = settings.power_budget_w
        self._usable = [
            i for i, w in enumerate(settings.limits_w) if budget_w is None or w * self._gpus <= budget_w
        ]
        self._top = self._usable[0]
        self._state = ControllerState([LimitRecord() for _ in settings.limits_w], pending=self._top)
        self._load(stored)

    # --- what to do -------------------------------------------------------------------------------

    @property
    def settled(self) -> bool:
        """Whether no window is to be measured."""
        return self._state.phase == "settled"

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
        at_top = self.settings.max_slowdown is not None and state.pending == self._top
        return 2 * seconds if at_top else seconds  # everything is compared with the highest limit

    def _steps(self, seconds: float) -> int:
        step_s = self._state.step_s
        return max(self.settings.min_steps, math.ceil(seconds / step_s) if step_s > 0 else 0)

    # --- what was measured ------------------------------------------------------------------------

    def observe_window(self, ranks: Sequence[RankWindow]) -> Verdict:
        """Take in the window that ``next_window`` asked for, one record per process, in the order of ranks.

        Raises:
            BadInput: no window was asked for, or no process measured anything.
        """
        state = self._state
        if state.phase == "settled":
            raise BadInput("no window was asked for: next_window() is None, use observe_settled")
        window = self._join(ranks)
        state.elapsed_s += window.wall_s
        if math.isfinite(window.step_s):
            state.step_s = window.step_s
        if state.phase == "warm-up":
            state.phase = "check" if state.stored >= 0 else "profile"
            state.tries = 0
            self._held().units += window.units
            return Verdict.ACCEPTED
        self._charge(window)
        state.tries += 1
        last_try = state.tries >= TRIES
        too_short = window.wall_s < 0.5 * self.settings.window_s
        if not math.isfinite(window.time.mean) or (window.clean < 0.5 and not last_try):
            return self._give_up() if last_try else Verdict.OUTLIER
        if state.first_done and not state.refining and self._recall(window):
            self._settle()
            return Verdict.ACCEPTED
        if (state.first_done or state.confirmed) and state.phase == "profile" and self._contradicts(window):
            if state.tries == 1:
                return Verdict.REPEAT
            if not state.refining:
                self._load_changed(window)
                if state.stale:
                    self._start_profile()
                return Verdict.ACCEPTED
            held = self._held()  # the limit held for long has not changed: what was measured here had been disturbed
            held.time = held.power = None
        self._take(window)
        surprise = self._surprise(window) and state.tries == 1
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
        window, before = self._join(ranks), (self.limits_w, state.phase)
        state.elapsed_s += window.wall_s
        held = self._held()
        held.units += window.units
        if not math.isfinite(window.time.mean) or window.clean < 0.5 or held.time is None:
            return False
        state.step_s = window.step_s
        if not state.energy_known:
            return False
        for record in state.records:
            if record.time is not None and record is not held:
                record.time.var += AGING_SD**2 * window.wall_s / 3600.0
        by_time, by_power = self._test(window, held)
        if by_time or by_power:
            self._load_changed(window)
        elif not state.stale and self._quiet(window, held):
            _merge(held, window, floor=DRIFT_SD**2)
            self._refine()
        if state.stale and self._may_profile_again():
            self._start_profile()
        return (self.limits_w, state.phase) != before

    def set_energy_price(self, price: float) -> None:
        """A joule now costs ``price`` times what it does in the long run (carbon or tariff); decides anew."""
        self._state.price = price
        if self.settled and self._state.energy_known and not self._state.stale:
            self._settle()

    # --- results ----------------------------------------------------------------------------------

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
        extra_s, extra_j = self._profile_extra()
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
        work_s, extra_s = self._work()
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
        controller._state = known
        return controller

    # --- inside -----------------------------------------------------------------------------------

    def _held(self) -> LimitRecord:
        state = self._state
        in_force = state.shared and state.phase in {"settled", "check"}
        return state.shared_record if in_force else state.records[state.pending]

    def _held_time(self) -> LogEstimate:
        return self._held().time or LogEstimate(0.0, math.inf)

    def _load(self, stored: Sequence[UnitPoint]) -> None:
        """Take over a stored profile; its best limit will be checked by one window."""
        for point in stored:
            known = point.power_limit_w in self.settings.limits_w and point.time_per_unit_s > 0
            if not (known and point.average_power_w > 0):
                continue
            record = self._state.records[self.settings.limits_w.index(point.power_limit_w)]
            record.time = LogEstimate(math.log(point.time_per_unit_s), 0.005**2)
            record.power = LogEstimate(math.log(point.average_power_w), 0.005**2)
        if self._state.records[self._top].time is None:
            self._forget()
            return
        self._state.stored = self._state.pending = self._best(self._curves())

    def _join(self, ranks: Sequence[RankWindow]) -> GroupWindow:
        """All processes as one: time is the slowest's, power the mean over GPUs."""
        if not ranks:
            raise BadInput("no process gave a record; needed: one RankWindow per process")
        stages = len(self.settings.gpus)
        if not all(0 <= r.stage < stages for r in ranks):
            raise BadInput(
                f"stages are {sorted({r.stage for r in ranks})}; allowed: 0 to {stages - 1} (settings.gpus)"
            )
        slowest = max(ranks, key=lambda r: r.unit_s if math.isfinite(r.unit_s) else math.inf)
        by_stage = [[r for r in ranks if r.stage == s] for s in range(stages)]
        stage_power = [_mean_power(of) for of in by_stage]
        shares = [g / self._gpus for g in self.settings.gpus]
        power = None
        if all(p is not None for p in stage_power):
            weighted = [
                w * math.exp(p.mean) for w, p in zip(shares, stage_power, strict=True) if p is not None
            ]
            total_w = sum(weighted)
            var = sum((x / total_w) ** 2 * p.var for x, p in zip(weighted, stage_power, strict=True) if p)
            power = LogEstimate(math.log(total_w), var)
        usable = math.isfinite(slowest.unit_s) and slowest.unit_s > 0
        return GroupWindow(
            time=LogEstimate(math.log(slowest.unit_s), slowest.unit_sd**2 + WINDOW_SD**2)
            if usable
            else LogEstimate(math.nan, math.inf),
            power=power,
            busy=[_longest_busy(of) for of in by_stage],
            stage_power=stage_power,
            clean=min(r.clean for r in ranks),
            step_s=max(r.step_s for r in ranks),
            steps=slowest.steps,
            units=slowest.units,
            wall_s=max(r.wall_s for r in ranks),
        )

    def _charge(self, window: GroupWindow) -> None:
        """Count a window as profiling."""
        state, held = self._state, self._held()
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
        state, held = self._state, self._held()
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
        _merge(held, window, floor=DRIFT_SD**2)
        held.seen_s = state.elapsed_s

    def _contradicts(self, window: GroupWindow) -> bool:
        """Whether a window is far from what was measured at the same limit before: has the load changed?"""
        time = self._held().time
        if time is None:
            return False
        return abs(window.time.mean - time.mean) > max(0.02, 4 * math.sqrt(window.time.var + time.var))

    def _surprise(self, window: GroupWindow) -> bool:
        """Whether the time of a window contradicts all other limits together (a disturbance while it ran)."""
        state = self._state
        if state.phase != "profile" or state.records[self._top].power is None or state.pending == self._top:
            return False
        others = {i: r.time for i, r in enumerate(state.records) if r.time is not None and i != state.pending}
        expected = LimitCurve.fit(self._ratios(), others, "time")
        k = state.pending
        if len(others) < 3:
            return False
        return abs(window.time.mean - expected.mean[k]) > 3.5 * math.sqrt(
            expected.cov[k][k] + window.time.var
        )

    def _give_up(self) -> Verdict:
        """No usable window at this limit after several tries: the highest limit stays."""
        self._state.tries = 0
        self._state.pending = self._top
        self._enter_settled()
        return Verdict.OUTLIER

    def _decide(self, window: GroupWindow) -> None:
        """After a complete window: the next limit to measure, or settle."""
        state = self._state
        if not state.energy_known or (self._eta == 0 and self.settings.max_slowdown is None):
            state.pending, state.shared = self._top, ()
            self._enter_settled()
            return
        if state.phase == "check":
            self._after_check(window)
            return
        if state.records[self._top].time is None:
            state.pending = self._top
            return
        full = state.windows_in_profile >= len(self._usable) + 4
        probe = None if full or not self._affordable() else self._next_probe(SETTLE_GAIN)
        if probe is not None:
            state.pending, state.confirmed = probe, False
            return
        compared = state.first_done or self.settings.max_slowdown is not None
        if compared and not state.refining and not state.confirmed and self._best(self._curves()) != self._top:
            state.pending, state.confirmed = self._top, True  # did a disturbance end while all this was measured?
            return
        self._settle()
        self._try_shared()

    def _affordable(self) -> bool:
        return not self._state.first_done or self._may_profile_again()

    def _after_check(self, window: GroupWindow) -> None:
        """One window at a stored limit, or at limits shared out among the stages, decides about them."""
        state = self._state
        if state.shared:
            common, mine = state.records[state.pending], state.shared_record
            if self._record_cost(mine) >= self._record_cost(common):
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
            _merge(record, window, floor=DRIFT_SD**2)
            self._settle()
            return
        self._forget()
        _merge(state.records[state.pending], window)
        state.phase, state.pending, state.windows_in_profile = "profile", self._top, 0

    # --- choosing ---------------------------------------------------------------------------------

    @property
    def _eta(self) -> float:
        return 1.0 if self.settings.max_slowdown is not None else eta_at(self.settings.eta, self._state.price)

    def _ratios(self) -> list[float]:
        """Each limit over the uncapped power per GPU, as far as that is known."""
        record = self._state.records[self._top]
        uncapped_w = math.exp(record.power.mean) if record.power else 0.8 * self.settings.limits_w[0]
        return [w / uncapped_w for w in self.settings.limits_w]

    def _doubt_slow(self) -> None:
        """A limit measured slower than a lower one was probably disturbed: once, it counts for little."""
        records = self._state.records
        for i, higher in enumerate(records):
            for lower in records[i + 1 :]:
                if higher.time is None or lower.time is None or higher.doubted:
                    continue
                excess = higher.time.mean - lower.time.mean
                if excess > max(0.02, 4 * math.sqrt(higher.time.var + lower.time.var)):
                    higher.doubted = True
                    higher.time.var += excess**2

    def _curves(self) -> tuple[LimitCurve, LimitCurve]:
        """Posterior of (time, cost) over the limits."""
        ratios, records = self._ratios(), self._state.records
        times = {i: r.time for i, r in enumerate(records) if r.time is not None}
        powers = {i: r.power for i, r in enumerate(records) if r.power is not None}
        time = LimitCurve.fit(ratios, times, "time")
        power = LimitCurve.fit(ratios, powers, "power")
        return time, cost_curve(time, power, self._eta, self._max_power_w)

    def _margin(self, time: LimitCurve, k: int, sds: float) -> float:
        """How far (ln) limit ``k`` stays within the allowed slow-down, ``sds`` standard deviations on."""
        allowed = self.settings.max_slowdown or math.inf
        work_s, extra_s = self._work()
        surplus_s = (allowed - 1) * work_s - extra_s
        if surplus_s < 0:  # profiling has used more than its part: pay back over as long again, or 5 min
            allowed = max(1.0, allowed + surplus_s / max(work_s, 300.0))
        var = time.cov[k][k] + time.cov[self._top][self._top] - 2 * time.cov[k][self._top]
        slower = time.mean[k] - time.mean[self._top] + sds * math.sqrt(max(var, 0.0))
        return math.log(allowed) - (0.0 if k == self._top else slower)

    def _allowed(self, time: LimitCurve) -> list[int]:
        """The limits that may be held for long: measured or not, but surely within the slow-down."""
        if self.settings.max_slowdown is None:
            return self._usable
        return [k for k in self._usable if k == self._top or self._margin(time, k, 1.0) >= 0]

    def _best(self, curves: tuple[LimitCurve, LimitCurve]) -> int:
        """The best limit to hold: measured, unless another is clearly better."""
        time, cost = curves
        allowed = self._allowed(time)
        known = [k for k in allowed if self._state.records[k].time is not None] or [self._top]
        return best_index(cost, known)

    def _next_probe(self, least_gain: float) -> int | None:
        """The limit whose window is expected to lower the cost most; None if by less than ``least_gain``."""
        self._doubt_slow()
        time, cost = curves = self._curves()
        allowed = self._allowed(time)
        best = self._best(curves)
        gains = {k: improvement(cost, k, best, allowed, self._state.noise_var) for k in allowed}
        for k in self._usable if self.settings.max_slowdown is not None else ():
            value = self._unlocked(time, cost, k, best)
            if value > gains.get(k, 0.0):
                gains[self._less_known(time, k)] = value
        k = max(gains, key=lambda i: (gains[i], -i), default=best)
        return k if gains.get(k, 0.0) > least_gain else None

    def _unlocked(self, time: LimitCurve, cost: LimitCurve, k: int, best: int) -> float:
        """Expected gain (ln) of learning that limit ``k`` keeps within the slow-down; 0 if not affordable."""
        var = time.cov[k][k] + time.cov[self._top][self._top] - 2 * time.cov[k][self._top]
        margin = self._margin(time, k, 0.0)
        sd = math.sqrt(max(var, 1e-12))
        likely = 0.5 * math.erfc(-margin / sd / math.sqrt(2))
        if k == self._top or likely < 0.1 or self._margin(time, k, 1.0) >= 0:
            return 0.0
        work_s, extra_s = self._work()
        window_s = self.settings.window_s + self.settings.settle_s
        debt_s = extra_s + window_s * math.expm1(time.mean[k] - time.mean[self._top])
        budget_s = ((self.settings.max_slowdown or 1) - 1 + 0.004) * max(work_s + window_s, 300.0)
        if debt_s > budget_s or sd < 0.005:
            return 0.0
        return likely * max(0.0, cost.mean[best] - cost.mean[k])

    def _less_known(self, time: LimitCurve, k: int) -> int:
        return k if time.cov[k][k] >= time.cov[self._top][self._top] else self._top

    # --- settled ----------------------------------------------------------------------------------

    def _settle(self) -> None:
        self._state.pending = self._best(self._curves())
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
        """Whether neither test suspects a change; a suspicion that lasts without one is drift, and followed."""
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

    def _load_changed(self, window: GroupWindow) -> None:
        """Keep of the profile what a shift of this size leaves standing, and profile again."""
        state, held = self._state, self._held()
        assert held.time is not None  # noqa: S101 — for the type checker: only then was there a test
        by_time = window.time.mean - held.time.mean
        by_power = window.power.mean - held.power.mean if window.power and held.power else 0.0
        self._close()
        state.time_test, state.power_test = ChangeTest(), ChangeTest()
        shared, state.shared = state.shared, ()
        if not shared and abs(by_time) + abs(by_power) > 3 * SAME_LOAD and self._recall(window):
            self._settle()
            return
        soon = state.phase != "settled" or state.elapsed_s - state.settled_at_s < 0.1 * state.settled_at_s
        if not soon:  # else what was measured may belong to two loads
            self._remember()
        if abs(by_time) + abs(by_power) > NEW_LOAD or shared or soon:
            self._forget()
        else:
            for record in state.records:
                if record.time is not None:
                    record.time = LogEstimate(
                        record.time.mean + by_time, record.time.var + (0.5 * by_time) ** 2
                    )
                if record.power is not None:
                    record.power = LogEstimate(
                        record.power.mean + by_power, record.power.var + (0.5 * by_power) ** 2
                    )
        if not shared:
            fresh = state.records[state.pending]
            fresh.time = fresh.power = None
            _merge(fresh, window)
        state.stale, state.refining = True, False

    def _recall(self, window: GroupWindow) -> bool:
        """Whether an earlier load is back, by a window at the limit held now; then its profile is, too.

        A straggler or another tenant that goes away after a minute costs no second profile this way.
        """
        state, k = self._state, self._state.pending
        for load in reversed(state.past):
            time, power = load[k].time, load[k].power
            if time is None or power is None or window.power is None:
                continue
            near = max(SAME_LOAD, 3 * math.sqrt(window.time.var + time.var))
            if max(abs(window.time.mean - time.mean), abs(window.power.mean - power.mean)) < near:
                state.past.remove(load)
                units = [(r.units, r.profile_units) for r in state.records]
                self._remember()
                by_time, by_power = window.time.mean - time.mean, window.power.mean - power.mean
                state.records = load
                for record, (total, profiled) in zip(load, units, strict=True):
                    record.units, record.profile_units = total, profiled
                    if record.time is not None and record.power is not None:
                        record.time.mean += by_time
                        record.power.mean += by_power
                return True
        return False

    def _remember(self) -> None:
        """Keep what is known of this load for the day it is back."""
        known = [r for r in self._state.records if r.time is not None]
        if len(known) < 3:
            return
        past = [replace(deepcopy(r), units=0.0, profile_units=0.0) for r in self._state.records]
        self._state.past = [*self._state.past, past][-PAST_LOADS:]

    def _start_profile(self) -> None:
        """Profile again: what a shift left open, or everything from the highest limit on."""
        state = self._state
        state.windows_in_profile = state.tries = 0
        state.confirmed = False
        probe = self._top if state.records[self._top].time is None else self._next_probe(SETTLE_GAIN)
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
        if state.shared or not self._may_profile_again():
            return
        if self.settings.max_slowdown is not None:
            self._move(self._best(self._curves()))
        horizon_s = max(self.settings.expected_s - state.elapsed_s, state.elapsed_s)
        probe = self._next_probe(REFINING_WORTH_S / horizon_s)
        if probe is None:
            probe = self._neighbour_to_check()
        if probe is None or (probe == state.pending and self.settings.max_slowdown is None):
            best = self._best(self._curves())
            self._move(best)
            return
        state.phase, state.pending = "profile", probe
        state.windows_in_profile = state.tries = 0

    def _neighbour_to_check(self) -> int | None:
        """A limit next to the one held that was measured long ago, perhaps while something disturbed it."""
        state = self._state
        old_s = max(CHECK_EVERY_S, CHECK_EVERY * state.elapsed_s)
        at = self._usable.index(state.pending)
        for apart in (1, 2):
            for k in (*self._usable[max(0, at - apart) : at][:1], *self._usable[at + apart : at + apart + 1]):
                record = state.records[k]
                if record.time is not None and state.elapsed_s - record.seen_s > apart**2 * old_s:
                    margin = 1.0 if self.settings.max_slowdown is None else self._margin(self._curves()[0], k, 0.0)
                    if margin > -0.02:
                        return k
        return None

    def _move(self, k: int) -> None:
        """Hold another measured limit from now on."""
        if k != self._state.pending:
            self._state.pending = k
            self._state.time_test, self._state.power_test = ChangeTest(), ChangeTest()

    def _try_shared(self) -> None:
        """Where stages tell how long they compute: limits by stage, if one window confirms them."""
        state = self._state
        record = state.records[self._top]
        if len(self.settings.gpus) < 2 or not record.busy or any(b is None for b in record.busy):
            return
        chosen = share_limits(
            self._stage_curves(),
            self.settings.limits_w,
            eta=self._eta,
            max_power_w=self._max_power_w,
            power_budget_w=self.settings.power_budget_w,
            max_unit_s=None
            if self.settings.max_slowdown is None or record.time is None
            else self.settings.max_slowdown * math.exp(record.time.mean),
        )
        if chosen is not None and set(chosen) != {state.pending}:
            state.shared, state.shared_record = chosen, LimitRecord()
            state.phase = "check"

    def _stage_curves(self) -> list[StageCurve]:
        ratios, records = self._ratios(), self._state.records
        step = LimitCurve.fit(ratios, {i: r.time for i, r in enumerate(records) if r.time}, "time")
        curves = []
        for s, gpus in enumerate(self.settings.gpus):
            busy = {i: b for i, r in enumerate(records) if r.busy and (b := r.busy[s]) is not None}
            power = {
                i: p for i, r in enumerate(records) if r.stage_power and (p := r.stage_power[s]) is not None
            }
            curves.append(
                StageCurve(
                    gpus=gpus,
                    busy_s=_falling(LimitCurve.fit(ratios, busy, "time").mean),
                    power_w=tuple(math.exp(p) for p in LimitCurve.fit(ratios, power, "power").mean),
                    step_s=_falling(step.mean),
                )
            )
        return curves

    def _record_cost(self, record: LimitRecord) -> float:
        if record.time is None or record.power is None:
            return math.inf
        rate_w = self._eta * math.exp(record.power.mean) + (1 - self._eta) * self._max_power_w
        return math.exp(record.time.mean) * rate_w

    # --- accounts ---------------------------------------------------------------------------------

    def _forget(self) -> None:
        units = [(r.units, r.profile_units) for r in self._state.records]
        self._state.records = [LimitRecord(units=u, profile_units=p) for u, p in units]

    def _work(self) -> tuple[float, float]:
        """Seconds that the work so far takes at the highest limit, and the seconds it took beyond that."""
        state = self._state
        work_s, extra_s = state.closed_work_s, state.closed_extra_s
        top = state.records[self._top].time
        if top is None:
            return work_s, extra_s
        unit_s = math.exp(top.mean)
        for record in (*state.records, state.shared_record):
            work_s += record.units * unit_s
            if record.time is not None and record.units:
                extra_s += record.units * (math.exp(record.time.mean) - unit_s)
        return work_s, extra_s

    def _profile_extra(self) -> tuple[float, float]:
        """Seconds and joules of all windows under this load, beyond the same work at the limit held now."""
        held = self._held()
        if held.time is None:
            return 0.0, 0.0
        best_s, extra_s, extra_j = math.exp(held.time.mean), 0.0, 0.0
        for record in (*self._state.records, self._state.shared_record):
            if record.time is None or not record.profile_units:
                continue
            unit_s = math.exp(record.time.mean)
            extra_s += record.profile_units * (unit_s - best_s)
            if record.power is not None and held.power is not None:
                joules = math.exp(record.power.mean) * unit_s - math.exp(held.power.mean) * best_s
                extra_j += record.profile_units * joules * self._gpus
        return extra_s, extra_j

    def _close(self) -> None:
        """Before the load's change: what was used under the old load is summed up."""
        state = self._state
        extra_s, extra_j = self._profile_extra()
        state.closed_work_s, state.closed_extra_s = self._work()
        state.closed_profile_s += extra_s
        state.closed_profile_j += extra_j
        for record in (*state.records, state.shared_record):
            record.units = record.profile_units = 0.0
        state.shared_record = LimitRecord()


def _merge(record: LimitRecord, window: GroupWindow, *, floor: float = 0.0) -> None:
    record.time = _merged(record.time, window.time, floor)
    record.power = _merged(record.power, window.power, floor)
    nothing: list[LogEstimate | None] = [None] * len(window.busy)
    record.busy = [_merged(a, b, floor) for a, b in zip(record.busy or nothing, window.busy, strict=True)]
    record.stage_power = [
        _merged(a, b, floor) for a, b in zip(record.stage_power or nothing, window.stage_power, strict=True)
    ]


def _merged(old: LogEstimate | None, new: LogEstimate | None, floor: float) -> LogEstimate | None:
    if new is None:
        return old
    if old is None:
        return replace(new)
    old.add(new.mean, new.var, floor=floor)
    return old


def _mean_power(ranks: Sequence[RankWindow]) -> LogEstimate | None:
    """Mean power over the GPUs of a stage; None where any of them is not measured."""
    powers = [r.power_w for r in ranks]
    if not powers or not all(math.isfinite(p) and p > 0 for p in powers):
        return None
    total_w = math.fsum(powers)
    var = math.fsum((r.power_w * r.power_sd) ** 2 for r in ranks) / total_w**2
    return LogEstimate(math.log(total_w / len(powers)), var + WINDOW_SD**2)


def _longest_busy(ranks: Sequence[RankWindow]) -> LogEstimate | None:
    busy = [r for r in ranks if math.isfinite(r.busy_s) and r.busy_s > 0]
    if not busy or len(busy) < len(ranks):
        return None
    longest = max(busy, key=lambda r: r.busy_s)
    return LogEstimate(math.log(longest.busy_s), longest.unit_sd**2 + WINDOW_SD**2)


def _falling(logs: Sequence[float]) -> tuple[float, ...]:
    """Exp of times over falling limits, made not to fall where noise says a lower limit is faster."""
    values: list[float] = []
    for value in logs:
        values.append(max([math.exp(value), *values[-1:]]))
    return tuple(values)
