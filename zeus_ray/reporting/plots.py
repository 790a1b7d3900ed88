"""Pictures of a search, as matplotlib Figures: no global state, no choice of back end.

Filled: reached the target. Hollow: did not, or was stopped. Diamond: the baseline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from zeus_ray.errors import BadInput
from zeus_ray.reporting import canvas
from zeus_ray.reporting.trial_summary import TrialSummary
from zeus_ray.units import energy_scale, time_scale

POWER = "#2f6f9f"
LIMIT = "#d1495b"
DPI = 160


def pareto(trials: Sequence[TrialSummary]) -> Figure:
    """Energy against time, each trial marked with its batch size and coloured by its power limit.

    The line joins the trials that no other beats in both. Trials without a measured energy are left
    out. Raises BadInput where none is left.
    """
    shown = [t for t in trials if t.energy_j > 0 and t.time_s > 0]
    if not shown:
        raise BadInput("no trial has both energy and time: there is nothing to plot (was a GPU measured?)")
    figure, axes = canvas.new_figure("Energy and time of each training", shown)
    joules, times = energy_scale([t.energy_j for t in shown]), time_scale([t.time_s for t in shown])
    spots = [(t.time_s / times.size, t.energy_j / joules.size) for t in shown]
    canvas.scale_axis(axes.xaxis, [x for x, _ in spots])
    canvas.scale_axis(axes.yaxis, [y for _, y in spots])
    axes.set_xlabel(f"time ({times.unit})")
    axes.set_ylabel(f"energy ({joules.unit})")
    best = front([spot for spot, trial in zip(spots, shown, strict=True) if trial.target_reached])
    axes.plot(
        [x for x, _ in best], [y for _, y in best], color=canvas.INK, linewidth=1.4, alpha=0.6, zorder=1
    )
    norm = canvas.limits_norm(shown)
    for (x, y), trial in sorted(zip(spots, shown, strict=True), key=lambda pair: pair[1].target_reached):
        canvas.point(axes, x, y, trial, norm)
    canvas.limit_bar(figure, axes, shown, norm)
    canvas.name_two(axes, spots, shown)
    canvas.legend(axes, shown, front=len(best) > 1)
    return figure


def cost_by_batch_size(trials: Sequence[TrialSummary]) -> Figure:
    """What each trial cost (Zeus, Eq. 2), by batch size; the line joins the cheapest that reached the target.

    Raises BadInput where no trial has a cost.
    """
    shown = [t for t in trials if t.cost > 0]
    if not shown:
        raise BadInput("no trial has a cost: there is nothing to plot (was a GPU measured?)")
    figure, axes = canvas.new_figure("Cost of each batch size", shown)
    sizes = sorted({t.batch_size for t in shown})
    place = {size: i for i, size in enumerate(sizes)}
    scale = energy_scale([t.cost for t in shown])
    costs = [t.cost / scale.size for t in shown]
    canvas.scale_axis(axes.yaxis, costs)
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axes.set_xlim(-0.6, len(sizes) - 0.4)
    axes.set_xlabel("batch size")
    axes.set_ylabel(f"cost ({scale.unit})")
    reached = [t for t in shown if t.target_reached]
    cheapest = {s: min((t.cost for t in reached if t.batch_size == s), default=None) for s in sizes}
    line = [(place[s], cost / scale.size) for s, cost in cheapest.items() if cost is not None]
    axes.plot([x for x, _ in line], [y for _, y in line], color=canvas.FAINT, linewidth=1.6, zorder=1)
    norm = canvas.limits_norm(shown)
    for trial, cost in sorted(zip(shown, costs, strict=True), key=lambda pair: pair[0].target_reached):
        canvas.point(axes, place[trial.batch_size], cost, trial, norm, label=False)
    canvas.limit_bar(figure, axes, shown, norm)
    canvas.legend(axes, shown, front=False)
    return figure


def power_timeline(points: Sequence[tuple[float, float, float]], *, title: str = "Power over time") -> Figure:
    """Power drawn, and the limit in force.

    Args:
        points: (time_s, power_w, power_limit_w), as a run's timeline gives them.
        title: what to write above.

    Raises:
        BadInput: no points.
    """
    if not points:
        raise BadInput("the timeline is empty: there is nothing to plot (was a GPU measured?)")
    figure, axes = canvas.new_figure(title, ())
    times = time_scale([at_s for at_s, _, _ in points])
    x = [at_s / times.size for at_s, _, _ in points]
    power_w = [watts for _, watts, _ in points]
    limit_w = [watts for _, _, watts in points]
    axes.fill_between(x, power_w, color=POWER, alpha=0.15, linewidth=0)
    axes.plot(x, power_w, color=POWER, linewidth=1.5, label="power drawn")
    axes.step(
        x, limit_w, where="post", color=LIMIT, linewidth=1.3, linestyle=(0, (5, 2)), label="power limit"
    )
    highest_w = max((w for w in [*power_w, *limit_w] if math.isfinite(w)), default=1.0)
    axes.set_ylim(0, highest_w * 1.15)
    if x[-1] > x[0]:
        axes.set_xlim(x[0], x[-1])
    axes.set_xlabel(f"time ({times.unit})")
    axes.set_ylabel("power (W)")
    axes.legend(frameon=False, loc="upper right", ncols=2, labelcolor=canvas.INK)
    return figure


def save(figure: Figure, path: str | Path) -> Path:
    """Write a figure; the ending of the name says the format (.png, .svg, .pdf). Makes the folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI, facecolor="white")
    return path


def front(spots: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The spots that none beats in both coordinates, less being better, from left to right."""
    best: list[tuple[float, float]] = []
    for spot in sorted(set(spots)):
        if not best or spot[1] < best[-1][1]:
            best.append(spot)
    return best
