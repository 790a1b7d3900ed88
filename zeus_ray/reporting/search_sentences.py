"""A finished search in sentences: what was asked for, the answer, what it saves, what the search took."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from zeus_ray.quantity_format import counted, energy, power, seconds, watt_hours
from zeus_ray.records import SearchGoal, StopReason
from zeus_ray.reporting.alternatives_to_answer import (
    limits_of_the_same_cost,
    not_settled_sentences,
    trade_off_sentences,
)
from zeus_ray.reporting.answer_and_baseline import same_knobs
from zeus_ray.reporting.certainty_sentences import one_training
from zeus_ray.reporting.emissions_sentences import emissions_sentences
from zeus_ray.reporting.saving_sentences import change_by_knob, saving_sentences, trial_of_baseline
from zeus_ray.reporting.savings import Savings
from zeus_ray.reporting.search_effort_sentences import measured_sentences, search_effort_sentences
from zeus_ray.reporting.trials_from_result import TrialSummary

ASKED, ANSWER, DETAILS, SEARCH, EMISSIONS, MEASURED = (
    "What was asked",
    "The answer",
    "Details of the answer",
    "What the search took",
    "Carbon or price",
    "How it was measured",
)
"""The subjects of :func:`sentences_by_subject`."""


def savings_sentences(saved: Savings) -> list[str]:
    """The report in sentences, each on its own line."""
    return [sentence for said in sentences_by_subject(saved).values() for sentence in said]


def sentences_by_subject(saved: Savings) -> dict[str, list[str]]:
    """The report in sentences, the most important first, by the headings above."""
    return {
        ASKED: list(_goal_sentences(saved)),
        ANSWER: [
            *_answer_sentences(saved),
            *saving_sentences(saved),
            *not_settled_sentences(saved),
            *trade_off_sentences(saved),
        ],
        DETAILS: [
            *_what_a_training_takes(saved),
            *change_by_knob(saved),
            *limits_of_the_same_cost(saved),
        ],
        SEARCH: list(search_effort_sentences(saved)),
        EMISSIONS: list(emissions_sentences(saved)),
        MEASURED: list(measured_sentences(saved)),
    }


def objective_text(goal: SearchGoal) -> str:
    """What is minimised, as in "cost = 0.5 × energy + 0.5 × 250 W × time (η = 0.5)"."""
    if goal.eta == 1:
        text = "energy (η = 1: energy alone; 0 would be time alone)"
    elif goal.eta == 0:
        text = "time (η = 0: time alone; 1 would be energy alone)"
    else:
        known = not math.isnan(goal.max_power_w)
        watts = power(goal.max_power_w) if known else "maximum power"
        highest = f", {watts} being the highest limit" if known else ""
        gpus = f" × {goal.gpus} GPUs" if goal.gpus > 1 else ""
        formula = f"{goal.eta:g} × energy + {1 - goal.eta:g} × {watts}{gpus} × time{highest}"
        ends = f"(η = {goal.eta:g}; 1 would be energy alone, 0 time)"
        text = f"cost in joule-equivalents (J-eq): {formula} {ends}"
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
        yield from _share_of_time(saved, saved.goal)
    if saved.interrupted:
        trials = counted(saved.interrupted, "trial")
        yield f"The search was INTERRUPTED: {trials} under way ended without an outcome."


def _share_of_time(saved: Savings, goal: SearchGoal) -> Iterator[str]:
    """That time counts for more than its weight where a training draws less than the highest limit."""
    before = saved.reference or saved.baseline
    if goal.eta in (0, 1) or before is None or not before.measured_cost > 0 or math.isnan(before.energy_j):
        return
    time_share = 1 - goal.eta * before.energy_j / before.measured_cost
    yield f"Of the baseline's cost {100 * time_share:.0f} % is time, and the rest is energy."


# --- the answer ------------------------------------------------------------------------------------


def _answer_sentences(saved: Savings) -> Iterator[str]:
    best = saved.best
    if best is None:
        yield from not_reached_sentences(saved.trials, saved.goal)
        return
    if saved.default_is_best:
        yield f"Answer: the default, {known_knobs(best)}. No other that reached the target is {_less(saved)}."
    else:
        yield f"Answer: {best.knobs_text}."


def _what_a_training_takes(saved: Savings) -> Iterator[str]:
    """With the answer, with the baseline, and in the cheapest trial, where that is another."""
    if saved.best is not None:
        yield from _expected_or_measured(saved, saved.best)
        yield from one_training(saved)
        yield from trial_of_baseline(saved)
        yield from _cheapest_single_run(saved, saved.best)


def _less(saved: Savings) -> str:
    return "expected to cost less" if saved.is_expected else "cheaper on average"


def _expected_or_measured(saved: Savings, best: TrialSummary) -> Iterator[str]:
    """What a training takes, and where that is known from: expected of the next one, or measured."""
    measured = saved.measured
    if not saved.is_expected:
        times = "once" if saved.repeats == 1 else f"{saved.repeats} times, on average"
        yield f"It reached the target {times} with {_used(best)}."
        return
    runs = saved.answer.runs if saved.answer else 0
    source = f"from {counted(runs, 'run')} with this batch size" if runs else "by the search"
    both = saved.objective == "cost" and best.measured_cost > 0
    cost = f", a cost of {saved.costs.text(best.measured_cost)}" if both else ""
    yield f"Expected of a training with it: {_used(best)}{cost}, {source} and its power profile."
    if measured is None:
        yield "No trial had this power limit to its end; those with this batch size profiled it."
    else:
        once = "Its trial took" if saved.repeats == 1 else f"Its {saved.repeats} trials took, on average,"
        epochs = f" and {measured.epochs:.3g} epochs" if measured.epochs > 0 else ""
        profiling = "" if measured.is_baseline else ", power profiling included"
        yield f"{once} {_used(measured)}{epochs}{profiling}."


def _cheapest_single_run(saved: Savings, best: TrialSummary) -> Iterator[str]:
    """Where one run with other knobs was cheaper than the answer is: why it is not the answer."""
    first = min(saved.trials, key=lambda trial: trial.rank, default=None)
    if first is None or same_knobs(first, best) or not first.cost_to_target < best.cost_to_target:
        return
    same = [t.epochs for t in saved.trials if t.target_reached and t.batch_size == first.batch_size]
    mean = math.fsum(same) / len(same)
    why = "one run may be lucky, and the answer goes by all runs of a batch size"
    if first.epochs < mean:
        why = f"it needed {first.epochs:.3g} epochs, where {mean:.3g} are the mean of its batch size"
    expected_j = (
        saved.found.expected_cost_j(first.batch_size, first.power_limit_w) if saved.found else math.nan
    )
    if saved.is_expected and expected_j > best.cost:
        why += f", so that {saved.costs.text(expected_j)} is expected of its knobs"
    yield (
        f"The cheapest single run was {known_knobs(first)}, a {saved.objective} of "
        f"{saved.costs.text(first.cost_to_target)}: {why}."
    )


def known_knobs(trial: TrialSummary) -> str:
    """As in "batch size 32 at 250 W"; without the limit where that is unknown."""
    if math.isnan(trial.power_limit_w):
        return f"batch size {trial.batch_size}"
    return f"batch size {trial.batch_size} at {power(trial.power_limit_w)}"


def _used(trial: TrialSummary) -> str:
    if math.isnan(trial.energy_j):
        return f"an unknown amount of energy in {seconds(trial.time_s)}"
    return f"{energy(trial.energy_j)} ({watt_hours(trial.energy_j)}) in {seconds(trial.time_s)}"


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
        f"The nearest was {target.text(nearest.best_metric)} of {target.value:g} ({target.metric}), with "
        f"{known_knobs(nearest)} after {nearest.epochs:.3g} epochs (ended: {ended})."
    )
    longer = nearest.stop_reason in (StopReason.MAX_EPOCHS, "")
    budget = nearest.stop_reason in (StopReason.COST_CAP, StopReason.NOT_WORTH_IT)
    yield "What to do: " + "; ".join(
        [
            *(["train longer (max_epochs=, and the epochs of your function)"] if longer else []),
            *(["let the search cost more (exploration_budget=)"] if budget else []),
            (
                f"or ask for what is reached, Target({target.metric!r}, {nearest.best_metric:.7g}, "
                f"{target.mode!r}); with no value the default batch size sets the target."
            ),
        ]
    )
