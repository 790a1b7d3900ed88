"""Which runs overlapped in time: they may have had the same CPUs, whose energy must not be added up twice."""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[float, float]
"""When a run began and ended (s since 1970); -inf where the begin is not known."""
CLOCK_STEP_S = 1.0
"""Ray Tune writes whole seconds: what overlaps by less may be two runs in a row."""


def overlap_another(runs: Sequence[Span]) -> list[bool]:
    """Of each run, whether another one took place at the same time."""
    return [
        any(_overlap(one, other) for number, other in enumerate(runs) if number != index)
        for index, one in enumerate(runs)
    ]


def _overlap(one: Span, other: Span) -> bool:
    return min(one[1], other[1]) - max(one[0], other[0]) > CLOCK_STEP_S
