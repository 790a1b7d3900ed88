"""Power and time of one epoch at each power limit, for one batch size on one kind of GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class ProfilePoint(NamedTuple):
    """One measured power limit.

    Attributes:
        power_limit_w: the limit (W per GPU).
        average_power_w: average power at that limit (W per GPU); NaN where energy is not measured.
        time_per_epoch_s: seconds per epoch.
    """

    power_limit_w: float
    average_power_w: float
    time_per_epoch_s: float


@dataclass(frozen=True, kw_only=True)
class PowerProfile:
    """What one epoch draws and takes at each power limit (Zeus, section 4.2).

    Attributes:
        batch_size: samples per optimizer step, over all GPUs.
        gpu: the kind of GPU, such as "V100".
        max_power_w: the highest limit of that GPU (W per GPU), MAXPOWER of Eq. 2.
        points: the measured limits, in any order.
    """

    batch_size: int
    gpu: str
    max_power_w: float
    points: tuple[ProfilePoint, ...]

    def __post_init__(self) -> None:
        """Accept plain (power_limit_w, average_power_w, time_per_epoch_s) tuples."""
        object.__setattr__(self, "points", tuple(ProfilePoint(*point) for point in self.points))
