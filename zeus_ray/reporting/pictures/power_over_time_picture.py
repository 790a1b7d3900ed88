"""Power of a GPU over time, with its limit, named windows and epochs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

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
    end = points[-1][0] / times.size
    drawn = _power_line(points, times)
    limits = list({point[0]: point[2] for point in points}.items())
    note, simulated = note_of([gpu], [measured_by])
    return Picture(
        key=key,
        title=title,
        x=AxisScale(label=f"time ({times.unit})", low=0.0, high=end if end > 0 else 1.0),
        y=_power_axis([*drawn.y, *(limit_w for _, limit_w in limits)], named=bool(epoch_ends_s or windows)),
        layers=(
            *_marks(epoch_ends_s, windows, times),
            drawn,
            LineLayer(
                x=tuple(at_s / times.size for at_s, _ in limits),
                y=tuple(limit_w for _, limit_w in limits),
                name="power limit",
                colour="red",
                dashed=True,
                step=True,
            ),
        ),
        description=_description(drawn.y, [limit_w for _, limit_w in limits], f"{end:.3g} {times.unit}"),
        note=note,
        simulated=simulated,
        footnote="Dotted lines: ends of epochs." if epoch_ends_s else "",
    )


def _power_axis(values_w: Sequence[float], *, named: bool) -> AxisScale:
    """From zero, with room above the lines for names of epochs and windows."""
    scale = axis_of("power (W)", values_w, from_zero=True)
    return replace(scale, high=1.2 * scale.high) if named else scale


def _power_line(points: Sequence[PowerTraceTuple], times: Scale) -> LineLayer:
    """The mean power between points: each has that since the one before it, the first one since the lease."""
    x: list[float] = []
    y: list[float] = []
    hovers: list[str] = []
    begins_s = (0.0, *(point[0] for point in points[:-1]))
    for began_s, (at_s, power_w, limit_w) in zip(begins_s, points, strict=True):
        if at_s > began_s:
            x += [began_s / times.size, at_s / times.size]
            y += [power_w] * 2
            hovers += [f"{at_s / times.size:.3g} {times.unit}\n{power(power_w)} of {power(limit_w)}"] * 2
    return LineLayer(
        x=tuple(x), y=tuple(y), name="power drawn", colour="blue", filled=True, hovers=tuple(hovers)
    )


def _description(drawn_w: Sequence[float], limits_w: Sequence[float], lasted: str) -> str:
    known = [value for value in drawn_w if math.isfinite(value)]
    if not known:
        return "Power is unknown."
    text = f"Power over {lasted}: {power(min(known))} to {power(max(known))}."
    tried = sorted({limit_w for limit_w in limits_w if math.isfinite(limit_w)})
    if len(tried) > 1:
        text += (
            f" Limits from {power(tried[0])} to {power(tried[-1])} were in force, the last of them "
            f"{power(limits_w[-1])}."
        )
    return text


def _marks(ends_s: Sequence[float], windows: Sequence[TimeWindow], times: Scale) -> Iterator[Layer]:
    for name, begin_s, end_s in windows:
        yield SpanLayer(low=begin_s / times.size, high=end_s / times.size, name=name)
    every = math.ceil(len(ends_s) / MOST_MARKS) if ends_s else 1
    for number, end_s in enumerate(ends_s, 1):
        if number % every == 0:
            yield SpanLayer(low=end_s / times.size, high=end_s / times.size, name=f"epoch {number}")
