"""Draws a picture with Plotly: an interactive figure in a notebook, or its JSON in a page.

Text, grid and background are left to the page around, so that one figure suits light and dark.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from zeus_ray.errors import BadInput
from zeus_ray.reporting.pictures.picture import (
    COLOUR_SCALE,
    COLOURS,
    AxisScale,
    CellLayer,
    Layer,
    LineLayer,
    Picture,
    PointLayer,
    SpanLayer,
    scale_position,
)

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

MIDDLE_GREY, GRID_LINES = "#7f8b97", "rgba(127,139,151,0.25)"
VIRIDIS = ("#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725")
"""Nine steps of the scale, for lines, whose colour Plotly does not take from a scale."""
HIDDEN_HOVER = "skip"
INSTALL = "pip install zeus-ray[report]"


def plotly_figure(picture: Picture) -> Figure:
    """The picture as a Plotly Figure, for a notebook.

    Raises:
        BadInput: Plotly is not installed.
    """
    try:
        from plotly.graph_objects import Figure  # noqa: PLC0415 — an extra
    except ImportError as error:
        raise BadInput(f"interactive pictures need Plotly: {INSTALL}") from error
    return Figure(plotly_json(picture))


def plotly_json(picture: Picture) -> dict[str, Any]:
    """``data`` and ``layout`` of the figure, as plain values."""
    traces = [trace for layer in picture.layers for trace in _traces(layer, picture)]
    return {"data": traces, "layout": _layout(picture)}


def _traces(layer: Layer, picture: Picture) -> list[dict[str, Any]]:
    if isinstance(layer, PointLayer):
        return [_points(layer, picture)]
    if isinstance(layer, LineLayer):
        return [_line(layer)]
    return [_cells(layer, picture)] if isinstance(layer, CellLayer) else []


def _points(layer: PointLayer, picture: Picture) -> dict[str, Any]:
    ticks = picture.scale_ticks
    at = [scale_position(v, ticks) if math.isfinite(v) else math.nan for v in layer.values]
    marker: dict[str, Any] = {
        "symbol": layer.symbol + ("" if layer.filled else "-open"),
        "size": layer.size * 1.5,
        "line": {
            "width": 2 if layer.outline or not layer.filled else 1,
            "color": COLOURS[layer.outline or layer.colour] if layer.outline or not layer.filled else "#fff",
        },
    }
    if layer.values:
        marker |= {
            "color": [_number(v) for v in layer.values],
            "colorscale": COLOUR_SCALE.capitalize(),
            "cmin": min(ticks),
            "cmax": max(ticks) if max(ticks) > min(ticks) else min(ticks) + 1,
            "showscale": bool(picture.scale_label),
            "colorbar": _colour_bar(picture),
        }
    else:
        marker["color"] = COLOURS[layer.colour]
    light = ["#111" if not layer.filled or a > 0.6 or math.isnan(a) else "#fff" for a in at]
    return {
        "type": "scatter",
        "mode": "markers+text" if any(layer.texts) else "markers",
        "x": list(layer.x),
        "y": list(layer.y),
        "name": layer.name,
        "showlegend": bool(layer.name),
        "marker": marker,
        "text": list(layer.texts),
        "textfont": {"size": 9, "color": light or "#111"},
        "textposition": "middle center",
        **_hover(layer.hovers),
    }


def _line(layer: LineLayer) -> dict[str, Any]:
    colour = MIDDLE_GREY if layer.colour == "ink" else COLOURS[layer.colour]
    if math.isfinite(layer.value):
        colour = VIRIDIS[round(layer.value * (len(VIRIDIS) - 1))]
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
        red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
        trace |= {"fill": "tozeroy", "fillcolor": f"rgba({red},{green},{blue},0.15)"}
    if layer.second:
        trace["yaxis"] = "y2"
    return trace


def _cells(layer: CellLayer, picture: Picture) -> dict[str, Any]:
    return {
        "type": "heatmap",
        "z": [[_number(value) for value in row] for row in layer.values],
        "text": [[text.replace("\n", "<br>") for text in row] for row in layer.texts],
        "texttemplate": "%{text}",
        "textfont": {"size": 10},
        "hovertext": [[text.replace("\n", "<br>") for text in row] for row in layer.hovers],
        "hoverinfo": "text",
        "colorscale": COLOUR_SCALE.capitalize(),
        "reversescale": True,
        "xgap": 2,
        "ygap": 2,
        "colorbar": _colour_bar(picture),
        "hoverongaps": False,
    }


def _colour_bar(picture: Picture) -> dict[str, Any]:
    return {
        "title": {"text": picture.scale_label, "side": "right"},
        "thickness": 12,
        "outlinewidth": 0,
        "tickfont": {"size": 11},
    }


def _hover(hovers: tuple[str, ...]) -> dict[str, Any]:
    if not hovers:
        return {"hoverinfo": HIDDEN_HOVER}
    return {"hovertext": [text.replace("\n", "<br>") for text in hovers], "hoverinfo": "text"}


def _layout(picture: Picture) -> dict[str, Any]:
    colour = COLOURS["red"] if picture.simulated else MIDDLE_GREY
    note = f'<br><span style="font-size:12px;color:{colour}">{picture.note}</span>' if picture.note else ""
    layout: dict[str, Any] = {
        "title": {"text": f"<b>{picture.title}</b>{note}", "x": 0, "xanchor": "left", "font": {"size": 16}},
        "paper_bgcolor": "rgba(0,0,0,0)",
        "plot_bgcolor": "rgba(0,0,0,0)",
        "font": {"color": MIDDLE_GREY, "family": "system-ui, sans-serif"},
        "xaxis": _axis(picture.x),
        "yaxis": _axis(picture.y),
        "legend": {"orientation": "h", "y": -0.2, "yanchor": "top", "x": 0},
        "margin": {"l": 60, "r": 20, "t": 70, "b": 50},
        "hovermode": "closest",
        "shapes": [],
        "annotations": [],
    }
    if picture.second is not None:
        layout["yaxis2"] = {**_axis(picture.second), "overlaying": "y", "side": "right", "showgrid": False}
    for layer in picture.layers:
        if isinstance(layer, SpanLayer):
            layout["shapes"].append(_span(layer))
            layout["annotations"].append(_span_name(layer))
    return layout


def _axis(scale: AxisScale) -> dict[str, Any]:
    axis: dict[str, Any] = {
        "title": {"text": scale.label, "standoff": 8},
        "gridcolor": GRID_LINES,
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
            "color": MIDDLE_GREY,
            "width": 0 if layer.high > layer.low else 1,
            "dash": "dot",
        },
    }


def _span_name(layer: SpanLayer) -> dict[str, Any]:
    return {
        "x": layer.low,
        "y": 1,
        "xref": "x",
        "yref": "paper",
        "text": layer.name,
        "showarrow": False,
        "xanchor": "left",
        "yanchor": "top",
        "font": {"size": 10},
        "textangle": -90 if layer.high == layer.low else 0,
    }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None
