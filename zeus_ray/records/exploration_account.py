"""What a search has spent and saved against running the default, run by run."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class RunAccount:
    """One told run: its cost (J), and the part of it that was spent or saved against the default (J)."""

    run_id: str
    batch_size: int
    cost_j: float
    spent_j: float
    saved_j: float


@dataclass(frozen=True, kw_only=True)
class Exploration:
    """What a search has spent and saved against running the default (J of cost).

    Attributes:
        default_cost_j: mean cost of a run of the default at the highest power limit; NaN if unknown.
        budget_j: what may be spent beyond the savings; inf without a bound.
        spent_j: sum over runs.
        saved_j: sum over runs.
        left_j: what exploration may still cost.
        runs: the account of each told run, oldest first.
    """

    default_cost_j: float
    budget_j: float
    spent_j: float
    saved_j: float
    left_j: float
    runs: tuple[RunAccount, ...]
