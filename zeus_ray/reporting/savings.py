"""What a search saved against the baseline, what it took, and when it has paid for itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zeus_ray.records import NAN, Best, SearchAnswer, SearchGoal
from zeus_ray.reporting.answer_and_baseline import (
    answer_trials,
    baseline_to_compare,
    cheapest_on_average,
    expected_answer,
    mean_trial,
    same_knobs,
)
from zeus_ray.reporting.cost_format import CostFormat
from zeus_ray.reporting.saving_interval import (
    UNKNOWN_INTERVAL,
    SavingInterval,
    runs_beyond_chance,
    saving_interval,
)
from zeus_ray.reporting.trials_from_result import INTERRUPTED, TrialSummary

MEASUREMENT_ERROR = 0.01
"""Energy by the counter and by the integral of power agree within 1 % under load: less is no saving."""


@dataclass(frozen=True, kw_only=True)
class Savings:
    """The answer against the baseline, both trained to the target in the same experiment.

    Attributes:
        trials: all of them, the baseline too, and those that were stopped.
        goal: what was asked for; None where the trials do not know.
        baseline: the trial with the default knobs; None if there was none.
        best: the knobs of the answer, with what a training should take where the search has said so
            (``is_expected``), else with the mean that its trials took; None if none reached the target.
        reference: the same of the baseline.
        measured: the mean of the ``repeats`` trials that had the knobs of the answer; None without any.
        repeats: how many these are.
        answer: what the search recommends, with intervals; None where unknown.
        found: what the experiment has stored; None where it has stored nothing.
    """

    trials: tuple[TrialSummary, ...]
    goal: SearchGoal | None
    baseline: TrialSummary | None
    best: TrialSummary | None
    reference: TrialSummary | None = None
    measured: TrialSummary | None = None
    repeats: int = 0
    answer: Best | None = None
    found: SearchAnswer | None = None

    # --- the answer against the baseline -----------------------------------------------------------

    @property
    def is_expected(self) -> bool:
        """Whether ``best`` and ``reference`` are expectations of the search, not what trials took."""
        return self.answer is not None

    @property
    def objective(self) -> str:
        """What ``cost`` is, by the goal's eta: "cost", or "energy" or "time" alone."""
        return self.costs.name

    @property
    def costs(self) -> CostFormat:
        """How costs are written."""
        return CostFormat(self.goal)

    @property
    def comparable(self) -> bool:
        """Whether both reached the target, each alone on its GPU."""
        pair = (self.baseline, self.best)
        return all(trial is not None and trial.target_reached and not trial.shared for trial in pair)

    @property
    def same_batch_size(self) -> bool:
        """Whether only the power limit differs, which does not change how many epochs are needed."""
        return len({trial.batch_size for trial in (self.baseline, self.best) if trial}) == 1

    @property
    def compared_sizes(self) -> int:
        """Batch sizes beside the baseline's that a trial trained to the target: the answer is one of them."""
        sizes = {trial.batch_size for trial in self.trials if trial.target_reached}
        return len(sizes - {self.baseline.batch_size} if self.baseline else sizes)

    @property
    def cost_share(self) -> float:
        """Cost saved as a share of the baseline's; NaN where unknown, or no energy was measured."""
        return self._share("measured_cost")

    @property
    def energy_share(self) -> float:
        """Energy saved as a share of the baseline's; negative if the best takes more; NaN where unknown."""
        return self._share("energy_j")

    @property
    def time_share(self) -> float:
        """Time saved as a share of the baseline's."""
        return self._share("time_s")

    @property
    def cost_saved_j(self) -> float:
        """Cost saved per training (J)."""
        return self.cost_share * self.reference.measured_cost if self.reference else NAN

    @property
    def cost_share_interval(self) -> SavingInterval:
        """90 % interval of ``cost_share``; NaN where unknown."""
        return self.interval_of(self.cost_share)

    def interval_of(self, share: float, other: Best | None = None) -> SavingInterval:
        """90 % interval of a saved share of cost, energy or time; NaN where unknown.

        Args:
            share: saved by the answer; or
            other: by a training with these knobs.
        """
        if self.answer is None or self.baseline is None or math.isnan(self.answer.scatter):
            return UNKNOWN_INTERVAL
        chosen, before = other or self.answer, self.found.baseline if self.found else None
        if chosen.batch_size == self.baseline.batch_size:
            return UNKNOWN_INTERVAL  # the same epochs
        return saving_interval(
            share,
            scatter=self.answer.scatter,
            runs=(chosen.runs, before.runs if before else 1),
            compared=self.compared_sizes,
        )

    @property
    def runs_beyond_chance(self) -> int | None:
        """Trainings with the answer, and as many with the baseline, that tell ``cost_share`` from chance.

        None where its interval is unknown.
        """
        if self.answer is None or math.isnan(self.cost_share_interval.low):
            return None
        return runs_beyond_chance(self.cost_share, scatter=self.answer.scatter, compared=self.compared_sizes)

    @property
    def default_is_best(self) -> bool:
        """Whether the answer is the knobs in use today."""
        if self.best is None or self.baseline is None or not self.baseline.target_reached:
            return False
        return same_knobs(self.best, self.baseline)

    def _share(self, quantity: str) -> float:
        if not self.comparable or self.reference is None or self.best is None:
            return NAN
        before = float(getattr(self.reference, quantity))
        return (before - float(getattr(self.best, quantity))) / before if before else NAN

    # --- what the search took ----------------------------------------------------------------------

    @property
    def search_energy_j(self) -> float:
        """Energy of all trials (J): the baseline's, those that were stopped, and profiling."""
        return _known_sum(trial.energy_j for trial in self.trials)

    @property
    def search_time_s(self) -> float:
        """Time of all trials, one after another (s)."""
        return _known_sum(trial.time_s for trial in self.trials)

    @property
    def search_cost_j(self) -> float:
        """Cost of all trials (J)."""
        return _known_sum(trial.measured_cost for trial in self.trials)

    @property
    def wall_clock_s(self) -> float:
        """From the begin of the first trial to the end of the last (s); NaN where unknown."""
        begins = [t.began_at_s for t in self.trials if math.isfinite(t.began_at_s)]
        ends = [t.ended_at_s for t in self.trials if math.isfinite(t.ended_at_s)]
        return max(ends) - min(begins) if begins and ends else NAN

    @property
    def unmeasured(self) -> int:
        """How many trials have no energy and are not in ``search_energy_j``."""
        return sum(math.isnan(trial.energy_j) for trial in self.trials)

    @property
    def interrupted(self) -> int:
        """How many trials were under way when the search was interrupted."""
        return sum(trial.stop_reason == INTERRUPTED for trial in self.trials)

    @property
    def trainings_to_pay(self) -> int | None:
        """Trainings with the answer that save what the whole search has cost; None: never, or unknown.

        A share below ``MEASUREMENT_ERROR`` saves nothing.
        """
        return self._pays_after(self.cost_share)

    @property
    def trainings_to_pay_interval(self) -> tuple[int | None, int | None]:
        """The fewest and the most, by ``cost_share_interval``; None: never, or unknown."""
        low, high = self.cost_share_interval
        return self._pays_after(high), self._pays_after(low)

    def _pays_after(self, share: float) -> int | None:
        each = share * self.reference.measured_cost if self.reference else NAN
        if not (each > 0 and share >= MEASUREMENT_ERROR and self.search_cost_j >= 0):
            return None
        return math.ceil(self.search_cost_j / each)

    @property
    def measured_by(self) -> tuple[str, ...]:
        """The kinds of measurement that occur."""
        return tuple(sorted({t.measured_by for t in self.trials if t.gpu or t.measured_by != "none"}))

    @property
    def gpus(self) -> tuple[str, ...]:
        """The kinds of GPU that occur."""
        return tuple(sorted({t.gpu for t in self.trials if t.gpu}))


