"""What a search and its answer emitted, or what their energy cost, in sentences."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator

from zeus_ray.quantity_format import J_PER_KWH, grams, money, percent, signed_percent
from zeus_ray.records import GRAMS
from zeus_ray.reporting.savings import Savings
from zeus_ray.reporting.trials_from_result import TrialSummary


def emissions_sentences(saved: Savings) -> Iterator[str]:
    """Emissions or price, and how they compare at one intensity; nothing without a signal.

    Trials run at different hours, so what each emitted compares the hours, too. At the mean intensity of the
    whole search only their energy differs.
    """
    unit = saved.goal.unit if saved.goal else ""
    is_price = bool(unit) and unit != GRAMS
    priced = [trial for trial in saved.trials if math.isfinite(_amount(trial, is_price=is_price))]
    measured = [trial for trial in priced if trial.energy_j > 0]
    if not measured:
        return
    total = math.fsum(_amount(trial, is_price=is_price) for trial in priced)
    kwh = math.fsum(trial.energy_j for trial in measured) / J_PER_KWH
    mean = math.fsum(_amount(trial, is_price=is_price) for trial in measured) / kwh
    shown = (lambda amount: money(amount, unit.partition("/")[0])) if is_price else grams
    verb = "cost" if is_price else "emitted"
    source = f", by the signal {saved.goal.signal}" if saved.goal and saved.goal.signal else ""
    left_out = "" if len(priced) == len(saved.trials) else f" ({len(saved.trials) - len(priced)} unknown)"
    yield (
        f"The whole search {verb} {shown(total)}{left_out}, at {mean:.3g} {unit or GRAMS} on average{source}."
    )
    if saved.best is not None and saved.reference is not None and not saved.default_is_best:
        now, before = (trial.energy_j / J_PER_KWH * mean for trial in (saved.best, saved.reference))
        if math.isfinite(now) and before > 0:
            yield (
                f"At that mean a training with the answer {'costs' if is_price else 'emits'} "
                f"{shown(now)}, one with the baseline {shown(before)} ({signed_percent(now / before - 1)})."
            )
    yield from _uncertainty(measured, is_price=is_price)
    yield from _outdated(saved)


def _amount(trial: TrialSummary, *, is_price: bool) -> float:
    return trial.price if is_price else trial.carbon_g


def _uncertainty(measured: list[TrialSummary], *, is_price: bool) -> Iterator[str]:
    errors = [trial.energy_j_err / trial.energy_j for trial in measured if trial.energy_j_err >= 0]
    known = f"is within {percent(max(errors))}" if errors else "has no known error"
    what = "the price of the energy, not of the GPU" if is_price else "of the GPUs' electricity alone"
    yield f"This is {what}; its energy {known}, and the signal states no error of its own."


def _outdated(saved: Savings) -> Iterator[str]:
    """Whether the signal's file had ended before the search began to use it."""
    ends_s = saved.goal.signal_ends_s if saved.goal else math.nan
    if math.isfinite(ends_s):
        day = dt.datetime.fromtimestamp(ends_s, dt.timezone.utc)
        yield (
            f"The signal's file ENDED on {day:%Y-%m-%d %H:%M} UTC, in the past: its last value counted for "
            "every hour since."
        )
