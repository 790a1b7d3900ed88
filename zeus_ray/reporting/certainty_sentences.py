"""How sure the answer of a search is, and its saving against the baseline."""

from __future__ import annotations

import math
from collections.abc import Iterator

from zeus_ray.quantity_format import counted, energy, energy_scale, signed_percent, time_scale
from zeus_ray.reporting.expected_cost_by_size import least_cost_by_size
from zeus_ray.reporting.saving_interval import SavingInterval
from zeus_ray.reporting.savings import MEASUREMENT_ERROR, Savings
from zeus_ray.reporting.trials_from_result import TrialSummary
from zeus_ray.search.recommendation import PRIOR_SPREAD


def certainty_of_saving(saved: Savings, baseline: TrialSummary, best: TrialSummary) -> Iterator[str]:
    """How sure the saving is; it may be scatter, or below what can be measured."""
    if saved.same_batch_size and not saved.is_expected:
        yield (
            f"The limit does not change the epochs that are needed: both are compared at {best.epochs:.3g} "
            f"epochs (the baseline happened to need {baseline.epochs:.3g})."
        )
    if not math.isnan(saved.cost_share_interval[0]):
        yield (
            f"How sure: {_scatter(saved)}. The mean change over many trainings lies, nine times out of "
            f"ten, between {_intervals(saved)}{_doubt(saved)}.{_chosen_of(saved)}{_settled_by(saved)}"
        )
    share = saved.cost_share if not math.isnan(saved.cost_share) else saved.time_share
    if abs(share) < MEASUREMENT_ERROR:
        yield f"Less than {MEASUREMENT_ERROR:.0%} is within the error of measurement: NO SAVING is claimed."


def certainty_of_default(saved: Savings) -> Iterator[str]:
    """That nothing is saved, and how near the next batch size that reached the target is."""
    yield "What is saved: nothing. The answer is what is in use today."
    answer = saved.answer
    if answer is not None and not math.isnan(answer.scatter) and saved.found is not None:
        others = least_cost_by_size(saved, reached=True)
        rival = next((other for other in others if other.batch_size != answer.batch_size), None)
        near = "no other batch size was trained to the target"
        if rival is not None and answer.cost.mean > 0:
            change = signed_percent(rival.cost.mean / answer.cost.mean - 1)
            near = (
                f"the next batch size that reached the target, {rival.batch_size}, is expected to take "
                f"{saved.costs.text(rival.cost.mean)} ({change} {saved.objective})"
            )
        yield f"How sure: {_scatter(saved)}; {near}."


def _chosen_of(saved: Savings) -> str:
    """That the intervals are wider as the answer was chosen among several batch sizes."""
    if saved.compared_sizes < 2:
        return ""
    return f" The intervals allow for the choice among {saved.compared_sizes} batch sizes."


def _settled_by(saved: Savings) -> str:
    """How many trainings would show a change of the goal's cost that may be chance."""
    runs, doubtful = saved.runs_beyond_chance, saved.cost_share_interval.may_be_chance
    if runs is None or not doubtful or abs(saved.cost_share) < MEASUREMENT_ERROR:
        return ""
    return (
        f" To tell a change of {signed_percent(-saved.cost_share)} in {saved.objective} from chance takes "
        f"about {counted(runs, 'training')} with each of the two, those so far included{_price(saved, runs)}."
    )


def _price(saved: Savings, runs: int) -> str:
    """What the trainings cost that are missing to so many with the answer, and with the baseline."""
    if saved.answer is None or saved.best is None or saved.reference is None:
        return ""
    before = saved.found.baseline if saved.found else None
    more = max(0, runs - max(1, saved.answer.runs)) * saved.best.measured_cost
    more += max(0, runs - max(1, before.runs if before else 1)) * saved.reference.measured_cost
    return f": {saved.costs.text(more)} more" if more > 0 else ""


def _intervals(saved: Savings) -> str:
    """As in "−41.4 % and +20.4 % in cost, −28.4 % and +47.0 % in energy"; of what the goal counts, first."""
    return ", ".join(f"{interval.change('and')} in {name}" for name, interval in _by_quantity(saved).items())


def _doubt(saved: Savings) -> str:
    """Of which quantities the interval includes no change: in capitals, where the goal counts it."""
    intervals = _by_quantity(saved)
    unsure = [name for name, interval in intervals.items() if interval.may_be_chance]
    if not unsure:
        return ": more than chance"
    names = " and ".join(filter(None, (", ".join(unsure[:-1]), unsure[-1])))
    changes = f"the change in {names}" if len(unsure) == 1 else f"the changes in {names}"
    if saved.objective in unsure:
        return f": {changes} MAY BE CHANCE"
    sure = " and ".join(name for name in intervals if name not in unsure)
    return f": more than chance in {sure}; {changes} may be chance"


def _by_quantity(saved: Savings) -> dict[str, SavingInterval]:
    """The 90 % intervals of the shares saved, of what the goal counts first."""
    shares = {"cost": saved.cost_share, "energy": saved.energy_share, "time": saved.time_share}
    names = [saved.objective, *(name for name in ("energy", "time") if name != saved.objective)]
    known = {name: saved.interval_of(shares[name]) for name in names}
    return {name: interval for name, interval in known.items() if not math.isnan(interval.low)}


def _scatter(saved: Savings) -> str:
    scatter = saved.answer.scatter if saved.answer else math.nan
    reached = [trial.batch_size for trial in saved.trials if trial.target_reached]
    repeats = counted(len(reached) - len(set(reached)), "repeat")
    return (
        f"the epochs that a training needs have a standard deviation of about {100 * scatter:.0f} % "
        f"({100 * PRIOR_SPREAD:.0f} % is assumed, and corrected by {repeats} of a batch size)"
    )


def one_training(saved: Savings) -> Iterator[str]:
    """The interval of a single training, which is wider than that of a mean."""
    answer = saved.answer
    if answer is None or math.isnan(answer.scatter):
        return
    joules, time_s = answer.energy_j, answer.time_s
    used = (
        "" if math.isnan(joules.low) else f"{energy_scale([joules.high]).span(joules.low, joules.high)} and "
    )
    lasts = time_scale([time_s.high]).span(time_s.low, time_s.high)
    yield f"A single training with the answer takes {used}{lasts}, nine times out of ten{_fits(saved)}."


def _fits(saved: Savings) -> str:
    """That what was measured lies outside the interval, where one trial had the knobs of the answer.

    That it lies inside is no check: the interval is made from it.
    """
    answer, measured = saved.answer, saved.measured
    if answer is None or measured is None or saved.repeats != 1 or math.isnan(measured.energy_j):
        return ""
    if answer.energy_j.low <= measured.energy_j <= answer.energy_j.high:
        return ""
    return f"; the {energy(measured.energy_j)} of its trial are NOT within that"
