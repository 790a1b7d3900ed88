"""The colours of pictures, on light and on dark paper.

They are from the palette of Okabe and Ito and from viridis, which people with any kind of colour blindness
can tell apart; they are legible on white and on black.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "sky": "#56B4E9",
    "purple": "#CC79A7",
    "grey": "#7f8b97",
}


@dataclass(frozen=True)
class Theme:
    """Colours that are legible on one kind of paper.

    Attributes:
        ink: of text.
        paper: behind all.
        grid: of grid lines.
        warning: of text that says what was not measured.
        scale: of power limits, batch sizes and costs, by rising lightness: viridis, without the end that
            vanishes on this paper.
    """

    ink: str
    paper: str
    grid: str
    warning: str
    scale: tuple[str, ...]


LIGHT_SCALE = ("#440154", "#482576", "#404588", "#34618d", "#297b8e", "#20938c", "#25ac82", "#4ec36b")
DARK_SCALE = ("#355f8d", "#2a778e", "#218e8d", "#21a585", "#3bbb75", "#6ece58", "#aadc32", "#ece51b")
LIGHT = Theme("#1f2933", "#ffffff", "#e4e7eb", "#b3361b", LIGHT_SCALE)
DARK = Theme("#e4e7eb", "#16191d", "#343b43", "#ff9d7a", DARK_SCALE)


def scale_position(value: float, ticks: Sequence[float]) -> float:
    """Where a value is between the smallest and the largest of ``ticks``, from 0 to 1."""
    low, high = min(ticks), max(ticks)
    return (value - low) / (high - low) if high > low else 0.5


def colour_at(position: float, theme: Theme) -> str:
    """The colour of a theme's scale at a position from 0 to 1, between the two next to it."""
    place = min(max(position, 0.0), 1.0) * (len(theme.scale) - 1)
    low = min(int(place), len(theme.scale) - 2)
    pairs = zip(_channels(theme.scale[low]), _channels(theme.scale[low + 1]), strict=True)
    return "#" + "".join(f"{round(a + (b - a) * (place - low)):02x}" for a, b in pairs)


def is_light(colour: str) -> bool:
    """Whether black is easier to read on a colour than white, by its relative luminance (WCAG 2)."""
    linear = [(c / 255) ** 2.2 for c in _channels(colour)]
    luminance: float = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return luminance > 0.18


def transparent(colour: str, alpha: float) -> str:
    """A colour for CSS, with its opacity."""
    red, green, blue = _channels(colour)
    return f"rgba({red},{green},{blue},{alpha:g})"


def _channels(colour: str) -> tuple[int, int, int]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red, green, blue
