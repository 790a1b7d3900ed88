"""What changes of load leave of a profile: shifted, forgotten, or recalled when an earlier load is back."""

from __future__ import annotations

import itertools
import math
from copy import deepcopy
from dataclasses import replace

from zeus_ray.training.online_limit.choose_next_limit import LimitChoice
from zeus_ray.training.online_limit.controller_settings_and_state import LimitRecord
from zeus_ray.training.online_limit.limit_curves_and_knowledge_gradient import LogEstimate
from zeus_ray.training.online_limit.load_change_detector import ChangeTest
from zeus_ray.training.online_limit.merge_rank_windows import GroupWindow, merge

NEW_LOAD = 0.1
"""A shift above this (ln, time and power together) leaves nothing of the old profile."""
SAME_LOAD = 0.015
"""Time and power within this (ln) of an earlier load's at the same limit: that load is back."""
PASSING_SLOWER, PASSING_S = 0.2, 30.0
"""Slower by up to this (ln) at the same power: perhaps a straggler; profiled only if it lasts so long."""
WELL_KNOWN = 0.015
"""Standard deviation (ln) above which a measurement says nothing of whether an earlier load is back."""
OUT_OF_ORDER = 0.02
"""A limit that much (ln) slower than a lower one was measured under another load than that one."""
PAST_LOADS = 3
"""How many earlier loads are remembered."""


class LoadHistory:
    """The present load's profile, and those of earlier loads, in the state of ``choice``."""

    def __init__(self, choice: LimitChoice) -> None:
        self._choice = choice

    def changed(self, window: GroupWindow) -> bool:
        """Keep of the profile what a shift of this size leaves standing.

        Returns:
            Whether an earlier load is back, so that nothing has to be measured; else ``state.stale`` is set.
        """
        state, held = self._choice.state, self._choice.state.held
        assert held.time is not None  # noqa: S101 — for the type checker: only then was there a test
        by_time = window.time.mean - held.time.mean
        by_power = window.power.mean - held.power.mean if window.power and held.power else 0.0
        self._close()
        state.time_test, state.power_test = ChangeTest(), ChangeTest()
        shared, state.shared = state.shared, ()
        large = abs(by_time) + abs(by_power) > 3 * SAME_LOAD or state.passing_until_s > state.elapsed_s
        state.passing_until_s = 0.0
        if not shared and large and self.recall(window):
            return True
        slower_only = 0 < by_time < PASSING_SLOWER and abs(by_power) < 2 * SAME_LOAD
        passing = slower_only and state.phase == "settled" and not shared
        soon = state.phase != "settled" or state.elapsed_s - state.settled_at_s < 0.1 * state.settled_at_s
        if passing:
            state.passing_until_s = state.elapsed_s + PASSING_S
        if passing or not soon:  # else what was measured may belong to two loads
            self._remember()
        if not passing and (abs(by_time) + abs(by_power) > NEW_LOAD or shared or soon):
            self.forget()
        else:
            spread = 2.0 if abs(by_time) + abs(by_power) > NEW_LOAD else 0.5
            for record in state.records:
                record.looks = 0
                if record.time is not None:
                    record.time = LogEstimate(
                        record.time.mean + by_time, record.time.var + (spread * by_time) ** 2
                    )
                if record.power is not None:
                    record.power = LogEstimate(
                        record.power.mean + by_power, record.power.var + (spread * by_power) ** 2
                    )
        if not shared:
            fresh = state.records[state.pending]
            fresh.time = fresh.power = None
            merge(fresh, window)
        state.stale, state.refining = True, False
        return False

    def recall(self, window: GroupWindow) -> bool:
        """Whether an earlier load is back, by a window at the limit held now; then its profile is, too.

        A straggler or another job on the GPU that ends after a minute costs no second profile this way.
        """
        state, k = self._choice.state, self._choice.state.pending
        for load in reversed(state.past):
            time, power = load[k].time, load[k].power
            if time is None or power is None or window.power is None or time.var > WELL_KNOWN**2:
                continue
            near = max(SAME_LOAD, 3 * math.sqrt(window.time.var + time.var))
            if max(abs(window.time.mean - time.mean), abs(window.power.mean - power.mean)) < near:
                state.past.remove(load)
                units = [(r.units, r.profile_units) for r in state.records]
                self._remember()
                state.recalled_at = k
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
        """Keep what is known of this load for the day it is back, unless it was measured under two loads."""
        state = self._choice.state
        if state.recalled_at not in (-1, state.pending):
            return  # it was not that load: the first window at another limit has contradicted it
        known = [r.time for r in state.records if r.time is not None]
        in_order = all(b.mean > a.mean - OUT_OF_ORDER for a, b in itertools.combinations(known, 2))
        if len(known) < 3 or not in_order:
            return
        past = [replace(deepcopy(r), units=0.0, profile_units=0.0) for r in state.records]
        state.past = [*state.past, past][-PAST_LOADS:]

    def confirm(self) -> None:
        """A window at the limit held now fits the present load's profile."""
        if self._choice.state.pending != self._choice.state.recalled_at:
            self._choice.state.recalled_at = -1

    def forget(self) -> None:
        """Drop what was measured; what was done at each limit still counts."""
        units = [(r.units, r.profile_units) for r in self._choice.state.records]
        self._choice.state.recalled_at = -1
        self._choice.state.records = [LimitRecord(units=u, profile_units=p) for u, p in units]

    def profiling_extra(self) -> tuple[float, float]:
        """Seconds and joules of all windows under this load, beyond the same work at the limit held now."""
        held = self._choice.state.held
        if held.time is None:
            return 0.0, 0.0
        best_s, extra_s, extra_j = math.exp(held.time.mean), 0.0, 0.0
        for record in (*self._choice.state.records, self._choice.state.shared_record):
            if record.time is None or not record.profile_units:
                continue
            unit_s = math.exp(record.time.mean)
            extra_s += record.profile_units * (unit_s - best_s)
            if record.power is not None and held.power is not None:
                joules = math.exp(record.power.mean) * unit_s - math.exp(held.power.mean) * best_s
                extra_j += record.profile_units * joules * sum(self._choice.settings.gpus)
        return extra_s, extra_j

    def _close(self) -> None:
        """Before the load's change: what was used under the old load is summed up."""
        state = self._choice.state
        extra_s, extra_j = self.profiling_extra()
        work_s, closed_extra_s = self._choice.work()
        state.closed_sd_s = self._choice.work_sd_s(work_s)
        state.closed_work_s, state.closed_extra_s = work_s, closed_extra_s
        state.closed_profile_s += extra_s
        state.closed_profile_j += extra_j
        for record in (*state.records, state.shared_record):
            record.units = record.profile_units = 0.0
        state.shared_record = LimitRecord()
