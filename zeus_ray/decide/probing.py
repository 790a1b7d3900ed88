"""Which power limits to probe: those that may turn out cheaper by more than probing them costs."""

from __future__ import annotations

import math

import numpy as np

from zeus_ray.decide import power, value
from zeus_ray.decide.job import Job
from zeus_ray.records import PowerProfile

DIFFERS_SD = 0.03
"""How much two batch sizes an octave apart differ in what a limit costs, relative to the best limit."""
WINDOW_EPOCHS = 0.15
"""Share of an epoch that one window takes, at most about this (5 s, or an epoch over all limits)."""


def probes(job: Job, batch_size: int, gpu: str, epochs_to_come: float) -> tuple[float, ...] | None:
    """Limits (W) worth probing at ``batch_size``, in this order; None: the board's own range.

    The nearest batch size with a profile says what each limit should cost. A limit is probed where
    the saving it may bring over ``epochs_to_come`` is more than one window at its price. The most
    promising comes first: a run may be stopped before it has come to all.
    """
    near = _nearest(job, batch_size, gpu)
    limits = job.settings.power_limits_w
    if near is None:
        return limits
    dearer = _dearer(job, near)
    if limits is None:
        limits = tuple(sorted(dearer, reverse=True))
    octaves = abs(math.log2(batch_size / near.batch_size))
    sd = np.array([DIFFERS_SD * (1 + octaves)])
    wanted = [w for w in limits if _pays(dearer.get(w, 1.0), sd, epochs_to_come)]
    return tuple(sorted(wanted, key=lambda limit_w: dearer.get(limit_w, 1.0))) or (job.limit_w(near),)


def _pays(dearer: float, sd: np.ndarray[tuple[int], np.dtype[np.float64]], epochs_to_come: float) -> bool:
    saving = float(value.expected_saving(np.array([dearer]), sd, 1.0)[0])
    return saving * epochs_to_come >= WINDOW_EPOCHS * (dearer - 1)


def _nearest(job: Job, batch_size: int, gpu: str) -> PowerProfile | None:
    """The profile of the nearest batch size that has enough limits to say where the best one is."""
    full = [
        p for p in job.profiles.of(gpu) if len(p.points) > 1 and (p.gpu, p.batch_size) not in job.unprobed
    ]
    return min(full, key=lambda p: abs(math.log2(p.batch_size / batch_size)), default=None)


def _dearer(job: Job, profile: PowerProfile) -> dict[float, float]:
    """Epoch cost at each limit over that at the best one."""
    settings = job.settings
    costs = {
        point[0]: power.point_cost(point, eta=settings.eta, max_power_w=job.max_power_w, gpus=settings.gpus)
        for point in profile.points
    }
    least = min(costs.values())
    return {limit_w: cost / least for limit_w, cost in costs.items()}
