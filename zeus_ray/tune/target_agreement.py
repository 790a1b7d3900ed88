"""Metric, mode and target, which both the user of ZeusSearcher and Ray Tune may give: they must agree."""

from __future__ import annotations

from zeus_ray.errors import BadInput
from zeus_ray.records import Target


def agree(name: str, ours: str | None, tunes: str | None) -> str | None:
    """One value from two places that may both give it. Raises BadInput where they differ."""
    if ours and tunes and ours != tunes:
        raise BadInput(
            f"{name} is {ours!r} in ZeusSearcher and {tunes!r} in Ray Tune; give it once, or equal"
        )
    return ours or tunes


def resolve_target(target: Target | None, metric: str | None, mode: str | None) -> Target:
    """The target, with metric and mode from Tune where it has none of its own."""
    if target is None:
        if not metric:
            raise BadInput("no metric: pass target=Target(metric, value), or metric= to Tune or ZeusSearcher")
        return Target(metric, None, mode or "max")
    if metric and metric != target.metric:
        raise BadInput(f"the target is on {target.metric!r}, but Ray Tune's metric is {metric!r}")
    if mode and mode != target.mode:
        raise BadInput(f"the target's mode is {target.mode!r}, but Ray Tune's is {mode!r}")
    return target
