"""A finished search in sentences: what was asked for, the answer, what it saves, what the search took."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from zeus_ray.quantity_format import (
    counted,
    energy,
    power,
    seconds,
    signed_percent,
    watt_hours,
)
from zeus_ray.records import Best, MeasuredBy, SearchGoal, StopReason
from zeus_ray.reporting.emissions_sentences import emissions_sentences
from zeus_ray.reporting.savings import MEASUREMENT_ERROR, SAME_KNOBS_W, Savings
from zeus_ray.reporting.trial_summary import TrialSummary

ASKED, ANSWER, SEARCH, EMISSIONS, MEASURED = "asked", "answer", "search", "emissions", "measured"
"""The subjects of :func:`sentences_by_subject`."""


def savings_sentences(saved: Savings) -> list[str]:
    """The report in sentences, each on its own line."""
    return [sentence for said in sentences_by_subject(saved).values() for sentence in said]


def sentences_by_subject(saved: Savings) -> dict[str, list[str]]:
    """The report in sentences: what was asked, the answer, what the search took, emissions, how measured."""
    return {
        ASKED: list(_goal_sentences(saved)),
        ANSWER: [*_answer_sentences(saved), *_comparison_sentences(saved), *_trade_off_sentences(saved)],
        SEARCH: [*_search_sentences(saved), *_payback_sentences(saved)],
        EMISSIONS: list(emissions_sentences(saved)),
        MEASURED: [how_measured(saved.measured_by, saved.gpus)],
    }


def objective_text(goal: SearchGoal) -> str:
    """What is minimised, as in "cost = 0.5 × energy + 0.5 × 250 W × time (η = 0.5)"."""
    if goal.eta == 1:
        text = "energy (η = 1)"
    elif goal.eta == 0:
        text = "time (η = 0)"
    else:
        watts = "maximum power" if math.isnan(goal.max_power_w) else power(goal.max_power_w)
        gpus = f" × {goal.gpus} GPUs" if goal.gpus > 1 else ""
        text = f"cost = {goal.eta:g} × energy + {1 - goal.eta:g} × {watts}{gpus} × time (η = {goal.eta:g})"
    if goal.max_slowdown is not None:
        text += f", at most {goal.max_slowdown:g} times as slow as the fastest"
    followed = f" of {goal.signal}" if goal.signal else ""
    return text + (f"; power limits follow the {goal.objective} signal{followed}" if goal.unit else "")


def target_text(goal: SearchGoal) -> str:
    """As in "accuracy of at least 0.95"."""
    if goal.target is None:
        return "the target"
    if goal.target.value is None:
        return f"the {goal.target.metric} that the default reaches"
    direction = "at least" if goal.target.mode == "max" else "at most"
    return f"{goal.target.metric} of {direction} {goal.target.value:g}"


def _goal_sentences(saved: Savings) -> Iterator[str]:
    if saved.goal is not None and not math.isnan(saved.goal.eta):
        yield f"Asked for: {target_text(saved.goal)} with the least {objective_text(saved.goal)}."
    if saved.interrupted:
        trials = counted(saved.interrupted, "trial")
        yield f"The search was INTERRUPTED: {trials} under way ended without an outcome."


# --- the answer ------------------------------------------------------------------------------------


def _answer_sentences(saved: Savings) -> Iterator[str]:
    best = saved.best
    if best is None:
        yield from not_reached_sentences(saved.trials, saved.goal)
    elif saved.default_is_best:
        yield (
            f"The default is already the best: {_known_limit(best)}, which reached the target with "
            f"{_used(best)}."
        )
    elif not saved.repeats:
        yield (
            f"Best: {best.knobs_text}, which is expected to reach the target with {_used(best)}; its trials "
            "also measured power profiles, or had other limits."
        )
    else:
        times = "once" if saved.repeats == 1 else f"{saved.repeats} times, on average"
        yield f"Best: {best.knobs_text}, which reached the target {times} with {_used(best)}."


def _known_limit(trial: TrialSummary) -> str:
    if math.isnan(trial.power_limit_w):
        return f"batch size {trial.batch_size}"
    return f"batch size {trial.batch_size} at {power(trial.power_limit_w)}"


def _used(trial: TrialSummary) -> str:
    if math.isnan(trial.energy_j):
        return f"an unknown amount of energy in {seconds(trial.time_s)}"
    return f"{energy(trial.energy_j)} in {seconds(trial.time_s)}"


def not_reached_sentences(trials: Sequence[TrialSummary], goal: SearchGoal | None) -> Iterator[str]:
    """That no trial reached the target, which came nearest, and what can be done."""
    yield "No trial of the search reached the target: there is nothing to recommend."
    target = goal.target if goal else None
    tried = [trial for trial in trials if math.isfinite(trial.best_metric)]
    if target is None or target.value is None or not tried:
        return
    nearest = (max if target.mode == "max" else min)(tried, key=lambda trial: trial.best_metric)
    ended = nearest.stop_reason or "by itself"
    yield (
        f"The nearest was {nearest.best_metric:.4g} of {target.value:g} ({target.metric}), with "
        f"{_known_limit(nearest)} after {nearest.epochs:.3g} epochs (ended: {ended})."
    )
    longer = nearest.stop_reason in (StopReason.MAX_EPOCHS, "")
    budget = nearest.stop_reason in (StopReason.COST_CAP, StopReason.NOT_WORTH_IT)
    yield "What to do: " + "; ".join(
        [
            *(["train longer (max_epochs=, and the epochs of your function)"] if longer else []),
            *(["let the search cost more (exploration_budget=)"] if budget else []),
            (
                f"or ask for what is reached, Target({target.metric!r}, {nearest.best_metric:.4g}, "
                f"{target.mode!r}); with no value the default batch size sets the target."
            ),
        ]
    )


# --- what it saves ---------------------------------------------------------------------------------


def _comparison_sentences(saved: Savings) -> Iterator[str]:
    if saved.baseline is None:
        yield "The experiment has no baseline: no saving is claimed."
    elif not saved.baseline.target_reached:
        yield "The baseline did not reach the target: no saving is claimed."
    elif saved.best is None or saved.default_is_best:
        return
    elif not saved.comparable:
        yield "The best trial or the baseline shared its GPU with another job: no saving is claimed."
    else:
        changes = ", ".join(changes_against_baseline(saved))
        yield f"Against the baseline ({_known_limit(saved.baseline)}): {changes}."
        if math.isnan(saved.energy_share):
            yield "Energy and cost are unknown: no energy was measured."
        yield from _certainty_sentences(saved, saved.baseline, saved.best)


def changes_against_baseline(saved: Savings) -> Iterator[str]:
    """Cost first, then energy and time, each with its sign: "time −20.0 % (10.0 min to 8.00 min)"."""
    before, now = saved.reference, saved.best
    if before is None or now is None:
        return
    eta = saved.goal.eta if saved.goal else math.nan
    if eta not in (0, 1) and not math.isnan(saved.cost_share):
        shown = f"{energy(before.measured_cost)} to {energy(now.measured_cost)}"
        yield f"cost {signed_percent(-saved.cost_share)} ({shown})"
    if not math.isnan(saved.energy_share):
        yield (
            f"energy {signed_percent(-saved.energy_share)} ({energy(before.energy_j)} to "
            f"{energy(now.energy_j)})"
        )
    yield f"time {signed_percent(-saved.time_share)} ({seconds(before.time_s)} to {seconds(now.time_s)})"


def _certainty_sentences(saved: Savings, baseline: TrialSummary, best: TrialSummary) -> Iterator[str]:
    """How sure the saving is; it may be scatter, or below what can be measured."""
    if saved.same_batch_size:
        yield (
            f"Only the power limit differs, which does not change the epochs that are needed: both are "
            f"compared at {best.epochs:.3g} epochs (the baseline happened to need {baseline.epochs:.3g})."
        )
    low, high = saved.cost_share_interval
    if not math.isnan(low):
        ends = f"{signed_percent(-high)} and {signed_percent(-low)}"
        doubt = "" if low * high > 0 else ": it MAY BE SCATTER from run to run, see zeus_ray.verify"
        yield f"Nine times out of ten the difference in cost is between {ends}{doubt}."
    share = saved.cost_share if not math.isnan(saved.cost_share) else saved.time_share
    if abs(share) < MEASUREMENT_ERROR:
        yield f"Less than {MEASUREMENT_ERROR:.0%} is within the error of measurement: NO SAVING is claimed."


def _trade_off_sentences(saved: Savings) -> Iterator[str]:
    answer = saved.answer
    if answer is None or saved.best is None or math.isnan(answer.energy_j.mean) or not saved.trade_offs:
        return
    others = [f"{trade.name}: {_against(trade.best, answer)}" for trade in saved.trade_offs]
    yield f"Other trade-offs, from the same search: {'; '.join(others)}."


def _against(other: Best, answer: Best) -> str:
    if other.batch_size == answer.batch_size and _same_limit(other.power_limit_w, answer.power_limit_w):
        return "the same knobs"
    energy_share = other.energy_j.mean / answer.energy_j.mean - 1
    time_share = other.time_s.mean / answer.time_s.mean - 1
    return (
        f"{other.knobs_text}, energy {signed_percent(energy_share)} and time {signed_percent(time_share)} "
        "against the answer"
    )


def _same_limit(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) < SAME_KNOBS_W


# --- what the search took --------------------------------------------------------------------------


def _search_sentences(saved: Savings) -> Iterator[str]:
    if not saved.trials:
        return
    joules, lasted = saved.search_energy_j, seconds(saved.search_time_s)
    took = f"{energy(joules)} ({watt_hours(joules)})"
    if math.isnan(joules):
        took = "an unknown amount of energy"
    least = "at least " if saved.unmeasured and not math.isnan(joules) else ""
    unmeasured = f"; {saved.unmeasured} of them were not measured" if saved.unmeasured else ""
    with_baseline = " with the baseline" if saved.baseline else ""
    yield (
        f"The whole search took {least}{took} and {lasted} of training in "
        f"{counted(len(saved.trials), 'trial')}{with_baseline}, power profiling included{unmeasured}."
    )


def _payback_sentences(saved: Savings) -> Iterator[str]:
    if math.isnan(saved.energy_saved_j) or saved.default_is_best:
        return
    eta = saved.goal.eta if saved.goal else 1.0
    quantities = [("energy", saved.trainings_to_pay)]
    if 0 < eta < 1:
        quantities.insert(0, ("cost", saved.trainings_to_pay_cost))
    for name, count in quantities:
        if count is None:
            less = "the best knobs take no less than the baseline"
            yield f"The search does not pay for itself in {name}: {less}."
        else:
            trainings = "one training" if count == 1 else f"{count:,} trainings"
            yield f"The search has paid for itself, in {name}, after {trainings} with the best knobs."


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
