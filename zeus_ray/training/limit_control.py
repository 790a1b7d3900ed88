"""The power limit of one run: the one that is known to be best, or the one a profile finds."""

from __future__ import annotations

from collections.abc import Sequence

from zeus_ray.decide import power
from zeus_ray.objective import eta_at
from zeus_ray.records import NAN, Plan, PowerProfile, ProfilePoint
from zeus_ray.training.gpu_group import GpuGroup
from zeus_ray.training.profiler import Profiler
from zeus_ray.training.report_builder import ReportBuilder
from zeus_ray.training.run_clock import RunClock

Points = dict[float, ProfilePoint]
"""Points of a profile by their limit (W)."""


class LimitController:
    """Sets the planned limit, solves it from a known profile, or profiles just in time.

    ``resume``, ``step``, ``pause`` and ``interval`` are the profiler's, and do nothing once the
    limit is settled. ``note`` says in one line what was lost ("" if nothing). ``measured``: what this
    trial's earlier attempts measured, which is not probed again. A plan that asks for none of the
    limits that its own profile has goes on with that profile, which an earlier run did not finish.
    """

    def __init__(
        self,
        plan: Plan,
        boards: GpuGroup,
        pace: RunClock,
        account: ReportBuilder,
        *,
        measured: Sequence[PowerProfile] = (),
        window_s: float,
        settle_s: float,
    ) -> None:
        self.profile: PowerProfile | None = None
        self.note = "" if boards.may_set else boards.why_not
        self._plan = plan
        self._boards = boards
        self._pace = pace
        self._account = account
        self._profiler: Profiler | None = None
        known = (*plan.profiles, *measured)
        self._points = {p[0]: p for profile in known if self._is_ours(profile) for p in profile.points}
        wanted_w = self._limits_to_probe() if boards.may_set else ()
        if boards.may_set and not self._set_known(wanted_w):
            limits_w = [w for w in wanted_w if w not in self._points]
            if limits_w:
                self._profiler = Profiler(boards, pace, limits_w, window_s=window_s, settle_s=settle_s)
            else:
                self._settle()

    @property
    def settled(self) -> bool:
        """Whether the run goes on at this limit."""
        return self._profiler is None

    def resume(self) -> None:
        """Training (re)starts."""
        self.finish()
        if self._profiler is not None:
            self._profiler.resume()

    def step(self) -> None:
        """A full step was trained."""
        if self._profiler is not None:
            self._profiler.step()
            self.finish()

    def pause(self) -> None:
        """Training stops for a while."""
        if self._profiler is not None:
            self._profiler.pause()

    def interval(self) -> None:
        """A report interval of a function that does not say when it steps: one window each."""
        if self._profiler is not None:
            self._profiler.interval()
            self.finish()

    def finish(self, *, partial: bool = False) -> None:
        """Once the windows are there, make the profile and run on at its best limit.

        ``partial``: the run ends now; what was measured so far is the profile.
        """
        profiler, per_epoch = self._profiler, self._account.samples_per_epoch
        if profiler is None or not per_epoch or not (profiler.done or partial):
            return
        self._points |= self._windows()
        self._profiler = None
        self.note = self.note or profiler.trouble
        self._settle()

    @property
    def so_far(self) -> PowerProfile | None:
        """What is measured of the profile, whole or not."""
        return self.profile or self._made({**self._points, **self._windows()})

    def _windows(self) -> Points:
        """The windows measured in this attempt, where the length of an epoch is known."""
        windows = self._profiler.windows if self._profiler else []
        per_epoch = self._account.samples_per_epoch or 0
        return {
            w.power_limit_w: ProfilePoint(
                w.power_limit_w,
                w.energy_j / w.time_s / len(self._boards),
                w.time_s / w.samples * per_epoch,
            )
            for w in windows
            if w.samples and w.time_s > 0 and per_epoch
        }

    def _settle(self) -> None:
        """All limits are measured: run on at the best of them."""
        self.profile = self._made(self._points)
        if self.profile is not None:
            self._set(self._best_w(self.profile))
            self._follow(self.profile)

    def _made(self, points: Points) -> PowerProfile | None:
        if not points:
            return None
        return PowerProfile(
            batch_size=self._plan.knobs.batch_size,
            gpu=self._boards.gpu,
            max_power_w=self._account.max_power_w or NAN,
            points=tuple(sorted(points.values(), reverse=True)),
        )

    def _is_ours(self, profile: PowerProfile) -> bool:
        return profile.batch_size == self._plan.knobs.batch_size and profile.gpu == self._boards.gpu

    def _set_known(self, to_probe: Sequence[float]) -> bool:
        """Set the planned limit, or the best of a profile from an earlier run on this kind of GPU."""
        wanted_w, known = (
            self._plan.knobs.power_limit_w,
            next(filter(self._is_ours, self._plan.profiles), None),
        )
        if known is None:
            if wanted_w is not None:
                self._set(wanted_w)
            return wanted_w is not None
        if wanted_w is None and to_probe and not {point[0] for point in known.points} & set(to_probe):
            return False
        self._set(self._best_w(known) if wanted_w is None else wanted_w)
        self._follow(known)
        return True

    def _follow(self, profile: PowerProfile) -> None:
        """Where the plan says so, the boards' keepers decide the limit from now on, as the grid goes."""
        footprint = self._plan.footprint
        if footprint is not None and footprint.eta is not None:
            self._boards.follow(profile)
            self._pace.limit_changed()

    def _limits_to_probe(self) -> tuple[float, ...]:
        wanted, allowed = self._plan.knobs.probe_limits_w, self._boards.range
        if allowed is None or wanted == ():
            return ()
        if wanted is None:
            return allowed.steps()
        return tuple(allowed.check(limit_w) for limit_w in wanted)

    def _set(self, limit_w: float) -> None:
        self._boards.set_limit(limit_w)
        self._pace.limit_changed()

    def _best_w(self, profile: PowerProfile) -> float:
        return power.optimal_limit_w(
            profile,
            eta=eta_at(self._plan.eta, self._plan.energy_price),
            max_power_w=self._account.max_power_w,
            gpus=max(1, len(self._boards)),
        )
