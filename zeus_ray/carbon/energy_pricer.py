"""Emissions (g) or price of energy at the time at which it was used."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

import numpy as np

from zeus_ray.carbon.open_signal import open_signal
from zeus_ray.carbon.series import Signal
from zeus_ray.carbon.signal_file_ended import warn_if_outdated
from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import J_PER_KWH
from zeus_ray.records import NAN, EmissionsConfig, from_json

SAMPLE_SIGNAL_S = 5.0
"""Signals change every five minutes at most, so the error at a change is small."""
MAX_SAMPLES = 1000

logger = logging.getLogger("zeus_ray")


class EnergyPricer:
    """Emissions or price of energy by an ``EmissionsConfig``; each signal is opened once.

    It is the ``price`` argument of a ``LeaseManager``, which calls
    ``price(config, energy_j, from_s, to_s)``. The result is in the config's ``unit`` times kWh, so that unit
    says which it is: grams with ``gCO2eq/kWh``, else money. Results of one config may be added.

    Args:
        opener: opens a config's signal; on a cluster one that asks the cluster's actor.
    """

    def __init__(self, opener: Callable[[str], Signal] = open_signal) -> None:
        self._opener = opener
        self._opened: dict[str, tuple[EmissionsConfig, Signal | None]] = {}

    def __call__(self, config: str, energy_j: float, from_s: float, to_s: float) -> float:
        """Grams or money of energy drawn evenly between two values of ``time.time()``.

        Args:
            config: JSON of an ``EmissionsConfig``.
            energy_j: energy (J).
            from_s: when it began to be drawn.
            to_s: when it had been drawn.

        Returns:
            NaN if the signal cannot be opened.
        """
        emissions, signal = self.opened(config)
        if signal is None:
            return NAN
        mean = mean_between(signal, emissions.grid_s(from_s), emissions.grid_s(to_s))
        return energy_j / J_PER_KWH * mean

    def opened(self, config: str) -> tuple[EmissionsConfig, Signal | None]:
        """The config, and its signal; None, with one warning, if it cannot be opened or has another unit."""
        if config not in self._opened:
            emissions = from_json(EmissionsConfig, config)
            self._opened[config] = emissions, self._open(emissions)
        return self._opened[config]

    def _open(self, emissions: EmissionsConfig) -> Signal | None:
        try:
            signal = self._opener(emissions.signal)
        except BadInput as error:
            logger.warning("zeus-ray: emissions and price of energy are unknown here: %s", error)
            return None
        if signal.unit != emissions.unit:
            logger.warning(
                "zeus-ray: emissions and price of energy are unknown here: signal %s is in %s, but its "
                "EmissionsConfig says unit=%r",
                emissions.signal,
                signal.unit,
                emissions.unit,
            )
            return None
        warn_if_outdated(signal, emissions.signal, emissions.grid_s(time.time()))
        return signal


def mean_between(signal: Signal, from_s: float, to_s: float) -> float:
    """The signal's mean over [from_s, to_s]; its value if both are the same time."""
    count = int(min(MAX_SAMPLES, max(1.0, (to_s - from_s) // SAMPLE_SIGNAL_S)))
    middles_s = from_s + (np.arange(count) + 0.5) / count * (to_s - from_s)
    return float(np.mean([signal.at(time_s) for time_s in middles_s]))
