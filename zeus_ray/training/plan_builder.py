"""From a trial's config, or from arguments, to the :class:`Plan` a run follows."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from zeus_ray.decide import Search
from zeus_ray.errors import BadInput
from zeus_ray.gpus import discovery as discover
from zeus_ray.records import RESERVED, EmissionsConfig, Knobs, Plan, Target, from_plain


def plan_from_config(
    config: Mapping[str, Any],
    *,
    batch_size: int | None = None,
    power_limit_w: float | None = None,
    power_limits_w: Sequence[float] | None = None,
    eta: float | None = None,
    target: Target | None = None,
) -> Plan:
    """The search's plan, where the config has one; else one made from the arguments.

    Raises:
        BadInput: no positive whole batch size, or eta outside 0 to 1.
    """
    carried = config.get(RESERVED, {})
    if "knobs" in carried:
        return Plan.from_config(carried)
    size = batch_size or config.get("batch_size")
    if not isinstance(size, int) or size < 1:
        raise BadInput(
            f"batch size is {size!r}; give a positive whole number as config['batch_size'] or batch_size="
        )
    if eta is not None and not 0 <= eta <= 1:
        raise BadInput(f"eta is {eta}; allowed: 0 (time alone) to 1 (energy alone)")
    if target is None and carried.get("target"):
        target = Target(**carried["target"])
    knobs = Knobs(
        run_id="",
        batch_size=size,
        power_limit_w=power_limit_w,
        probe_limits_w=None if power_limits_w is None else tuple(float(w) for w in power_limits_w),
    )
    return Plan(
        knobs=knobs,
        eta=0.5 if eta is None else eta,
        target=target,
        default_batch_size=size,
        power_control=carried.get("power_control", "auto"),
        gpu_source=carried.get("gpu_source", ""),
        footprint=footprint_of(carried),
    )


def plan_for_knobs(
    search: Search,
    knobs: Knobs,
    *,
    gpus: int,
    energy_price: float = 1.0,
    footprint: EmissionsConfig | None = None,
) -> Plan:
    """What goes down to a run that ``search`` was just asked for. See :class:`Plan`."""
    settings = carried_settings()
    return Plan(
        knobs=knobs,
        eta=search.eta,
        energy_price=energy_price,
        beta=search.beta,
        max_power_w=search.max_power_w,
        max_epochs=search.max_epochs,
        target=search.target,
        default_batch_size=search.default_batch_size,
        gpus=gpus,
        profiles=tuple(p for p in search.profiles if p.batch_size == knobs.batch_size),
        power_control=settings["power_control"],
        gpu_source=settings["gpu_source"],
        footprint=footprint,
    )


def footprint_of(carried: Mapping[str, Any]) -> EmissionsConfig | None:
    """How a trial's energy is priced, where its reserved entry says so."""
    raw = carried.get("footprint")
    return from_plain(EmissionsConfig, raw) if raw else None


def carried_settings() -> dict[str, Any]:
    """What the driver's environment says and a trial on another machine must know."""
    return {
        "power_control": discover.power_control(os.environ),
        "gpu_source": os.environ.get(discover.GPU_VARIABLE, ""),
    }
