"""Expected cost by batch size and power limit, with its uncertainty and what was tried."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import Scale, power, three_digits
from zeus_ray.records import MODELLED, PROFILED, TRAINED, ExpectedCost
from zeus_ray.reporting.answer_and_baseline import SAME_KNOBS_W
from zeus_ray.reporting.cost_format import CostFormat
from zeus_ray.reporting.expected_cost_by_size import not_settled
from zeus_ray.reporting.pictures.pareto_picture import trial_text
from zeus_ray.reporting.pictures.picture import (
    CellLayer,
    Layer,
    LineLayer,
    Picture,
    PointLayer,
    categories_of,
    note_of,
)
from zeus_ray.reporting.savings import Savings
from zeus_ray.reporting.trials_from_result import TrialSummary

Cell = tuple[int, float]
HOW_KNOWN = {
    TRAINED: "epochs and power of trials",
    PROFILED: "power of a trial, epochs as the search expects them",
    MODELLED: "power at this limit as the search expects it",
}
CORNER, FRAME = 0.36, 0.48
"""Distance of a mark, and of the frame, from the middle of a cell, whose size is 1."""


def cost_picture(saved: Savings, expected: Sequence[ExpectedCost]) -> Picture:
    """A heat map: expected cost of a training, its 90 % interval below it, and which cells were tried.

    Raises:
        BadInput: no cost is expected.
    """
    if not expected:
        raise BadInput("no cost is expected yet: there is nothing to plot (was a GPU measured?)")
    by_cell = {(e.batch_size, e.power_limit_w): e for e in expected}
    sizes, limits_w = sorted({size for size, _ in by_cell}), sorted({limit_w for _, limit_w in by_cell})
    scale = saved.costs.scale([e.cost.mean for e in expected])
    grid = [[by_cell.get((size, limit_w)) for size in sizes] for limit_w in limits_w]
    note, simulated = note_of([t.gpu for t in saved.trials], [t.measured_by for t in saved.trials])
    cells = CellLayer(
        values=tuple(tuple(e.cost.mean / scale.size if e else math.nan for e in row) for row in grid),
        texts=tuple(tuple(_text(e, scale) if e else "" for e in row) for row in grid),
        hovers=tuple(tuple(_hover(e, saved.costs) if e else "" for e in row) for row in grid),
    )
    known = [e.cost.mean / scale.size for e in expected if math.isfinite(e.cost.mean)]
    places = {(s, w): (i, j) for i, s in enumerate(sizes) for j, w in enumerate(limits_w)}
    return Picture(
        key="cost",
        title=f"Expected {saved.objective} of a training",
        x=categories_of("batch size", [str(size) for size in sizes]),
        y=categories_of("power limit (W)", [f"{limit_w:g}" for limit_w in limits_w]),
        layers=(cells, *_marks(saved, places)),
        description=(
            f"Expected {saved.objective} at {len(sizes)} batch sizes and {len(limits_w)} limits."
            f"{_least(saved)}"
        ),
        note=note,
        simulated=simulated,
        footnote=(
            "Below each number, where there is room: the 90 % interval of a single training. ≈: the search "
            "expects it, as no trial of this batch size has reached the target, or this limit was not "
            "measured with it. Marks: where trials ended."
        ),
        scale_label=f"expected {saved.objective} ({scale.unit}); lighter is cheaper",
        scale_ticks=(min(known), max(known)) if known else (0.0, 1.0),
    )


def _least(saved: Savings) -> str:
    """The answer's cost; and less that is expected of a batch size which no trial trained to the target."""
    if saved.best is None:
        return ""
    text = f" The answer: {saved.costs.text(saved.best.cost)} with {saved.best.knobs_text}."
    other = not_settled(saved)
    if other is not None:
        text += (
            f" Less is expected of batch size {other.batch_size}, {saved.costs.text(other.cost.mean)} at "
            f"{power(other.power_limit_w)}, which no trial trained to the target."
        )
    return text


def _text(expected: ExpectedCost, scale: Scale) -> str:
    cost = expected.cost
    if not math.isfinite(cost.mean):
        return ""
    sign = "" if expected.known == TRAINED else "≈"
    interval = (
        "" if math.isnan(cost.low) else f"\n{_short(cost.low / scale.size)}–{_short(cost.high / scale.size)}"
    )
    return f"{sign}{three_digits(cost.mean / scale.size)}{interval}"


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _hover(expected: ExpectedCost, costs: CostFormat) -> str:
    return (
        f"batch size {expected.batch_size} at {power(expected.power_limit_w)}\n"
        f"{costs.name} {expected.cost.text(costs.text)}\n{HOW_KNOWN.get(expected.known, expected.known)}"
    )


def _marks(saved: Savings, places: Mapping[Cell, tuple[int, int]]) -> Iterator[Layer]:
    """A dot in the corner of each cell that a trial ran in, and a frame around the answer's."""
    for baseline in (True, False):
        for reached in (True, False):
            trials = [t for t in saved.trials if t.is_baseline is baseline and t.target_reached is reached]
            spots = [(spot, trial) for trial in trials if (spot := _place(trial, places)) is not None]
            if spots and (reached or not baseline):
                corner = -CORNER if baseline else CORNER
                name = "trial that reached the target" if reached else "stopped trial"
                yield PointLayer(
                    x=tuple(x + corner for (x, _), _ in spots),
                    y=tuple(y + CORNER for (_, y), _ in spots),
                    name="baseline" if baseline else name,
                    symbol="diamond" if baseline else "circle" if reached else "cross",
                    colour="red" if baseline else "orange" if reached else "grey",
                    hovers=tuple(trial_text(trial) for _, trial in spots),
                    size=8 if reached else 7,
                )
    if saved.best is not None and (spot := _place(saved.best, places)) is not None:
        x, y = spot
        left, right, low, high = x - FRAME, x + FRAME, y - FRAME, y + FRAME
        around = (left, right, right, left, left), (low, low, high, high, low)
        yield LineLayer(x=around[0], y=around[1], name="frame: the answer")


def _place(trial: TrialSummary, places: Mapping[Cell, tuple[int, int]]) -> tuple[int, int] | None:
    """The cell of a trial's batch size and its limit."""
    near = [
        spot
        for (size, limit_w), spot in places.items()
        if size == trial.batch_size and abs(limit_w - trial.power_limit_w) < SAME_KNOBS_W
    ]
    return near[0] if near else None
