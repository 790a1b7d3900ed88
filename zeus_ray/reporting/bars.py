"""A bar chart in a terminal: eighths of a character make it smooth."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

EIGHTHS = " ▁▂▃▄▅▆▇█"
PLAIN, MARKED = "bright_black", "green"


def bars(values: Sequence[float], *, marked: Collection[int] = (), height: int = 6) -> Text:
    """One column per value, from zero up, the axis at the left. NaN and below zero leave a column empty.

    Args:
        values: any numbers.
        marked: indices of columns to stand out.
        height: in lines.
    """
    from rich.text import Text  # noqa: PLC0415 — only what is shown needs rich

    top = max((value for value in values if math.isfinite(value)), default=0.0)
    text = Text()
    for row in range(height - 1, -1, -1):
        label = f"{top:.4g}" if row == height - 1 else "0" if row == 0 else ""
        text.append(f"{label:>7} ┤" if label else f"{'':>7} │", style="dim")
        for index, value in enumerate(values):
            text.append(_cell(value, top, row, height), style=MARKED if index in marked else PLAIN)
        text.append("\n")
    return text


def _cell(value: float, top: float, row: int, height: int) -> str:
    """What a bar shows in a row, counted from below."""
    if not (math.isfinite(value) and value > 0 and top > 0):
        return EIGHTHS[0]
    filled = value / top * height - row
    return EIGHTHS[max(0, min(8, round(8 * filled)))]
