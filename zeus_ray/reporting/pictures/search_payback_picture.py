"""What a search has cost and saved, trial by trial, and when it has paid for itself."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import Scale
from zeus_ray.records import Exploration, RunAccount
from zeus_ray.reporting.cost_format import CostFormat
from zeus_ray.reporting.pictures.picture import (
    AxisScale,
    Layer,
    LineLayer,
    Picture,
    PointLayer,
    SpanLayer,
    axis_of,
    note_of,
)
from zeus_ray.reporting.savings import Savings
from zeus_ray.reporting.search_effort_sentences import trials_text

WORTH_SHOWING = 0.01
"""Savings below this share of the cost have no line."""
MOST_AHEAD = 5.0
"""The break-even is drawn if it is at most this many times the runs of the search ahead."""


def search_payback_picture(saved: Savings, exploration: Exploration) -> Picture:
    """Cost of the search run by run, what it may still spend, and what using the answer saves afterwards.

    Raises:
        BadInput: no run has ended with a known cost.
    """
    runs = [run for run in exploration.runs if math.isfinite(run.cost_j)]
    if not runs:
        raise BadInput("no run has ended with a known cost: there is nothing to plot (was a GPU measured?)")
    before_j = _before(saved, runs)
    total = list(itertools.accumulate((run.cost_j for run in runs), initial=before_j))
    total = [0.0, *total] if before_j > 0 else total
    pays_after = saved.trainings_to_pay
    drawn = pays_after if pays_after is not None and pays_after <= max(10, MOST_AHEAD * len(runs)) else 0
    ahead = math.ceil(1.15 * drawn)
    scale = saved.costs.scale([total[-1], saved.cost_saved_j * ahead])
    note, simulated = note_of(saved.gpus, saved.measured_by)
    spent = [value / scale.size for value in total]
    trials = len(total) - 1
    begin = float(-trials if ahead else 0)
    layers = [
        *_spent(runs, spent, exploration, scale, begin),
        *_afterwards(saved, ahead, spent[-1], scale),
        *_hovers(runs, spent, begin + trials, saved.costs),
    ]
    if drawn:
        layers.append(SpanLayer(low=float(drawn), high=float(drawn), name=""))
        layers.append(_break_even_band(saved, drawn, 1.02 * ahead + 0.02 * trials))
        layers.append(SpanLayer(low=begin, high=0.0, name="search"))
    heights = [value for layer in layers if isinstance(layer, LineLayer) for value in layer.y]
    label = "trials, then trainings with the answer" if ahead else "trials of the search"
    end = float(ahead or trials)
    return Picture(
        key="history",
        title="What the search cost",
        x=AxisScale(label=label, low=begin, high=end + 0.02 * (end - begin), whole=True, ticks_from=0.0),
        y=axis_of(f"{saved.objective} ({scale.unit})", heights, from_zero=True),
        layers=tuple(layers),
        description=_description(saved, total[-1], exploration, pays_after),
        note=note,
        simulated=simulated,
        footnote=_footnote(saved, exploration, before_j, drawn),
    )


def _before(saved: Savings, runs: Sequence[RunAccount]) -> float:
    """Cost (J) of the trials that are no runs of the search: the baseline."""
    others_j = saved.search_cost_j - math.fsum(run.cost_j for run in runs)
    return others_j if others_j > 0 else 0.0


def _spent(
    runs: Sequence[RunAccount],
    total: Sequence[float],
    exploration: Exploration,
    scale: Scale,
    begin: float,
) -> Iterator[Layer]:
    """What all trials cost, what of that was spent beyond the default, and what may be."""
    places = tuple(begin + i for i in range(len(total)))
    first = [0.0] * (len(total) - len(runs))  # before the first run that the search chose
    beyond = [*first, *itertools.accumulate(run.spent_j for run in runs)]
    saving = [*first, *itertools.accumulate(run.saved_j for run in runs)]
    yield LineLayer(x=places, y=tuple(total), name="all trials so far", colour="blue", filled=True)
    yield LineLayer(
        x=places,
        y=tuple(value / scale.size for value in beyond),
        name="spent exploring",
        colour="orange",
    )
    if saving[-1] > WORTH_SHOWING * total[-1] * scale.size:
        saved_j = tuple(value / scale.size for value in saving)
        yield LineLayer(
            x=places,
            y=saved_j,
            name="saved by cheaper runs of the search",
            colour="green",
        )
    if math.isfinite(exploration.budget_j):
        yield LineLayer(
            x=places,
            y=tuple((exploration.budget_j + value) / scale.size for value in saving),
            name="limit of what is spent exploring",
            colour="orange",
            dashed=True,
        )


def _afterwards(saved: Savings, ahead: int, total: float, scale: Scale) -> Iterator[Layer]:
    """What the search cost stays; each training with the answer saves."""
    if ahead:
        ends = (0.0, float(ahead))
        saves = saved.cost_saved_j * ahead / scale.size
        yield LineLayer(x=ends, y=(total, total), name="to be saved", colour="blue", dashed=True)
        yield LineLayer(
            x=ends, y=(0.0, saves), name="saved by trainings with the answer", colour="purple", dashed=True
        )


def _hovers(
    runs: Sequence[RunAccount], total: Sequence[float], end: float, costs: CostFormat
) -> Iterator[Layer]:
    """A point after each trial: the baseline's, where there is one, and those that the search chose."""
    texts = [
        f"trial {i} that the search chose: batch size {run.batch_size}\n{costs.name} "
        f"{costs.text(run.cost_j)}\nof that spent exploring {costs.text(run.spent_j)}\n"
        f"less than a run of the default by {costs.text(run.saved_j)}"
        for i, run in enumerate(runs, 1)
    ]
    before = len(total) - 1 - len(runs)
    yield PointLayer(
        x=tuple(end - len(total) + 2 + i for i in range(len(total) - 1)),
        y=tuple(total[1:]),
        colour="blue",
        size=5,
        hovers=("the baseline",) * before + tuple(texts),
    )


