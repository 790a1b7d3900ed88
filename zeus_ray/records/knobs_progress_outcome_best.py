"""One run as the search sees it: its knobs, its progress, how it ended, and the answer of the search."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass

from zeus_ray.quantity_format import UNKNOWN, energy, joule_equivalents, power, seconds

NAN = math.nan

Z90 = 1.645
"""Half the width of a normal 90 % interval, in standard deviations."""
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


STOPPED_BY_SEARCH = (StopReason.NOT_WORTH_IT, StopReason.COST_CAP, StopReason.PROFILED)
"""Ends that a search chose: the batch size did not fail."""


class MeasuredBy(_StrEnum):
    """Where joules come from."""

    COUNTER = "counter"
    POWER_INTEGRAL = "power integral"
    SIMULATED = "simulated"
    REPLAY = "replay"
    NONE = "none"


VIRTUAL_ENERGY = frozenset({MeasuredBy.SIMULATED, MeasuredBy.REPLAY})
"""Joules that no GPU here has used: of a model, or of recorded traces."""


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

    def text(self, quantity: Callable[[float], str]) -> str:
        """As in "30.0 kJ (27.1 kJ to 33.2 kJ)"; ``quantity`` formats one number with its unit."""
        if math.isnan(self.mean):
            return UNKNOWN
        interval = f" ({quantity(self.low)} to {quantity(self.high)})"
        return quantity(self.mean) + ("" if math.isnan(self.low) else interval)


@dataclass(frozen=True, kw_only=True, repr=False)
class Best:
    """The knobs a search would use now, and what one run with them should take.

    Attributes:
        batch_size: samples per step.
        power_limit_w: W per GPU; None: the limit that is set on the GPU.
        cost: Eq. 2 of Zeus (J), failed runs included; by time alone where no energy was measured.
        energy_j: energy of one run (J); NaN where no GPU was measured.
        time_s: time of one run (s).
        runs: finished runs of this batch size that this is expected from; 0 where unknown.
    """

    batch_size: int
    power_limit_w: float | None
    cost: Estimate
    energy_j: Estimate
    time_s: Estimate
    runs: int = 0

    @property
    def knobs_text(self) -> str:
        """As in "batch size 64 at 125 W"."""
        limit = "the limit set on the GPU" if self.power_limit_w is None else power(self.power_limit_w)
        return f"batch size {self.batch_size} at {limit}"

    @property
    def scatter(self) -> float:
        """Standard deviation of log epochs from run to run, of which the intervals are made; NaN without."""
        if not self.time_s.high > self.time_s.mean:
            return NAN
        return math.log(self.time_s.high / self.time_s.mean) / (Z90 * math.sqrt(1 + 1 / max(1, self.runs)))

    def expectations(self) -> dict[str, str]:
        """Cost, energy and time in words; without a measured GPU there is neither cost nor energy."""
        if math.isnan(self.energy_j.mean):
            return {"time": self.time_s.text(seconds)}
        return {
            "cost": self.cost.text(joule_equivalents),
            "energy": self.energy_j.text(energy),
            "time": self.time_s.text(seconds),
        }

    def __repr__(self) -> str:
        limit = "None" if self.power_limit_w is None else power(self.power_limit_w)
        expected = ", ".join(f"{name}={text}" for name, text in self.expectations().items())
        return f"Best(batch_size={self.batch_size}, power_limit_w={limit}, {expected})"

    def _repr_html_(self) -> str:
        """For a notebook."""
        rows = {"batch size": str(self.batch_size), "power limit": self.knobs_text.partition(" at ")[2]}
        cells = "".join(f"<tr><th>{k}</th><td>{v}</td></tr>" for k, v in (rows | self.expectations()).items())
        return f"<table>{cells}</table>"
