"""The contract of a policy: what to run next, and when to stop a run.

A policy is constructed without arguments, bound to one search, and told of every run that counts.
The exploration budget is enforced around it; the target, the last epoch and the phase without a
target are not its business either.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from zeus_ray.records import Progress, StopReason
from zeus_ray.search.models.cost_model import CostModel, cost_model

if TYPE_CHECKING:
    from zeus_ray.search.models.learning_curve import Curve
    from zeus_ray.search.state import CompletedRun, SearchState


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a policy wants to run. ``probe_limits_w`` counts where the batch size has no profile yet."""

    batch_size: int
    cost_cap: float = math.inf
    probe_limits_w: tuple[float, ...] | None = None
    as_found: bool = False
    """At the power limit that is set already."""


class Policy(ABC):
    """One way to search."""

    name: ClassVar[str]
    exploration_budget: ClassVar[float] = 1.0
    """The budget of a recurring job where the user gives none (runs of the default). With 2.0 the regret on
    recorded curves is lower (REGRET.md): once part of 1.0 is spent, a run that tries an improvement of less
    than a third is often out of reach."""
    one_search_budget: ClassVar[float] = 3.0
    """Likewise of a search that ends, whose answer is used for ``horizon_runs`` and which saves nothing
    itself."""

    def bind(self, state: SearchState) -> None:
        """Attach to a search; called once, before anything else."""
        self._state = state

    @property
    @abstractmethod
    def finished(self) -> bool:
        """Whether nothing is worth trying any more (asked of a search that ends)."""

    @abstractmethod
    def choose(self, gpu: str) -> Choice | None:
        """The next run on a kind of GPU ("": not known); None: nothing now."""

    @abstractmethod
    def should_stop(self, progress: Progress, curve: Curve) -> StopReason | None:
        """Whether a run that has not reached the target should end now."""

    @abstractmethod
    def learn(self, run: CompletedRun) -> None:
        """A run has ended; it is already the last of the state's runs."""

    def cost_model(self) -> CostModel | None:
        """Expected cost of every batch size; None while nothing has reached the target."""
        return cost_model(self._state, "", {}, 0, ())

    def state(self) -> dict[str, Any]:
        """What the policy has decided and cannot be read from the search's state, as plain JSON."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Inverse of :meth:`state`; nothing where that is empty."""
        del state
