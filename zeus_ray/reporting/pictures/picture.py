"""A picture as data: axes and layers, which either back end draws.

Colours are names of :data:`zeus_ray.reporting.pictures.picture_colours.COLOURS`; "ink" is that of the text
around.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zeus_ray.records import MeasuredBy

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from plotly.graph_objects import Figure as PlotlyFigure

SAVED_DPI, NOTEBOOK_DPI = 160, 110
MOST_TICKS = 10
MOST_SCALE_LABELS = 12
LOG_SCALE_FROM = 6.0
"""An axis is logarithmic if its largest value is at least so many times its smallest."""


NOT_MEASURED_HERE = {
    MeasuredBy.SIMULATED: "SIMULATED by a model, not measured",
    MeasuredBy.REPLAY: "REPLAYED from recorded traces, not measured here",
}


@dataclass(frozen=True, kw_only=True)
class AxisScale:
    """An axis.

    ``categories``: positions 0, 1, … have these names. ``whole``: ticks at whole numbers from ``ticks_from``.
    """

    label: str
    low: float
    high: float
    log: bool = False
    categories: tuple[str, ...] = ()
    whole: bool = False
    ticks_from: float = -math.inf


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
    """A heat map: ``values[row][column]``, NaN for a cell that stays empty. Rows are from the bottom up.

    The smallest value has the lightest colour.
    """

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


@dataclass(frozen=True, kw_only=True, repr=False)
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
        scale_ticks: its values.
        scale_texts: the labels of ``scale_ticks``, where they are not those numbers.
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
    scale_texts: tuple[str, ...] = ()
    second: AxisScale | None = None

    def __repr__(self) -> str:
        note = f" ({self.note})" if self.note else ""
        return f"<{self.title}{note}: {self.description}>"

    @property
    def scale_labels(self) -> dict[float, str]:
        """The labels of the colour scale, by value; none where a back end chooses round ones.

        That is where the values are too many to label each, or costs of cells.
        """
        if self.scale_texts:
            return dict(zip(self.scale_ticks, self.scale_texts, strict=True))
        many = len(self.scale_ticks) > MOST_SCALE_LABELS
        if many or any(isinstance(layer, CellLayer) for layer in self.layers):
            return {}
        return {value: f"{value:g}" for value in self.scale_ticks}

    def figure(self, *, dark: bool = False) -> Figure:
        """Drawn by matplotlib, for papers and slides; its global state and back end stay as they are."""
        from zeus_ray.reporting.pictures.draw_matplotlib import (  # noqa: PLC0415 — takes a second to import
            matplotlib_figure,
        )

        return matplotlib_figure(self, dark=dark)

    def interactive(self, *, dark: bool = False) -> PlotlyFigure:
        """Drawn by Plotly, for a notebook: the mouse shows each point in full.

        Raises:
            BadInput: Plotly is not installed.
        """
        from zeus_ray.reporting.pictures.draw_plotly import plotly_figure  # noqa: PLC0415 — likewise

        return plotly_figure(self, dark=dark)

    def save(self, path: str | Path, *, dark: bool = False) -> Path:
        """Write the picture to a file; its suffix is the format (.png, .svg, .pdf). Creates the folder."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure = self.figure(dark=dark)
        figure.savefig(path, dpi=SAVED_DPI, facecolor=figure.get_facecolor())
        return path

    def png(self) -> bytes:
        """As a PNG, in the size of a notebook."""
        buffer = io.BytesIO()
        self.figure().savefig(buffer, format="png", dpi=NOTEBOOK_DPI)
        return buffer.getvalue()

    def _repr_png_(self) -> tuple[bytes, dict[str, str]]:
        """For a notebook, with the description for screen readers."""
        return self.png(), {"alt": repr(self).strip("<>")}


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
    return AxisScale(
        label=label, low=max(0.0, low - margin) if low >= 0 else low - margin, high=high + margin
    )


def whole_ticks(scale: AxisScale) -> list[int]:
    """At most ten or so whole numbers on an axis, a round distance apart."""
    low, high = math.ceil(max(scale.low, scale.ticks_from)), math.floor(scale.high)
    decade = 10 ** math.floor(math.log10(max(1, high - low)))
    steps = (decade // 10 or 1, decade // 5 or 1, decade // 2 or 1, decade, 2 * decade)
    step = next(step for step in steps if (high - low) / step <= MOST_TICKS)
    return list(range(math.ceil(low / step) * step, high + 1, step))


def categories_of(label: str, names: Sequence[str]) -> AxisScale:
    """An axis with a name at each whole position."""
    return AxisScale(label=label, low=-0.5, high=len(names) - 0.5, categories=tuple(names))


def note_of(gpus: Iterable[str], measured_by: Iterable[str]) -> tuple[str, bool]:
    """The note below a title, and whether it says that this is not measured."""
    kinds = set(measured_by)
    words = next((words for kind, words in NOT_MEASURED_HERE.items() if kind in kinds), "")
    cards = " and ".join(sorted({gpu for gpu in gpus if gpu}))
    return ": ".join(filter(None, (cards, words))), bool(words)


def name_ends_at(span: SpanLayer, axis: AxisScale) -> bool:
    """Whether a name ends where its stretch begins: before a line, and where it would leave the axes else."""
    place = (span.low - axis.low) / (axis.high - axis.low)
    return place > (0.05 if span.low == span.high else 0.85)
