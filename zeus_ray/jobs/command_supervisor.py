"""Measures a command from beside it, and chooses its power limit by the progress that its output shows."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from zeus_ray.errors import BadInput, DeviceError, NoDevice
from zeus_ray.gpus import discovery
from zeus_ray.gpus.energy.readings import Reading
from zeus_ray.gpus.registry import load_source
from zeus_ray.jobs.choose_counter_to_follow import ProgressFollower
from zeus_ray.jobs.metric_values_from_output import quoted
from zeus_ray.jobs.supervision_summary import SupervisionSummary
from zeus_ray.quantity_format import energy, power, seconds
from zeus_ray.records import NAN, Plan
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.online_limit.feed_controller_and_set_limit import OnlineLimitControl
from zeus_ray.training.ranks_from_environment import Ranks
from zeus_ray.training.samples_and_time import RunClock
from zeus_ray.training.where_run_leases_and_reports import gpu_settings, lease_here, lease_or_none

NO_PROGRESS_AFTER_S = 60.0

logger = logging.getLogger("zeus_ray")


class CommandSupervisor:
    """Leases the GPUs of a command, measures them, and holds the limit that suits its load.

    Steps are those that the command's output counts; each line of its counter ends one measurement, which
    ``OnlineLimitControl`` takes as a step of so much work.
    Whatever fails here, the command is not touched: measuring ends then, limits are restored, and it is said.

    Args:
        plan: objective and limits to choose from, with ``online``.
        progress: finds the steps in the output.
        say: takes a sentence for the user.
        env: the environment of the command, which says what GPUs it sees.
        window_s: seconds measured per limit, at least.
        settle_s: seconds left out after each change of limit.

    Raises:
        BadInput: ``env`` names a GPU that is not here, a limit is out of range, or this is one of several
            processes on the machine.
        LeaseRefused: another run holds a GPU at another limit.
    """

    def __init__(
        self,
        plan: Plan,
        progress: ProgressFollower,
        say: Callable[[str], None],
        *,
        env: Mapping[str, str] = os.environ,
        window_s: float = 5.0,
        settle_s: float = 1.0,
    ) -> None:
        self._progress = progress
        self._say = say
        self._failed = self._said_progress = self._said_choice = self._said_none = False
        self._began_s = time.monotonic()
        self._group = lease_or_none(lambda plan, _gpus: lease_visible(plan, env), plan, 0)
        try:
            self._clock = RunClock(self._group, plan.knobs.batch_size)
            allowed = self._group.range
            self._control = OnlineLimitControl(
                plan,
                self._group,
                self._clock,
                max_power_w=allowed.max_w if allowed else None,
                window_s=window_s,
                settle_s=settle_s,
            )
        except BaseException:
            self._group.release()
            raise
        self._virtual = self._group.virtual
        self._follows = bool(len(self._group)) and not self._virtual
        if self._control.note or self._group.why_none:
            say(self._control.note or self._group.why_none)
        if self._virtual:
            say("a simulated GPU knows nothing of a command: full load is measured, and no limit is chosen")

    def line(self, line: str) -> None:
        """The command has written ``line``."""
        if not self._follows or self._failed:
            return
        done = self._progress.steps(line, time.monotonic())
        if done is not None:
            self._safely(lambda: self._steps(done.steps, timed=done.timed))

    def check(self) -> None:
        """To be called now and then: after a minute without progress, says so once."""
        waited = time.monotonic() - self._began_s >= NO_PROGRESS_AFTER_S
        if self._follows and waited and not self._progress.line and not self._said_none:
            self._said_none = True
            self._say(
                "no progress in the first minute of output: energy is measured, and no limit is chosen until "
                "lines such as 'step 10/100' or a tqdm bar come; for others, --progress-regex 'iter (\\d+)'"
            )

    def status(self, metric: str = "") -> str:
        """Energy, time, limit and steps until now, in one line; ``metric``: what to add."""
        reading = self.read()
        report = self._control.report(reading)
        steps = f", {report.units:,.0f} steps" if self._progress.line else ""
        return (
            f"{energy(reading.energy_j)} in {seconds(reading.time_s)}, limit "
            f"{power(reading.power_limit_w)}{steps}{metric}"
        )

    def read(self) -> Reading:
        """Energy, time and limit now; the last known ones where that fails."""
        self._safely(self._clock.edge_by_wall if self._virtual else self._clock.read)
        return self._clock.last

    def end(self, command: Sequence[str], exit_code: int, metric: float = NAN) -> SupervisionSummary:
        """The command has ended: what it used. Restores the limits."""
        reading, chosen_w = self.read(), self._control.best_limit_w
        self._safely(lambda: self._control.finish(partial=True))
        if self._control.unfinished and self._progress.line:
            self._say(
                f"no complete power profile of this command: {len(self._control.per_unit)} limits were "
                "measured until it ended; a longer run, a shorter --window, or more frequent progress lines "
                "would complete it"
            )
        if self._follows and not self._progress.line and not self._said_none:
            self._say(
                "no progress in the whole output: energy was measured, and no limit chosen; lines such as "
                "'step 10/100' or a tqdm bar are read, others with --progress-regex 'iter (\\d+)'"
            )
        report, read = self._control.report(reading), bool(self._progress.line)
        summary = SupervisionSummary(
            command=tuple(command),
            exit_code=exit_code,
            gpus=len(self._group),
            gpu=self._group.gpu,
            measured_by=reading.measured_by or self._group.measured_by.value,
            energy_j=reading.energy_j,
            time_s=reading.time_s,
            average_power_w=reading.energy_j / reading.time_s if reading.time_s > 0 else NAN,
            power_limit_w=reading.power_limit_w,
            chosen_limit_w=chosen_w,
            steps=report.units if read else NAN,
            energy_per_step_j=report.energy_per_unit_j if read else NAN,
            profiling_lines=report.profiling_steps,
            profiling_extra_s=report.profiling_extra_s,
            slowdown=report.slowdown,
            profile=report.unit_profile,
            progress_line=self._progress.line.strip(),
            metric=metric,
        )
        self.release()
        return summary

    def release(self) -> None:
        """Restore the limits. Does nothing the second time."""
        if not self._group.released:
            self._group.release()

    def _steps(self, steps: int, *, timed: bool) -> None:
        if not timed:
            self._control.drop()
            self._control.partial_step(1, float(steps))
            self._control.resume()
        else:
            self._control.step(1, float(steps))
        if timed and not self._said_progress:
            self._said_progress = True
            self._say(
                f"steps are read from lines such as {quoted(self._progress.line)}, one about every "
                f"{seconds(self._progress.interval_s)}; energy per step decides the limit"
            )
        best_w = self._control.best_limit_w
        if best_w > 0 and not self._said_choice:
            self._said_choice = True
            self._say(f"{power(best_w)} is the best limit until now; it is watched from here on")

    def _safely(self, call: Callable[[], object]) -> None:
        """Measuring may fail: the command goes on, and so does its supervision without a limit."""
        if self._failed:
            return
        try:
            call()
        except Exception as error:
            self._failed = True
            if not isinstance(error, DeviceError):
                logger.exception("zeus-ray: measuring failed; the command goes on, unmeasured")
            with suppress(Exception):
                self.release()
            self._say(
                f"the command goes on, but is not measured any more, and its limits are restored: {error}"
            )


def lease_visible(plan: Plan, env: Mapping[str, str]) -> GpuGroup:
    """All GPUs that a process with ``env`` sees. Raises BadInput in one of a launcher's several processes."""
    ranks = Ranks.from_environment(env)
    if ranks is not None and (ranks.local_rank or ranks.local_world_size > 1):
        raise BadInput(
            f"this is process {ranks.local_rank} of several on this machine, started by {ranks.launcher}: "
            "start one supervisor per machine, around the launcher, as in zeus-ray run -- torchrun train.py"
        )
    source, _control = gpu_settings(plan)
    try:
        opened = discovery.open_gpus(source)
    except NoDevice as error:
        return GpuGroup((), why_none=str(error))
    visible = discovery.visible_gpus(source, env, opened)
    if load_source(source).virtual:
        visible = visible[:1]
    if not visible:
        return GpuGroup(
            (), why_none="the command sees no GPU, as CUDA_VISIBLE_DEVICES says: nothing is measured"
        )
    return lease_here(visible, plan)
