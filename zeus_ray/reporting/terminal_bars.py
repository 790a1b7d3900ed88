"""A bar chart for a terminal, drawn with block characters (eighths of a line)."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

EIGHTHS = " ▁▂▃▄▅▆▇█"
BAR_STYLE, MARKED_STYLE = "bright_black", "green"
LABEL_WIDTH = 9
"""Characters to the left of the first bar: the label of the axis, and the axis."""


def bar_chart(values: Sequence[float], *, marked: Collection[int] = (), height: int = 6) -> Text:
    """One column per value, from zero up, with the axis at the left.

    Args:
        values: any numbers; NaN and what is not positive leave their column empty.
        marked: indices of columns in another colour.
        height: in lines.
    """
    from rich.text import Text  # noqa: PLC0415 — rich is imported only to display

    top = max((value for value in values if math.isfinite(value)), default=0.0)
    chart = Text()
    for row in range(height - 1, -1, -1):
        label = f"{top:.4g}" if row == height - 1 else "0" if row == 0 else ""
        chart.append(f"{label:>{LABEL_WIDTH - 2}} {'┤' if label else '│'}", style="dim")
        for index, value in enumerate(values):
            style = MARKED_STYLE if index in marked else BAR_STYLE
            chart.append(_block(value, top, row, height), style=style)
        chart.append("\n")
    return chart


def _block(value: float, top: float, row: int, height: int) -> str:
    """The character of a bar in one row; rows count from the bottom."""
    if not (math.isfinite(value) and value > 0 and top > 0):
        return EIGHTHS[0]
    filled = value / top * height - row
    return EIGHTHS[max(0, min(8, round(8 * filled)))]
