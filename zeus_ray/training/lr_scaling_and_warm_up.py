"""Scales a learning rate from one batch size to another, and raises it gradually at the start."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from zeus_ray.errors import BadInput

LrRule = str | Callable[[float], float]
"""A name, or a function from the ratio of the batch sizes to the factor of the learning rate."""
LR_RULES: dict[str, Callable[[float], float]] = {
    "linear": lambda ratio: ratio,
    "sqrt": math.sqrt,
    "none": lambda ratio: 1.0,  # noqa: ARG005 — a rule is a function of the ratio
}


@dataclass(frozen=True)
class ScaledLr:
    """A learning rate before and after scaling, and the name of the rule."""

    base_lr: float
    lr: float
    rule: str

    @property
    def factor(self) -> float:
        """The scaled rate in multiples of the base rate."""
        return self.lr / self.base_lr


@dataclass(frozen=True)
class WarmUp:
    """The factor of the scaled learning rate at each step: from the base rate's up to 1. Picklable.

    Large batches may diverge in their first steps at the scaled rate, and train if it is raised gradually
    (Goyal et al. 2017, section 2.2). For a rate that scaling did not raise the factor is 1 throughout.

    Attributes:
        start: the factor before the first step.
        steps: steps until the factor is 1.
    """

    start: float
    steps: int

    def __call__(self, step: int) -> float:
        """The factor at ``step``, from 0: for ``torch.optim.lr_scheduler.LambdaLR``."""
        done = min(1.0, (step + 1) / self.steps)
        return self.start + (1 - self.start) * done


def scaled(base_lr: float, ratio: float, rule: LrRule) -> ScaledLr:
    """``base_lr`` for a batch ``ratio`` times as large.

    Args:
        base_lr: the learning rate of the smaller (or larger) batch.
        ratio: new batch size / old batch size.
        rule: "linear" for SGD (Goyal et al. 2017, arXiv 1706.02677), "sqrt" for Adam-like optimisers
            (Malladi et al. 2022, arXiv 2205.10287), "none" for an unchanged rate, or a function of the ratio.
            These are rules of thumb: check the metric.

    Raises:
        BadInput: an unknown name, a rate that is not positive, or a function that gives no positive factor.
    """
    if not (math.isfinite(base_lr) and base_lr > 0):
        raise BadInput(f"learning rate is {base_lr!r}; allowed: above 0")
    if callable(rule):
        name, factor = getattr(rule, "__name__", "a function"), rule(ratio)
    elif rule in LR_RULES:
        name, factor = rule, LR_RULES[rule](ratio)
    else:
        allowed = ", ".join(map(repr, LR_RULES))
        raise BadInput(f"learning-rate rule is {rule!r}; allowed: {allowed}, or a function of the ratio")
    if not (math.isfinite(factor) and factor > 0):
        raise BadInput(
            f"learning-rate rule {name} gives {factor!r} for a ratio of {ratio:g}; allowed: above 0"
        )
    return ScaledLr(base_lr, base_lr * factor, name)


def warm_up(scaled_lr: ScaledLr | None, steps: int) -> WarmUp:
    """From the base rate to the scaled one in ``steps``; None: no rate was scaled.

    Raises:
        BadInput: fewer than one step.
    """
    if steps < 1:
        raise BadInput(f"warm-up takes {steps!r} steps; allowed: 1 or more")
    factor = scaled_lr.factor if scaled_lr else 1.0
    return WarmUp(start=1 / factor if factor > 1 else 1.0, steps=steps)
