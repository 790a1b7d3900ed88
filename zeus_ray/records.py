"""The frozen records that cross borders: driver to trial, trial to driver, search to anyone.

Units are in the names: ``_w`` watts, ``_j`` joules, ``_s`` seconds, ``_g`` grams of CO2 equivalent.
A number that is not known is NaN, never 0. This is the only file where result keys are spelt.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from zeus_ray.errors import BadInput

NAN = math.nan
RESERVED = "zeus"
"""The one entry of a trial's config that is ours; report keys begin with ``zeus/``."""

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


@dataclass(frozen=True, kw_only=True)
class PowerProfile:
    """What one epoch draws and takes at each power limit, for one batch size on one kind of GPU.

    ``points``: tuples (power_limit_w, average_power_w per GPU, time_per_epoch_s), any order.
    ``max_power_w``: the largest limit the board allows, per GPU.
    """

    batch_size: int
    gpu: str
    max_power_w: float
    points: tuple[tuple[float, float, float], ...]

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of :meth:`to_json`."""
        raw = json.loads(text)
        return cls(**{**raw, "points": tuple((p[0], p[1], p[2]) for p in raw["points"])})


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


GRAMS = "gCO2eq/kWh"
"""The unit of carbon intensity; a signal of any other is a price."""


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """How a trial's energy is priced over time, and whether its power limit follows the grid.

    Args:
        signal: as :func:`zeus_ray.carbon.signal.open_signal` reads it.
        unit: the signal's: grams become ``zeus/carbon_g``, anything else is money, ``zeus/price``.
        eta: weight of carbon against time in Chase's rule; None: the limit does not follow.
        every_s: how often the limit is decided again.
        clock: (real_s, then_s, rate): at ``time.time() == real_s`` it was ``then_s`` on the grid, and
            time passes ``rate`` times as fast. The default is the true time.
    """

    signal: str
    unit: str = GRAMS
    eta: float | None = None
    every_s: float = 1800.0
    clock: tuple[float, float, float] = (0.0, 0.0, 1.0)

    def grid_s(self, real_s: float) -> float:
        """The time on the grid (s since 1970, UTC) when ``time.time()`` says ``real_s``."""
        began_s, then_s, rate = self.clock
        return then_s + rate * (real_s - began_s)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Inverse of :meth:`to_json`."""
        raw = json.loads(text)
        return cls(**{**raw, "clock": tuple(raw["clock"])})


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What goes down to a trial as ``config["zeus"]``: enough to run without asking the driver again."""

    knobs: Knobs
    eta: float = 0.5
    energy_price: float = 1.0
    """What a joule costs as the run starts, in multiples of its long-run mean: it moves the limit."""
    beta: float = 2.0
    max_power_w: float | None = None
    max_epochs: float = math.inf
    target: Target | None = None
    default_batch_size: int | None = None
    gpus: int | None = None
    profiles: tuple[PowerProfile, ...] = ()
    power_control: str = "auto"
    gpu_source: str = ""
    footprint: Footprint | None = None

    def to_config(self) -> dict[str, Any]:
        """Plain JSON values, for ``config["zeus"]``."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def from_config(cls, raw: Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_config`."""
        target = raw.get("target")
        profiles = tuple(PowerProfile.from_json(json.dumps(p)) for p in raw.get("profiles", ()))
        footprint = raw.get("footprint")
        return cls(
            **{
                **raw,
                "knobs": Knobs.from_dict(raw["knobs"]),
                "target": Target(**target) if target else None,
                "profiles": profiles,
                "footprint": Footprint.from_json(json.dumps(footprint)) if footprint else None,
            }
        )


@dataclass(frozen=True, kw_only=True)
class Report:
    """What comes up with every result of a trial, as flat keys ``zeus/<field>``, from the first on.

    ``energy_j`` and ``time_s`` are cumulative over attempts; ``cost`` is Eq. 2 of the paper on them.
    ``energy_j_err`` bounds the error of this attempt's joules (J).
    ``cost_to_target`` is NaN until the target is reached: the one to rank trials by.
    ``accumulate``: micro-batches a step. ``moved_from``: the kind of GPU that the attempt before had,
    where it was another; energy and time are of both then. ``lr`` is what ``scale_lr`` gave, by
    ``lr_rule``. ``advice``: where no limit may be set, in words what one would have saved.
    ``profile`` is JSON of a :class:`PowerProfile`, or "" while it is not whole; then what there is of it
    is in ``profile_so_far``.
    """

    run_id: str = ""
    batch_size: int = 0
    accumulate: int = 1
    epochs: float = NAN
    energy_j: float = NAN
    energy_j_err: float = NAN
    time_s: float = NAN
    average_power_w: float = NAN
    power_limit_w: float = NAN
    cost: float = NAN
    cost_to_target: float = NAN
    carbon_g: float = NAN
    price: float = NAN
    target_reached: bool = False
    stop_reason: str = ""
    gpu: str = ""
    moved_from: str = ""
    shared: bool = False
    attempt: int = 1
    measured_by: str = MeasuredBy.NONE.value
    profile: str = ""
    profile_so_far: str = ""
    lr: float = NAN
    lr_rule: str = ""
    advice: str = ""

    def to_result(self) -> dict[str, Any]:
        """Flat keys ``zeus/<field>``."""
        return {key(name): value for name, value in dataclasses.asdict(self).items()}

    @classmethod
    def from_result(cls, result: Mapping[str, Any]) -> Self | None:
        """Read the keys back from a Tune result; None where the trial was not metered by us."""
        if key("measured_by") not in result:
            return None
        names = (field.name for field in dataclasses.fields(cls))
        return cls(**{name: result[key(name)] for name in names if key(name) in result})


def key(field: str) -> str:
    """The result key of a field of :class:`Report`, such as ``zeus/energy_j``."""
    return f"{RESERVED}/{field}"
