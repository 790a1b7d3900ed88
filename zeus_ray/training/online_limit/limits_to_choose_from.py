"""The power limits that a run chooses from while it trains."""

from __future__ import annotations

from zeus_ray.records import Plan
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.planned_or_profiled_limit import why_no_limit


def wants_limit(plan: Plan) -> bool:
    """Whether the plan wants any limit to be set."""
    return plan.knobs.probe_limits_w != () or plan.knobs.power_limit_w is not None


def may_choose(plan: Plan, group: GpuGroup) -> bool:
    """Whether the plan wants a limit, and every GPU of the group takes one."""
    return wants_limit(plan) and not why_no_limit(group)


def limits_to_choose_from(plan: Plan, group: GpuGroup | None, in_force_w: float) -> tuple[float, ...]:
    """The limits (W per GPU) to choose from: one where it is given, or where none may be chosen.

    Args:
        plan: the run's plan.
        group: its GPUs; None: no limit may be set.
        in_force_w: the limit in force; NaN without a GPU.

    Raises:
        BadInput: a limit outside the GPUs' range.
    """
    allowed = group.range if group is not None else None
    if allowed is None:
        return (in_force_w if in_force_w > 0 else 1.0,)
    knobs = plan.knobs
    if knobs.power_limit_w is not None:
        return (allowed.check(knobs.power_limit_w),)
    if knobs.probe_limits_w is None:
        return allowed.steps()
    return tuple(allowed.check(limit_w) for limit_w in knobs.probe_limits_w)
