"""What the answer of a search takes, and its baseline: as the search expects, or as trials measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean

from zeus_ray.records import Best, SearchAnswer
from zeus_ray.reporting.trials_from_result import TrialSummary

SAME_KNOBS_W = 1.0
"""Power limits that are closer than this are the same: GPUs round what is asked for."""


def same_knobs(one: TrialSummary, other: TrialSummary) -> bool:
    """Whether two trials had the same batch size and, where both are known, the same power limit."""
    apart_w = abs(one.power_limit_w - other.power_limit_w)
    return one.batch_size == other.batch_size and not apart_w >= SAME_KNOBS_W


def answer_trials(trials: Sequence[TrialSummary], answer: Best) -> list[TrialSummary]:
    """The trials of the answer's batch size that reached the target, each alone on its GPU."""
    return [t for t in trials if t.target_reached and not t.shared and t.batch_size == answer.batch_size]


def expected_answer(
    answer: Best, chosen: Sequence[TrialSummary], found: SearchAnswer | None
) -> tuple[TrialSummary, list[TrialSummary]]:
    """The answer with what the search expects of a training; and the trials that had its knobs.

    Args:
        answer: of the search.
        chosen: the trials with its batch size.
        found: what the experiment has stored: an answer to another trade-off costs what is expected there.
    """
    mean = mean_trial(chosen)
    limit_w = mean.power_limit_w if answer.power_limit_w is None else answer.power_limit_w
    knobs = answer.batch_size, limit_w
    with_knobs = [t for t in chosen if not abs(t.power_limit_w - limit_w) >= SAME_KNOBS_W]
    other_j = math.nan if found is None or answer == found.best else found.expected_cost_j(*knobs)
    cost_j = answer.cost.mean if math.isnan(other_j) else other_j
    expected = replace(
        min(with_knobs or chosen, key=lambda t: t.rank),
        power_limit_w=limit_w,
        is_baseline=any(t.is_baseline for t in with_knobs),
        cost=cost_j,
        cost_to_target=cost_j,
        energy_j=answer.energy_j.mean,
        time_s=answer.time_s.mean,
        epochs=mean.epochs,
    )
    return expected, with_knobs


def cheapest_on_average(
    trials: Sequence[TrialSummary], baseline: TrialSummary | None
) -> tuple[TrialSummary | None, list[TrialSummary]]:
    """Without an answer of a search: the batch size that was cheapest on average, or the baseline.

    The luckiest single trial would overstate the saving.
    """
    by_size: dict[int, list[TrialSummary]] = {}
    for trial in trials:
        if trial.target_reached and not trial.shared and not trial.is_baseline:
            by_size.setdefault(trial.batch_size, []).append(trial)
    best = min(by_size.values(), key=lambda same: mean_trial(same).rank, default=None)
    no_worse = best is None or (baseline is not None and baseline.rank <= mean_trial(best).rank)
    if baseline is not None and not baseline.shared and baseline.target_reached and no_worse:
        return (baseline, [baseline]) if best else (None, [])
    return (mean_trial(best), best) if best else (None, [])


def baseline_to_compare(
    trials: Sequence[TrialSummary],
    baseline: TrialSummary | None,
    best: TrialSummary | None,
    found: SearchAnswer | None,
    *,
    is_expected: bool,
) -> TrialSummary | None:
    """The baseline as the answer is compared with it.

    The power limit does not change the epochs that are needed, so their scatter is no difference of knobs:
    an expectation is for the mean epochs of all trials of a batch size, and of two measured trials with one
    batch size the baseline counts with the epochs of the other.
    """
    if baseline is None or best is None or not baseline.target_reached:
        return baseline
    expected = found.baseline if found else None
    if expected is not None:
        return replace(
            baseline,
            cost=expected.cost.mean,
            cost_to_target=expected.cost.mean,
            energy_j=expected.energy_j.mean,
            time_s=expected.time_s.mean,
        )
    same = [t for t in trials if t.target_reached and not t.shared and t.batch_size == baseline.batch_size]
    if is_expected and same:
        return _at_epochs(baseline, fmean(t.epochs for t in same))
    return _at_epochs(baseline, best.epochs) if best.batch_size == baseline.batch_size else baseline


def mean_trial(same: Sequence[TrialSummary]) -> TrialSummary:
    """The cheapest of the trials, with the mean cost, energy, time and epochs of all."""
    return replace(
        min(same, key=lambda t: t.rank),
        cost=fmean(t.cost for t in same),
        cost_to_target=fmean(t.cost_to_target for t in same),
        energy_j=fmean(t.energy_j for t in same),
        time_s=fmean(t.time_s for t in same),
        epochs=fmean(t.epochs for t in same),
    )


def _at_epochs(trial: TrialSummary, epochs: float) -> TrialSummary:
    """``trial`` as if it had needed so many epochs; as it is where either number is unknown."""
    if not (trial.epochs > 0 and epochs > 0):
        return trial
    factor = epochs / trial.epochs
    return replace(
        trial,
        epochs=epochs,
        energy_j=trial.energy_j * factor,
        time_s=trial.time_s * factor,
        cost=trial.cost * factor,
        cost_to_target=trial.cost_to_target * factor,
    )
