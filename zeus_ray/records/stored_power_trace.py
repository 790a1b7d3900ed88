"""The power of a run's GPUs over time, as it is stored beside the run: bounded, however long the run was."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

STORED_POINTS = 256
STORED_EPOCHS = 64
STORED_GPUS = 4
StoredPoint = tuple[float, float, float]
"""(time in s, power in W, power limit in W)"""


@dataclass(frozen=True, kw_only=True)
class StoredPowerTrace:
    """The power of one attempt.

    Attributes:
        gpu: kind of the GPUs.
        measured_by: a value of :class:`MeasuredBy`.
        epoch_ends_s: when epochs ended (s since the lease); of many, some.
        traces: the points of each GPU, by UUID; of many GPUs, the first.
        gpus: how many GPUs there were.
    """

    gpu: str = ""
    measured_by: str = ""
    epoch_ends_s: tuple[float, ...] = ()
    traces: Mapping[str, tuple[StoredPoint, ...]] = field(default_factory=dict)
    gpus: int = 0


def bounded_trace(
    traces: Mapping[str, Sequence[StoredPoint]], *, gpu: str, measured_by: str, epoch_ends_s: Sequence[float]
) -> StoredPowerTrace:
    """At most :data:`STORED_POINTS` points of each of :data:`STORED_GPUS` GPUs, to 0.1 s and 0.1 W."""
    kept = list(traces.items())[:STORED_GPUS]
    return StoredPowerTrace(
        gpu=gpu,
        measured_by=measured_by,
        epoch_ends_s=tuple(round(end_s, 1) for end_s in _every_nth(epoch_ends_s, STORED_EPOCHS)),
        traces={uuid: _thinned(points) for uuid, points in kept},
        gpus=len(traces),
    )


def _thinned(points: Sequence[StoredPoint]) -> tuple[StoredPoint, ...]:
    """As many as are kept, the last one among them. A point stands for those before it: their mean power.

    A point is the power since the one before it, the first one since the lease; they may be uneven in time.
    """
    size = -(-len(points) // STORED_POINTS) if points else 1
    kept, begin_s = [], 0.0
    for start in range(0, len(points), size):
        group = points[start : start + size]
        kept.append((round(group[-1][0], 1), round(_mean_power_w(group, begin_s), 1), round(group[-1][2], 1)))
        begin_s = group[-1][0]
    return tuple(kept)


def _mean_power_w(group: Sequence[StoredPoint], begin_s: float) -> float:
    """Over time since ``begin_s``; over the points where no time has passed."""
    passed_s = group[-1][0] - begin_s
    if passed_s <= 0:
        return sum(power_w for _, power_w, _ in group) / len(group)
    begins_s = [begin_s, *(at_s for at_s, _, _ in group[:-1])]
    used_j = sum(
        (at_s - began_s) * power_w for began_s, (at_s, power_w, _) in zip(begins_s, group, strict=True)
    )
    return used_j / passed_s


def _every_nth(values: Sequence[float], most: int) -> Sequence[float]:
    step = -(-len(values) // most) if values else 1
    return values[step - 1 :: step]
