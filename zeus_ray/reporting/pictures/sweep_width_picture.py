"""How many trials of a sweep were planned and ran, on the curve of carbon intensity or price."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import Scale, seconds, time_scale
from zeus_ray.reporting.pictures.picture import (
    AxisScale,
    Layer,
    LineLayer,
    Picture,
    SpanLayer,
    axis_of,
    note_of,
)

PlanningStepTuple = tuple[float, float, float, float]
"""(time in s, value of the signal, trials planned, trials running)"""


def sweep_picture(
    steps: Sequence[PlanningStepTuple],
    *,
    unit: str,
    deadline_s: float | None = None,
    planned: tuple[Sequence[float], Sequence[float]] | None = None,
    gpus: Iterable[str] = (),
    measured_by: Iterable[str] = (),
    title: str = "Trials over time",
) -> Picture:
    """Trials planned and running, with carbon intensity or price on a second axis.

    Args:
        steps: one per planning step, oldest first; NaN for what is not known.
        unit: of the signal.
        deadline_s: the deadline (s, as in ``steps``), drawn as a vertical line.
        planned: edges (s) and numbers of trials of the plan from the last step on.
        gpus: the kinds of GPU.
        measured_by: values of :class:`zeus_ray.records.MeasuredBy`.
        title: of the picture.

    Raises:
        BadInput: no steps.
    """
    if not steps:
        raise BadInput("nothing was planned yet: there is nothing to plot")
    began_s = steps[0][0]
    last_s = max([steps[-1][0], deadline_s or began_s, *(planned[0] if planned else ())])
    times = time_scale([last_s - began_s])
    x = tuple((step[0] - began_s) / times.size for step in steps)
    signal = tuple(step[1] for step in steps)
    counts = [count for step in steps for count in step[2:] if math.isfinite(count)]
    values = [value for value in signal if math.isfinite(value)] or [math.nan]
    note, simulated = note_of(gpus, measured_by)
    return Picture(
        key="sweep",
        title=title,
        x=AxisScale(label=f"time ({times.unit})", low=0.0, high=max((last_s - began_s) / times.size, 1e-9)),
        y=AxisScale(label="trials", low=0.0, high=max(1.0, *counts) * 1.3, whole=True),
        second=axis_of(unit or "signal", [0.0, *signal], from_zero=True),
        layers=(
            *_trials(steps, x, planned, began_s, times),
            LineLayer(x=x, y=signal, name=unit or "signal", colour="green", step=True, second=True),
            *_deadline(deadline_s, began_s, times),
        ),
        description=(
            f"Up to {max(counts):g} trials at a time over {seconds(last_s - began_s)}; "
            f"the signal was from {min(values):.3g} to {max(values):.3g} {unit}."
        ),
        note=note,
        simulated=simulated,
    )


def _trials(
    steps: Sequence[PlanningStepTuple],
    x: tuple[float, ...],
    planned: tuple[Sequence[float], Sequence[float]] | None,
    began_s: float,
    times: Scale,
) -> Iterator[Layer]:
    running = tuple(step[3] for step in steps)
    yield LineLayer(x=x, y=running, name="running", colour="blue", step=True, filled=True)
    plan = tuple(step[2] for step in steps)
    if any(map(math.isfinite, plan)):
        yield LineLayer(x=x, y=plan, name="planned", colour="red", step=True, dashed=True)
    if planned is not None:
        edges, widths = planned
        ahead = tuple((edge_s - began_s) / times.size for edge_s in edges)
        counts = (*widths, widths[-1]) if len(widths) else ()
        yield LineLayer(x=ahead, y=tuple(counts), name="planned from here", colour="orange", step=True)


def _deadline(deadline_s: float | None, began_s: float, times: Scale) -> Iterator[Layer]:
    if deadline_s is not None:
        at = (deadline_s - began_s) / times.size
        yield SpanLayer(low=at, high=at, name="deadline")