def _break_even_band(saved: Savings, pays_after: int, end: float) -> SpanLayer:
    """Where 90 % of the break-evens lie, as far as the axis goes."""
    fewest, most = saved.trainings_to_pay_interval
    low = pays_after if fewest is None else fewest
    high = pays_after if fewest is None else end if most is None else min(float(most), end)
    return SpanLayer(low=float(low), high=float(high), name=f"break-even: {pays_after}{_interval(saved)}")


def _description(saved: Savings, total_j: float, exploration: Exploration, pays_after: int | None) -> str:
    text = saved.costs.text
    pays = (
        f" The {text(total_j)} is expected to have been saved after {pays_after:,} trainings with the answer"
        f"{_interval(saved)}."
        if pays_after
        else ""
    )
    explored = exploration.spent_j
    spent = f"{text(explored)} of it was" if explored > 0 else "None of it was"
    return (
        f"The {saved.objective} of {trials_text(saved)}: {text(total_j)}. {spent} spent exploring: by "
        f"other batch sizes that were stopped, or beyond what the default takes.{pays}"
    )


def _interval(saved: Savings) -> str:
    """The 90 % interval of the break-even; "" where unknown."""
    fewest, most = saved.trainings_to_pay_interval
    if fewest is None:
        return ""
    return f" ({fewest:,} to {f'{most:,}' if most is not None else 'never'})"


def _footnote(saved: Savings, exploration: Exploration, before_j: float, drawn: int) -> str:
    said = [f"The first step is the baseline, {saved.costs.text(before_j)}."] if before_j > 0 else []
    if exploration.default_cost_j > 0 and math.isfinite(exploration.budget_j):
        runs = exploration.budget_j / exploration.default_cost_j
        said.append(
            f"The limit for exploring: exploration_budget={runs:.3g} runs of the default, "
            f"{saved.costs.text(exploration.default_cost_j)} each (the search's own runs of its batch size, "
            "without the baseline's trial), and what cheaper runs have saved."
        )
    pays_after = saved.trainings_to_pay
    if pays_after is not None and not drawn:
        said.append(
            f"The break-even, after {pays_after:,} trainings with the answer{_interval(saved)}, is too far "
            "ahead to draw."
        )
    return " ".join(said)
