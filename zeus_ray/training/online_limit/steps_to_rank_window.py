"""Robust statistics of the steps between two energy readings.

A process records the seconds of each step and, about once a second, its energy counter. At the end of a
window it sends one :class:`RankWindow` to the others. Steps much slower than the median (compilation,
garbage collection, a checkpoint) are left out of the time, and the stretches around them out of the power.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from zeus_ray.errors import BadInput
from zeus_ray.records import NAN

SLOW = 1.5
"""A step is an outlier if it takes at least this many times the median step ..."""
SLOW_SD = 6.0
"""... and lies this many robust standard deviations above it ..."""
SLOW_SHARE = 0.15
"""... unless more than this share of the steps are like it: then they belong to the load."""
INTERVAL_SD = 0.01
"""Relative error of the time and power of a report interval."""
COUNTER_ERROR_S = 0.041
"""Standard deviation (s of power) of an energy difference, where the counter ticks every 0.1 s."""


@dataclass(frozen=True, kw_only=True)
class RankWindow:
    """What one process measured in one window; plain numbers, to be gathered from all processes.

    Attributes:
        unit_s: seconds per unit of work (step, sample or token), without outliers; NaN: no step.
        unit_sd: its standard error, relative.
        power_w: average power (W per GPU) without outliers; NaN where energy is not measured.
        power_sd: its standard error, relative.
        steps: steps measured, outliers included.
        step_s: the median seconds per step.
        clean: share of the measured time that is free of outliers.
        units: work done since the window was set, settling included.
        wall_s: seconds since the window was set, settling and outliers included.
        stage: the pipeline stage of this process, from 0.
        gpus: GPUs that ``power_w`` is the mean of; 0 for a process without one of its own.
        busy_s: seconds per unit in which this stage computes; NaN where it is not known.
    """

    unit_s: float
    unit_sd: float
    power_w: float = NAN
    power_sd: float = NAN
    steps: int
    step_s: float
    clean: float = 1.0
    units: float
    wall_s: float
    stage: int = 0
    gpus: int = 1
    busy_s: float = NAN


def outliers(times_s: Sequence[float]) -> list[bool]:
    """Which of ``times_s`` (per unit) are outliers. One may always be one; see ``SLOW_SHARE`` for more."""
    middle = statistics.median(times_s)
    spread = 1.4826 * statistics.median(abs(t - middle) for t in times_s)
    bound = max(SLOW * middle, middle + SLOW_SD * spread)
    marked = [t > bound for t in times_s]
    return marked if sum(marked) <= max(1.0, SLOW_SHARE * len(marked)) else [False] * len(marked)


def interval_as_window(time_s: float, power_w: float) -> RankWindow:
    """A report interval of a function that does not tell its steps, as a window of one step."""
    return RankWindow(
        unit_s=time_s,
        unit_sd=INTERVAL_SD,
        power_w=power_w,
        power_sd=INTERVAL_SD,
        steps=1,
        step_s=time_s,
        units=1,
        wall_s=time_s,
    )


class StepRecorder:
    """Collects the steps of one window in one process; ``step`` takes well under a microsecond.

    Args:
        units: work per step, where it is always the same: 1 for steps, or the samples of a batch.
        stage: the pipeline stage of this process.
    """

    def __init__(self, units: float = 1.0, stage: int = 0) -> None:
        if not units > 0:
            raise BadInput(f"a step does {units} units of work; needed: more than 0")
        self._units = units
        self._stage = stage
        self.begin()

    def begin(self, energy_j: float = NAN) -> None:
        """A window begins (after settling); ``energy_j``: where the counter of this process's GPUs stands."""
        self.times_s: list[float] = []
        self._sizes: list[float] = []
        self._steps: list[int] = []
        self._marks = [(0, energy_j)]
        self._broken: set[int] = set()
        self._lost: set[int] = set()

    def step(self, time_s: float) -> None:
        """A step took ``time_s``."""
        self.times_s.append(time_s)

    def sized_step(self, time_s: float, units: float) -> None:
        """A step took ``time_s`` for ``units`` of work. Not to be mixed with ``step`` in a window."""
        self.times_s.append(time_s)
        self._sizes.append(units)

    def lap(self, time_s: float, steps: int, units: float) -> None:
        """``steps`` steps took ``time_s`` together, where single steps cannot be timed. Not to be mixed."""
        self.times_s.append(time_s)
        self._sizes.append(units)
        self._steps.append(steps)

    @property
    def so_far(self) -> tuple[float, float]:
        """Seconds and units of work since the window began."""
        return math.fsum(self.times_s), math.fsum(self._sizes) or self._units * len(self.times_s)

    def mark(self, energy_j: float) -> None:
        """The counter stands at ``energy_j`` after the latest step; about once a second is enough."""
        if len(self.times_s) > self._marks[-1][0]:
            self._marks.append((len(self.times_s), energy_j))

    def interrupt(self, *, lost: bool = False) -> None:
        """Training has paused: a power reading that lags shows the pause in this stretch and the next.

        ``lost``: the energy of the pause is not known, so that this stretch never counts.
        """
        self._broken |= {len(self._marks), len(self._marks) + 1}
        if lost:
            self._lost.add(len(self._marks))

    def finish(
        self,
        energy_j: float = NAN,
        *,
        settling_s: float = 0.0,
        settling_units: float = 0.0,
        busy_s: float = NAN,
        gpus: int = 1,
    ) -> RankWindow:
        """The window ends: what it measured.

        Args:
            energy_j: where the counter stands now, summed over the GPUs of this process.
            settling_s: seconds from the change of limit to ``begin``.
            settling_units: work done in them.
            busy_s: seconds per unit in which this stage computes.
            gpus: GPUs that ``energy_j`` counts.
        """
        self.mark(energy_j)
        sizes = self._sizes or [self._units] * len(self.times_s)
        counts = self._steps or [1] * len(self.times_s)
        times = self.times_s
        if not times or len(sizes) != len(times) or min(times) <= 0 or min(sizes) <= 0:
            return RankWindow(
                unit_s=NAN,
                unit_sd=NAN,
                steps=sum(counts),
                step_s=NAN,
                clean=0.0,
                units=settling_units,
                wall_s=settling_s + sum(times),
                stage=self._stage,
                gpus=gpus,
            )
        per_unit = [t / u for t, u in zip(times, sizes, strict=True)]
        slow = outliers(per_unit)
        kept = [i for i, is_slow in enumerate(slow) if not is_slow]
        kept_s = math.fsum(times[i] for i in kept)
        mean = kept_s / math.fsum(sizes[i] for i in kept)
        square = math.fsum((per_unit[i] - mean) ** 2 for i in kept) / max(1, len(kept) - 1)
        sd = math.sqrt(square) if len(kept) > 1 else mean
        power_w, power_sd, clean_s = self._power(slow)
        total_s = math.fsum(times)
        return RankWindow(
            unit_s=mean,
            unit_sd=sd / mean / math.sqrt(len(kept)),
            power_w=power_w / gpus if gpus else NAN,
            power_sd=power_sd,
            steps=sum(counts),
            step_s=statistics.median(t / n for t, n in zip(times, counts, strict=True)),
            clean=(clean_s if math.isfinite(power_w) else kept_s) / total_s,
            units=settling_units + math.fsum(sizes),
            wall_s=settling_s + total_s,
            stage=self._stage,
            gpus=gpus,
            busy_s=busy_s,
        )

    def _power(self, slow: Sequence[bool]) -> tuple[float, float, float]:
        """Average power (W), its relative standard error, and the seconds it was averaged over.

        Energy is attributed between marks. A stretch with an outlier does not count, nor does the one
        after it, nor those around a pause, because the power reading lags by up to a second. Where nothing
        is left, only those with an outlier do not count; where each has one, all count, as the outliers do.
        """
        for ways in ((slow, True), (slow, False), ([False] * len(slow), False)):
            power = self._averaged(*ways)
            if math.isfinite(power[0]):
                break
        kept_s = math.fsum(t for t, is_slow in zip(self.times_s, slow, strict=True) if not is_slow)
        return power[0], power[1], min(power[2], kept_s)

    def _averaged(self, slow: Sequence[bool], lags: bool) -> tuple[float, float, float]:
        energy_j = used_s = 0.0
        joints, was_good, after_bad = 0, False, False
        for number, ((i, start_j), (j, end_j)) in enumerate(
            zip(self._marks, self._marks[1:], strict=False), 1
        ):
            bad = any(slow[i:j]) or number in self._lost or (lags and number in self._broken)
            good = not bad and not (lags and after_bad) and math.isfinite(end_j - start_j)
            after_bad = bad
            if good:
                energy_j += end_j - start_j
                used_s += math.fsum(self.times_s[i:j])
                joints += not was_good
            was_good = good
        if used_s <= 0 or energy_j <= 0:
            return NAN, NAN, used_s
        return energy_j / used_s, COUNTER_ERROR_S * math.sqrt(joints) / used_s, used_s
