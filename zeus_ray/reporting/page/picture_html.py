"""A picture in a page: drawn by the page's script, described in words, with its values as a list."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator

from zeus_ray.reporting.pictures.draw_plotly import plotly_json
from zeus_ray.reporting.pictures.picture import CellLayer, Picture, PointLayer


def picture_html(picture: Picture) -> str:
    """A figure with caption, plot, and the values behind it."""
    name = f"picture-{picture.key}"
    drawn = {
        "light": plotly_json(picture, in_page=True),
        "dark": plotly_json(picture, dark=True, in_page=True),
    }
    data = json.dumps(drawn, ensure_ascii=False, separators=(",", ":"), allow_nan=False).replace(
        "<", "\\u003c"
    )
    note_class = "note virtual-note" if picture.simulated else "note"
    note = f'<p class="{note_class}">{html.escape(picture.note)}</p>' if picture.note else ""
    footnote = f'<p class="footnote">{html.escape(picture.footnote)}</p>' if picture.footnote else ""
    description = html.escape(picture.description, quote=True)
    return (
        f'<figure data-picture="{name}" aria-labelledby="{name}-title">'
        f'<figcaption><h3 id="{name}-title">{html.escape(picture.title)}</h3>'
        f"<p>{description}</p>{note}</figcaption>"
        f'<div class="plot" role="img" aria-label="{description}"></div>'
        f"{footnote}{_values(picture)}"
        f'<script type="application/json" id="{name}">{data}</script>'
        f"</figure>"
    )


def _values(picture: Picture) -> str:
    """What hovering shows, as a list for the keyboard and for paper."""
    items = "".join(f"<li>{html.escape(text)}</li>" for text in _texts(picture))
    return f"<details><summary>The values as text</summary><ul>{items}</ul></details>" if items else ""


def _texts(picture: Picture) -> Iterator[str]:
    for layer in picture.layers:
        if isinstance(layer, PointLayer):
            hovers = layer.hovers
        elif isinstance(layer, CellLayer):
            hovers = tuple(text for row in layer.hovers for text in row)
        else:
            continue
        yield from (text.replace("\n", "; ") for text in hovers if text)
