"""Plots of searches and runs, as matplotlib Figures; matplotlib's global state and back end stay as they are.

In plots of trials a filled marker reached the target, a hollow one did not or was stopped, and a diamond
is the baseline.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zeus_ray.errors import BadInput
from zeus_ray.quantity_format import energy_scale, time_scale
from zeus_ray.reporting import figure_style as style
from zeus_ray.reporting.trial_summary import TrialSummary

SAVED_DPI = 160

PlanningStepTuple = tuple[float, float, float, float]
"""(time in s, value of the signal, trials planned, trials running)"""


def plot_pareto(trials: Sequence[TrialSummary], best: TrialSummary | None = None) -> Figure:
    """Energy against time of each trial, with its batch size as label and its power limit as colour.

    The line is the Pareto front of the trials that reached the target.

    Args:
        trials: those without energy or time are left out.
        best: the one to label as the answer; None: none is.

    Raises:
        BadInput: no trial has both.
    """
    shown = [trial for trial in trials if trial.energy_j > 0 and trial.time_s > 0]
    if not shown:
        raise BadInput("no trial has both energy and time: there is nothing to plot (was a GPU measured?)")
    figure, axes = style.new_figure("Energy and time of each training", shown)
    joules, times = energy_scale([t.energy_j for t in shown]), time_scale([t.time_s for t in shown])
    positions = [(t.time_s / times.size, t.energy_j / joules.size) for t in shown]
    style.scale_axis(axes.xaxis, [x for x, _ in positions])
    style.scale_axis(axes.yaxis, [y for _, y in positions])
    axes.set_xlabel(f"time ({times.unit})")
    axes.set_ylabel(f"energy ({joules.unit})")
    pairs = list(zip(positions, shown, strict=True))
    front = pareto_front([position for position, trial in pairs if trial.target_reached])
    axes.plot(
        [x for x, _ in front], [y for _, y in front], color=style.INK, linewidth=1.4, alpha=0.6, zorder=1
    )
    norm = style.power_limit_norm(shown)
    for (x, y), trial in sorted(pairs, key=lambda pair: pair[1].target_reached):
        style.draw_trial(axes, x, y, trial, norm)
    style.add_colour_bar(figure, axes, shown, norm)
    style.label_best_and_baseline(axes, positions, shown, best)
    style.add_legend(axes, shown, front=len(front) > 1)
    return figure


def plot_cost_by_batch_size(trials: Sequence[TrialSummary]) -> Figure:
    """Cost of each trial (Zeus, Eq. 2) by batch size; the line joins the cheapest that reached the target.

    Args:
        trials: those without a cost are left out.

    Raises:
        BadInput: no trial has a cost.
    """
    shown = [trial for trial in trials if trial.cost > 0]
    if not shown:
        raise BadInput("no trial has a cost: there is nothing to plot (was a GPU measured?)")
    figure, axes = style.new_figure("Cost of each batch size", shown)
    sizes = sorted({trial.batch_size for trial in shown})
    place = {size: i for i, size in enumerate(sizes)}
    scale = energy_scale([trial.cost for trial in shown])
    costs = [trial.cost / scale.size for trial in shown]
    style.scale_axis(axes.yaxis, costs)
    axes.set_xticks(range(len(sizes)), [str(size) for size in sizes])
    axes.set_xlim(-0.6, len(sizes) - 0.4)
    axes.set_xlabel("batch size")
    axes.set_ylabel(f"cost ({scale.unit})")
    cheapest: dict[int, float] = {}
    for trial, cost in zip(shown, costs, strict=True):
        if trial.target_reached:
            cheapest[trial.batch_size] = min(cost, cheapest.get(trial.batch_size, math.inf))
    line = sorted((place[size], cost) for size, cost in cheapest.items())
    axes.plot([x for x, _ in line], [y for _, y in line], color=style.GREY, linewidth=1.6, zorder=1)
    norm = style.power_limit_norm(shown)
    for trial, cost in sorted(zip(shown, costs, strict=True), key=lambda pair: pair[0].target_reached):
        style.draw_trial(axes, place[trial.batch_size], cost, trial, norm, label=False)
    style.add_colour_bar(figure, axes, shown, norm)
    style.add_legend(axes, shown, front=False)
    return figure


def plot_power(points: Sequence[tuple[float, float, float]], *, title: str = "Power over time") -> Figure:
    """Power drawn by a GPU over time, and its power limit.

    Args:
        points: (time in s, power in W, power limit in W), as ``run.power_trace()`` returns them.
        title: of the plot.

    Raises:
        BadInput: no points.
    """
    if not points:
        raise BadInput("the power trace is empty: there is nothing to plot (was a GPU measured?)")
    figure, axes = style.new_figure(title, ())
    times = time_scale([time_s for time_s, _, _ in points])
    x = [time_s / times.size for time_s, _, _ in points]
    power_w = [power_w for _, power_w, _ in points]
    limit_w = [limit_w for _, _, limit_w in points]
    axes.fill_between(x, power_w, color=style.BLUE, alpha=0.15, linewidth=0)
    axes.plot(x, power_w, color=style.BLUE, linewidth=1.5, label="power drawn")
    dashes = (0, (5, 2))
    axes.step(x, limit_w, where="post", color=style.RED, linewidth=1.3, linestyle=dashes, label="power limit")
    highest_w = max((watts for watts in [*power_w, *limit_w] if math.isfinite(watts)), default=1.0)
    axes.set_ylim(0, highest_w * 1.15)
    if x[-1] > x[0]:
        axes.set_xlim(x[0], x[-1])
    axes.set_xlabel(f"time ({times.unit})")
    axes.set_ylabel("power (W)")
    axes.legend(frameon=False, loc="upper right", ncols=2, labelcolor=style.INK)
    return figure


def plot_trials_over_time(
    steps: Sequence[PlanningStepTuple],
    *,
    unit: str,
    deadline_s: float | None = None,
    planned: tuple[Sequence[float], Sequence[float]] | None = None,
    title: str = "Trials over time",
) -> Figure:
    """How many trials were planned and how many ran, with carbon intensity or price on a second axis.

    Args:
        steps: one per planning step, oldest first.
        unit: of the signal.
        deadline_s: the deadline (s, as in ``steps``), drawn as a vertical line.
        planned: edges (s) and numbers of trials of the plan from the last step on.
        title: of the plot.

    Raises:
        BadInput: no steps.
    """
    if not steps:
        raise BadInput("nothing was planned yet: there is nothing to plot")
    figure, axes = style.new_figure(title, ())
    began_s = steps[0][0]
    last_s = max([steps[-1][0], deadline_s or began_s, *(planned[0] if planned else ())])
    times = time_scale([last_s - began_s])
    x = [(step[0] - began_s) / times.size for step in steps]
    planned_now, running = [step[2] for step in steps], [step[3] for step in steps]
    axes.fill_between(x, running, step="post", color=style.BLUE, alpha=0.25, linewidth=0)
    axes.step(x, running, where="post", color=style.BLUE, linewidth=1.5, label="running")
    dashes = (0, (5, 2))
    axes.step(x, planned_now, where="post", color=style.RED, linewidth=1.3, linestyle=dashes, label="planned")
    if planned is not None:
        edges = [(edge_s - began_s) / times.size for edge_s in planned[0]]
        axes.stairs(planned[1], edges, color=style.RED, alpha=0.5, label="planned from here")
    if deadline_s is not None:
        deadline = (deadline_s - began_s) / times.size
        axes.axvline(deadline, color=style.INK, linewidth=1.2)
        axes.annotate("deadline ", (deadline, 1), xycoords=("data", "axes fraction"), ha="right", va="top")
    axes.set_ylim(0, max(1.0, *planned_now, *running) * 1.3)
    axes.set_xlabel(f"time ({times.unit})")
    axes.set_ylabel("trials")
    _add_signal(axes, x, [step[1] for step in steps], unit)
    axes.legend(frameon=False, loc="upper left", ncols=3, labelcolor=style.INK)
    return figure


def save_figure(figure: Figure, path: str | Path) -> Path:
    """Write a figure to a file; its suffix is the format (.png, .svg, .pdf). Creates the folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=SAVED_DPI, facecolor="white")
    return path


def pareto_front(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points that no other point is below in one coordinate and not above in the other, left to right."""
    front: list[tuple[float, float]] = []
    for point in sorted(set(points)):
        if not front or point[1] < front[-1][1]:
            front.append(point)
    return front


def _add_signal(axes: Axes, x: Sequence[float], values: Sequence[float], unit: str) -> None:
    """Carbon intensity or price, on an axis of its own at the right."""
    right = axes.twinx()
    right.step(x, values, where="post", color=style.GREEN, linewidth=1.3)
    right.set_ylim(0, max(1.0, *values) * 1.15)
    right.set_ylabel(unit, color=style.GREEN)
    right.tick_params(colors=style.GREEN, length=0)
    for side in ("top", "right", "left", "bottom"):
        right.spines[side].set_visible(False)