def savings(
    trials: Sequence[TrialSummary], *, answer: Best | None = None, found: SearchAnswer | None = None
) -> Savings:
    """Compare the answer of a search with its baseline.

    Args:
        trials: of one experiment.
        answer: what the search recommends; None, or one whose batch size never reached the target: that of
            ``found``, else the batch size that is cheapest on average, or the baseline where none is cheaper.
        found: what the experiment has stored.
    """
    if answer is None and found is not None:
        answer = found.best
    baseline = min((t for t in trials if t.is_baseline), key=lambda t: t.rank, default=None)
    chosen = answer_trials(trials, answer) if answer else []
    answer = answer if chosen else None
    best, measured = (
        expected_answer(answer, chosen, found) if answer else cheapest_on_average(trials, baseline)
    )
    return Savings(
        trials=tuple(trials),
        goal=_goal(trials, found),
        baseline=baseline,
        best=best,
        reference=baseline_to_compare(
            trials, baseline, best, found if answer else None, is_expected=answer is not None
        ),
        measured=mean_trial(measured) if measured else None,
        repeats=len(measured),
        answer=answer,
        found=found,
    )


def _goal(trials: Sequence[TrialSummary], found: SearchAnswer | None) -> SearchGoal | None:
    """What the experiment has stored; else what its trials know, MAXPOWER as the last of them knows it."""
    if found is not None and found.goal is not None:
        return found.goal
    goals = [trial.goal for trial in trials if trial.goal is not None]
    return max(goals, key=lambda goal: not math.isnan(goal.max_power_w), default=None)


def _known_sum(numbers: Iterable[float]) -> float:
    known = [number for number in numbers if math.isfinite(number)]
    return math.fsum(known) if known else NAN
