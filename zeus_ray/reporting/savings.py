"""What a search saved against the baseline, what it took, and when it has paid for itself."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from zeus_ray.quantity_format import energy, less, power, seconds, watt_hours
from zeus_ray.records import NAN, Best, MeasuredBy
from zeus_ray.reporting.trial_summary import TrialSummary

SAME_KNOBS_W = 1.0
"""Power limits that are closer than this are the same: GPUs round what is asked for."""


@dataclass(frozen=True, kw_only=True)
class Savings:
    """The best batch size against the baseline, both trained to the target in the same experiment.

    Attributes:
        baseline: the trial with the default knobs; None if there was none.
        best: the mean over the ``repeats`` trials of the answer (the luckiest single trial would overstate
            the saving); the baseline where that is the answer; None if none reached the target.
        repeats: trials with the knobs of the answer that reached the target; 0 where ``best`` is what the
            search expects, because these trials also measured power profiles, or had other limits.
        search_energy_j: energy of all trials but the baseline, profiling included (J).
        search_time_s: likewise (s).
        trials: number of trials but the baseline.
        unmeasured: how many of them have no energy and are not in ``search_energy_j``.
        measured_by: the kinds of measurement that occur.
        gpus: the kinds of GPU that occur.
    """

    baseline: TrialSummary | None
    best: TrialSummary | None
    repeats: int
    search_energy_j: float
    search_time_s: float
    trials: int
    unmeasured: int
    measured_by: tuple[str, ...]
    gpus: tuple[str, ...]

    @property
    def comparable(self) -> bool:
        """Whether both reached the target, each alone on its GPU."""
        pair = (self.baseline, self.best)
        return all(trial is not None and trial.target_reached and not trial.shared for trial in pair)

    @property
    def energy_saved_j(self) -> float:
        """Energy saved per training (J); negative if the best takes more; NaN where unknown."""
        if not self.comparable or self.baseline is None or self.best is None:
            return NAN
        return self.baseline.energy_j - self.best.energy_j

    @property
    def energy_share(self) -> float:
        """Energy saved as a share of the baseline's."""
        return self.energy_saved_j / self.baseline.energy_j if self.baseline else NAN

    @property
    def time_share(self) -> float:
        """Time saved as a share of the baseline's."""
        if not self.comparable or self.baseline is None or self.best is None:
            return NAN
        return (self.baseline.time_s - self.best.time_s) / self.baseline.time_s

    @property
    def trainings_to_pay(self) -> int | None:
        """Trainings with the best knobs after which the search has paid for itself in energy.

        None: never, or unknown.
        """
        if not self.energy_saved_j > 0 or math.isnan(self.search_energy_j):
            return None
        return math.ceil(self.search_energy_j / self.energy_saved_j)

    def sentences(self) -> list[str]:
        """The report in sentences, each on its own line."""
        return [
            self._best_sentence(),
            *self._saving_sentences(),
            self._search_sentence(),
            *self._payback_sentences(),
            how_measured(self.measured_by, self.gpus),
        ]

    @property
    def default_is_best(self) -> bool:
        """Whether the answer is the knobs in use today."""
        if self.best is None or self.baseline is None or not self.baseline.target_reached:
            return False
        return self.best.is_baseline or same_knobs(self.best, self.baseline)

    def _best_sentence(self) -> str:
        if self.best is None:
            return "No trial of the search reached the target: there is nothing to recommend."
        if self.default_is_best:
            limit = "" if math.isnan(self.best.power_limit_w) else f" at {power(self.best.power_limit_w)}"
            return (
                f"The default is already the best: batch size {self.best.batch_size}{limit}, which reached "
                f"the target with {energy(self.best.energy_j)} in {seconds(self.best.time_s)}."
            )
        limit = power(self.best.power_limit_w)
        at = "an unknown power limit" if math.isnan(self.best.power_limit_w) else f"a power limit of {limit}"
        if not self.repeats:
            return (
                f"Best: batch size {self.best.batch_size} at {at}, which is expected to reach the target "
                f"with {energy(self.best.energy_j)} in {seconds(self.best.time_s)}; its trials also measured "
                "power profiles, or had other limits."
            )
        times = "once" if self.repeats == 1 else f"{self.repeats} times, on average"
        return (
            f"Best: batch size {self.best.batch_size} at {at}, which reached the target {times} with "
            f"{energy(self.best.energy_j)} in {seconds(self.best.time_s)}."
        )

    def _saving_sentences(self) -> list[str]:
        if self.baseline is None:
            return ["The experiment has no baseline: no saving is claimed."]
        if not self.baseline.target_reached:
            return ["The baseline did not reach the target: no saving is claimed."]
        if self.best is None or self.default_is_best:
            return []
        if not self.comparable:
            return ["The best trial or the baseline shared its GPU with another job: no saving is claimed."]
        limit = power(self.baseline.power_limit_w)
        against = f"the baseline (batch size {self.baseline.batch_size} at {limit})"
        took, lasted = energy(self.baseline.energy_j), seconds(self.baseline.time_s)
        if math.isnan(self.energy_share):
            first = f"Whether it takes less energy than {against} is unknown: energy was not measured."
        else:
            first = f"It takes {less(self.energy_share)} energy than {against}, which took {took}."
        return [first, f"It takes {less(self.time_share)} time than the baseline, which took {lasted}."]

    def _search_sentence(self) -> str:
        took = f"{energy(self.search_energy_j)} ({watt_hours(self.search_energy_j)})"
        if math.isnan(self.search_energy_j):
            took = "an unknown amount of energy"
        least = "at least " if self.unmeasured and not math.isnan(self.search_energy_j) else ""
        unmeasured = f"; {self.unmeasured} of them were not measured" if self.unmeasured else ""
        return f"The search itself took {least}{took} in {self.trials} trials{unmeasured}."

    def _payback_sentences(self) -> list[str]:
        if math.isnan(self.energy_saved_j) or self.default_is_best:
            return []
        count = self.trainings_to_pay
        if count is None:
            return [
                "The search does not pay for itself in energy: the best knobs take no less than the baseline."
            ]
        trainings = "one training" if count == 1 else f"{count:,} trainings"
        return [f"The search has paid for itself, in energy, after {trainings} with the best knobs."]


