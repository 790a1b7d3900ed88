"""Emissions (g) or price of energy at the time at which it was used."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from zeus_ray.carbon.series import Signal
from zeus_ray.carbon.signal import open_signal
from zeus_ray.errors import BadInput
from zeus_ray.records import GRAMS, NAN, EmissionsConfig, from_json
from zeus_ray.units import J_PER_KWH

SAMPLE_SIGNAL_S = 5.0
"""Signals change every five minutes at most, so the error at a change is small."""
MAX_SAMPLES = 1000

logger = logging.getLogger("zeus_ray")


@dataclass(frozen=True)
class EnergyCharge:
    """What an amount of energy emitted, or what it cost: ``amount`` per the signal's ``unit``, times kWh.

    NaN: unknown.
    """

    amount: float = NAN
    unit: str = GRAMS

    @property
    def carbon_g(self) -> float:
        """Grams of CO2 equivalent; NaN if the signal is a price."""
        return self.amount if self.unit == GRAMS else NAN

    @property
    def price(self) -> float:
        """Money, in the signal's currency; NaN if the signal is carbon intensity."""
        return NAN if self.unit == GRAMS else self.amount


class EnergyPricer:
    """Charges energy by a lease's ``EmissionsConfig``; each signal is opened once.

    It is the ``price`` argument of :class:`zeus_ray.leases.manager.LeaseManager`, called as
    ``price(config, energy_j, from_s, to_s) -> float`` with ``config`` the JSON that the lease was given.
    The float is :attr:`EnergyCharge.amount`; all charges of one lease have one unit, so they may be added,
    and the config's ``unit`` says whether the sum is grams or money.

    Args:
        opener: opens a config's signal; on a cluster one that asks the cluster's actor.
    """

    def __init__(self, opener: Callable[[str], Signal] = open_signal) -> None:
        self._opener = opener
        self._opened: dict[str, tuple[EmissionsConfig, Signal | None]] = {}

    def __call__(self, config: str, energy_j: float, from_s: float, to_s: float) -> float:
        """The amount of :meth:`charge`."""
        return self.charge(config, energy_j, from_s, to_s).amount

    def charge(self, config: str, energy_j: float, from_s: float, to_s: float) -> EnergyCharge:
        """Emissions or price of energy (J) drawn evenly between two values of ``time.time()``."""
        emissions, signal = self.opened(config)
        if signal is None:
            return EnergyCharge(NAN, emissions.unit)
        mean = mean_between(signal, emissions.grid_s(from_s), emissions.grid_s(to_s))
        return EnergyCharge(energy_j / J_PER_KWH * mean, signal.unit)

    def opened(self, config: str) -> tuple[EmissionsConfig, Signal | None]:
        """The config, and its signal; None, with one warning, if the signal cannot be opened here."""
        if config not in self._opened:
            emissions = from_json(EmissionsConfig, config)
            signal = None
            try:
                signal = self._opener(emissions.signal)
            except BadInput as error:
                logger.warning("zeus-ray: emissions and price of energy are unknown here: %s", error)
            self._opened[config] = emissions, signal
        return self._opened[config]


def mean_between(signal: Signal, from_s: float, to_s: float) -> float:
    """The signal's mean over [from_s, to_s]; its value if both are the same time."""
    count = int(min(MAX_SAMPLES, max(1.0, (to_s - from_s) // SAMPLE_SIGNAL_S)))
    middles_s = from_s + (np.arange(count) + 0.5) / count * (to_s - from_s)
    return float(np.mean([signal.at(time_s) for time_s in middles_s]))
