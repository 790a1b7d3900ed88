"""Emissions (g) or price of energy at the time it is used."""

from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np

from zeus_ray.carbon.series import J_PER_KWH, Signal
from zeus_ray.carbon.signal import open_signal
from zeus_ray.errors import BadInput
from zeus_ray.records import NAN, EmissionsConfig, from_json

STEP_S = 5.0
"""Grids tell their intensity every five minutes at most: the error at a change is small."""
MOST_STEPS = 1000

log = logging.getLogger("zeus_ray")


class Pricer:
    """Prices energy by an ``EmissionsConfig`` (as JSON); each signal is opened once.

    Args:
        opener: makes a signal of a footprint's text; on a cluster one that asks the cluster's own actor.
    """

    def __init__(self, opener: Callable[[str], Signal] = open_signal) -> None:
        self._opener = opener
        self._opened: dict[str, tuple[EmissionsConfig, Signal | None]] = {}

    def __call__(self, footprint: str, energy_j: float, from_s: float, to_s: float) -> float:
        """Grams (or money) of energy drawn evenly between two times of ``time.time()``. Never raises."""
        known, signal = self.opened(footprint)
        if signal is None:
            return NAN
        return energy_j / J_PER_KWH * mean(signal, known.grid_s(from_s), known.grid_s(to_s))

    def opened(self, footprint: str) -> tuple[EmissionsConfig, Signal | None]:
        """What a footprint says, and its signal; None, said once, where it cannot be opened here."""
        if footprint not in self._opened:
            known = from_json(EmissionsConfig, footprint)
            try:
                self._opened[footprint] = known, self._opener(known.signal)
            except BadInput as error:
                log.warning("zeus-ray: nothing is priced here: %s", error)
                self._opened[footprint] = known, None
        return self._opened[footprint]


def mean(signal: Signal, from_s: float, to_s: float) -> float:
    """The signal's mean between two times on the grid; its value, where they are one."""
    count = int(min(MOST_STEPS, max(1.0, (to_s - from_s) // STEP_S)))
    middles_s = from_s + (np.arange(count) + 0.5) / count * (to_s - from_s)
    return float(np.mean([signal.at(at_s) for at_s in middles_s]))
