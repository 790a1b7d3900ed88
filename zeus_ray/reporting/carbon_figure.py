"""Pictures of following the grid: how many trials were planned, and ran, against intensity or price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from zeus_ray.errors import BadInput
from zeus_ray.reporting import canvas
from zeus_ray.units import HOUR_S

RAN = "#2f6f9f"
PLANNED = "#d1495b"
GRID = "#6a994e"

Look = tuple[float, float, float, float]
"""(time on the grid in s, value of the signal, trials planned, trials running)"""


def trials_over_time(
    looks: Sequence[Look],
    *,
    unit: str,
    deadline_s: float | None = None,
    ahead: tuple[Sequence[float], Sequence[float]] | None = None,
    title: str = "Trials over time",
) -> Figure:
    """The plan against what happened.

    Args:
        looks: what was seen and decided, oldest first.
        unit: of the signal.
        deadline_s: drawn as a line.
        ahead: edges (s) and widths of what is planned from the last look on.
        title: what to write above.

    Raises:
        BadInput: no looks.
    """
    if not looks:
        raise BadInput("nothing was planned yet: there is nothing to plot")
    figure, axes = canvas.new_figure(title, ())
    began_s = looks[0][0]
    at_h = [(look[0] - began_s) / HOUR_S for look in looks]
    axes.fill_between(at_h, [look[3] for look in looks], step="post", color=RAN, alpha=0.25, linewidth=0)
    axes.step(at_h, [look[3] for look in looks], where="post", color=RAN, linewidth=1.5, label="running")
    axes.step(
        at_h,
        [look[2] for look in looks],
        where="post",
        color=PLANNED,
        linewidth=1.3,
        linestyle=(0, (5, 2)),
        label="planned",
    )
    if ahead is not None:
        edges_h = (np.asarray(ahead[0]) - began_s) / HOUR_S
        axes.stairs(ahead[1], edges_h, color=PLANNED, alpha=0.5, label="planned from here")
    if deadline_s is not None:
        deadline_h = (deadline_s - began_s) / HOUR_S
        axes.axvline(deadline_h, color=canvas.INK, linewidth=1.2)
        axes.annotate("deadline ", (deadline_h, 1), xycoords=("data", "axes fraction"), ha="right", va="top")
    axes.set_ylim(0, max(1.0, *(max(look[2], look[3]) for look in looks)) * 1.3)
    axes.set_xlabel("time (h)")
    axes.set_ylabel("trials")
    _intensity(axes, at_h, [look[1] for look in looks], unit)
    axes.legend(frameon=False, loc="upper left", ncols=3, labelcolor=canvas.INK)
    return figure


def _intensity(axes: Any, at_h: Sequence[float], values: Sequence[float], unit: str) -> None:  # noqa: ANN401 — Axes
    """The signal, on an axis of its own to the right."""
    right = axes.twinx()
    right.step(at_h, values, where="post", color=GRID, linewidth=1.3)
    right.set_ylim(0, max(1.0, *values) * 1.15)
    right.set_ylabel(unit, color=GRID)
    right.tick_params(colors=GRID, length=0)
    for side in ("top", "right", "left", "bottom"):
        right.spines[side].set_visible(False)