def savings(trials: Sequence[TrialSummary], *, answer: Best | None = None) -> Savings:
    """Compare the answer of a search with its baseline.

    Args:
        trials: of one experiment.
        answer: what the search recommends; None, or one whose batch size never reached the target: the batch
            size that is cheapest on average, or the baseline where none is cheaper.
    """
    baseline = min((t for t in trials if t.is_baseline), key=lambda t: t.rank, default=None)
    searched = [t for t in trials if not t.is_baseline]
    best, repeats = _answer(trials, baseline, answer)
    joules = [t.energy_j for t in searched if math.isfinite(t.energy_j)]
    times_s = [t.time_s for t in searched if math.isfinite(t.time_s)]
    return Savings(
        baseline=baseline,
        best=best,
        repeats=repeats,
        search_energy_j=math.fsum(joules) if joules else NAN,
        search_time_s=math.fsum(times_s) if times_s else NAN,
        trials=len(searched),
        unmeasured=len(searched) - len(joules),
        measured_by=tuple(sorted({t.measured_by for t in trials if t.gpu or t.measured_by != "none"})),
        gpus=tuple(sorted({t.gpu for t in trials if t.gpu})),
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
        if baseline is not None and baseline.cost_to_target < mean.cost_to_target:
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
        cost_to_target=answer.cost.mean,
        energy_j=answer.energy_j.mean,
        time_s=answer.time_s.mean,
    )


def _mean(same: Sequence[TrialSummary]) -> TrialSummary:
    """The cheapest of the trials, with the mean cost, energy and time of all."""
    return replace(
        min(same, key=lambda t: t.rank),
        cost_to_target=fmean(t.cost_to_target for t in same),
        energy_j=fmean(t.energy_j for t in same),
        time_s=fmean(t.time_s for t in same),
    )


def how_measured(measured_by: Sequence[str], gpus: Sequence[str]) -> str:
    """One sentence on how energy was measured; simulated and replayed energy is called so in capitals.

    Args:
        measured_by: the kinds of measurement, as in :class:`zeus_ray.records.MeasuredBy`.
        gpus: the kinds of GPU.
    """
    cards = " and ".join(gpus) or "GPU"
    if MeasuredBy.SIMULATED in measured_by:
        return f"The GPU is SIMULATED ({cards}): watts, joules and seconds come from a model."
    if MeasuredBy.REPLAY in measured_by:
        return f"Watts, joules and seconds are REPLAYED from recorded traces ({cards}), not measured here."
    if MeasuredBy.POWER_INTEGRAL in measured_by:
        return f"Energy is of the GPUs alone ({cards}), integrated from power readings: no CPU, no cooling."
    if MeasuredBy.COUNTER in measured_by:
        return f"Energy is of the GPUs alone ({cards}), by their own counters: no CPU, no cooling."
    return "NO GPU WAS MEASURED: energy and power are unknown; time is wall-clock time."
