"""Whether the chosen knobs lose accuracy: final metrics over several seeds, with a 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

import numpy as np

from zeus_ray.errors import BadInput
from zeus_ray.records import NAN

LEAST = 3
"""Final metrics of each side without which nothing can be said."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Final metrics of both sides, and the difference chosen − default with its 95 % interval (Welch).

    ``chosen`` and ``default`` describe the knobs; runs that ended without a metric are left out.
    """

    metric: str
    mode: str
    chosen: str
    default: str
    chosen_metrics: tuple[float, ...]
    default_metrics: tuple[float, ...]
    difference: float
    low: float
    high: float

    @property
    def worse(self) -> bool:
        """Whether a loss is certain: the whole interval is on the bad side."""
        return self.high < 0 if self.mode == "max" else self.low > 0

    @property
    def at_most_lost(self) -> float:
        """The largest loss that the interval does not rule out; 0 where it rules out any."""
        return max(0.0, -self.low if self.mode == "max" else self.high)

    @property
    def sentence(self) -> str:
        """All of it in one sentence."""
        counts = f"{len(self.chosen_metrics)} and {len(self.default_metrics)} seeds"
        if math.isnan(self.difference):
            return f"Final {self.metric} was not compared: only {counts} gave one, and {LEAST} are needed."
        said = (
            f"Final {self.metric} over {counts}: {fmean(self.chosen_metrics):.4g} with {self.chosen}, "
            f"{fmean(self.default_metrics):.4g} with {self.default}; difference {self.difference:+.2g} "
            f"({self.low:+.2g} to {self.high:+.2g}, 95 %)"
        )
        if self.worse:
            return f"{said}: the chosen knobs are WORSE."
        return f"{said}: no loss seen; one above {self.at_most_lost:.2g} is ruled out."

    def __str__(self) -> str:
        return self.sentence


def compared(
    metric: str,
    mode: str,
    chosen: tuple[str, Sequence[float]],
    default: tuple[str, Sequence[float]],
) -> Verification:
    """Welch's interval of the difference of means. NaN where one side has fewer than three metrics.

    Args:
        metric: its name.
        mode: "max" or "min".
        chosen: what the knobs are called, and their final metrics.
        default: likewise.
    """
    ours, theirs = (tuple(m for m in side[1] if math.isfinite(m)) for side in (chosen, default))
    difference = low = high = NAN
    if min(len(ours), len(theirs)) >= LEAST:
        difference = fmean(ours) - fmean(theirs)
        spread_a, spread_b = variance(ours) / len(ours), variance(theirs) / len(theirs)
        width = math.sqrt(spread_a + spread_b)
        if width > 0:
            ours_share = spread_a / (spread_a + spread_b)
            freedom = 1 / (ours_share**2 / (len(ours) - 1) + (1 - ours_share) ** 2 / (len(theirs) - 1))
            width *= student_t(0.975, freedom)
        low, high = difference - width, difference + width
    return Verification(
        metric=metric,
        mode=mode,
        chosen=chosen[0],
        default=default[0],
        chosen_metrics=ours,
        default_metrics=theirs,
        difference=difference,
        low=low,
        high=high,
    )


def student_t(share: float, freedom: float) -> float:
    """The quantile of Student's t at ``share`` (0.5 to 1), by integrating its density.

    With t = √ν · tan θ the density is proportional to cosᵛ⁻¹ θ on a finite interval, for any ν.

    Raises:
        BadInput: a share outside that range, or no degrees of freedom.
    """
    if not (0.5 <= share < 1 and freedom > 0):
        raise BadInput(f"share {share} and {freedom} degrees of freedom; allowed: 0.5 to below 1, above 0")
    theta = np.linspace(0.0, math.pi / 2, 20_001)
    density = np.cos(theta[:-1] + theta[1] / 2) ** (freedom - 1)
    below = np.concatenate([[0.0], np.cumsum(density)])
    at = float(np.interp((2 * share - 1) * below[-1], below, theta))
    return math.sqrt(freedom) * math.tan(at)
