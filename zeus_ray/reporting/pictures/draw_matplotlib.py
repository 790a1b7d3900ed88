"""Draws a picture with matplotlib, for PNG, SVG and PDF; its global state and back end stay as they are."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from zeus_ray.reporting.pictures.picture import (
    COLOUR_SCALE,
    COLOURS,
    AxisScale,
    CellLayer,
    LineLayer,
    Picture,
    PointLayer,
    SpanLayer,
    scale_position,
)

INK, GRID_LINES, NOT_MEASURED = "#1f2933", "#e4e7eb", "#b3361b"
SYMBOLS = {"circle": "o", "diamond": "D", "cross": "X", "square": "s"}
DASHES = (0, (5, 2))


def matplotlib_figure(picture: Picture) -> Figure:
    """The picture as a Figure."""
    figure = Figure(figsize=(8, 5), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    _draw_frame(figure, axes, picture)
    second = axes.twinx() if picture.second is not None else None
    for order, layer in enumerate(picture.layers):
        if isinstance(layer, PointLayer):
            _draw_points(axes, layer, picture.scale_ticks, order + 2)
        elif isinstance(layer, LineLayer):
            _draw_line(second if layer.second and second is not None else axes, layer, order + 2)
        elif isinstance(layer, SpanLayer):
            _draw_span(axes, layer)
        else:
            _draw_cells(axes, layer)
    _set_axis(axes.xaxis, picture.x)
    _set_axis(axes.yaxis, picture.y)
    if second is not None and picture.second is not None:
        _set_axis(second.yaxis, picture.second)
        _hide_spines(second)
    _draw_colour_bar(figure, axes, picture)
    _draw_legend(axes, second)
    return figure


def _draw_frame(figure: Figure, axes: Axes, picture: Picture) -> None:
    axes.set_title(
        picture.title, loc="left", color=INK, fontsize=13, fontweight="bold", pad=26 if picture.note else 12
    )
    axes.annotate(
        picture.note,
        (0, 1),
        (0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        color=NOT_MEASURED if picture.simulated else COLOURS["grey"],
        fontsize=9.5,
    )
    if picture.footnote:
        figure.supxlabel(textwrap.fill(picture.footnote, 120), fontsize=8, color=INK, x=0.01, ha="left")
    axes.grid(visible=True, color=GRID_LINES, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    _hide_spines(axes)


def _hide_spines(axes: Axes) -> None:
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=INK, length=0)


def _set_axis(axis: Any, scale: AxisScale) -> None:  # noqa: ANN401 — XAxis or YAxis
    name = axis.axis_name
    getattr(axis.axes, f"set_{name}label")(scale.label, color=INK)
    if scale.log:
        getattr(axis.axes, f"set_{name}scale")("log")
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    if scale.categories:
        axis.set_ticks(range(len(scale.categories)), scale.categories)
    getattr(axis.axes, f"set_{name}lim")(scale.low, scale.high)


def _draw_points(axes: Axes, layer: PointLayer, ticks: Sequence[float], order: int) -> None:
    scale = colormaps[COLOUR_SCALE]
    positions = [scale_position(value, ticks) if math.isfinite(value) else math.nan for value in layer.values]
    grey = COLOURS[layer.colour]
    colours: list[Any] = [grey if math.isnan(at) else scale(at) for at in positions] or [grey] * len(layer.x)
    axes.scatter(
        layer.x,
        layer.y,
        s=layer.size**2,
        marker=SYMBOLS[layer.symbol],
        facecolors=colours if layer.filled else [(1, 1, 1, 0.85)] * len(layer.x),
        edgecolors=COLOURS[layer.outline] if layer.outline else "white" if layer.filled else colours,
        linewidths=1.8 if layer.outline or not layer.filled else 1.0,
        zorder=order,
    )
    if layer.name:
        style = {"markerfacecolor": colours[0] if layer.filled and not layer.values else "none"}
        edge = COLOURS[layer.outline or layer.colour]
        axes.plot(
            [],
            [],
            linestyle="none",
            marker=SYMBOLS[layer.symbol],
            markersize=8,
            markeredgecolor=edge,
            label=layer.name,
            **style,
        )
    for x, y, text, at in zip(layer.x, layer.y, layer.texts, positions or [math.nan] * len(layer.x)):  # noqa: B905 — texts may be none
        colour = INK if not layer.filled or at > 0.6 or math.isnan(at) else "white"
        size = 5.5 if len(text) > 3 else 6.5
        axes.text(x, y, text, color=colour, fontsize=size, ha="center", va="center_baseline", zorder=order)


def _draw_line(axes: Axes, layer: LineLayer, order: int) -> None:
    colour: Any = INK if layer.colour == "ink" else COLOURS[layer.colour]
    if math.isfinite(layer.value):
        colour = colormaps[COLOUR_SCALE](layer.value)
    drawn = {
        "color": colour,
        "linewidth": 1.5,
        "label": layer.name or None,
        "zorder": order,
        "linestyle": DASHES if layer.dashed else "-",
    }
    if layer.step:
        axes.step(layer.x, layer.y, where="post", **drawn)
    else:
        axes.plot(layer.x, layer.y, **drawn)
    if layer.filled:
        axes.fill_between(
            layer.x, layer.y, step="post" if layer.step else None, color=colour, alpha=0.15, linewidth=0
        )


def _draw_span(axes: Axes, layer: SpanLayer) -> None:
    if layer.high > layer.low:
        axes.axvspan(layer.low, layer.high, color=COLOURS["sky"], alpha=0.2, linewidth=0)
    else:
        axes.axvline(layer.low, color=COLOURS["grey"], linewidth=1.0, linestyle=(0, (1, 2)))
    axes.annotate(
        f" {layer.name}",
        (layer.low, 1),
        xycoords=("data", "axes fraction"),
        va="top",
        fontsize=7.5,
        color=INK,
        rotation=90 if layer.high == layer.low else 0,
    )


def _draw_cells(axes: Axes, layer: CellLayer) -> None:
    axes.grid(visible=False)
    shown = axes.imshow(layer.values, cmap=COLOUR_SCALE + "_r", aspect="auto", origin="lower", zorder=1)
    for row, texts in enumerate(layer.texts):
        for column, text in enumerate(texts):
            value = layer.values[row][column]
            if math.isfinite(value):
                light = float(shown.norm(value)) < 0.45
                axes.text(
                    column,
                    row,
                    text,
                    color=INK if light else "white",
                    fontsize=6.5,
                    ha="center",
                    va="center",
                    zorder=9,
                )


def _draw_colour_bar(figure: Figure, axes: Axes, picture: Picture) -> None:
    if not picture.scale_label:
        return
    ticks = picture.scale_ticks
    cells = any(isinstance(layer, CellLayer) for layer in picture.layers)
    norm = Normalize(min(ticks), max(ticks) if max(ticks) > min(ticks) else min(ticks) + 1)
    scale = COLOUR_SCALE + "_r" if cells else COLOUR_SCALE
    bar = figure.colorbar(ScalarMappable(norm, scale), ax=axes, pad=0.02, aspect=30)
    bar.set_label(picture.scale_label, color=INK)
    if len(ticks) <= 12 and not cells:
        bar.set_ticks(list(ticks), labels=[f"{tick:g}" for tick in ticks])
    bar.ax.tick_params(colors=INK, length=0)
    bar.outline.set_visible(False)


def _draw_legend(axes: Axes, second: Axes | None) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if second is not None:
        more, names = second.get_legend_handles_labels()
        handles, labels = handles + more, labels + names
    if handles:
        axes.legend(handles, labels, frameon=False, loc="best", fontsize=8.5, labelcolor=INK)
