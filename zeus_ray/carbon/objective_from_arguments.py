"""What a search saves, from its arguments: energy, carbon, a price, or energy and time at ``Prices``.

Used by :class:`zeus_ray.ZeusSearcher` and by recurring jobs.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zeus_ray.carbon.forecasts.forecaster import HISTORY_S
from zeus_ray.carbon.open_signal import absolute_signal, open_signal
from zeus_ray.carbon.series import Signal
from zeus_ray.carbon.signal_file_ended import warn_if_outdated
from zeus_ray.errors import BadInput
from zeus_ray.objective import Prices, eta_or_default
from zeus_ray.records import GRAMS, EmissionsConfig

OBJECTIVES = ("energy", "carbon", "price")


@dataclass(frozen=True)
class SearchObjective:
    """How a joule counts now, compared with its long-run mean.

    Observations stay in joules and seconds, so that a run in a clean night does not look like a better
    configuration.

    Args:
        signal: carbon intensity or price over time; None: a joule always counts the same.
        emissions: how a trial computes the emissions or the price of its energy; None: it cannot open the
            signal.
        clock: seconds since 1970.
    """

    signal: Signal | None = None
    emissions: EmissionsConfig | None = None
    clock: Callable[[], float] = time.time

    def energy_price(self) -> float:
        """The signal's value now over its mean of the last four weeks; 1 if either is unknown."""
        if self.signal is None:
            return 1.0
        now_s = self.clock()
        history = self.signal.history(now_s - HISTORY_S, now_s).values
        measured, value = history[np.isfinite(history)], self.signal.at(now_s)
        mean = float(measured.mean()) if len(measured) else math.nan
        return value / mean if mean > 0 and math.isfinite(value) else 1.0


def resolve_objective(
    objective: str | Prices,
    signal: Signal | str | None,
    *,
    eta: float | None,
    max_power_w: float | None,
    gpus: int,
    max_slowdown: float | None = None,
) -> tuple[SearchObjective, float]:
    """The objective and its eta, from a user's arguments.

    Args:
        objective: "energy", "carbon", "price" or :class:`Prices`.
        signal: as :func:`open_signal` takes it, or an opened one (which trials cannot open).
        eta: weight of energy against time; None: 0.5, or 1 with ``max_slowdown``.
        max_power_w: maximum power limit (W per GPU), which ``Prices`` need.
        gpus: GPUs of one run.
        max_slowdown: how many times as slow as the fastest a power limit may be; None: any.

    Raises:
        BadInput: an unknown objective, a signal that is missing or in another unit, an ``eta`` or
            ``max_power_w`` that does not go with ``Prices``, or numbers out of range.
    """
    emissions = None
    if isinstance(signal, str):
        spec = absolute_signal(signal)  # a trial has a working directory of its own
        signal = open_signal(spec)
        emissions = EmissionsConfig(signal=spec, unit=signal.unit)
    if isinstance(objective, Prices):
        if eta is not None or signal is not None:
            raise BadInput("Prices say what energy and time cost: give neither eta nor signal with them")
        if max_power_w is None:
            raise BadInput(
                "a Prices needs max_power_w, the maximum power limit (W per GPU), to compare time with energy"
            )
        return SearchObjective(), objective.eta(max_power_w, gpus)
    _check(objective, signal)
    if signal is not None:
        warn_if_outdated(signal, emissions.signal if emissions else type(signal).__name__, time.time())
    return SearchObjective(signal, emissions), eta_or_default(eta, max_slowdown)


def _check(objective: str, signal: Signal | None) -> None:
    """Raise BadInput unless the objective exists and the signal is one for it."""
    if objective not in OBJECTIVES:
        allowed = ", ".join(map(repr, OBJECTIVES))
        raise BadInput(f"objective is {objective!r}; allowed: {allowed}, or Prices(energy=…, time=…)")
    if objective == "energy":
        if signal is not None:
            raise BadInput("signal is given, but objective is 'energy'; say objective='carbon' or 'price'")
        return
    if signal is None:
        raise BadInput(f"objective is {objective!r}, which needs a signal, such as signal='uk' or 'csv:PATH'")
    if (signal.unit == GRAMS) != (objective == "carbon"):
        needed = GRAMS if objective == "carbon" else "money per kWh, such as 'csv:PATH?unit=EUR/kWh'"
        raise BadInput(f"objective is {objective!r}, but the signal is in {signal.unit}; needed: {needed}")
