"""The power limit of a run without a search: chosen while it trains, window by window.

At the edge of a window, which every process of the job reaches after the same step, the processes exchange
what they measured. Each feeds its own ``OnlineController`` with all
of it, and so all hold the same limit from the same step on. Between edges no process waits for another.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress

from zeus_ray.errors import DeviceError, DeviceLost, LeaseRefused
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.records import NAN, OnlineOptions, Plan, PowerProfile
from zeus_ray.training.energy_price_over_time import EnergyPriceOverTime
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.messages_between_ranks import FirstExchange, WindowEdge, gpus_by_stage
from zeus_ray.training.online_limit.controller_settings_and_state import OnlineSettings, UnitPoint
from zeus_ray.training.online_limit.kept_limit_profile import KeptLimitProfile
from zeus_ray.training.online_limit.limits_to_choose_from import (
    limits_to_choose_from,
    may_choose,
    wants_limit,
)
from zeus_ray.training.online_limit.measure_rank_window import WindowMeasurement
from zeus_ray.training.online_limit.online_controller import OnlineController
from zeus_ray.training.online_limit.steps_to_rank_window import interval_as_window
from zeus_ray.training.planned_or_profiled_limit import why_no_limit
from zeus_ray.training.report_per_work_unit import UnitReport, points_per_epoch
from zeus_ray.training.samples_and_time import RunClock
from zeus_ray.training.work_units import UnitCounter

CHANGED_BY_OTHERS = "someone else has set the power limit: what is measured since then does not count"

logger = logging.getLogger("zeus_ray")


class OnlineLimitControl:
    """Holds the limit that an :class:`OnlineController` chooses, from the first step to the end of the run.

    It has the methods of :class:`~zeus_ray.training.planned_or_profiled_limit.LimitController`. Where limits
    may not be set, or only one is given, it measures, and the processes still agree on when to stop.

    Args:
        plan: the run's plan, with ``online``.
        group: its GPUs.
        clock: its progress.
        max_power_w: MAXPOWER of Eq. 2 (W per GPU); None: not known.
        measured: what earlier attempts of the trial measured, per unit.
        window_s: seconds of a window, at least.
        settle_s: seconds left out after a change of limit.

    Attributes:
        note: why limits may not be set; "" where they may.

    Raises:
        BadInput: a limit outside the GPU's range.
        LeaseRefused: a fixed limit, and another lease holds the GPU at another one.
    """

    def __init__(
        self,
        plan: Plan,
        group: GpuGroup,
        clock: RunClock,
        *,
        max_power_w: float | None,
        measured: Sequence[UnitPoint] = (),
        window_s: float,
        settle_s: float,
    ) -> None:
        self.note = why_no_limit(group) if wants_limit(plan) else ""
        self._plan = plan
        self._options = plan.online or OnlineOptions()
        self._group = group
        self._clock = clock
        self._max_power_w = max_power_w
        self._measured = tuple(measured)
        self._window_s, self._settle_s = window_s, settle_s
        self._work = UnitCounter(self._options.unit, plan.knobs.batch_size)
        self._windows = WindowMeasurement(
            group, clock, units_per_step=self._work.per_step, stage=self._options.stage
        )
        self._price = EnergyPriceOverTime(plan)
        self._kept = KeptLimitProfile.open(self._options, gpu=group.gpu, batch_size=plan.knobs.batch_size)
        self._controller: OnlineController | None = None
        self._held_w: tuple[float, ...] = ()
        self._refusal = ""
        self._final: tuple[UnitPoint, ...] | None = None
        self._interval_began: Reading | None = None
        self._inert = not len(group) and not group.stops_together
        self._sets = may_choose(plan, group)
        self._wanted_w = self._limits()
        if self._sets and plan.knobs.power_limit_w is not None:
            self._set_planned(plan.knobs.power_limit_w)

    # --- what is known ------------------------------------------------------------------------------

    @property
    def settled(self) -> bool:
        """Whether the first profile is complete: the cost is capped from then on."""
        return (
            self._inert or bool(self._refusal) or (self._controller is not None and self._controller.profiled)
        )

    @property
    def profile(self) -> PowerProfile | None:
        """The measured limits for an epoch; None until the profile is complete and an epoch is known."""
        return self.profile_so_far if self.settled or self._final is not None else None

    @property
    def profile_so_far(self) -> PowerProfile | None:
        """What is measured so far, for an epoch; None: nothing is, or the length of an epoch is not known."""
        samples, points = self._clock.samples, self.per_unit
        if not points or not self._clock.samples_per_epoch or not samples or len(self._wanted_w) < 2:
            return None
        return PowerProfile(
            batch_size=self._plan.knobs.batch_size,
            gpu=self._group.gpu,
            max_power_w=self._max_power_w or NAN,
            points=points_per_epoch(points, self._work.done / samples * self._clock.samples_per_epoch),
        )

    @property
    def per_unit(self) -> tuple[UnitPoint, ...]:
        """The limits measured under the present load: W per GPU, and seconds per unit."""
        if self._final is not None:
            return self._final
        return self._controller.profile if self._controller is not None else ()

    @property
    def best_limit_w(self) -> float:
        """The best limit by what is known now (W per GPU); NaN: no profile is complete, or none is chosen."""
        chooses = self._sets and len(self._wanted_w) > 1 and self._controller is not None
        return self._controller.best_limit_w if chooses and self._controller is not None else NAN

    def report(self, reading: Reading) -> UnitReport:
        """What a report says per unit of work, at ``reading``."""
        done, controller = self._work.done, self._controller
        cost = controller.profiling_cost if controller is not None else None
        return UnitReport(
            unit=self._options.unit,
            units=done,
            energy_per_unit_j=reading.energy_j / done if done else NAN,
            time_per_unit_s=reading.time_s / done if done else NAN,
            unit_profile=self.per_unit,
            profiling_steps=cost.steps if cost else 0,
            profiling_extra_s=cost.extra_s if cost else NAN,
            slowdown=controller.slowdown if controller is not None else NAN,
        )

    @property
    def unfinished(self) -> str:
        """At the end of a run, that its limit is from a profile that is not complete; "" where it is."""
        if self.settled or not self._sets or len(self._wanted_w) < 2:
            return ""
        return (
            f"the power profile of batch size {self._plan.knobs.batch_size} is not complete: "
            f"{len(self.per_unit)} of {len(self._wanted_w)} limits were measured, over {self._window_s:g} s "
            "each, and the run has ended, so that another limit may be the best; a shorter window_s, or "
            "fewer power_limits_w, would complete it"
        )

    # --- the training loop -------------------------------------------------------------------------

    def resume(self) -> None:
        """Training starts, or continues after a pause."""
        if self._inert:
            return
        if self._controller is None:
            self._open()
        self._windows.resume()

    def step(self, samples: int, tokens: float | None = None) -> bool:
        """A whole batch was trained. Returns whether a window ended with it.

        Args:
            samples: its samples, over all processes.
            tokens: its tokens, over all processes, where those are counted.
        """
        if not self._windows.step(self._work.of_step(samples, tokens)):
            return False
        window, reading = self._windows.finish()
        edge = WindowEdge(window=window, refusal=self._refused(reading), energy_price=self._price.now())
        self._observe(self._group.exchange(edge))
        return True

    def partial_step(self, samples: int, tokens: float | None = None) -> None:
        """A batch that is not full was trained: it counts, but is in no window."""
        self._work.of_step(samples, tokens)

    def computed(self, seconds: float) -> None:
        """Of the present step this pipeline stage has computed for so long."""
        self._windows.computed(seconds)

    def pause(self) -> None:
        """Training pauses."""
        self._windows.pause()

    def drop(self) -> None:
        """Training pauses where the GPUs cannot be read."""
        self._windows.drop()

    def interval(self) -> None:
        """A function that does not tell its steps has reported: each interval is one window."""
        if self._inert or self._group.stops_together:
            return
        if self._controller is None:
            self._open()
        began, ended = self._interval_began, self._clock.last
        self._interval_began = ended
        self._work.of_step(self._plan.knobs.batch_size, 1.0)
        time_s = ended.time_s - (began.time_s if began else 0.0)
        energy_j = ended.energy_j - (began.energy_j if began else 0.0)
        if time_s > 0:
            watts = energy_j / time_s / max(1, len(self._group))
            window = interval_as_window(time_s, watts)
            price = self._price.now()
            self._observe([WindowEdge(window=window, refusal=self._refused(ended), energy_price=price)])

    def finish(self, *, partial: bool = False) -> None:
        """The run ends now; ``partial``: whatever is measured so far is the profile."""
        if partial and self._final is None:
            self._final = self.per_unit
            self._kept.write(self._final if self.settled and self._group.logs else ())

    def set_energy_price(self, price: float) -> None:
        """A joule costs ``price`` times its long-run mean; from the next edge on, rank 0's counts for all."""
        self._price.set(price)

    # --- windows -----------------------------------------------------------------------------------

    def _limits(self) -> tuple[float, ...]:
        in_force_w = self._clock.last.power_limit_w
        return limits_to_choose_from(self._plan, self._group if self._sets else None, in_force_w)

    def _open(self) -> None:
        """Before the first step: find the other processes, and hold the first limit."""
        alone = self._group.connect()
        before, self._sets = self.note, not alone and may_choose(self._plan, self._group)
        if wants_limit(self._plan):
            self.note = alone or why_no_limit(self._group)
        if self.note and self.note != before and self._group.logs:
            logger.warning("zeus-ray: %s", self.note)
        if alone and not len(self._group):
            self._inert = True
        self._clock.limit_changed()  # virtual GPUs: now of all processes
        mine = FirstExchange(
            stage=self._options.stage,
            gpus=len(self._group.mine),
            kept=self._kept.read() or self._measured,
        )
        everyones = self._group.exchange(mine)
        if not everyones:
            everyones, self._sets = [mine], False
        self._wanted_w = self._limits()
        settings = OnlineSettings(
            limits_w=self._wanted_w,
            gpus=gpus_by_stage(everyones),
            max_power_w=self._max_power_w,
            eta=self._plan.eta,
            max_slowdown=self._plan.max_slowdown,
            power_budget_w=self._options.power_budget_w if len(self._wanted_w) > 1 else None,
            window_s=self._window_s,
            settle_s=self._settle_s,
        )
        self._controller = OnlineController(settings, stored=everyones[0].kept)
        self._controller.set_energy_price(self._price.now())
        self._hold(self._controller)

    def _observe(self, edges: Sequence[WindowEdge]) -> None:
        """Decide by what all processes measured; none: the others do not answer any more."""
        controller = self._controller
        if controller is None:
            return
        refusal = next((e.refusal for e in edges if e.refusal), "")
        if not edges or refusal:
            self._refuse(refusal)
            return
        controller.set_energy_price(edges[0].energy_price)
        was_profiled, windows = controller.profiled, [edge.window for edge in edges]
        if controller.next_window() is None:
            changed = controller.observe_settled(windows)
        else:
            controller.observe_window(windows)
            changed = controller.settled
        if changed and controller.settled and not self._refusal and self._group.logs:
            self._kept.write(controller.profile)
        if controller.profiled and not was_profiled and len(self._wanted_w) > 1:
            self._say_what_was_chosen(controller)
        self._hold(controller)

    def _hold(self, controller: OnlineController) -> None:
        """Set what the controller wants to be held, and begin the next window."""
        limits_w = controller.limits_w
        changed, self._held_w = limits_w != self._held_w, limits_w
        if changed and self._sets:
            self._set(limits_w[self._options.stage])
        window = controller.next_window()
        self._windows.begin(
            controller.settle_steps if changed else 0,
            window.steps if window is not None else controller.monitor_steps,
            single_steps=window is not None and window.purpose == "warm-up",
        )

    def _set_planned(self, limit_w: float) -> None:
        """Set the limit that the run was given. Where the GPU does not take it, the run goes on without."""
        try:
            self._group.mine.set_limit(limit_w)
        except (DeviceLost, LeaseRefused):
            raise
        except DeviceError as error:
            self._refusal = str(error)
            self.note = f"{limit_w:g} W are not set, the run goes on without: {error}"
        self._clock.limit_changed()

    def _set(self, limit_w: float) -> None:
        """Set a limit on this process's GPUs. A refusal ends the choosing everywhere, at the next edge."""
        try:
            self._group.mine.set_limit(limit_w)
        except DeviceLost:
            raise
        except DeviceError as error:
            self._refusal = self._refusal or str(error)
        self._clock.limit_changed()

    def _refused(self, reading: Reading) -> str:
        if self._sets and reading.limit_changed_by_others:
            return CHANGED_BY_OTHERS
        return self._refusal

    def _refuse(self, why: str) -> None:
        """Go on without choosing; the processes still agree on when to stop.

        Where a limit could not be set in some process, all go to the highest one, as far as they can.
        """
        if self._sets and why and self._group.logs:
            logger.warning("zeus-ray: no power limit is chosen any more: %s", why)
        if self._sets and why not in ("", CHANGED_BY_OTHERS):
            with suppress(DeviceError):
                self._group.mine.set_limit(max(self._wanted_w))
        self._final, self._sets, self._refusal = self.per_unit, False, why or "the others do not answer"
        limit_w = self._clock.read().power_limit_w
        settings = OnlineSettings(limits_w=(limit_w if limit_w > 0 else 1.0,), window_s=self._window_s)
        self._controller = OnlineController(settings)
        self._hold(self._controller)

    def _say_what_was_chosen(self, controller: OnlineController) -> None:
        if not self._group.logs:
            return
        cost = controller.profiling_cost
        logger.info(
            "zeus-ray: %g W are the best of %d measured limits; the profile took %d steps, %.1f s longer "
            "than at that limit",
            controller.limit_w,
            len(controller.profile),
            cost.steps,
            cost.extra_s,
        )
