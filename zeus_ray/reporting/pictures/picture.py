"""A picture as data: axes and layers, which either back end draws.

Colours are names of :data:`COLOURS`, from the palette of Okabe and Ito, which people with any kind of colour
blindness can tell apart; they are legible on white and on black. "ink" is the colour of the text around.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from zeus_ray.records import MeasuredBy

COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "grey": "#7f8b97",
}
COLOUR_SCALE = "viridis"
"""Of power limits, batch sizes and costs: its lightness rises evenly."""
LOG_SCALE_FROM = 6.0
"""An axis is logarithmic if its largest value is at least so many times its smallest."""
NOT_MEASURED_HERE = {
    MeasuredBy.SIMULATED: "SIMULATED by a model, not measured",
    MeasuredBy.REPLAY: "REPLAYED from recorded traces, not measured here",
}


@dataclass(frozen=True, kw_only=True)
class AxisScale:
    """An axis. ``categories``: positions 0, 1, … have these names."""

    label: str
    low: float
    high: float
    log: bool = False
    categories: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PointLayer:
    """Markers. ``texts`` stand on them, ``hovers`` describe each in full; () where there are none.

    Attributes:
        name: in the legend; "" for none.
        x: positions.
        y: likewise.
        symbol: "circle", "diamond", "cross" or "square".
        colour: of all; or
        values: of each on the colour scale of the picture.
        filled: a hollow marker stands for something that was not completed.
        outline: colour of the edge; "" for none.
        size: of a marker, in points.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    name: str = ""
    symbol: str = "circle"
    colour: str = "grey"
    values: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()
    hovers: tuple[str, ...] = ()
    filled: bool = True
    outline: str = ""
    size: float = 10.0


@dataclass(frozen=True, kw_only=True)
class LineLayer:
    """A line. ``step``: each value holds until the next; ``second``: by the axis at the right.

    ``value``: its place on the colour scale, from 0 to 1, instead of ``colour``.
    """

    x: tuple[float, ...]
    y: tuple[float, ...]
    name: str = ""
    colour: str = "ink"
    value: float = math.nan
    dashed: bool = False
    step: bool = False
    filled: bool = False
    second: bool = False
    hovers: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CellLayer:
    """A heat map: ``values[row][column]``, NaN for a cell that stays empty. Rows are from the bottom up."""

    values: tuple[tuple[float, ...], ...]
    texts: tuple[tuple[str, ...], ...]
    hovers: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True)
class SpanLayer:
    """A named stretch of the x axis; ``low == high``: a vertical line."""

    low: float
    high: float
    name: str


Layer = PointLayer | LineLayer | CellLayer | SpanLayer


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What is drawn.

    Attributes:
        key: a short name for files and anchors.
        title: what it shows.
        note: below the title: the GPUs, and whether they are simulated.
        simulated: whether they are, which the back ends show in a colour of its own.
        layers: from back to front.
        description: the picture in words, for people who do not see it.
        footnote: what is not shown, and why; "" for nothing.
        scale_label: of the colour scale; "" without one.
        scale_ticks: its values with a label.
        second: the axis at the right.
    """

    key: str
    title: str
    x: AxisScale
    y: AxisScale
    layers: tuple[Layer, ...]
    description: str
    note: str = ""
    simulated: bool = False
    footnote: str = ""
    scale_label: str = ""
    scale_ticks: tuple[float, ...] = ()
    second: AxisScale | None = None


def axis_of(label: str, values: Iterable[float], *, from_zero: bool = False) -> AxisScale:
    """The axis for these values, with a margin; logarithmic where they span far."""
    known = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if from_zero:
        return AxisScale(label=label, low=min(0.0, low), high=(high or 1.0) * 1.12)
    if low > 0 and high >= LOG_SCALE_FROM * low:
        factor = (high / low) ** 0.1
        return AxisScale(label=label, low=low / factor, high=high * factor, log=True)
    margin = 0.14 * ((high - low) or abs(high) or 1.0)
    return AxisScale(label=label, low=max(0.0, low - margin) if low >= 0 else low - margin, high=high + margin)


def categories_of(label: str, names: Sequence[str]) -> AxisScale:
    """An axis with a name at each whole position."""
    return AxisScale(label=label, low=-0.5, high=len(names) - 0.5, categories=tuple(names))


def note_of(gpus: Iterable[str], measured_by: Iterable[str]) -> tuple[str, bool]:
    """The note below a title, and whether it says that this is not measured."""
    kinds = set(measured_by)
    words = next((words for kind, words in NOT_MEASURED_HERE.items() if kind in kinds), "")
    cards = " and ".join(sorted({gpu for gpu in gpus if gpu}))
    return ": ".join(filter(None, (cards, words))), bool(words)


def scale_position(value: float, ticks: Sequence[float]) -> float:
    """Where a value is between the smallest and the largest of ``ticks``, from 0 to 1."""
    low, high = min(ticks), max(ticks)
    return (value - low) / (high - low) if high > low else 0.5
