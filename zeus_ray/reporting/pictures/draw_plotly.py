"""Draws a picture with Plotly: an interactive figure in a notebook, or its JSON in a page."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from zeus_ray.errors import BadInput
from zeus_ray.reporting.pictures.picture import (
    AxisScale,
    CellLayer,
    Layer,
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
    transparent,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

HIDDEN_HOVER = "skip"
SYMBOL_NAMES = {"cross": "x"}
INSTALL = "pip install zeus-ray[report]"


def plotly_figure(picture: Picture, *, dark: bool = False) -> Figure:
    """The picture as a Plotly Figure, for a notebook.

    Raises:
        BadInput: Plotly is not installed.
    """
    try:
        from plotly.graph_objects import Figure  # noqa: PLC0415 — an extra
    except ImportError as error:
        raise BadInput(f"interactive pictures need Plotly: {INSTALL}") from error
    return Figure(plotly_json(picture, dark=dark))


def plotly_json(picture: Picture, *, dark: bool = False, in_page: bool = False) -> dict[str, Any]:
    """``data`` and ``layout`` of the figure, as plain values.

    Args:
        picture: what to draw.
        dark: for a dark page.
        in_page: title, note and background are the page's own.
    """
    theme = DARK if dark else LIGHT
    traces = [trace for layer in picture.layers for trace in _traces(layer, picture, theme)]
    layout = _layout(picture, theme)
    return {"data": traces, "layout": layout if in_page else layout | _title(picture, theme)}


def _traces(layer: Layer, picture: Picture, theme: Theme) -> list[dict[str, Any]]:
    if isinstance(layer, PointLayer):
        return [_points(layer, picture, theme)]
    if isinstance(layer, LineLayer):
        return [_line(layer, theme)]
    return [_cells(layer, picture, theme), _cell_texts(layer, theme)] if isinstance(layer, CellLayer) else []


def _points(layer: PointLayer, picture: Picture, theme: Theme) -> dict[str, Any]:
    ticks = picture.scale_ticks
    colours = [
        colour_at(scale_position(value, ticks), theme) if math.isfinite(value) else COLOURS["grey"]
        for value in layer.values
    ] or [COLOURS[layer.colour]] * len(layer.x)
    marker: dict[str, Any] = {
        "symbol": SYMBOL_NAMES.get(layer.symbol, layer.symbol) + ("" if layer.filled else "-open"),
        "size": layer.size * 1.5,
        "line": {
            "width": 2 if layer.outline or not layer.filled else 1,
            "color": _edge(layer, theme),
        },
    }
    if layer.values and ticks:
        marker |= {
            "color": [_number(v) for v in layer.values],
            "colorscale": _colour_scale(theme),
            "cmin": min(ticks),
            "cmax": max(ticks) if max(ticks) > min(ticks) else min(ticks) + 1,
            "showscale": bool(picture.scale_label),
            "colorbar": _colour_bar(picture),
        }
    else:
        marker["color"] = COLOURS[layer.colour]
    return {
        "type": "scatter",
        "mode": "markers+text" if any(layer.texts) else "markers",
        "x": [_number(x) for x in layer.x],
        "y": [_number(y) for y in layer.y],
        "name": layer.name,
        "showlegend": bool(layer.name),
        "marker": marker,
        "text": list(layer.texts),
        "textfont": {"size": 9, "color": ["#000" if is_light(c) else "#fff" for c in colours]},
        "textposition": "middle center",
        **_hover(layer.hovers),
    }


def _edge(layer: PointLayer, theme: Theme) -> str:
    return COLOURS[layer.outline or layer.colour] if layer.outline or not layer.filled else theme.paper


def _line(layer: LineLayer, theme: Theme) -> dict[str, Any]:
    colour = theme.ink if layer.colour == "ink" else COLOURS[layer.colour]
    if math.isfinite(layer.value):
        colour = colour_at(layer.value, theme)
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines",
        "x": list(layer.x),
        "y": [_number(y) for y in layer.y],
        "name": layer.name,
        "showlegend": bool(layer.name),
        "line": {
            "color": colour,
            "width": 2,
            "dash": "dash" if layer.dashed else "solid",
            "shape": "hv" if layer.step else "linear",
        },
        **_hover(layer.hovers),
    }
    if layer.filled:
        trace |= {"fill": "tozeroy", "fillcolor": transparent(colour, 0.15)}
    if layer.second:
        trace["yaxis"] = "y2"
    return trace


def _cells(layer: CellLayer, picture: Picture, theme: Theme) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "z": [[_number(value) for value in row] for row in layer.values],
        "hovertext": [[text.replace("\n", "<br>") for text in row] for row in layer.hovers],
        "hoverinfo": "text",
        "colorscale": _colour_scale(theme),
        "reversescale": True,
        "xgap": 2,
        "ygap": 2,
        "colorbar": _colour_bar(picture),
        "hoverongaps": False,
    }


def _cell_texts(layer: CellLayer, theme: Theme) -> dict[str, Any]:
    """The texts on the cells, each black or white by the colour of its cell."""
    known = [value for row in layer.values for value in row if math.isfinite(value)] or [0.0]
    spots = [
        (x, y) for y, row in enumerate(layer.values) for x, value in enumerate(row) if math.isfinite(value)
    ]
    lights = [is_light(colour_at(1 - scale_position(layer.values[y][x], known), theme)) for x, y in spots]
    return {
        "type": "scatter",
        "mode": "text",
        "x": [x for x, _ in spots],
        "y": [y for _, y in spots],
        "text": [layer.texts[y][x].replace("\n", "<br>") for x, y in spots],
        "textfont": {"size": 10, "color": ["#000" if light else "#fff" for light in lights]},
        "showlegend": False,
        "hoverinfo": HIDDEN_HOVER,
    }


def _colour_bar(picture: Picture) -> dict[str, Any]:
    bar: dict[str, Any] = {
        "title": {"text": picture.scale_label, "side": "right"},
        "thickness": 12,
        "outlinewidth": 0,
        "tickfont": {"size": 11},
    }
    if labels := picture.scale_labels:
        bar |= {"tickvals": list(labels), "ticktext": list(labels.values())}
    return bar


def _colour_scale(theme: Theme) -> list[list[Any]]:
    return [[i / (len(theme.scale) - 1), colour] for i, colour in enumerate(theme.scale)]


def _hover(hovers: tuple[str, ...]) -> dict[str, Any]:
    if not hovers:
        return {"hoverinfo": HIDDEN_HOVER}
    return {"hovertext": [text.replace("\n", "<br>") for text in hovers], "hoverinfo": "text"}


def _title(picture: Picture, theme: Theme) -> dict[str, Any]:
    colour = theme.warning if picture.simulated else theme.ink
    note = f'<br><span style="font-size:12px;color:{colour}">{picture.note}</span>' if picture.note else ""
    title = {"text": f"<b>{picture.title}</b>{note}", "x": 0, "xanchor": "left", "font": {"size": 16}}
    return {
        "title": title,
        "margin": {"l": 60, "r": 20, "t": 70, "b": 50},
        "paper_bgcolor": theme.paper,
        "plot_bgcolor": theme.paper,
    }


def _layout(picture: Picture, theme: Theme) -> dict[str, Any]:
    layout: dict[str, Any] = {
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": theme.ink, "family": "system-ui, sans-serif"},
        "xaxis": _axis(picture.x, theme),
        "yaxis": _axis(picture.y, theme),
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0},
        "margin": {"l": 50, "r": 10, "t": 15, "b": 50},
        "hovermode": "closest",
        "shapes": [],
        "annotations": [],
    }
    if picture.second is not None:
        layout["yaxis2"] = {
            **_axis(picture.second, theme),
            "overlaying": "y",
            "side": "right",
            "showgrid": False,
            "tickmode": "auto",
        }
    for layer in picture.layers:
        if isinstance(layer, SpanLayer):
            layout["shapes"].append(_span(layer))
            layout["annotations"].append(_span_name(layer, picture.x))
    return layout


def _axis(scale: AxisScale, theme: Theme) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "title": {"text": scale.label, "standoff": 8},
        "gridcolor": theme.grid,
        "zeroline": False,
        "automargin": True,
        "range": [scale.low, scale.high],
    }
    if scale.categories:
        places = list(range(len(scale.categories)))
        axis |= {"tickvals": places, "ticktext": list(scale.categories), "showgrid": False}
    elif scale.log:
        ends = [math.log10(scale.low), math.log10(scale.high)]
        axis |= {"type": "log", "range": ends, "dtick": "D2", "tickformat": "~g"}
    elif scale.whole:
        axis |= {"tickvals": whole_ticks(scale), "tickformat": "d"}
    return axis


def _span(layer: SpanLayer) -> dict[str, Any]:
    return {
        "type": "rect" if layer.high > layer.low else "line",
        "xref": "x",
        "yref": "paper",
        "x0": layer.low,
        "x1": layer.high,
        "y0": 0,
        "y1": 1,
        "layer": "below",
        "fillcolor": "rgba(86,180,233,0.2)",
        "line": {
            "color": COLOURS["grey"],
            "width": 0 if layer.high > layer.low else 1,
            "dash": "dot",
        },
    }


def _span_name(layer: SpanLayer, x: AxisScale) -> dict[str, Any]:
    return {
        "x": layer.low,
        "y": 1,
        "xref": "x",
        "yref": "paper",
        "text": layer.name,
        "showarrow": False,
        "xanchor": "right" if name_ends_at(layer, x) else "left",
        "yanchor": "top",
        "font": {"size": 10},
        "textangle": -90 if layer.high == layer.low else 0,
    }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None
