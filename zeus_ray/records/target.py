"""The metric value that counts as trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from zeus_ray.errors import BadInput

ROUNDING = 1e-6
"""A metric this close to the target, as a share of it, is at it: in float32, 342 / 360 is 0.94999999."""
MOST_DIGITS = 9


@dataclass(frozen=True)
class Target:
    """The metric value that counts as trained.

    ``value=None`` means: what the default batch size reaches becomes the target.
    """

    metric: str
    value: float | None = None
    mode: str = "max"

    def __post_init__(self) -> None:
        """Refuse what can never be reached."""
        if self.mode not in ("max", "min"):
            raise BadInput(f"target mode is {self.mode!r}; allowed: 'max' (higher is better) or 'min'")
        if self.value is not None and not math.isfinite(self.value):
            raise BadInput(f"target value is {self.value!r}; a finite number is needed, or None")

    def reached(self, metric: float) -> bool:
        """Whether ``metric`` is at the target (within ``ROUNDING``) or better; NaN never is."""
        if self.value is None or math.isnan(metric):
            return False
        slack = ROUNDING * abs(self.value)
        return metric >= self.value - slack if self.mode == "max" else metric <= self.value + slack

    def text(self, metric: float, digits: int = 4) -> str:
        """The metric with so many digits, or as many as it takes to be on its own side of the target."""
        texts = (f"{metric:#.{n}g}".rstrip(".") for n in range(digits, MOST_DIGITS + 1))
        same = (text for text in texts if self.reached(float(text)) == self.reached(metric))
        return next(same, f"{metric:g}")

    def better(self, a: float, b: float) -> float:
        """The better of two metric values; NaN loses."""
        if math.isnan(a) or math.isnan(b):
            return b if math.isnan(a) else a
        return max(a, b) if self.mode == "max" else min(a, b)
