"""Power of a GPU over time, with its limit, named windows and epochs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import Scale, power, time_scale
from zeus_ray.reporting.pictures.picture import (
    AxisScale,
    Layer,
    LineLayer,
    Picture,
    SpanLayer,
    axis_of,
    note_of,
)

PowerTraceTuple = tuple[float, float, float]
"""(time in s, power in W, power limit in W)"""
TimeWindow = tuple[str, float, float]
"""(name, begin in s, end in s)"""
MOST_MARKS = 12


def power_picture(
    points: Sequence[PowerTraceTuple],
    *,
    key: str = "power",
    gpu: str = "",
    measured_by: str = "",
    epoch_ends_s: Sequence[float] = (),
    windows: Sequence[TimeWindow] = (),
    title: str = "Power over time",
) -> Picture:
    """Power drawn and power limit over time.

    Args:
        points: as ``run.power_trace()`` returns them.
        key: of the picture.
        gpu: the kind of GPU.
        measured_by: a value of :class:`zeus_ray.records.MeasuredBy`.
        epoch_ends_s: when epochs ended (s); of many, some are marked.
        windows: stretches with a name.
        title: of the picture.

    Raises:
        BadInput: no points.
    """
    if not points:
        raise BadInput("the power trace is empty: there is nothing to plot (was a GPU measured?)")
    times = time_scale([point[0] for point in points])
    x = tuple(point[0] / times.size for point in points)
    drawn, limits = tuple(point[1] for point in points), tuple(point[2] for point in points)
    note, simulated = note_of([gpu], [measured_by])
    known = [value for value in drawn if math.isfinite(value)]
    hovers = tuple(
        f"{time:.3g} {times.unit}\n{power(w)} of {power(limit_w)}"
        for time, w, limit_w in zip(x, drawn, limits, strict=True)
    )
    return Picture(
        key=key,
        title=title,
        x=AxisScale(label=f"time ({times.unit})", low=min(x), high=max(x) if max(x) > min(x) else min(x) + 1),
        y=axis_of("power (W)", [*drawn, *limits], from_zero=True),
        layers=(
            *_marks(epoch_ends_s, windows, times),
            LineLayer(x=x, y=drawn, name="power drawn", colour="blue", filled=True, hovers=hovers),
            LineLayer(x=x, y=limits, name="power limit", colour="red", dashed=True, step=True),
        ),
        description=(
            f"Power over {x[-1] - x[0]:.3g} {times.unit}: {power(min(known))} to {power(max(known))}."
            if known
            else "Power is unknown."
        ),
        note=note,
        simulated=simulated,
        footnote="Dotted lines: ends of epochs." if epoch_ends_s else "",
    )


def _marks(ends_s: Sequence[float], windows: Sequence[TimeWindow], times: Scale) -> Iterator[Layer]:
    for name, begin_s, end_s in windows:
        yield SpanLayer(low=begin_s / times.size, high=end_s / times.size, name=name)
    every = math.ceil(len(ends_s) / MOST_MARKS) if ends_s else 1
    for number, end_s in enumerate(ends_s, 1):
        if number % every == 0:
            yield SpanLayer(low=end_s / times.size, high=end_s / times.size, name=f"epoch {number}")
