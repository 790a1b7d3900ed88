"""What goes down to a trial, and comes up with its results. The only file where result keys are spelt."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from zeus_ray.records.search import NAN, Knobs, MeasuredBy, PowerProfile, Target

RESERVED = "zeus"
"""The one entry of a trial's config that is ours; report keys begin with ``zeus/``."""

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
