"""The plan of a run: the search's, from a trial's config, or one from the arguments of a session."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from zeus_ray.errors import BadInput
from zeus_ray.gpus import discovery as discover
from zeus_ray.objective import eta_or_default
from zeus_ray.records import (
    RESERVED,
    EmissionsConfig,
    Knobs,
    OnlineOptions,
    Plan,
    Target,
    from_plain,
    read_carried,
)


def plan_from_config(
    config: Mapping[str, Any],
    *,
    batch_size: int | None = None,
    power_limit_w: float | None = None,
    power_limits_w: Sequence[float] | None = None,
    eta: float | None = None,
    target: Target | None = None,
    accumulate: int | None = None,
    max_slowdown: float | None = None,
    emissions: EmissionsConfig | None = None,
    online: OnlineOptions | None = None,
) -> Plan:
    """The search's plan where the config has one; else one from the arguments of :func:`session`.

    Args:
        config: of the trial, or empty.
        batch_size: as in :func:`session`, like the next six.
        power_limit_w: likewise.
        power_limits_w: likewise.
        eta: likewise.
        target: likewise.
        accumulate: likewise.
        max_slowdown: likewise.
        emissions: how the run's energy is priced, where the driver does not say.
        online: how the run chooses its limit while it trains; None: it measures all, then takes the best.

    Raises:
        BadInput: no positive whole batch size, or one that cannot be accumulated; eta outside 0 to 1;
            max_slowdown below 1; a config that is no mapping.
    """
    if not isinstance(config, Mapping):
        raise BadInput(
            f"config is a {type(config).__name__}; allowed: a dictionary of the trial's settings, such as "
            "vars(arguments)"
        )
    carried = read_carried(config)
    if "knobs" in carried:
        planned = from_plain(Plan, carried)
        if accumulate not in (None, planned.knobs.accumulate):
            raise BadInput(
                f"accumulate is {accumulate}, but the search has set {planned.knobs.accumulate}: leave it "
                "out, and use run.micro_batch_size and run.step_ends"
            )
        return planned
    size = _whole(batch_size or config.get("batch_size"))
    if size is None:
        raise BadInput(
            f"batch size is {batch_size or config.get('batch_size')!r}; give a positive whole number as "
            "config['batch_size'] or batch_size="
        )
    parts = 1 if accumulate is None else _whole(accumulate)
    if parts is None or size % parts:
        raise BadInput(
            f"accumulate is {accumulate!r}; allowed: a whole number that divides the batch size {size}"
        )
    eta = eta_or_default(eta, max_slowdown)
    if target is None and carried.get("target"):
        target = from_plain(Target, carried["target"])
    if carried.get("emissions"):
        emissions = from_plain(EmissionsConfig, carried["emissions"])
    follows_by_itself = emissions is not None and emissions.eta is not None
    knobs = Knobs(
        run_id="",
        batch_size=size,
        power_limit_w=power_limit_w,
        probe_limits_w=None if power_limits_w is None else tuple(float(w) for w in power_limits_w),
        accumulate=parts,
    )
    return Plan(
        knobs=knobs,
        eta=eta,
        max_slowdown=max_slowdown,
        target=target,
        default_batch_size=size,
        power_control=carried.get("power_control", "auto"),
        gpu_source=carried.get("gpu_source", ""),
        emissions=emissions,
        online=None if follows_by_itself else online,
    )


def _whole(number: object) -> int | None:
    """A positive whole number, of numpy too; None for anything else."""
    is_whole = isinstance(number, Integral) and not isinstance(number, bool)
    return int(number) if is_whole and number > 0 else None  # type: ignore[call-overload,operator]  # is_whole says so


def without_reserved(config: Mapping[str, Any]) -> dict[str, Any]:
    """``config`` without our entry, for a library that takes every entry for a parameter of its own."""
    return {name: value for name, value in config.items() if name != RESERVED}


def carried_settings() -> dict[str, str]:
    """Settings of the driver's environment that a trial on another machine must know: fields of its plan."""
    return {
        "power_control": discover.power_control(os.environ),
        "gpu_source": os.environ.get(discover.GPU_VARIABLE, ""),
    }
