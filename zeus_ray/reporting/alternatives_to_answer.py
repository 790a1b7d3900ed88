"""What could be taken instead of the answer: other limits of the same cost, other sizes, other trade-offs."""

from __future__ import annotations

import math
from collections.abc import Iterator

from zeus_ray.quantity_format import energy, percent, power, seconds, signed_percent
from zeus_ray.records import LEAST_ENERGY, NOTHING_LEFT, TIME_USED, TRIALS_USED, Best
from zeus_ray.reporting.answer_and_baseline import SAME_KNOBS_W
from zeus_ray.reporting.expected_cost_by_size import not_settled
from zeus_ray.reporting.saving_interval import UNKNOWN_INTERVAL
from zeus_ray.reporting.savings import Savings

SAME_COST = 0.005
"""Power limits whose costs differ by less than this share are as good as one another."""
FREE_BELOW = 0.9
"""A limit hardly acts on a training whose mean power is below this share of it."""

WHY_NOT_SETTLED = {
    NOTHING_LEFT: ": what the search may still spend, or could save, did not pay for going on",
    TRIALS_USED: ": all the trials that the search may run were used",
    TIME_USED: ": the time of the search was used up",
}
GOES_ON_WITH = {TRIALS_USED: "num_samples=", TIME_USED: "time_budget_s="}


def limits_of_the_same_cost(saved: Savings) -> Iterator[str]:
    """That other limits would cost the same, and why: none of them acts, or less energy takes more time."""
    answer, best, found = saved.answer, saved.best, saved.found
    if answer is None or best is None or found is None or not best.cost > 0:
        return
    limits_w = sorted(
        other.power_limit_w
        for other in found.expected_costs
        if other.batch_size == best.batch_size and abs(other.cost.mean / best.cost - 1) < SAME_COST
    )
    if not limits_w or limits_w[-1] - limits_w[0] < SAME_KNOBS_W:
        return
    drawn_w = answer.energy_j.mean / answer.time_s.mean / (saved.goal.gpus if saved.goal else 1)
    why = ""
    if drawn_w < FREE_BELOW * limits_w[0]:
        why = f", as a training draws {power(drawn_w)} on average without profiling"
    elif saved.goal is not None and 0 < saved.goal.eta < 1:
        why = ": what a lower one saves in energy it takes in time"
    before = saved.baseline.power_limit_w if saved.baseline else math.nan
    kept = "; the one in use stays" if abs(best.power_limit_w - before) < SAME_KNOBS_W else ""
    yield (
        f"With this batch size the {saved.objective} is the same, within {percent(SAME_COST)}, at all limits "
        f"from {limits_w[0]:.0f} to {power(limits_w[-1])}{why}{kept}."
    )


def not_settled_sentences(saved: Savings) -> Iterator[str]:
    """That a batch size which no trial trained to the target may cost less than the answer."""
    other = not_settled(saved)
    if other is None:
        return
    ended = saved.found.ended if saved.found else ""
    yield (
        f"NOT SETTLED: batch size {other.batch_size} at {power(other.power_limit_w)} is expected to cost "
        f"{other.cost.text(saved.costs.text)}, which may be less, but no trial trained it to the target"
        f"{WHY_NOT_SETTLED.get(ended, '')}. A search with points_to_evaluate=[{other.batch_size}] trains it "
        f"first; a larger {GOES_ON_WITH.get(ended, 'exploration_budget=')} lets the search go on."
    )


def trade_off_sentences(saved: Savings) -> Iterator[str]:
    """What other trade-offs between energy and time would give, against the baseline where there is one."""
    answer, others = saved.answer, saved.found.trade_offs if saved.found else ()
    if answer is None or saved.best is None or math.isnan(answer.energy_j.mean) or not others:
        return
    names: dict[str, list[str]] = {}
    for trade in others:
        names.setdefault(_compared(trade.best, answer, saved), []).append(trade.name)
    for text, same in names.items():
        lucky = _less_in_one_trial(saved) if LEAST_ENERGY in same else ""
        yield f"Another trade-off, {', and '.join(same)}: {text}.{lucky}"


def _less_in_one_trial(saved: Savings) -> str:
    """Where a trial of another size took less energy than the least expected one: why it is not taken."""
    least = [
        trade.best for trade in (saved.found.trade_offs if saved.found else ()) if trade.name == LEAST_ENERGY
    ]
    trials = [trial for trial in saved.trials if trial.target_reached and trial.energy_j > 0]
    if not least or not trials:
        return ""
    trial = min(trials, key=lambda one: one.energy_j)
    if trial.batch_size == least[0].batch_size or trial.energy_j >= least[0].energy_j.mean:
        return ""
    return (
        f" The trial with {trial.knobs_text} took {energy(trial.energy_j)}, but one run may be lucky: it "
        f"needed {trial.epochs:.3g} epochs."
    )


def _compared(other: Best, answer: Best, saved: Savings) -> str:
    if other.batch_size == answer.batch_size and _same_limit(other.power_limit_w, answer.power_limit_w):
        return "the same as the answer"
    before, name = (answer.energy_j.mean, answer.time_s.mean), "the answer"
    if saved.comparable and saved.reference is not None and not saved.default_is_best:
        before, name = (saved.reference.energy_j, saved.reference.time_s), "the baseline"
    energy_share, time_share = other.energy_j.mean / before[0] - 1, other.time_s.mean / before[1] - 1
    ran = any(
        t.batch_size == other.batch_size and _same_limit(t.power_limit_w, other.power_limit_w)
        for t in saved.trials
    )
    how = "" if ran else ", which no trial ran with to its end"
    energy_text, time_text = (_change(saved, other, share, name) for share in (energy_share, time_share))
    return (
        f"{other.knobs_text}{how}: {energy(other.energy_j.mean)} in {seconds(other.time_s.mean)} (energy "
        f"{energy_text}, time {time_text} against {name})"
    )


def _change(saved: Savings, other: Best, change: float, against: str) -> str:
    """A change with its 90 % interval, which is known against the baseline."""
    interval = saved.interval_of(-change, other) if against == "the baseline" else UNKNOWN_INTERVAL
    chance = ", MAY BE CHANCE" if interval.may_be_chance else ""
    within = interval.change()
    return signed_percent(change) + (f" [90 %: {within}{chance}]" if within else "")


def _same_limit(one: float | None, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return abs(one - other) < SAME_KNOBS_W
