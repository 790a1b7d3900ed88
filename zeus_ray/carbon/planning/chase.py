"""The power limit that suits the carbon intensity of the next interval (Chase, ICLR'23 workshop).

    p = argmin_p (η · P(p) · CI_next + (1 − η) · MAXPOWER · MAXCI) / throughput(p)

It weighs the emissions per unit of work against time, which counts as if all of it were spent at full
power and at the highest intensity. With η = 1 (carbon alone) CI_next cancels, and the limit is that of
least energy.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from zeus_ray.carbon.series import Array
from zeus_ray.errors import BadInput
from zeus_ray.records import PowerProfile


@dataclass(frozen=True, kw_only=True)
class Chase:
    """The published rule; the defaults are those of its reference code.

    Args:
        eta: weight of carbon against time, 0 to 1.
        step_w: the limits considered are this far apart (W), within those that were measured.
        every_s: how often the limit is chosen again (s).

    Raises:
        BadInput: eta outside 0 to 1, or a step or interval that is not positive.
    """

    eta: float = 0.24
    step_w: float = 5.0
    every_s: float = 1800.0

    def __post_init__(self) -> None:
        """Check the arguments."""
        if not 0 <= self.eta <= 1:
            raise BadInput(f"eta is {self.eta}; allowed: 0 (time alone) to 1 (carbon alone)")
        if not (self.step_w > 0 and self.every_s > 0):
            raise BadInput(f"step_w is {self.step_w}, every_s {self.every_s}; both must be positive")

    def limit_w(self, profile: PowerProfile, intensity: float, highest: float) -> float:
        """The limit (W) for the next interval; of equally good ones the lowest.

        Args:
            profile: measured power and time per epoch at each limit.
            intensity: expected in the interval; NaN (unknown) counts as ``highest``.
            highest: the highest intensity of the grid, MAXCI; if it is unknown, too, the intensity does
                not matter.

        Raises:
            BadInput: the profile has no usable point.
        """
        highest = highest if math.isfinite(highest) and highest > 0 else 1.0
        intensity = intensity if math.isfinite(intensity) else highest
        limits_w, power_w, epochs_per_s = interpolate_profile(profile, self.step_w)
        rate = self.eta * power_w * intensity + (1 - self.eta) * profile.max_power_w * highest
        return float(limits_w[np.argmin(rate / epochs_per_s)])


def interpolate_profile(profile: PowerProfile, step_w: float) -> tuple[Array, Array, Array]:
    """Limits (W) every ``step_w`` within the measured ones, the power (W) and the speed (epochs/s) there.

    Power and time are interpolated linearly.

    Raises:
        BadInput: the profile has no usable point.
    """
    usable = sorted(p for p in profile.points if all(map(math.isfinite, p)) and p.time_per_epoch_s > 0)
    if not usable:
        raise BadInput(
            f"the profile of batch size {profile.batch_size} has no usable point: {profile.points}"
        )
    measured_w, power_w, time_s = np.array(usable, dtype=np.float64).T
    limits_w = np.arange(measured_w[0], measured_w[-1] + 1e-6, step_w)
    return (
        limits_w,
        np.interp(limits_w, measured_w, power_w),
        1 / np.interp(limits_w, measured_w, time_s),
    )
