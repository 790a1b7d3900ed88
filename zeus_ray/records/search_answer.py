"""What a search has found, in full: the answer, what was asked for, and what other trade-offs would give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from zeus_ray.records.exploration_account import Exploration
from zeus_ray.records.knobs_progress_outcome_best import NAN, Best, Estimate
from zeus_ray.records.target import Target

ANSWER_VERSION = 1
TRAINED, PROFILED, MODELLED = "trained", "profiled", "modelled"
"""How an expected cost is known; see :class:`ExpectedCost`."""
NOTHING_LEFT, TRIALS_USED, TIME_USED = "nothing left", "trials used", "time used"
"""Why a search has ended: nothing is worth trying, or its experiment has no trials or no time left."""
LEAST_ENERGY = "least energy"
"""Name of the trade-off at η = 1."""


@dataclass(frozen=True, kw_only=True)
class SearchGoal:
    """What a search was asked to find.

    Attributes:
        target: the metric, and the value that counts as trained; None: unknown.
        eta: weight of energy (1) against time (0) in the cost (Zeus, Eq. 2).
        max_power_w: MAXPOWER of Eq. 2 (W per GPU); NaN where no GPU has told it.
        gpus: GPUs of one run.
        max_slowdown: times that an answer may be as slow as the fastest one; None: any.
        default_batch_size: what savings refer to.
        batch_sizes: what the search chooses from.
        max_epochs: a run that has not reached the target by then has failed; NaN where unknown.
        seed: of the search; None where unknown.
        objective: "energy", "carbon" or "price".
        signal: of carbon intensity or price, as a text; "": none, or given as an object.
        unit: of the signal; "" without one.
        signal_ends_s: end of the signal's file (s since 1970); NaN for a signal without an end.
    """

    target: Target | None = None
    eta: float = NAN
    max_power_w: float = NAN
    gpus: int = 1
    max_slowdown: float | None = None
    default_batch_size: int = 0
    batch_sizes: tuple[int, ...] = ()
    max_epochs: float = NAN
    seed: int | None = None
    objective: str = "energy"
    signal: str = ""
    unit: str = ""
    signal_ends_s: float = NAN


@dataclass(frozen=True, kw_only=True)
class TradeOff:
    """What another trade-off between energy and time would give, from the same runs."""

    name: str
    best: Best


@dataclass(frozen=True, kw_only=True)
class ExpectedCost:
    """Expected cost (J) of a run to the target at one batch size and power limit (W).

    Attributes:
        known: "trained": runs of this batch size reached the target, and its power profile has this limit;
            "profiled": only that; "modelled": the limit was not measured with this batch size.
    """

    batch_size: int
    power_limit_w: float
    cost: Estimate
    known: str


@dataclass(frozen=True, kw_only=True)
class SearchAnswer:
    """What a search has found, as its experiment stores it.

    Attributes:
        best: the answer.
        baseline: what a training with the knobs of the baseline should take; None without a baseline.
        goal: what was asked for; None in files of earlier versions.
        trade_offs: what other trade-offs would give, by name.
        expected_costs: of each batch size and power limit, as far as they can be expected.
        exploration: what the search has spent and saved; None where unknown.
        history: folder of the search's event log; "" where unknown.
        software: versions of Python and the libraries in the process of the search, by name.
        ended: why it has ended, as above; "" where it has not, or that is unknown.
        version: of this record.
    """

    best: Best
    baseline: Best | None = None
    goal: SearchGoal | None = None
    trade_offs: tuple[TradeOff, ...] = ()
    expected_costs: tuple[ExpectedCost, ...] = ()
    exploration: Exploration | None = None
    history: str = ""
    software: Mapping[str, str] = field(default_factory=dict)
    ended: str = ""
    version: int = ANSWER_VERSION

    def expected_cost_j(self, batch_size: int, power_limit_w: float) -> float:
        """Expected cost (J) of a training with these knobs; NaN where none is expected."""
        known = [c for c in self.expected_costs if c.batch_size == batch_size]
        near = (c.cost.mean for c in known if abs(c.power_limit_w - power_limit_w) < 1.0)
        return next(near, NAN)
