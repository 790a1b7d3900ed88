"""What energy emitted, or cost, when it was used: a ``price`` for :class:`zeus_ray.devices.lease.Keeper`."""

from __future__ import annotations

import logging
from functools import cache

import numpy as np

from zeus_ray.carbon.series import J_PER_KWH, Signal
from zeus_ray.carbon.signal import open_signal
from zeus_ray.errors import BadInput
from zeus_ray.records import NAN, Footprint

STEP_S = 60.0
"""No grid tells its intensity more often than every five minutes."""
MOST_STEPS = 1000

log = logging.getLogger("zeus_ray")


def price(footprint: str, energy_j: float, from_s: float, to_s: float) -> float:
    """Grams (or money) of energy drawn evenly between two times of ``time.time()``. Never raises.

    Args:
        footprint: JSON of a :class:`zeus_ray.records.Footprint`.
        energy_j: joules.
        from_s: real time when it began; the footprint's clock says what that is on the grid.
        to_s: real time when it ended.
    """
    known, signal = opened(footprint)
    if signal is None:
        return NAN
    return energy_j / J_PER_KWH * mean(signal, known.grid_s(from_s), known.grid_s(to_s))


def mean(signal: Signal, from_s: float, to_s: float) -> float:
    """The signal's mean between two times on the grid, minute by minute; its value, where they are one."""
    count = int(min(MOST_STEPS, max(1.0, (to_s - from_s) // STEP_S)))
    middles_s = from_s + (np.arange(count) + 0.5) / count * (to_s - from_s)
    return float(np.mean([signal.at(at_s) for at_s in middles_s]))


@cache
def opened(footprint: str) -> tuple[Footprint, Signal | None]:
    """What a footprint says, and its signal; None, said once, where it cannot be opened on this machine."""
    known = Footprint.from_json(footprint)
    try:
        return known, open_signal(known.signal)
    except BadInput as error:
        log.warning("zeus-ray: nothing is priced here: %s", error)
        return known, None
