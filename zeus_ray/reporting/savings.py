"""What a search saved against the baseline, what it took, and when it has paid for itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from zeus_ray.records import NAN, Best, SearchAnswer, SearchGoal, TradeOff
from zeus_ray.reporting.trial_summary import INTERRUPTED, TrialSummary

MEASUREMENT_ERROR = 0.01
"""Energy by the counter and by the integral of power agree within 1 % under load: less is no saving."""
SAME_KNOBS_W = 1.0
"""Power limits that are closer than this are the same: GPUs round what is asked for."""


@dataclass(frozen=True, kw_only=True)
class Savings:
    """The answer against the baseline, both trained to the target in the same experiment.

    Attributes:
        trials: all of them, the baseline too, and those that were stopped.
        goal: what was asked for; None where the trials do not know.
        baseline: the trial with the default knobs; None if there was none.
        best: the mean over the ``repeats`` trials of the answer (the luckiest single trial would overstate
            the saving); the baseline where that is the answer; None if none reached the target.
        repeats: trials with the knobs of the answer that reached the target; 0 where ``best`` is what the
            search expects, because these trials also measured power profiles, or had other limits.
        answer: what the search recommends, with intervals; None where unknown.
        trade_offs: what other trade-offs would give.
    """

    trials: tuple[TrialSummary, ...]
    goal: SearchGoal | None
    baseline: TrialSummary | None
    best: TrialSummary | None
    repeats: int
    answer: Best | None = None
    trade_offs: tuple[TradeOff, ...] = ()

    # --- the answer against the baseline -----------------------------------------------------------

    @property
    def comparable(self) -> bool:
        """Whether both reached the target, each alone on its GPU."""
        pair = (self.baseline, self.best)
        return all(trial is not None and trial.target_reached and not trial.shared for trial in pair)

    @property
    def same_batch_size(self) -> bool:
        """Whether only the power limit differs, which does not change how many epochs are needed."""
        pair = (self.baseline, self.best)
        return len({trial.batch_size for trial in pair if trial}) == 1 and all(
            trial is not None and trial.epochs > 0 for trial in pair
        )

    @property
    def reference(self) -> TrialSummary | None:
        """The baseline; at the epochs of the best where the batch size is the same.

        Epochs then differ by chance alone, and a saving made of that difference would be noise.
        """
        if self.baseline is None or self.best is None:
            return self.baseline
        return _at_epochs_of(self.best, self.baseline)

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
    def energy_saved_j(self) -> float:
        """Energy saved per training (J)."""
        return self.energy_share * self.reference.energy_j if self.reference else NAN

    @property
    def cost_saved_j(self) -> float:
        """Cost saved per training (J)."""
        return self.cost_share * self.reference.measured_cost if self.reference else NAN

    @property
    def cost_share_interval(self) -> tuple[float, float]:
        """90 % interval of ``cost_share``, for the scatter of epochs from run to run; NaN where unknown.

        The interval of the answer is that of a mean over its runs against one more run: the baseline's.
        """
        unknown = (NAN, NAN)
        if self.same_batch_size or self.answer is None or not self.answer.cost.mean > 0:
            return unknown
        kept = 1 - self.cost_share
        low, high = (end / self.answer.cost.mean for end in (self.answer.cost.low, self.answer.cost.high))
        return (1 - kept * high, 1 - kept * low)

    @property
    def default_is_best(self) -> bool:
        """Whether the answer is the knobs in use today."""
        if self.best is None or self.baseline is None or not self.baseline.target_reached:
            return False
        return self.best.is_baseline or same_knobs(self.best, self.baseline)

    def _share(self, quantity: str) -> float:
        reference = self.reference
        if not self.comparable or reference is None or self.best is None:
            return NAN
        before = float(getattr(reference, quantity))
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
    def unmeasured(self) -> int:
        """How many trials have no energy and are not in ``search_energy_j``."""
        return sum(math.isnan(trial.energy_j) for trial in self.trials)

    @property
    def interrupted(self) -> int:
        """How many trials were under way when the search was interrupted."""
        return sum(trial.stop_reason == INTERRUPTED for trial in self.trials)

    @property
    def trainings_to_pay(self) -> int | None:
        """Trainings with the best knobs after which the search has paid for itself in energy.

        None: never, or unknown; a share below ``MEASUREMENT_ERROR`` saves nothing.
        """
        return _times(self.search_energy_j, self.energy_saved_j, self.energy_share)

    @property
    def trainings_to_pay_cost(self) -> int | None:
        """Likewise in cost."""
        return _times(self.search_cost_j, self.cost_saved_j, self.cost_share)

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
    best, repeats = _answer(trials, baseline, answer)
    return Savings(
        trials=tuple(trials),
        goal=_goal(trials, found),
        baseline=baseline,
        best=best,
        repeats=repeats,
        answer=answer,
        trade_offs=found.trade_offs if found else (),
    )


def same_knobs(one: TrialSummary, other: TrialSummary) -> bool:
    """Whether two trials had the same batch size and, where both are known, the same power limit."""
    apart_w = abs(one.power_limit_w - other.power_limit_w)
    return one.batch_size == other.batch_size and not apart_w >= SAME_KNOBS_W


def answer_trials(trials: Sequence[TrialSummary], answer: Best) -> list[TrialSummary]:
    """The trials of the answer that reached the target: with its limit, or of its batch size if none was."""
    reached = [t for t in trials if t.target_reached and not t.shared and t.batch_size == answer.batch_size]
    limit_w = math.nan if answer.power_limit_w is None else answer.power_limit_w
    at_limit = [t for t in reached if abs(t.power_limit_w - limit_w) < SAME_KNOBS_W]
    return at_limit or reached


def _goal(trials: Sequence[TrialSummary], found: SearchAnswer | None) -> SearchGoal | None:
    """What the experiment has stored; else what its trials know, MAXPOWER as the last of them knows it."""
    if found is not None and found.goal is not None:
        return found.goal
    goals = [trial.goal for trial in trials if trial.goal is not None]
    return max(goals, key=lambda goal: not math.isnan(goal.max_power_w), default=None)


def _answer(
    trials: Sequence[TrialSummary], baseline: TrialSummary | None, answer: Best | None
) -> tuple[TrialSummary | None, int]:
    """The answer as one trial with the mean energy and time of its trials; and how many these are."""
    chosen = answer_trials(trials, answer) if answer else []
    if chosen and answer is not None:
        mean = _mean(chosen)
        limit_w = mean.power_limit_w if answer.power_limit_w is None else answer.power_limit_w
        ran_at_limit = not abs(mean.power_limit_w - limit_w) >= SAME_KNOBS_W
        mean = replace(mean, power_limit_w=limit_w, is_baseline=mean.is_baseline and ran_at_limit)
        if not ran_at_limit:
            return _expected(mean, answer), 0
        if baseline is not None and _at_epochs_of(mean, baseline).cost_to_target < mean.cost_to_target:
            return _expected(mean, answer), 0
        return mean, len(chosen)
    by_size: dict[int, list[TrialSummary]] = {}
    for trial in trials:
        if trial.target_reached and not trial.shared and not trial.is_baseline:
            by_size.setdefault(trial.batch_size, []).append(trial)
    means = [(_mean(same), len(same)) for same in by_size.values()]
    best, repeats = min(means, key=lambda mean: mean[0].rank, default=(None, 0))
    if best is not None and baseline is not None and not baseline.shared and baseline.rank <= best.rank:
        return baseline, 1
    return best, repeats


def _expected(trial: TrialSummary, answer: Best) -> TrialSummary:
    """The answer where its trials are not as its runs will be: they profiled, or had other limits."""
    return replace(
        trial,
        cost=answer.cost.mean,
        cost_to_target=answer.cost.mean,
        energy_j=answer.energy_j.mean,
        time_s=answer.time_s.mean,
    )


def _mean(same: Sequence[TrialSummary]) -> TrialSummary:
    """The cheapest of the trials, with the mean cost, energy, time and epochs of all."""
    return replace(
        min(same, key=lambda t: t.rank),
        cost=fmean(t.cost for t in same),
        cost_to_target=fmean(t.cost_to_target for t in same),
        energy_j=fmean(t.energy_j for t in same),
        time_s=fmean(t.time_s for t in same),
        epochs=fmean(t.epochs for t in same),
    )


def _at_epochs_of(best: TrialSummary, trial: TrialSummary) -> TrialSummary:
    """``trial`` as if it had needed the epochs of ``best``, where the batch size is the same."""
    if trial.batch_size != best.batch_size or not (trial.epochs > 0 and best.epochs > 0):
        return trial
    factor = best.epochs / trial.epochs
    return replace(
        trial,
        epochs=trial.epochs * factor,
        energy_j=trial.energy_j * factor,
        time_s=trial.time_s * factor,
        cost=trial.cost * factor,
        cost_to_target=trial.cost_to_target * factor,
    )


def _known_sum(numbers: Iterable[float]) -> float:
    known = [number for number in numbers if math.isfinite(number)]
    return math.fsum(known) if known else NAN


def _times(whole: float, each: float, share: float) -> int | None:
    return math.ceil(whole / each) if each > 0 and share >= MEASUREMENT_ERROR and whole >= 0 else None
