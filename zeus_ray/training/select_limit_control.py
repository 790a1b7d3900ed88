"""Who holds the power limit of a run: the search that planned it, or the run itself while it trains."""

from __future__ import annotations

from typing import TypeAlias

from zeus_ray.records import Plan
from zeus_ray.training.leased_gpu_group import GpuGroup
from zeus_ray.training.online_limit.feed_controller_and_set_limit import OnlineLimitControl
from zeus_ray.training.planned_or_profiled_limit import LimitController
from zeus_ray.training.samples_and_time import RunClock
from zeus_ray.training.usage_of_earlier_attempts import AttemptLog

LimitControl: TypeAlias = LimitController | OnlineLimitControl


def limit_control_of(
    plan: Plan,
    group: GpuGroup,
    clock: RunClock,
    attempts: AttemptLog,
    *,
    max_power_w: float | None,
    window_s: float,
    settle_s: float,
) -> LimitControl:
    """What sets the limit of a run of ``plan``.

    A search needs exactly the limits that it asked for, per epoch, and gets a :class:`LimitController`. A run
    of its own, whose plan has ``online``, needs only the best limit, soon and for as long as it trains.
    """
    if plan.online is None:
        return LimitController(
            plan,
            group,
            clock,
            max_power_w=max_power_w,
            measured=attempts.profiles,
            window_s=window_s,
            settle_s=settle_s,
        )
    return OnlineLimitControl(
        plan,
        group,
        clock,
        max_power_w=max_power_w,
        measured=attempts.unit_profile if attempts.gpu == group.gpu else (),
        window_s=window_s,
        settle_s=settle_s,
    )
