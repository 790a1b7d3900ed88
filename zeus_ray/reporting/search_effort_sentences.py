"""What a search took, why it ended, when it will have paid for itself, and how its energy was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from zeus_ray.quantity_format import counted, energy, seconds, signed_percent, watt_hours
from zeus_ray.records import NOTHING_LEFT, TIME_USED, TRIALS_USED, VIRTUAL_ENERGY, MeasuredBy
from zeus_ray.reporting.savings import Savings

WHY_ENDED = {
    NOTHING_LEFT: (
        "It ended by itself: no further trial was expected to save, in the trainings that its answer is for "
        "(horizon_runs=), what it would cost."
    ),
    TRIALS_USED: "It ended as it had run all the trials that it may (num_samples=).",
    TIME_USED: "It ended as its time was used up (time_budget_s=).",
}


def search_effort_sentences(saved: Savings) -> Iterator[str]:
    """What the search took, why it ended, what it has not tried, and after how many trainings it pays."""
    if not saved.trials:
        return
    yield _took(saved)
    if not math.isnan(saved.wall_clock_s):
        clock = seconds(saved.wall_clock_s)
        real = "real " if VIRTUAL_ENERGY.intersection(saved.measured_by) else ""
        yield f"On the {real}clock its trials took {clock}, from the first one's start to the last one's end."
    if saved.found is not None and saved.found.ended in WHY_ENDED:
        yield WHY_ENDED[saved.found.ended]
    yield from _never_tried(saved)
    yield from _payback(saved)


def trials_text(saved: Savings) -> str:
    """How many trials there were: "5 trials, the baseline and 4 that the search chose"."""
    count = counted(len(saved.trials), "trial")
    baselines = sum(trial.is_baseline for trial in saved.trials)
    if not baselines:
        return count
    chosen = len(saved.trials) - baselines
    return f"{count}, the baseline and {chosen} that the search chose"


def _took(saved: Savings) -> str:
    joules, lasted = saved.search_energy_j, seconds(saved.search_time_s)
    took = f"{energy(joules)} ({watt_hours(joules)})"
    if math.isnan(joules):
        took = "an unknown amount of energy"
    least = "at least " if saved.unmeasured and not math.isnan(joules) else ""
    unmeasured = f"; {saved.unmeasured} of them were not measured" if saved.unmeasured else ""
    virtual = VIRTUAL_ENERGY.intersection(saved.measured_by)
    source = f" (all {next(iter(virtual)).upper()})" if virtual else ""
    both = saved.goal is not None and 0 < saved.goal.eta < 1 and saved.search_cost_j > 0
    cost = f", a cost of {saved.costs.text(saved.search_cost_j)}" if both else ""
    return (
        f"The whole search took {least}{took} and {lasted} of training{cost}{source}, power profiling "
        f"included, in {trials_text(saved)}{unmeasured}."
    )


def _never_tried(saved: Savings) -> Iterator[str]:
    """Batch sizes that no trial had, and what they were expected to cost."""
    sizes = saved.goal.batch_sizes if saved.goal else ()
    tried = {trial.batch_size for trial in saved.trials}
    left = [size for size in sizes if size not in tried]
    if not left or saved.found is None:
        return
    known = [c.cost.mean for c in saved.found.expected_costs if c.batch_size in left]
    least = min((cost for cost in known if math.isfinite(cost)), default=math.nan)
    sizes_text, them = ("batch sizes", "them") if len(left) > 1 else ("batch size", "it")
    expected = (
        ""
        if math.isnan(least)
        else f", as a training with {them} is expected to cost {saved.costs.text(least)} or more"
    )
    yield f"Never tried: {sizes_text} {', '.join(map(str, left))}{expected}."


def _payback(saved: Savings) -> Iterator[str]:
    if math.isnan(saved.cost_share) or saved.default_is_best:
        return
    name, pays = saved.objective, saved.trainings_to_pay
    if pays is None:
        yield f"The search will not pay for itself in {name}: the answer takes no less than the baseline."
        return
    fewest, most = saved.trainings_to_pay_interval
    interval = ""
    if fewest is not None:
        interval = f" (at best {fewest:,}, at worst never)" if most is None else f" ({fewest:,} to {most:,})"
    spent = f", {saved.costs.text(saved.search_cost_j)},"
    yield (
        f"The search's {name}{spent} is expected to have been saved after about "
        f"{counted(pays, 'training')} with the answer instead of the baseline{interval}."
    )
    if name == "cost" and saved.energy_share < 0:
        more = saved.interval_of(saved.energy_share)
        sure = f", between {more.change('and')}" if more.may_be_chance else ""
        yield (
            "In energy alone no pay-back is expected: a training with the answer takes "
            f"{signed_percent(-saved.energy_share)} energy{sure}."
        )


def measured_sentences(saved: Savings) -> Iterator[str]:
    """How energy was measured; where it was not, what is real and what is not."""
    yield how_measured(saved.measured_by, saved.gpus)
    yield from what_is_real(saved)
    if VIRTUAL_ENERGY.intersection(saved.measured_by):
        yield "Energy is of the GPUs alone: no CPU, no cooling."


def what_is_real(saved: Savings) -> Iterator[str]:
    """What a search with simulated GPUs has measured, and for what its answer does not hold."""
    if MeasuredBy.SIMULATED in saved.measured_by:
        yield (
            "The training, its metric and its epochs are real. Energy, power and the time of a trial are "
            "those of a model of that card at work on a large image network, whatever is trained here. So "
            "the answer holds neither for this network nor for that one, and for no real GPU: it shows how a "
            "search works."
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
