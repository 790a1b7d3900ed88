"""Enforces the exploration budget around every policy: what it may ask for, run on with, and give up."""

from __future__ import annotations

import dataclasses
import math

from zeus_ray.records import STOPPED_BY_SEARCH, Knobs, Outcome, Progress, StopReason
from zeus_ray.search.policies.policy import Choice
from zeus_ray.search.state import SearchState


def allowed(state: SearchState, choice: Choice, gpu: str, *, may_wait: bool) -> tuple[Choice, float] | None:
    """The choice, or the default in its place, and what its run may cost (J).

    Args:
        state: the search.
        choice: what the policy wants.
        gpu: kind of GPU.
        may_wait: return None where a pending run may yet bring what this one would spend.
    """
    if choice.batch_size == state.fallback:
        bounded = math.isfinite(state.budget.budget)
        return (dataclasses.replace(choice, cost_cap=math.inf) if bounded else choice), math.inf
    if state.may_begin_exploring(choice.batch_size, gpu):
        return choice, state.exploring_run_may_cost_j()
    if may_wait and state.pending.knobs:
        return None
    return Choice(batch_size=state.fallback, probe_limits_w=state.settings.power_limits_w), math.inf


def exceeds(state: SearchState, progress: Progress) -> bool:
    """Whether the next report of an exploring run would take its cost over what the budget leaves."""
    size, run_id = progress.knobs.batch_size, progress.knobs.run_id
    if size == state.fallback or run_id not in state.pending.knobs or run_id in state.wished:
        return False
    epoch_j = _known(state.epoch_cost(size, progress.gpu)) * (1 - min(progress.epoch % 1, 0.9))
    would_be_j = state.pending.cost_j(run_id) + state.pending.next_cost_j(run_id, epoch_j)
    return would_be_j > state.exploring_run_may_cost_j(run_id)


def may_give_up(state: SearchState, knobs: Knobs) -> bool:
    """Whether a run may be ended early: one of the default only where the budget can pay for it."""
    if knobs.batch_size != state.fallback:
        return True
    return state.pending.cost_j(knobs.run_id) <= state.exploration_left_j(knobs.run_id)


def enter(state: SearchState, knobs: Knobs, outcome: Outcome, *, by_default: bool) -> None:
    """Enter a told run into the account. ``by_default``: the default's result sets the target."""
    size, run_cost = knobs.batch_size, state.cost(outcome.measurement)
    is_default = size == state.fallback and outcome.stop not in STOPPED_BY_SEARCH
    reached = outcome.reached or by_default
    reference_j = math.nan
    if is_default and not outcome.shared and outcome.stop != StopReason.ERROR:
        ratio = state.epoch_cost(size, outcome.gpu, at_max_limit=True) / state.epoch_cost(size, outcome.gpu)
        reference_j = run_cost * (ratio if ratio > 1 else 1.0)
    explored = not (is_default or knobs.run_id in state.wished)
    state.budget.add(knobs.run_id, size, run_cost, reference_j, reached=reached, explored=explored)
    state.wished.discard(knobs.run_id)


def drop(state: SearchState, run_id: str) -> None:
    """Enter what a run has cost whose result is not coming."""
    knobs, cost_j = state.pending.knobs.get(run_id), state.pending.cost_j(run_id)
    if knobs is not None and cost_j > 0:
        explored = knobs.batch_size != state.fallback and run_id not in state.wished
        state.budget.add(run_id, knobs.batch_size, cost_j, math.nan, reached=False, explored=explored)
    state.wished.discard(run_id)


def _known(number: float) -> float:
    return number if math.isfinite(number) else 0.0
