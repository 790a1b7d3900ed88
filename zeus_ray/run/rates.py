"""How a learning rate tuned for one batch size is scaled to another."""

from __future__ import annotations

import math

from zeus_ray.errors import BadInput


def scaled_lr(base_lr: float, ratio: float, rule: str) -> float:
    """``base_lr`` for a batch ``ratio`` times as large.

    "linear": for SGD (Goyal et al. 2017, arXiv 1706.02677). "sqrt": for Adam-like optimisers
    (Malladi et al. 2022, arXiv 2205.10287). "none": unchanged.
    """
    rules = {"linear": ratio, "sqrt": math.sqrt(ratio), "none": 1.0}
    if rule not in rules:
        raise BadInput(f"learning-rate rule is {rule!r}; allowed: {', '.join(map(repr, rules))}")
    return base_lr * rules[rule]
