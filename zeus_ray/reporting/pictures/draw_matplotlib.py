"""Draws a picture with matplotlib, for PNG, SVG and PDF; its global state and back end stay as they are."""

from __future__ import annotations

import math
import textwrap
from typing import Any, Literal

from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from zeus_ray.reporting.pictures.picture import (
    AxisScale,
    CellLayer,
    LineLayer,
    Picture,
    PointLayer,
    SpanLayer,
    name_ends_at,
    whole_ticks,
)
from zeus_ray.reporting.pictures.picture_colours import (
    COLOURS,
    DARK,
    LIGHT,
    Theme,
    colour_at,
    is_light,
    scale_position,
)

SYMBOLS = {"circle": "o", "diamond": "D", "cross": "X", "square": "s"}
DASHES = (0, (5, 2))
LEGEND_WIDTH, LEGEND_KEY = 120, 6
"""Characters beside one another in a legend, and those that the key of an entry takes."""


def matplotlib_figure(picture: Picture, *, dark: bool = False) -> Figure:
    """The picture as a Figure."""
    theme = DARK if dark else LIGHT
    figure = Figure(figsize=(8, 5), layout="constrained", facecolor=theme.paper)
    axes = figure.add_subplot()
    _draw_frame(figure, axes, picture, theme)
    second = axes.twinx() if picture.second is not None else None
    for order, layer in enumerate(picture.layers):
        if isinstance(layer, PointLayer):
            _draw_points(axes, layer, picture, theme, order + 2)
        elif isinstance(layer, LineLayer):
            _draw_line(second if layer.second and second is not None else axes, layer, theme, order + 2)
        elif isinstance(layer, SpanLayer):
            _draw_span(axes, layer, picture.x, theme)
        else:
            _draw_cells(axes, layer, theme)
    _set_axis(axes.xaxis, picture.x, theme)
    _set_axis(axes.yaxis, picture.y, theme)
    if second is not None and picture.second is not None:
        _set_axis(second.yaxis, picture.second, theme)
        _hide_spines(second, theme)
    _draw_colour_bar(figure, axes, picture, theme)
    _draw_legend(axes, second, theme)
    return figure


