"""What the processes of a job tell one another: before the first step, and at the edge of each window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from zeus_ray.training.online_limit.controller_settings_and_state import UnitPoint
from zeus_ray.training.online_limit.steps_to_rank_window import RankWindow


@dataclass(frozen=True, kw_only=True)
class FirstExchange:
    """What a process tells the others before the first step: its stage, its GPUs, the profile it has kept."""

    stage: int
    gpus: int
    kept: tuple[UnitPoint, ...]


@dataclass(frozen=True, kw_only=True)
class WindowEdge:
    """What a process tells the others at the edge of a window.

    Attributes:
        window: what it measured.
        refusal: why no limit may be chosen any more; "".
        energy_price: what a joule costs now, in multiples of its long-run mean.
    """

    window: RankWindow
    refusal: str
    energy_price: float


def gpus_by_stage(everyones: Sequence[FirstExchange]) -> tuple[int, ...]:
    """GPUs of each pipeline stage."""
    stages = 1 + max(one.stage for one in everyones)
    return tuple(max(1, sum(one.gpus for one in everyones if one.stage == s)) for s in range(stages))
