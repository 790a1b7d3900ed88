"""What all pictures of a search have in common: paper, axes, marks, colours, legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, NullLocator

from zeus_ray.records import MeasuredBy
from zeus_ray.reporting.trial_summary import TrialSummary

INK = "#1f2933"
FAINT = "#9aa5b1"
GRID = "#e4e7eb"
BASELINE = "#d1495b"
COLOURS = "viridis"
LOG_FROM = 6.0
"""An axis whose largest value is so many times its smallest is drawn in logarithms."""
POINT = 210.0

NOTES = {
    MeasuredBy.SIMULATED: "a model, not a measurement",
    MeasuredBy.REPLAY: "recorded traces, not measured here",
}


def new_figure(title: str, trials: Sequence[TrialSummary]) -> tuple[Figure, Axes]:
    """Empty axes under a title that also says which GPUs, and that they are not real where they are not."""
    figure = Figure(figsize=(8, 5), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    note = next((note for kind, note in NOTES.items() if any(t.measured_by == kind for t in trials)), "")
    gpus = " and ".join(sorted({t.gpu for t in trials if t.gpu}))
    subtitle = ": ".join(part for part in (gpus, note) if part)
    axes.set_title(title, loc="left", color=INK, fontsize=13, fontweight="bold", pad=26 if subtitle else 12)
    axes.annotate(
        subtitle,
        (0, 1),
        (0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        color=BASELINE if note else FAINT,
        fontsize=9.5,
    )
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(side == "bottom")
    axes.spines["bottom"].set_color(FAINT)
    return figure, axes


def scale_axis(axis: Any, values: Sequence[float]) -> None:  # noqa: ANN401 — XAxis or YAxis
    """Logarithms where values span far; plain numbers as ticks; some room around the outermost points."""
    low, high = min(values), max(values)
    name = axis.axis_name
    set_limits = getattr(axis.axes, f"set_{name}lim")
    if high < LOG_FROM * low:
        room = 0.12 * ((high - low) or high)
        set_limits(max(0.0, low - room), high + room)
        return
    getattr(axis.axes, f"set_{name}scale")("log")
    room = (high / low) ** 0.08
    set_limits(low / room, high * room)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def limits_norm(trials: Sequence[TrialSummary]) -> Normalize | None:
    """From a power limit to its place on the colour bar; None where no limit is known."""
    limits_w = [t.power_limit_w for t in trials if math.isfinite(t.power_limit_w)]
    if not limits_w:
        return None
    low, high = min(limits_w), max(limits_w)
    return Normalize(low, high if high > low else low + 1)


def colour(trial: TrialSummary, norm: Normalize | None) -> tuple[float, float, float, float]:
    """The colour of a trial's power limit (red, green, blue, alpha); grey where it is not known."""
    if norm is None or not math.isfinite(trial.power_limit_w):
        return to_rgba(FAINT)
    red, green, blue, alpha = colormaps[COLOURS](float(norm(trial.power_limit_w)))
    return red, green, blue, alpha


def point(
    axes: Axes, x: float, y: float, trial: TrialSummary, norm: Normalize | None, *, label: bool = True
) -> None:
    """One trial; labelled ones are larger and carry their batch size."""
    fill = colour(trial, norm)
    filled = trial.target_reached
    axes.scatter(
        [x],
        [y],
        s=POINT * (1.7 if trial.is_baseline and label else 1.0) * (1.0 if label else 0.5),
        marker="D" if trial.is_baseline else "o",
        facecolors=[fill if filled else (1, 1, 1, 0.85)],
        edgecolors=[BASELINE if trial.is_baseline else "white" if filled else fill],
        linewidths=1.8 if trial.is_baseline or not filled else 1.0,
        zorder=4 if trial.is_baseline else 3 if filled else 2,
    )
    if label and trial.batch_size:
        light = 0.299 * fill[0] + 0.587 * fill[1] + 0.114 * fill[2] > 0.55
        ink = INK if light or not filled else "white"
        order = 5 if trial.is_baseline else 3 if filled else 2
        axes.text(
            x,
            y,
            str(trial.batch_size),
            color=ink,
            fontsize=6.5 if trial.batch_size < 1000 else 5.5,
            ha="center",
            va="center_baseline",
            zorder=order,
        )


def name_two(axes: Axes, spots: Sequence[tuple[float, float]], trials: Sequence[TrialSummary]) -> None:
    """Say in the picture which is the baseline and which the cheapest."""
    ranked = sorted(zip(trials, spots, strict=True), key=lambda pair: pair[0].rank)
    best = [spot for trial, spot in ranked if trial.target_reached and not trial.is_baseline]
    baseline = [spot for trial, spot in ranked if trial.is_baseline]
    for name, spot in [("cheapest", spot) for spot in best[:1]] + [("baseline", spot) for spot in baseline]:
        axes.annotate(
            name,
            spot,
            (0, -18),
            textcoords="offset points",
            color=INK,
            fontsize=9,
            ha="center",
            va="top",
            zorder=6,
        )


def limit_bar(figure: Figure, axes: Axes, trials: Sequence[TrialSummary], norm: Normalize | None) -> None:
    """Which colour is which limit; the limits that occur are its ticks."""
    if norm is None:
        return
    limits_w = sorted({round(t.power_limit_w) for t in trials if math.isfinite(t.power_limit_w)})
    bar = figure.colorbar(ScalarMappable(norm, COLOURS), ax=axes, pad=0.02, aspect=30)
    bar.set_label("power limit (W)", color=INK)
    if len(limits_w) <= 12:
        bar.set_ticks(limits_w, labels=[f"{limit_w:g}" for limit_w in limits_w])
    bar.ax.tick_params(colors=INK, length=0)
    bar.outline.set_visible(False)


def legend(axes: Axes, trials: Sequence[TrialSummary], *, front: bool) -> None:
    """What the marks mean: those that occur."""

    def mark(label: str, **style: Any) -> Line2D:  # noqa: ANN401 — as many types as styles
        return Line2D([], [], linestyle="none", markersize=8, label=label, **style)

    grey = {"markerfacecolor": FAINT, "markeredgecolor": "white"}
    entries = []
    if any(t.target_reached for t in trials):
        entries.append(mark("reached the target", marker="o", **grey))
    if any(not t.target_reached for t in trials):
        entries.append(
            mark("did not, or was stopped", marker="o", markerfacecolor="white", markeredgecolor=FAINT)
        )
    if any(t.is_baseline for t in trials):
        entries.append(mark("baseline", marker="D", markerfacecolor=FAINT, markeredgecolor=BASELINE))
    if front:
        entries.append(Line2D([], [], color=INK, alpha=0.6, linewidth=1.4, label="Pareto front"))
    axes.legend(handles=entries, frameon=False, loc="best", fontsize=9, labelcolor=INK)
