"""One window over all processes of a job, and how it adds to what is known of a limit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from zeus_ray.errors import BadInput
from zeus_ray.training.online_limit.controller_settings_and_state import LimitRecord
from zeus_ray.training.online_limit.limit_curves_and_knowledge_gradient import LogEstimate
from zeus_ray.training.online_limit.steps_to_rank_window import RankWindow

WINDOW_SD = 0.003
"""Scatter between two windows at the same limit (ln) beyond what their steps show."""
DRIFT_SD = 0.001
"""A settled limit is never known better than this (ln), so that its estimate follows slow drift."""


@dataclass
class GroupWindow:
    """One window over all processes, in logarithms."""

    time: LogEstimate
    power: LogEstimate | None
    busy: list[LogEstimate | None]
    stage_power: list[LogEstimate | None]
    clean: float
    step_s: float
    steps: int
    units: float
    wall_s: float


def join(ranks: Sequence[RankWindow], gpus: Sequence[int]) -> GroupWindow:
    """All processes as one: time is the slowest's, power the mean over GPUs.

    Args:
        ranks: one record per process.
        gpus: GPUs of each pipeline stage.

    Raises:
        BadInput: no record, or one of a stage that there is not.
    """
    if not ranks:
        raise BadInput("no process gave a record; needed: one RankWindow per process")
    stages = len(gpus)
    if not all(0 <= r.stage < stages for r in ranks):
        raise BadInput(
            f"stages are {sorted({r.stage for r in ranks})}; allowed: 0 to {stages - 1} (see settings.gpus)"
        )
    slowest = max(ranks, key=lambda r: r.unit_s if math.isfinite(r.unit_s) else math.inf)
    by_stage = [[r for r in ranks if r.stage == s] for s in range(stages)]
    stage_power = [_mean_power(of) for of in by_stage]
    shares = [g / sum(gpus) for g in gpus]
    power = None
    if all(p is not None for p in stage_power):
        weighted = [w * math.exp(p.mean) for w, p in zip(shares, stage_power, strict=True) if p is not None]
        total_w = sum(weighted)
        var = sum((x / total_w) ** 2 * p.var for x, p in zip(weighted, stage_power, strict=True) if p)
        power = LogEstimate(math.log(total_w), var)
    usable = math.isfinite(slowest.unit_s) and slowest.unit_s > 0
    return GroupWindow(
        time=LogEstimate(math.log(slowest.unit_s), slowest.unit_sd**2 + WINDOW_SD**2)
        if usable
        else LogEstimate(math.nan, math.inf),
        power=power,
        busy=[_longest_busy(of) for of in by_stage],
        stage_power=stage_power,
        clean=min(r.clean for r in ranks),
        step_s=max(r.step_s for r in ranks),
        steps=slowest.steps,
        units=slowest.units,
        wall_s=max(r.wall_s for r in ranks),
    )


def merge(record: LimitRecord, window: GroupWindow, *, floor: float = DRIFT_SD**2) -> None:
    """Add a window to a record, weighted by precision; ``floor``: the least variance that remains."""
    record.time = _merged(record.time, window.time, floor)
    record.power = _merged(record.power, window.power, floor)
    nothing: list[LogEstimate | None] = [None] * len(window.busy)
    record.busy = [_merged(a, b, floor) for a, b in zip(record.busy or nothing, window.busy, strict=True)]
    record.stage_power = [
        _merged(a, b, floor) for a, b in zip(record.stage_power or nothing, window.stage_power, strict=True)
    ]


def _merged(old: LogEstimate | None, new: LogEstimate | None, floor: float) -> LogEstimate | None:
    if new is None:
        return old
    if old is None:
        return replace(new)
    old.add(new.mean, new.var, floor=floor)
    return old


def _mean_power(ranks: Sequence[RankWindow]) -> LogEstimate | None:
    """Mean power over the GPUs of a stage; None where any of them is not measured."""
    ranks = [r for r in ranks if r.gpus]
    if not ranks or not all(math.isfinite(r.power_w) and r.power_w > 0 for r in ranks):
        return None
    total_w = math.fsum(r.power_w * r.gpus for r in ranks)
    var = math.fsum((r.power_w * r.gpus * r.power_sd) ** 2 for r in ranks) / total_w**2
    return LogEstimate(math.log(total_w / sum(r.gpus for r in ranks)), var + WINDOW_SD**2)


def _longest_busy(ranks: Sequence[RankWindow]) -> LogEstimate | None:
    busy = [r for r in ranks if math.isfinite(r.busy_s) and r.busy_s > 0]
    if not busy or len(busy) < len(ranks):
        return None
    longest = max(busy, key=lambda r: r.busy_s)
    return LogEstimate(math.log(longest.busy_s), longest.unit_sd**2 + WINDOW_SD**2)
