"""What the answer of a search saves against its baseline, and which knob saves it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean

from zeus_ray.quantity_format import energy, joule_equivalents, power, seconds, signed_percent
from zeus_ray.reporting.answer_and_baseline import SAME_KNOBS_W
from zeus_ray.reporting.certainty_sentences import certainty_of_default, certainty_of_saving
from zeus_ray.reporting.savings import MEASUREMENT_ERROR, Savings
from zeus_ray.reporting.trials_from_result import TrialSummary


def saving_sentences(saved: Savings) -> Iterator[str]:
    """The saving against the baseline in cost, energy and time; how sure it is; from which knob it comes."""
    if saved.baseline is None:
        yield "The experiment has no baseline: no saving is claimed."
    elif not saved.baseline.target_reached:
        yield "The baseline did not reach the target: no saving is claimed."
    elif saved.best is None:
        return
    elif saved.default_is_best:
        yield from certainty_of_default(saved)
    elif not saved.comparable:
        yield "The best trial or the baseline shared its GPU with another job: no saving is claimed."
    else:
        yield f"Against the baseline, {_baseline(saved, saved.baseline)}: {_changes(saved)}."
        yield from certainty_of_saving(saved, saved.baseline, saved.best)
        yield from _dearer_in_one(saved)
        if math.isnan(saved.energy_share):
            yield "Energy and cost are unknown: no energy was measured."


@dataclass(frozen=True)
class Change:
    """How much more or less of one quantity a training with the answer takes than one with the baseline.

    ``short`` has the sign, as in "time −20.0 %"; ``ends`` is "10.0 min to 8.00 min"; ``interval`` is
    "−35.0 % to +2.0 %", 90 % of many trainings' means, "" where unknown; ``unsure``: it includes no change.
    """

    short: str
    ends: str
    interval: str
    unsure: bool


def changes_against_baseline(saved: Savings) -> Iterator[Change]:
    """Cost first, then energy and time."""
    before, now = saved.reference, saved.best
    if before is None or now is None:
        return
    eta = saved.goal.eta if saved.goal else math.nan
    if eta not in (0, 1) and not math.isnan(saved.cost_share):
        ends = f"{joule_equivalents(before.measured_cost)} to {joule_equivalents(now.measured_cost)}"
        yield _change("cost", saved, saved.cost_share, ends)
    if not math.isnan(saved.energy_share):
        ends = f"{energy(before.energy_j)} to {energy(now.energy_j)}"
        yield _change("energy", saved, saved.energy_share, ends)
    ends = f"{seconds(before.time_s)} to {seconds(now.time_s)}"
    yield _change("time", saved, saved.time_share, ends)


def _change(name: str, saved: Savings, share: float, ends: str) -> Change:
    interval = saved.interval_of(share)
    return Change(f"{name} {signed_percent(-share)}", ends, interval.change(), interval.may_be_chance)


def _changes(saved: Savings) -> str:
    return ", ".join(f"{change.short} ({change.ends})" for change in changes_against_baseline(saved))


def _baseline(saved: Savings, baseline: TrialSummary) -> str:
    """Its knobs, and whether what follows is expected or measured."""
    how = "both as the search expects them" if saved.is_expected else "both as their trials took"
    limit = "" if math.isnan(baseline.power_limit_w) else f" at {power(baseline.power_limit_w)}"
    return f"batch size {baseline.batch_size}{limit}, {how}"


def trial_of_baseline(saved: Savings) -> Iterator[str]:
    """Why the baseline's own trial took something else than what is expected of it, where it is compared."""
    baseline = saved.baseline
    if baseline is None or not saved.comparable or saved.default_is_best:
        return
    if saved.reference is None or not saved.is_expected or not baseline.epochs > 0:
        return
    epochs = [t.epochs for t in saved.trials if t.target_reached and t.batch_size == baseline.batch_size]
    if len(epochs) > 1 and abs(fmean(epochs) / baseline.epochs - 1) > MEASUREMENT_ERROR:
        yield (
            f"The baseline's figures are for {fmean(epochs):.3g} epochs, the mean of the {len(epochs)} "
            f"trainings with its batch size. Its own trial, in the table, happened to need "
            f"{baseline.epochs:.3g}: {energy(baseline.energy_j)} in {seconds(baseline.time_s)}."
        )


def _dearer_in_one(saved: Savings) -> Iterator[str]:
    """That the answer is better in sum, and worse in energy or in time alone."""
    if not saved.cost_share > 0 or saved.goal is None or saved.goal.eta in (0, 1):
        return
    more = {"energy": "eta=1 asks for the least", "time": "max_slowdown= bounds it, eta=0 asks for the least"}
    for name, share in (("energy", saved.energy_share), ("time", saved.time_share)):
        if share < -MEASUREMENT_ERROR:
            sure = "is expected to take" if saved.interval_of(share).may_be_chance else "takes"
            change = f"{name.upper()} ({signed_percent(-share)})"
            yield f"It {sure} MORE {change}: {more[name]} (see the trade-offs below)."


def change_by_knob(saved: Savings) -> Iterator[str]:
    """How much of the change comes from the batch size, and how much from the power limit."""
    baseline, best = saved.baseline, saved.best
    if baseline is None or best is None or saved.default_is_best or math.isnan(saved.cost_share):
        return
    if saved.same_batch_size:
        yield "The whole change comes from the power limit: the batch size is the same."
        return
    if abs(baseline.power_limit_w - best.power_limit_w) < SAME_KNOBS_W:
        rate = ", with its learning rate" if best.lr_rule else ""
        yield f"The whole change comes from the batch size{rate}: the power limit is the same."
        return
    between_j = (
        saved.found.expected_cost_j(best.batch_size, baseline.power_limit_w) if saved.found else math.nan
    )
    if saved.reference is None or not saved.is_expected or not between_j > 0:
        return
    by_size, by_limit = between_j / saved.reference.cost - 1, best.cost / between_j - 1
    yield (
        f"The batch size alone would change the {saved.objective} by {signed_percent(by_size)}; "
        f"{power(best.power_limit_w)} instead of {power(baseline.power_limit_w)} then changes it by "
        f"{signed_percent(by_limit)}."
    )
