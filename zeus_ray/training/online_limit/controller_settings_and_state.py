"""Settings, windows and state of an ``OnlineController``."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum

from zeus_ray.errors import BadInput
from zeus_ray.training.online_limit.limit_curves_and_knowledge_gradient import LogEstimate
from zeus_ray.training.online_limit.load_change_detector import ChangeTest


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
        eta: 1 weighs energy alone, 0 time alone; None: 0.5, or 1 with ``max_slowdown``.
        max_slowdown: the run takes at most this many times as long as at the highest limit; None: any.
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
    eta: float | None = None
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
        if self.eta is None:
            object.__setattr__(self, "eta", 0.5 if self.max_slowdown is None else 1.0)
        if not 0 <= self.weight <= 1:
            raise BadInput(f"eta is {self.eta}; allowed: 0 (time alone) to 1 (energy alone)")
        if self.max_slowdown is not None and not 1 <= self.max_slowdown < math.inf:
            raise BadInput(f"max_slowdown is {self.max_slowdown}; allowed: 1 (none) or more")
        if not (self.window_s > 0 and self.settle_s >= 0 and self.min_steps >= 2 and self.warm_up_steps >= 0):
            raise BadInput(
                f"window_s {self.window_s}, settle_s {self.settle_s}, min_steps {self.min_steps}, "
                f"warm_up_steps {self.warm_up_steps}; needed: > 0, >= 0, >= 2, >= 0"
            )
        if not 0 <= self.profiling_share < 1:
            raise BadInput(f"profiling_share is {self.profiling_share}; allowed: 0 to less than 1")
        least_w = limits[-1] * sum(self.gpus)
        if self.power_budget_w is not None and not self.power_budget_w >= least_w:
            raise BadInput(
                f"power_budget_w is {self.power_budget_w:g} W for {sum(self.gpus)} GPUs, whose lowest limits "
                f"add up to {least_w:g} W; allowed: that or more"
            )

    @property
    def weight(self) -> float:
        """``eta``, or its default."""
        return 0.5 if self.eta is None else self.eta


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
    slower_since_s: float = math.inf
    """Since when (s of the run) closer looks have found it slower than it was; infinite: they have not."""
    looks: int = 0
    """How often it was measured, at times so far apart that no straggler had a part in two of them."""


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
    recalled_at: int = -1
    """The limit (index) by which an earlier load was taken to be back, until another one confirms it."""
    passing_until_s: float = 0.0
    """Until when (s of the run) a slower load is taken for a straggler that passes."""
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
    closed_sd_s: float = 0.0
    """Standard deviation of ``closed_work_s``."""
    closed_profile_s: float = 0.0
    closed_profile_j: float = 0.0
    time_test: ChangeTest = field(default_factory=ChangeTest)
    power_test: ChangeTest = field(default_factory=ChangeTest)

    @property
    def held(self) -> LimitRecord:
        """The record of the limit that is held: one limit for all, or one per stage."""
        by_stage = self.shared and self.phase in {"settled", "check"}
        return self.shared_record if by_stage else self.records[self.pending]
