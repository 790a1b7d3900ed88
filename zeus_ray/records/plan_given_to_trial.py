"""What a trial is given as ``config["zeus"]``: its knobs, the objective, known profiles, its emissions."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import Self

from zeus_ray.errors import BadInput
from zeus_ray.records.knobs_progress_outcome_best import Knobs
from zeus_ray.records.power_profile import PowerProfile
from zeus_ray.records.serialization import from_plain, to_json
from zeus_ray.records.target import Target

if TYPE_CHECKING:
    from zeus_ray.search.search import Search

RESERVED = "zeus"
"""The one entry of a trial's config that is ours; report keys begin with ``zeus/``."""


class PlanText(str):
    """JSON of a plan as the one entry ``config["zeus"]``, which Ray Tune neither splits nor spells out.

    ``str()`` of it, which Tune uses for trial names, tables and folders, is the id of the run. The JSON is
    its content: ``json.loads`` and :func:`read_carried` read it.
    """

    __slots__ = ()

    def __str__(self) -> str:
        return str(json.loads(self).get("knobs", {}).get("run_id", "")) or "settings"

    def __repr__(self) -> str:
        return f"<plan of run {self}>"

    def __format__(self, spec: str) -> str:
        return format(str(self), spec)


def read_carried(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config["zeus"]`` as plain values; without such an entry an empty dictionary.

    Raises:
        BadInput: the entry is neither JSON of a dictionary nor a dictionary.
    """
    entry = config.get(RESERVED) or {}
    try:
        carried = json.loads(entry) if isinstance(entry, str) else dict(entry)
        return dict(carried)
    except (TypeError, ValueError) as error:
        raise BadInput(
            f"config[{RESERVED!r}] is {entry!r}, which is no plan of zeus-ray; rename that entry"
        ) from error


GRAMS = "gCO2eq/kWh"
"""The unit of carbon intensity. A signal in any other unit is a price."""


@dataclass(frozen=True, kw_only=True)
class EmissionsConfig:
    """How a trial's energy is priced over time, and whether its power limit follows the signal.

    Attributes:
        signal: a signal of carbon intensity or price, as :func:`zeus_ray.open_signal` reads it.
        unit: unit of the signal. Grams per kWh give ``zeus/carbon_g``; any other unit is a currency per
            kWh and gives ``zeus/price``.
        eta: weight of carbon against time in Chase's rule; None: the limit does not follow the signal.
        every_s: how often the limit is decided again (s).
        clock: (real_s, then_s, rate): at ``time.time() == real_s`` it was ``then_s`` in the signal, and
            time passes ``rate`` times as fast. The default is the true time.
    """

    signal: str
    unit: str = GRAMS
    eta: float | None = None
    every_s: float = 1800.0
    clock: tuple[float, float, float] = (0.0, 0.0, 1.0)

    @property
    def is_price(self) -> bool:
        """Whether the signal is a price per kWh, not a carbon intensity."""
        return self.unit != GRAMS

    def grid_s(self, real_s: float) -> float:
        """The time in the signal (s since 1970, UTC) when ``time.time()`` is ``real_s``."""
        began_s, then_s, rate = self.clock
        return then_s + rate * (real_s - began_s)


UNITS = ("steps", "samples", "tokens")
REPORTED_STEPS = "reported steps"
"""The unit of a command that is supervised: steps as its output counts them, some of them at a time."""
"""Units of work of a run whose limit is chosen while it trains."""


@dataclass(frozen=True, kw_only=True)
class OnlineOptions:
    """How a run without a search chooses its power limit while it trains.

    Attributes:
        unit: the unit of work, one of ``UNITS``, or ``REPORTED_STEPS``.
        power_budget_w: the most that the limits of all GPUs may add up to (W); None: any.
        stage: the pipeline stage of this process, from 0.
        job: name under which the power profile is kept for a later run; "": it is not kept.
        history: the folder, or its URI, where it is kept.

    Raises:
        BadInput: an unknown unit.
    """

    unit: str = "steps"
    power_budget_w: float | None = None
    stage: int = 0
    job: str = ""
    history: str = ""

    def __post_init__(self) -> None:
        """Check the unit and the stage."""
        if self.unit not in {*UNITS, REPORTED_STEPS}:
            raise BadInput(f"unit is {self.unit!r}; allowed: {', '.join(map(repr, UNITS))}")
        if self.stage < 0:
            raise BadInput(f"stage is {self.stage}; allowed: 0 (the first pipeline stage) or more")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a trial is given as ``config["zeus"]``: enough to run without asking the driver again.

    Attributes:
        knobs: the search's suggestion.
        eta: weight of energy (1) against time (0) in the cost (Zeus, Eq. 2).
        max_slowdown: the run chooses no power limit that is more times as slow as the fastest; None: any.
        energy_price: what a joule costs as the run starts, in multiples of its long-run mean. It moves the
            power limit and nothing else.
        beta: a run of the published policy ends before it costs ``beta`` times the cheapest one.
        max_power_w: MAXPOWER of Eq. 2 (W per GPU); None: the highest limit of the GPU.
        max_epochs: the run ends after so many epochs.
        target: when the run is trained; None: it has no target.
        default_batch_size: samples per step that the learning rate was tuned for.
        gpus: GPUs of the run; None: as many as it is given.
        profiles: power profiles measured before, of this batch size.
        power_control: "auto" or "off", as the driver's environment says.
        gpu_source: ``ZEUS_RAY_GPU`` of the driver; "": not set.
        emissions: how the run's energy is priced over time; None: it is not.
        online: how the run chooses its limit by itself, while it trains; None: the search chooses.
    """

    knobs: Knobs
    eta: float = 0.5
    max_slowdown: float | None = None
    energy_price: float = 1.0
    beta: float = 2.0
    max_power_w: float | None = None
    max_epochs: float = math.inf
    target: Target | None = None
    default_batch_size: int | None = None
    gpus: int | None = None
    profiles: tuple[PowerProfile, ...] = ()
    power_control: str = "auto"
    gpu_source: str = ""
    emissions: EmissionsConfig | None = None
    online: OnlineOptions | None = None

    @classmethod
    def of_search(cls, search: Search, knobs: Knobs, **others: Any) -> Self:  # noqa: ANN401 — the other fields
        """The plan of a run that ``search`` has just suggested; ``others``: fields a search does not have."""
        return cls(
            knobs=knobs,
            eta=search.eta,
            max_slowdown=search.max_slowdown,
            beta=search.beta,
            max_power_w=search.max_power_w,
            max_epochs=search.max_epochs,
            target=search.target,
            default_batch_size=search.default_batch_size,
            profiles=tuple(p for p in search.profiles if p.batch_size == knobs.batch_size),
            **others,
        )

    def to_config(self) -> PlanText:
        """The value of ``config["zeus"]``: JSON in one entry."""
        return PlanText(to_json(self))

    @classmethod
    def from_config(cls, raw: str | Mapping[str, Any]) -> Self:
        """Inverse of :meth:`to_config`; plain values are read, too.

        Raises:
            BadInput: ``raw`` is not a plan.
        """
        return from_plain(cls, read_carried({RESERVED: raw}))
