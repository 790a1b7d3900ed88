"""The power limit of one run: planned, or the best of a power profile that is known or measured now."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from zeus_ray.errors import BadInput, DeviceError, DeviceLost, LeaseRefused
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.objective import eta_at
from zeus_ray.records import NAN, Plan, PowerProfile, ProfilePoint
from zeus_ray.search import power_limit as power
from zeus_ray.training.just_in_time_profiler import Profiler, ProfilingWindow
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.online_limit.controller_settings_and_state import UnitPoint
from zeus_ray.training.report_per_work_unit import UnitReport
from zeus_ray.training.samples_and_time import RunClock

PointsByLimit = dict[float, ProfilePoint]
"""Points of a profile by their limit (W)."""

MOST_INTERVALS = 5
"""Windows of a profile that is measured between reports: a whole report interval each, of which a run of
Ray Tune has some ten."""

logger = logging.getLogger("zeus_ray")


class LimitController:
    """Sets the planned limit, or the best of a known profile, or profiles just in time.

    ``resume``, ``step``, ``pause`` and ``interval`` are the profiler's, and do nothing once the limit is
    settled. A plan that asks for limits that its own profile lacks continues that profile, which an earlier
    run did not complete.

    Args:
        plan: the run's plan.
        group: its GPUs.
        clock: its progress.
        max_power_w: MAXPOWER of Eq. 2 (W per GPU); None: not known.
        measured: profiles of earlier attempts of the trial; their limits are not probed again.
        window_s: seconds measured per limit.
        settle_s: seconds discarded after each change of limit.

    Attributes:
        note: why limits may not be set; "" where they may.
    """

    def __init__(
        self,
        plan: Plan,
        group: GpuGroup,
        clock: RunClock,
        *,
        max_power_w: float | None,
        measured: Sequence[PowerProfile] = (),
        window_s: float,
        settle_s: float,
    ) -> None:
        self.note = why_no_limit(group)
        self._plan = plan
        self._group = group
        self._clock = clock
        self._max_power_w = max_power_w
        self._window_s = window_s
        self._profiler: Profiler | None = None
        self._windows: list[ProfilingWindow] = []
        self._left = 0
        self._by_interval = False
        self._profiled = False
        ours = [profile for profile in (*plan.profiles, *measured) if self._is_ours(profile)]
        self._points: PointsByLimit = {p.power_limit_w: p for profile in ours for p in profile.points}
        wanted_w = () if self.note else self._limits_to_probe()
        if not self.note and not self._set_known(wanted_w):
            limits_w = [w for w in wanted_w if w not in self._points]
            if limits_w:
                self._profiler = Profiler(group, clock, limits_w, window_s=window_s, settle_s=settle_s)
            else:
                self._settle()

    @property
    def settled(self) -> bool:
        """Whether the run stays at this limit."""
        return self._profiler is None

    @property
    def profile(self) -> PowerProfile | None:
        """The profile once all limits are measured, and the length of an epoch is known."""
        return self._profile_of(self._measured()) if self._profiled and self._per_epoch() else None

    @property
    def profile_so_far(self) -> PowerProfile | None:
        """What is measured of the profile, complete or not."""
        return self.profile or self._profile_of(self._measured())

    @property
    def unfinished(self) -> str:
        """At the end of a run, that its profile is not complete, and what to do; "" where it is."""
        left = self._profiler.left if self._profiler is not None else self._left
        if not left:
            return ""
        done = len(self._measured() or self._windows_so_far())
        window = "a report interval" if self._by_interval else f"{self._window_s:g} s"
        remedy = (
            "report more often, or open zeus_ray.session in the function and iterate over run.steps(loader)"
            if self._by_interval
            else "a shorter window_s, or fewer power_limits_w, would complete it"
        )
        return (
            f"the power profile of batch size {self._plan.knobs.batch_size} is not complete: {done} of "
            f"{done + left} limits were measured, over {window} each, and the run has ended; {remedy}"
        )

    @property
    def per_unit(self) -> tuple[UnitPoint, ...]:
        """What is measured per unit of work: nothing, the search asks for epochs."""
        return ()

    def report(self, reading: Reading) -> UnitReport | None:  # noqa: ARG002 — as OnlineLimitControl has it
        """What a report says per unit of work: nothing."""
        return None

    # --- the training loop -------------------------------------------------------------------------

    def resume(self) -> None:
        """Training starts, or continues after a pause."""
        self.finish()
        if self._profiler is not None:
            self._profiler.resume()

    def step(self, samples: int, tokens: float | None = None) -> bool:  # noqa: ARG002 — as OnlineLimitControl has it
        """A whole batch was trained. Returns whether processes have exchanged values with it: never."""
        if self._profiler is not None:
            self._profiler.step()
            self.finish()
        return False

    def partial_step(self, samples: int, tokens: float | None = None) -> None:
        """A batch that is not full was trained: it is in no window."""

    def pause(self) -> None:
        """Training pauses."""
        if self._profiler is not None:
            self._profiler.pause()

    def drop(self) -> None:
        """Training pauses where the GPUs cannot be read: the stretch since the last reading is left out."""
        if self._profiler is not None:
            self._profiler.drop()

    def interval(self) -> None:
        """A function that does not tell its steps has reported: each interval is one window."""
        if self._profiler is None:
            return
        if not self._by_interval:
            self._by_interval, wanted = True, self._profiler.left
            if self._profiler.thin_out(MOST_INTERVALS):
                logger.warning(
                    "zeus-ray: power limits are profiled between reports, one limit each: %d of %d limits "
                    "are measured. A function that iterates over run.steps(loader) of zeus_ray.session "
                    "measures all of them, in %g s each",
                    MOST_INTERVALS,
                    wanted,
                    self._window_s,
                )
        self._profiler.interval()
        self.finish()

    def computed(self, seconds: float) -> None:
        """Pipeline stages have one limit in a run that a search has planned."""

    def set_energy_price(self, price: float) -> None:  # noqa: ARG002 — as OnlineLimitControl has it
        """Raises BadInput: the limit of a run that a search has planned is the search's."""
        raise BadInput(
            "set_energy_price is for runs that choose their limit while they train; this one's was planned "
            "by a search, which knows the price by its objective and signal"
        )

    def finish(self, *, partial: bool = False) -> None:
        """Once every window is measured, make the profile and set its best limit.

        ``partial``: the run ends now, and what is measured so far is the profile.
        """
        profiler = self._profiler
        if profiler is None or not (profiler.done or partial) or (self._points and not self._per_epoch()):
            return
        self._windows, self._left, self._profiler = profiler.windows, profiler.left, None
        if profiler.refusal:
            logger.warning("zeus-ray: the power profile ends early: %s", profiler.refusal)
        self._settle()

    # --- choosing and setting ----------------------------------------------------------------------

    def _limits_to_probe(self) -> tuple[float, ...]:
        wanted, allowed = self._plan.knobs.probe_limits_w, self._group.range
        if allowed is None or wanted == ():
            return ()
        if wanted is None:
            return allowed.steps()
        return tuple(allowed.check(limit_w) for limit_w in wanted)

    def _set_known(self, to_probe: Sequence[float]) -> bool:
        """Set the planned limit, or the best of a known profile for this GPU; False: neither is known."""
        planned_w = self._plan.knobs.power_limit_w
        known = next(filter(self._is_ours, self._plan.profiles), None)
        if known is None:
            if planned_w is not None:
                self._set(planned_w)
            return planned_w is not None
        if planned_w is None and to_probe and not {p.power_limit_w for p in known.points} & set(to_probe):
            return False
        self._set(self._best_limit_w(known) if planned_w is None else planned_w)
        self._follow(known)
        return True

    def _settle(self) -> None:
        """All limits are measured: set the best of them, which does not depend on the length of an epoch."""
        self._profiled = True
        profile = self._profile_of(self._measured() or self._windows_so_far())
        if profile is not None:
            self._set(self._best_limit_w(profile))
            self._follow(profile)

    def _set(self, limit_w: float) -> None:
        """Set a limit. Where the GPU does not take it, the run goes on at the one it has."""
        try:
            self._group.set_limit(limit_w)
        except (DeviceLost, LeaseRefused):
            raise
        except DeviceError as error:
            self.note = self.note or str(error)
            logger.warning("zeus-ray: %g W are not set, the run goes on without: %s", limit_w, error)
        self._clock.limit_changed()

    def _follow(self, profile: PowerProfile) -> None:
        """Where the plan says so, let the limit follow the carbon signal from now on."""
        emissions = self._plan.emissions
        if emissions is not None and emissions.eta is not None:
            bound = self._plan.max_slowdown
            bounded = profile if bound is None else power.within_slowdown(profile, bound)
            try:
                self._group.follow(bounded)
            except (DeviceLost, LeaseRefused):
                raise
            except DeviceError as error:
                logger.warning("zeus-ray: the power limit does not follow the signal: %s", error)
            self._clock.limit_changed()

    def _best_limit_w(self, profile: PowerProfile) -> float:
        return power.optimal_limit_w(
            profile,
            eta=eta_at(self._plan.eta, self._plan.energy_price),
            max_power_w=self._max_power_w,
            gpus=max(1, len(self._group)),
            max_slowdown=self._plan.max_slowdown,
        )

    # --- the profile -------------------------------------------------------------------------------

    def _is_ours(self, profile: PowerProfile) -> bool:
        return profile.batch_size == self._plan.knobs.batch_size and profile.gpu == self._group.gpu

    def _per_epoch(self) -> int:
        """Samples per epoch; 0 until that is known."""
        return self._clock.samples_per_epoch or 0

    def _measured(self) -> PointsByLimit:
        """What is known of the profile; nothing of this attempt until the length of an epoch is known."""
        per_epoch = self._per_epoch()
        return {**self._points, **(self._windows_so_far(per_epoch) if per_epoch else {})}

    def _windows_so_far(self, per_epoch: int = 1) -> PointsByLimit:
        """The windows measured in this attempt as points, for an epoch of ``per_epoch`` samples."""
        return {
            w.power_limit_w: ProfilePoint(
                w.power_limit_w,
                w.energy_j / w.time_s / len(self._group),
                w.time_s / w.samples * per_epoch,
            )
            for w in (self._profiler.windows if self._profiler else self._windows)
            if w.samples and w.time_s > 0
        }

    def _profile_of(self, points: PointsByLimit) -> PowerProfile | None:
        if not points:
            return None
        return PowerProfile(
            batch_size=self._plan.knobs.batch_size,
            gpu=self._group.gpu,
            max_power_w=self._max_power_w or NAN,
            points=tuple(sorted(points.values(), reverse=True)),
        )


def why_no_limit(group: GpuGroup) -> str:
    """Why no limit is set, as a message for the user; "" where limits may be set."""
    if not group.may_set:
        return group.why_not
    if group.range is None:
        return f"the power limits that {group.gpu} accepts are not known: its limit stays as it is"
    return ""
