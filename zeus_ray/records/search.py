"""What a search and whoever drives it say to each other: knobs, profiles, progress, outcomes."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

from zeus_ray.errors import BadInput

NAN = math.nan

BASELINE = "baseline"
"""Run id of the extra run of what the user had; the search never hears of it."""


class StopReason(enum.StrEnum):
    """Why a run ended before its function did."""

    TARGET_REACHED = "target reached"
    COST_CAP = "cost cap"
    MAX_EPOCHS = "max epochs"
    PROFILED = "profiled"
    NOT_WORTH_IT = "not worth it"
    OUT_OF_MEMORY = "out of memory"
    ERROR = "error"


class MeasuredBy(enum.StrEnum):
    """Where joules come from."""

    COUNTER = "counter"
    POWER_INTEGRAL = "power integral"
    SIMULATED = "simulated"
    REPLAY = "replay"
    NONE = "none"


@dataclass(frozen=True)
class Target:
    """The metric value that counts as trained.

    ``value=None`` means: what the default batch size reaches becomes the target.
    """

    metric: str
    value: float | None = None
    mode: str = "max"

    def __post_init__(self) -> None:
        """Refuse what can never be reached."""
        if self.mode not in ("max", "min"):
            raise BadInput(f"target mode is {self.mode!r}; allowed: 'max' (higher is better) or 'min'")
        if self.value is not None and not math.isfinite(self.value):
            raise BadInput(f"target value is {self.value!r}; a finite number is needed, or None")

    def reached(self, metric: float) -> bool:
        """Whether ``metric`` is at the target or better. NaN never is, and no target never is."""
        if self.value is None or math.isnan(metric):
            return False
        return metric >= self.value if self.mode == "max" else metric <= self.value

    def better(self, a: float, b: float) -> float:
        """The better of two metric values; NaN loses."""
        if math.isnan(a) or math.isnan(b):
            return b if math.isnan(a) else a
        return max(a, b) if self.mode == "max" else min(a, b)


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """One answer of the search: what to run, and how far.

    ``power_limit_w=None`` with ``probe_limits_w``: profile these limits first, and where that is
    None too, the board's own range (nobody knows yet which limits it takes). ``power_limit_w=None``
    with empty ``probe_limits_w``: the limit found on the board. ``cost_cap``: stop before the
    run's cost exceeds it (inf: never). ``accumulate``: micro-batches a step, more than 1 where the
    batch size does not fit in memory at once.
    """

    run_id: str
    batch_size: int
    power_limit_w: float | None = None
    probe_limits_w: tuple[float, ...] | None = ()
    cost_cap: float = math.inf
    accumulate: int = 1

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Inverse of ``dataclasses.asdict``, through JSON."""
        probes = raw["probe_limits_w"]
        return cls(**{**raw, "probe_limits_w": None if probes is None else tuple(probes)})


class ProfilePoint(NamedTuple):
    """One measured power limit.

    Attributes:
        power_limit_w: the limit (W per GPU).
        average_power_w: average power at that limit (W per GPU); NaN where energy is not measured.
        time_per_epoch_s: seconds per epoch.
    """

    power_limit_w: float
    average_power_w: float
    time_per_epoch_s: float


@dataclass(frozen=True, kw_only=True)
class PowerProfile:
    """What one epoch draws and takes at each power limit, for one batch size on one kind of GPU.

    ``points``: the measured limits, in any order.
    ``max_power_w``: the largest limit the board allows, per GPU.
    """

    batch_size: int
    gpu: str
    max_power_w: float
    points: tuple[ProfilePoint, ...]

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of :meth:`to_json`."""
        raw = json.loads(text)
        return cls(**{**raw, "points": tuple(ProfilePoint(*p) for p in raw["points"])})


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Energy (J, summed over GPUs) and time (s) of a run so far, over all its attempts."""

    energy_j: float = NAN
    time_s: float = NAN


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is: ``epoch`` counts samples seen / samples per epoch; ``metric`` is its best so far."""

    knobs: Knobs
    epoch: float
    metric: float = NAN
    measurement: Measurement = Measurement()
    gpu: str = ""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended. ``measurement`` counts up to the first crossing of the target where it was reached."""

    knobs: Knobs
    reached: bool
    epochs: float
    metric: float = NAN
    measurement: Measurement = Measurement()
    stop: StopReason | None = None
    gpu: str = ""
    shared: bool = False
    """Another job was on the board: the energy is not this run's own, so it credits no arm."""

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> Self:
        """Inverse of ``dataclasses.asdict``, through JSON."""
        knobs, used = Knobs.from_dict(raw["knobs"]), Measurement(**raw["measurement"])
        stop = StopReason(raw["stop"]) if raw["stop"] else None
        return cls(**{**raw, "knobs": knobs, "measurement": used, "stop": stop})


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number with its 90 % interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Best:
    """The knobs a search would use now, and what one run with them should take."""

    batch_size: int
    power_limit_w: float | None
    cost: Estimate
    energy_j: Estimate
    time_s: Estimate
