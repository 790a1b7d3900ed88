"""Whether the recommended knobs lose accuracy: final metrics over several seeds, with a 95 % interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

import numpy as np

from zeus_ray.errors import BadInput
from zeus_ray.records import NAN

MIN_REPEATS = 3
"""Fewer final metrics than this on either side give no useful interval."""


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Final metrics with both knobs, and the difference chosen − default with its 95 % interval (Welch).

    ``chosen`` and ``default`` describe the knobs in words; runs that ended without a metric are left out.
    All numbers are in units of the metric; NaN where there are too few.
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
        """Whether the chosen knobs lose: the whole interval is on the worse side of 0."""
        return self.high < 0 if self.mode == "max" else self.low > 0

    @property
    def at_most_lost(self) -> float:
        """The largest loss inside the interval; 0 where it contains none."""
        return max(0.0, -self.low if self.mode == "max" else self.high)

    @property
    def sentence(self) -> str:
        """The comparison in one sentence."""
        counts = f"{len(self.chosen_metrics)} and {len(self.default_metrics)} seeds"
        if math.isnan(self.difference):
            return (
                f"Final {self.metric} was not compared: only {counts} gave one, and {MIN_REPEATS} are needed."
            )
        comparison = (
            f"Final {self.metric} over {counts}: {fmean(self.chosen_metrics):.4g} with {self.chosen}, "
            f"{fmean(self.default_metrics):.4g} with {self.default}; difference {self.difference:+.2g} "
            f"({self.low:+.2g} to {self.high:+.2g}, 95 %)"
        )
        if self.worse:
            return f"{comparison}: the chosen knobs are WORSE."
        return f"{comparison}: no loss seen; one above {self.at_most_lost:.2g} is ruled out."

    def __str__(self) -> str:
        return self.sentence


def compare_final_metrics(
    metric: str,
    mode: str,
    chosen: tuple[str, Sequence[float]],
    default: tuple[str, Sequence[float]],
) -> Verification:
    """Compare final metrics by Welch's 95 % interval of the difference of their means.

    Args:
        metric: its name.
        mode: "max" if a higher metric is better, or "min".
        chosen: a description of the recommended knobs, and the final metric of each run with them.
        default: likewise, for the default.
    """
    chosen_metrics, default_metrics = (
        tuple(m for m in side[1] if math.isfinite(m)) for side in (chosen, default)
    )
    difference = low = high = NAN
    if min(len(chosen_metrics), len(default_metrics)) >= MIN_REPEATS:
        difference = fmean(chosen_metrics) - fmean(default_metrics)
        variance_a = variance(chosen_metrics) / len(chosen_metrics)
        variance_b = variance(default_metrics) / len(default_metrics)
        width = math.sqrt(variance_a + variance_b)
        if width > 0:
            share = variance_a / (variance_a + variance_b)
            freedom = 1 / (  # Welch-Satterthwaite
                share**2 / (len(chosen_metrics) - 1) + (1 - share) ** 2 / (len(default_metrics) - 1)
            )
            width *= student_t(0.975, freedom)
        low, high = difference - width, difference + width
    return Verification(
        metric=metric,
        mode=mode,
        chosen=chosen[0],
        default=default[0],
        chosen_metrics=chosen_metrics,
        default_metrics=default_metrics,
        difference=difference,
        low=low,
        high=high,
    )


def student_t(probability: float, freedom: float) -> float:
    """The quantile of Student's t, by integrating its density: scipy is not a dependency.

    With t = √ν · tan θ the density is proportional to cosᵛ⁻¹ θ on a finite interval, for any ν.

    Args:
        probability: 0.5 or more, below 1.
        freedom: degrees of freedom ν, above 0; need not be whole.

    Raises:
        BadInput: an argument outside these ranges.
    """
    if not (0.5 <= probability < 1 and freedom > 0):
        raise BadInput(
            f"probability {probability} and {freedom} degrees of freedom; allowed: 0.5 to below 1, above 0"
        )
    theta = np.linspace(0.0, math.pi / 2, 20_001)
    density = np.cos(theta[:-1] + theta[1] / 2) ** (freedom - 1)
    below = np.concatenate([[0.0], np.cumsum(density)])
    at = float(np.interp((2 * probability - 1) * below[-1], below, theta))
    return math.sqrt(freedom) * math.tan(at)
