"""One run as the search sees it: its knobs, its progress, how it ended, and the answer of the search."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

NAN = math.nan

BASELINE = "baseline"
"""Run id of the extra run of the default configuration, for comparison; it is not told to the search."""


class _StrEnum(str, enum.Enum):
    """``enum.StrEnum``, which Python 3.10 does not have."""

    __str__ = str.__str__


class StopReason(_StrEnum):
    """Why a run ended before its function did."""

    TARGET_REACHED = "target reached"
    COST_CAP = "cost cap"
    MAX_EPOCHS = "max epochs"
    PROFILED = "profiled"
    NOT_WORTH_IT = "not worth it"
    OUT_OF_MEMORY = "out of memory"
    ERROR = "error"


class MeasuredBy(_StrEnum):
    """Where joules come from."""

    COUNTER = "counter"
    POWER_INTEGRAL = "power integral"
    SIMULATED = "simulated"
    REPLAY = "replay"
    NONE = "none"


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """A suggestion of the search: what to run, and up to which cost.

    Attributes:
        power_limit_w: W per GPU. None with ``probe_limits_w``: profile these limits first. None with
            empty ``probe_limits_w``: the limit that is set on the GPU already.
        probe_limits_w: W per GPU; None: the GPU's own range, which is not known yet.
        cost_cap: the run is stopped before its cost (J) exceeds this; inf: never.
        accumulate: micro-batches per optimizer step; above 1 where the batch does not fit in memory.
    """

    run_id: str
    batch_size: int
    power_limit_w: float | None = None
    probe_limits_w: tuple[float, ...] | None = ()
    cost_cap: float = math.inf
    accumulate: int = 1


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
    """Another job used the GPU: the energy is not this run alone, so the outcome credits no batch size."""


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
