"""What a power limit would have saved, for a run that may set none, as a sentence for its user."""

from __future__ import annotations

import math

from zeus_ray.quantity_format import energy, less
from zeus_ray.records import NAN, Plan
from zeus_ray.search.power_limit import LimitAdvice, advise


def savings_estimate(
    plan: Plan, gpu: str, *, max_power_w: float | None, gpus: int, energy_j: float, limit_w: float
) -> str:
    """One sentence, from a profile recorded on the same kind of GPU; or what is missing for it.

    Args:
        plan: the run's plan, with the known profiles.
        gpu: the kind of GPU.
        max_power_w: MAXPOWER (W per GPU).
        gpus: GPUs of the run.
        energy_j: energy of the run so far (J).
        limit_w: the limit in force (W per GPU); NaN: the highest.
    """
    size = plan.knobs.batch_size
    known = (p for p in plan.profiles if p.batch_size == size and p.gpu == gpu)
    profile = next(known, None)
    in_force_w = (max_power_w or NAN) if math.isnan(limit_w) else limit_w
    found = profile and advise(
        profile,
        in_force_w,
        eta=plan.eta,
        max_power_w=max_power_w,
        gpus=gpus,
        max_slowdown=plan.max_slowdown,
    )
    if not found:
        return (
            f"no power profile of batch size {size} on {gpu} is known. A run on such a GPU that may set "
            "limits would measure one; `zeus-ray doctor` says what permission is missing"
        )
    saved_j = "" if math.isnan(energy_j) else f", {energy(abs(energy_j * found.energy_share))} of this run's,"
    return f"by the recorded profile of batch size {size} on {gpu}, {in_words(found, saved_j)}"


def in_words(found: LimitAdvice, saved_j: str = "") -> str:
    """The best limit against the one in force. ``saved_j``: inserted after the energy."""
    if found.limit_w == found.against_w:
        return f"the {found.limit_w:g} W in force are best"
    return (
        f"{found.limit_w:g} W instead of {found.against_w:g} W would have taken {less(found.energy_share)} "
        f"energy{saved_j} and {less(found.time_share)} time"
    )
