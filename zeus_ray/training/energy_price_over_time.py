"""What a joule costs a run while it trains, in multiples of its long-run mean."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from zeus_ray.carbon.objective_from_arguments import SearchObjective
from zeus_ray.carbon.open_signal import open_signal
from zeus_ray.errors import BadInput
from zeus_ray.records import Plan

logger = logging.getLogger("zeus_ray")


class EnergyPriceOverTime:
    """The price that was set, or the one that the plan's signal says, asked again every half an hour.

    Args:
        plan: its ``energy_price`` holds at the start, its ``emissions`` name the signal.
        clock: seconds since 1970.
    """

    def __init__(self, plan: Plan, *, clock: Callable[[], float] = time.time) -> None:
        self._price = plan.energy_price
        self._clock = clock
        self._next_s = 0.0
        self._every_s = plan.emissions.every_s if plan.emissions else 0.0
        self._objective = _objective_of(plan, clock)

    def set(self, price: float) -> None:
        """From now on a joule costs ``price`` times its mean, whatever a signal says.

        Raises:
            BadInput: the price is not a number.
        """
        if price != price:  # noqa: PLR0124 — NaN
            raise BadInput("the price of energy is NaN; needed: a multiple of its long-run mean, such as 1.3")
        self._price, self._objective = price, None

    def now(self) -> float:
        """The price now."""
        if self._objective is not None and self._clock() >= self._next_s:
            self._next_s = self._clock() + self._every_s
            self._price = self._objective.energy_price()
        return self._price


def _objective_of(plan: Plan, clock: Callable[[], float]) -> SearchObjective | None:
    emissions = plan.emissions
    if emissions is None or emissions.eta is not None:  # then the GPU's lease follows the signal by itself
        return None
    try:
        signal = open_signal(emissions.signal)
    except BadInput as error:
        logger.warning("zeus-ray: the power limit does not follow the signal: %s", error)
        return None
    return SearchObjective(signal, emissions, lambda: emissions.grid_s(clock()))