def _draw_frame(figure: Figure, axes: Axes, picture: Picture, theme: Theme) -> None:
    axes.set_facecolor(theme.paper)
    pad = 26 if picture.note else 12
    axes.set_title(picture.title, loc="left", color=theme.ink, fontsize=13, fontweight="bold", pad=pad)
    axes.annotate(
        picture.note,
        (0, 1),
        (0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        color=theme.warning if picture.simulated else theme.ink,
        fontsize=9.5,
    )
    if picture.footnote:
        text = textwrap.fill(picture.footnote, 125)
        figure.supxlabel(text, fontsize=8, color=theme.ink, x=0.01, ha="left", multialignment="left")
    axes.grid(visible=True, color=theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    _hide_spines(axes, theme)


def _hide_spines(axes: Axes, theme: Theme) -> None:
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=theme.ink, length=0)


def _set_axis(axis: Any, scale: AxisScale, theme: Theme) -> None:  # noqa: ANN401 — XAxis or YAxis
    name = axis.axis_name
    getattr(axis.axes, f"set_{name}label")(scale.label, color=theme.ink)
    if scale.log:
        getattr(axis.axes, f"set_{name}scale")("log")
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_minor_locator(NullLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    if scale.whole:
        axis.set_ticks(whole_ticks(scale))
    if scale.categories:
        axis.set_ticks(range(len(scale.categories)), scale.categories)
    getattr(axis.axes, f"set_{name}lim")(scale.low, scale.high)


def _draw_points(axes: Axes, layer: PointLayer, picture: Picture, theme: Theme, order: int) -> None:
    colours = [
        colour_at(scale_position(value, picture.scale_ticks), theme)
        if math.isfinite(value)
        else COLOURS["grey"]
        for value in layer.values
    ] or [COLOURS[layer.colour]] * len(layer.x)
    outline = COLOURS[layer.outline] if layer.outline else theme.paper
    axes.scatter(
        layer.x,
        layer.y,
        s=layer.size**2,
        marker=SYMBOLS[layer.symbol],
        facecolors=colours if layer.filled else "none",
        edgecolors=outline if layer.filled else colours,
        linewidths=1.8 if layer.outline or not layer.filled else 1.0,
        zorder=order,
    )
    if layer.name:
        face = COLOURS["grey"] if layer.values else COLOURS[layer.colour]
        axes.plot(
            [],
            [],
            linestyle="none",
            marker=SYMBOLS[layer.symbol],
            markersize=8,
            markeredgecolor=COLOURS[layer.outline] if layer.outline else face,
            markeredgewidth=1.8 if layer.outline or not layer.filled else 1.0,
            markerfacecolor=face if layer.filled else "none",
            label=layer.name,
        )
    for i, text in enumerate(layer.texts):
        colour = ("#000000" if is_light(colours[i]) else "#ffffff") if layer.filled else theme.ink
        size = 5.5 if len(text) > 3 else 6.5
        spot = (layer.x[i], layer.y[i])
        axes.text(*spot, text, color=colour, fontsize=size, ha="center", va="center_baseline", zorder=order)


def _draw_line(axes: Axes, layer: LineLayer, theme: Theme, order: int) -> None:
    colour = theme.ink if layer.colour == "ink" else COLOURS[layer.colour]
    if math.isfinite(layer.value):
        colour = colour_at(layer.value, theme)
    axes.plot(
        layer.x,
        layer.y,
        color=colour,
        linewidth=1.5,
        label=layer.name or None,
        zorder=order,
        linestyle=DASHES if layer.dashed else "-",
        drawstyle="steps-post" if layer.step else "default",
    )
    if layer.filled:
        step: Literal["post"] | None = "post" if layer.step else None
        axes.fill_between(layer.x, layer.y, step=step, color=colour, alpha=0.15, linewidth=0)


def _draw_span(axes: Axes, layer: SpanLayer, x: AxisScale, theme: Theme) -> None:
    if layer.high > layer.low:
        axes.axvspan(layer.low, layer.high, color=COLOURS["sky"], alpha=0.2, linewidth=0)
    else:
        axes.axvline(layer.low, color=COLOURS["grey"], linewidth=1.0, linestyle=(0, (1, 2)))
    left = name_ends_at(layer, x)
    axes.annotate(
        layer.name,
        (layer.low, 1),
        (-2 if left else 2, -2),
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        va="top",
        ha="right" if left else "left",
        fontsize=7.5,
        color=theme.ink,
        rotation=90 if layer.high == layer.low else 0,
    )


def _draw_cells(axes: Axes, layer: CellLayer, theme: Theme) -> None:
    axes.grid(visible=False)
    known = [value for row in layer.values for value in row if math.isfinite(value)] or [0.0]
    axes.imshow(layer.values, cmap=_colour_map(theme).reversed(), aspect="auto", origin="lower", zorder=1)
    for row, texts in enumerate(layer.texts):
        for column, text in enumerate(texts):
            value = layer.values[row][column]
            if math.isfinite(value):
                light = is_light(colour_at(1 - scale_position(value, known), theme))
                style: dict[str, Any] = {"ha": "center", "va": "center", "zorder": 9, "fontsize": 7}
                axes.text(column, row, text, color="#000000" if light else "#ffffff", **style)


def _draw_colour_bar(figure: Figure, axes: Axes, picture: Picture, theme: Theme) -> None:
    if not picture.scale_label:
        return
    ticks = picture.scale_ticks
    cells = any(isinstance(layer, CellLayer) for layer in picture.layers)
    norm = Normalize(min(ticks), max(ticks) if max(ticks) > min(ticks) else min(ticks) + 1)
    scale = _colour_map(theme).reversed() if cells else _colour_map(theme)
    bar = figure.colorbar(ScalarMappable(norm, scale), ax=axes, pad=0.02, aspect=30)
    bar.set_label(picture.scale_label, color=theme.ink)
    if labels := picture.scale_labels:
        bar.set_ticks(list(labels), labels=list(labels.values()))
    bar.ax.tick_params(colors=theme.ink, length=0)
    bar.outline.set_visible(False)


def _colour_map(theme: Theme) -> LinearSegmentedColormap:
    return LinearSegmentedColormap.from_list("zeus-ray", theme.scale)


def _draw_legend(axes: Axes, second: Axes | None, theme: Theme) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if second is not None:
        more, names = second.get_legend_handles_labels()
        handles, labels = handles + more, labels + names
    if handles:
        widest = max(map(len, labels)) + LEGEND_KEY
        columns = max(1, min(4, len(handles), LEGEND_WIDTH // widest))
        axes.legend(
            handles,
            labels,
            frameon=False,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.11),
            ncols=columns,
            fontsize=8.5,
            labelcolor=theme.ink,
        )
