"""What a run that may set no limit can still say: what one would have saved."""

from __future__ import annotations

import math

from zeus_ray.decide.advice import Advice, advise
from zeus_ray.records import NAN, Plan, PowerProfile
from zeus_ray.units import energy, less


def advice(
    plan: Plan, gpu: str, *, max_power_w: float | None, gpus: int, energy_j: float, limit_w: float
) -> str:
    """One sentence, by a profile that was recorded on the same kind of GPU; or what is missing for it.

    Args:
        plan: the run's, with the profiles known.
        gpu: the kind of board.
        max_power_w: MAXPOWER (W per GPU).
        gpus: boards of the run.
        energy_j: what the run has taken.
        limit_w: the limit in force.
    """
    size = plan.knobs.batch_size
    profile = _of_kind(plan, gpu)
    in_force_w = (max_power_w or NAN) if math.isnan(limit_w) else limit_w
    found = profile and advise(profile, in_force_w, eta=plan.eta, max_power_w=max_power_w, gpus=gpus)
    if not found:
        return (
            f"no power profile of batch size {size} on {gpu} is known: one run that may set limits, on a "
            "board of this kind, would tell what a limit saves (zeus-ray doctor says how to get there)"
        )
    joules = "" if math.isnan(energy_j) else f", {energy(abs(energy_j * found.energy_share))} of this run's,"
    return f"by the profile recorded of batch size {size} on {gpu}, {in_words(found, joules)}"


def in_words(found: Advice, joules: str = "") -> str:
    """The advice, without where it comes from. ``joules``: what to put behind the energy."""
    if found.limit_w == found.against_w:
        return f"the {found.limit_w:g} W in force are best"
    return (
        f"{found.limit_w:g} W instead of {found.against_w:g} W would have taken {less(found.energy_share)} "
        f"energy{joules} and {less(found.time_share)} time"
    )


def _of_kind(plan: Plan, gpu: str) -> PowerProfile | None:
    known = (p for p in plan.profiles if p.batch_size == plan.knobs.batch_size and p.gpu == gpu)
    return next(known, None)
