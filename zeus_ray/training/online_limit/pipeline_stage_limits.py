"""Power limits per pipeline stage: the slowest stage keeps its speed, the others slow down to it.

The idea is Perseus' (Chung et al., SOSP'24), with power limits in place of clocks. All stages are profiled at
once under a common limit; for every time per unit that some stage can keep, each stage takes the limit of
least energy that is fast enough, and the cheapest of these times is chosen. A power budget shuts out the
combinations whose limits add up to more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from zeus_ray.objective import cost
from zeus_ray.training.online_limit.controller_settings_and_state import LimitRecord
from zeus_ray.training.online_limit.limit_curves_and_knowledge_gradient import LimitCurve

WAITING_POWER = 0.35
"""Power of a GPU that waits for other stages, over its power at the highest limit."""


@dataclass(frozen=True, kw_only=True)
class StageCurve:
    """One stage at each limit: seconds per unit that it computes, and W per GPU averaged over the step."""

    gpus: int
    busy_s: tuple[float, ...]
    power_w: tuple[float, ...]
    step_s: tuple[float, ...]
    """Seconds per unit of the whole pipeline when ``power_w`` was measured."""

    def energy_j(self, k: int, unit_s: float) -> float:
        """Energy per unit at limit ``k`` when the pipeline takes ``unit_s``: as measured, plus waiting."""
        waiting_w = WAITING_POWER * max(self.power_w)
        measured_j = self.power_w[k] * self.step_s[k]
        return self.gpus * max(
            measured_j + waiting_w * (unit_s - self.step_s[k]), self.power_w[k] * self.busy_s[k] * 0.5
        )


def share_limits(
    stages: Sequence[StageCurve],
    limits_w: Sequence[float],
    *,
    eta: float,
    max_power_w: float,
    power_budget_w: float | None = None,
    max_unit_s: float | None = None,
) -> tuple[int, ...] | None:
    """The index of each stage's limit with the lowest cost per unit.

    Args:
        stages: one curve per stage.
        limits_w: the limits that the curves are over (W per GPU).
        eta: 1 for energy alone, 0 for time alone.
        max_power_w: MAXPOWER, per GPU.
        power_budget_w: the most that all limits may add up to, over all GPUs.
        max_unit_s: no slower than this, if anything can keep it.

    Returns:
        None if no combination keeps within ``power_budget_w``.
    """
    gpus = sum(s.gpus for s in stages)
    waiting_s = max(0.0, stages[0].step_s[0] - max(s.busy_s[0] for s in stages))
    everywhere = range(len(limits_w))
    best: tuple[float, tuple[int, ...]] | None = None
    for busy_s in sorted({s.busy_s[k] for s in stages for k in everywhere}):
        unit_s = busy_s + waiting_s
        if max_unit_s is not None and best is not None and unit_s > max_unit_s:
            break
        fast = [[k for k in everywhere if s.busy_s[k] <= busy_s] for s in stages]
        if not all(fast):
            continue
        chosen = _within_budget(stages, limits_w, fast, unit_s, power_budget_w)
        if chosen is None:
            continue
        energy_j = sum(s.energy_j(k, unit_s) for s, k in zip(stages, chosen, strict=True))
        price = cost(energy_j, unit_s, eta=eta, max_power_w=max_power_w, gpus=gpus)
        if best is None or price < best[0]:
            best = (price, chosen)
    return None if best is None else best[1]


def _within_budget(
    stages: Sequence[StageCurve],
    limits_w: Sequence[float],
    fast: Sequence[Sequence[int]],
    unit_s: float,
    budget_w: float | None,
) -> tuple[int, ...] | None:
    """Each stage's cheapest limit that is fast enough; its lowest one where the budget asks for that."""
    cheapest = tuple(
        min(ks, key=lambda k: (s.energy_j(k, unit_s), limits_w[k]))
        for s, ks in zip(stages, fast, strict=True)
    )
    lowest = tuple(min(ks, key=lambda k: limits_w[k]) for ks in fast)
    for chosen in (cheapest, lowest):
        total_w = sum(s.gpus * limits_w[k] for s, k in zip(stages, chosen, strict=True))
        if budget_w is None or total_w <= budget_w:
            return chosen
    return None


def stage_curves(
    ratios: Sequence[float], records: Sequence[LimitRecord], gpus: Sequence[int]
) -> list[StageCurve]:
    """The curve of each stage, from what was measured under limits common to all.

    Args:
        ratios: each limit over the uncapped power.
        records: what is known of each limit.
        gpus: GPUs of each stage.
    """
    step = LimitCurve.fit(ratios, {i: r.time for i, r in enumerate(records) if r.time}, "time")
    curves = []
    for s, count in enumerate(gpus):
        busy = {i: b for i, r in enumerate(records) if r.busy and (b := r.busy[s]) is not None}
        power = {i: p for i, r in enumerate(records) if r.stage_power and (p := r.stage_power[s]) is not None}
        curves.append(
            StageCurve(
                gpus=count,
                busy_s=_falling(LimitCurve.fit(ratios, busy, "time").mean),
                power_w=tuple(math.exp(p) for p in LimitCurve.fit(ratios, power, "power").mean),
                step_s=_falling(step.mean),
            )
        )
    return curves


def _falling(logs: Sequence[float]) -> tuple[float, ...]:
    """Exp of times over falling limits, made not to fall where noise says a lower limit is faster."""
    values: list[float] = []
    for value in logs:
        values.append(max([math.exp(value), *values[-1:]]))
    return tuple(values)
