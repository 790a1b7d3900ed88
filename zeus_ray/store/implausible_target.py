"""A question about a target that cannot be meant, after the first reports and not after the whole search."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence

from zeus_ray.records import Target

REPORTS = 4
"""Reports of one run after which nothing is asked any more."""
DIRECTION_REPORTS = 3
"""A metric that gets worse in each of so many reports is taken for one that should."""
HIGHER_IS_BETTER = ("acc", "f1", "auc", "bleu", "iou", "precision", "recall")
LOWER_IS_BETTER = ("loss", "error", "err", "perplexity", "ppl", "mse", "mae", "rmse", "wer")


def target_question(target: Target, metrics: Sequence[float]) -> str:
    """What to ask the user, in one sentence; "" where the target may be meant.

    Args:
        target: the metric, its value and its mode.
        metrics: what the first run has reported so far, oldest first.
    """
    seen = [metric for metric in metrics if math.isfinite(metric)]
    if not seen:
        return ""
    return _direction(target, seen) or _scale(target, seen)


def _scale(target: Target, seen: Sequence[float]) -> str:
    """A percentage for a metric in 0 to 1, or the reverse."""
    goal, name = target.value, target.metric
    if goal is None or target.mode != "max":
        return ""
    if 1 < goal <= 100 and len(seen) >= DIRECTION_REPORTS and all(0 <= metric <= 1 for metric in seen):
        return (
            f"the target is {name} of at least {goal:g}, but {name} has been {min(seen):.3g} to "
            f"{max(seen):.3g} so far. Is it a fraction, and the target {goal / 100:g}?"
        )
    if 0 < goal <= 1 and 1.5 < seen[0] <= 100:
        return (
            f"the target is {name} of at least {goal:g}, which the first report, {seen[0]:.3g}, has "
            f"reached. Is {name} in per cent, and the target {goal * 100:g}?"
        )
    return ""


def _direction(target: Target, seen: Sequence[float]) -> str:
    """A mode that waits for the metric to get worse."""
    name, other = target.metric, "min" if target.mode == "max" else "max"
    words = HIGHER_IS_BETTER if target.mode == "min" else LOWER_IS_BETTER
    if target.reached(seen[0]) and _has_word(name, words):
        return (
            f"the first report of {name}, {seen[0]:.3g}, has reached the target of {target.value:g} with "
            f"mode={target.mode!r}. Is mode={other!r} meant?"
        )
    if len(seen) < DIRECTION_REPORTS or target.reached(seen[-1]):
        return ""
    worse = [b > a if target.mode == "min" else b < a for a, b in itertools.pairwise(seen)]
    if not all(worse):
        return ""
    verb, wish = ("rises", "fall") if target.mode == "min" else ("falls", "rise")
    return (
        f"{name} {verb}, from {seen[0]:.3g} to {seen[-1]:.3g}, but mode={target.mode!r} waits for it to "
        f"{wish}{'' if target.value is None else f' to {target.value:g}'}. Is mode={other!r} meant?"
    )


def _has_word(name: str, words: Sequence[str]) -> bool:
    """Whether a part of the name begins with one of the words, as in ``eval/top1_accuracy``."""
    parts = re.split(r"[^a-z0-9]+", name.lower())
    return any(part.startswith(word) for part in parts for word in words)
