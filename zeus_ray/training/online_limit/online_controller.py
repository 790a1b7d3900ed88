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
from zeus_ray.training.online_limit.choose_next_limit import LimitChoice
from zeus_ray.training.online_limit.controller_settings_and_state import (
    ControllerState,
    LimitRecord,
    LimitWindow,
    OnlineSettings,
    ProfilingCost,
    UnitPoint,
    Verdict,
)
from zeus_ray.training.online_limit.load_change_watch import LoadWatch
from zeus_ray.training.online_limit.merge_rank_windows import GroupWindow, join, merge
from zeus_ray.training.online_limit.profiles_after_load_change import LoadHistory
from zeus_ray.training.online_limit.profiling_phase import LimitProfiling
from zeus_ray.training.online_limit.settled_phase import SettledLimit
from zeus_ray.training.online_limit.steps_to_rank_window import RankWindow


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
        self._profiling.take_over(stored)

    def _go_on(self, state: ControllerState) -> None:
        self._state = state
        self._choice = LimitChoice(self.settings, state)
        self._loads = LoadHistory(self._choice)
        self._profiling = LimitProfiling(self._choice, self._loads)
        self._settled = SettledLimit(self._choice, self._profiling)
        self._watch = LoadWatch(self._choice)

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
    def best_limit_w(self) -> float:
        """The best limit by what is known now (W per GPU), also while another is measured; NaN: unknown."""
        if not self.profiled:
            return math.nan
        return self.settings.limits_w[self._choice.best()]

    @property
    def settle_steps(self) -> int:
        """Steps to leave out after a change of limit."""
        step_s = self._state.step_s
        return max(1, math.ceil(self.settings.settle_s / step_s)) if step_s > 0 else 0

    @property
    def monitor_steps(self) -> int:
        """Steps of one record for ``observe_settled``: 0.2 % of the run so far, from 5 to 30 s."""
        return self._steps(self._choice.record_s)

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
        return self._profiling.observe(window)

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
            self._settled.wait_within_slowdown()
            return (self.limits_w, state.phase) != before
        state.step_s = window.step_s
        if not state.energy_known or held.time is None:
            return self._measured_again(window)
        self._watch.age(window.wall_s)
        by_time, by_power = self._watch.changes(window, held)
        if by_time or by_power:
            if self._loads.changed(window):
                self._profiling.settle()
        elif not state.stale and self._watch.is_quiet(window, held):
            merge(held, window)
            self._loads.confirm()
            self._settled.refine()
        if state.stale and state.elapsed_s >= state.passing_until_s:
            self._settled.profile_or_wait()
        return (self.limits_w, state.phase) != before

    def _measured_again(self, window: GroupWindow) -> bool:
        """Profile from the start, where energy or time, which were not known, are known now."""
        if window.power is None or not self._profiling.affordable():
            return False
        self._state.energy_known = True
        self._loads.forget()
        self._profiling.start()
        return True

    def set_energy_price(self, price: float) -> None:
        """A joule now costs ``price`` times what it does in the long run (carbon or tariff); decides anew."""
        if price == self._state.price:
            return
        self._state.price = price
        if self.settled and self._state.energy_known and not self._state.stale:
            self._profiling.settle()

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
