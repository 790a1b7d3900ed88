"""What all plots have in common: figure, axes, markers, colours and legend."""

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
GREY = "#9aa5b1"
GRID_LINES = "#e4e7eb"
RED, BLUE, GREEN = "#d1495b", "#2f6f9f", "#6a994e"
POWER_LIMIT_COLOURS = "viridis"
LOG_SCALE_FROM = 6.0
"""An axis is logarithmic if its largest value is at least so many times its smallest."""
MARKER_AREA = 210.0

NOT_MEASURED_HERE = {
    MeasuredBy.SIMULATED: "SIMULATED by a model, not measured",
    MeasuredBy.REPLAY: "REPLAYED from recorded traces, not measured here",
}


def new_figure(title: str, trials: Sequence[TrialSummary]) -> tuple[Figure, Axes]:
    """Empty axes below a title.

    The subtitle names the GPUs of ``trials``; simulated and replayed ones are called so, in red.
    """
    figure = Figure(figsize=(8, 5), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    measured_by = {trial.measured_by for trial in trials}
    note = next((note for kind, note in NOT_MEASURED_HERE.items() if kind in measured_by), "")
    gpus = " and ".join(sorted({trial.gpu for trial in trials if trial.gpu}))
    subtitle = ": ".join(part for part in (gpus, note) if part)
    axes.set_title(title, loc="left", color=INK, fontsize=13, fontweight="bold", pad=26 if subtitle else 12)
    axes.annotate(
        subtitle,
        (0, 1),
        (0, 8),
        xycoords="axes fraction",
        textcoords="offset points",
        color=RED if note else GREY,
        fontsize=9.5,
    )
    axes.grid(visible=True, color=GRID_LINES, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    for side in ("top", "right", "left", "bottom"):
        axes.spines[side].set_visible(side == "bottom")
    axes.spines["bottom"].set_color(GREY)
    return figure, axes


def scale_axis(axis: Any, values: Sequence[float]) -> None:  # noqa: ANN401 — XAxis or YAxis
    """Set the limits of an axis to ``values`` and a margin; logarithmic where they span far."""
    low, high = min(values), max(values)
    name = axis.axis_name
    set_limits = getattr(axis.axes, f"set_{name}lim")
    if high < LOG_SCALE_FROM * low:
        margin = 0.12 * ((high - low) or high)
        set_limits(max(0.0, low - margin), high + margin)
        return
    getattr(axis.axes, f"set_{name}scale")("log")
    factor = (high / low) ** 0.08
    set_limits(low / factor, high * factor)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def power_limit_norm(trials: Sequence[TrialSummary]) -> Normalize | None:
    """Maps a power limit (W) to its place on the colour bar; None where no limit is known."""
    limits_w = [trial.power_limit_w for trial in trials if math.isfinite(trial.power_limit_w)]
    if not limits_w:
        return None
    low, high = min(limits_w), max(limits_w)
    return Normalize(low, high if high > low else low + 1)


def draw_trial(
    axes: Axes, x: float, y: float, trial: TrialSummary, norm: Normalize | None, *, label: bool = True
) -> None:
    """One marker: filled if the trial reached the target, a diamond if it is the baseline.

    Args:
        axes: where to draw.
        x: in the units of the axis.
        y: likewise.
        trial: what the marker stands for.
        norm: from :func:`power_limit_norm`, for the colour.
        label: write the batch size on the marker, which is larger then.
    """
    colour = _power_limit_colour(trial, norm)
    filled = trial.target_reached
    axes.scatter(
        [x],
        [y],
        s=MARKER_AREA * (1.7 if trial.is_baseline and label else 1.0) * (1.0 if label else 0.5),
        marker="D" if trial.is_baseline else "o",
        facecolors=[colour if filled else (1, 1, 1, 0.85)],
        edgecolors=[RED if trial.is_baseline else "white" if filled else colour],
        linewidths=1.8 if trial.is_baseline or not filled else 1.0,
        zorder=4 if trial.is_baseline else 3 if filled else 2,
    )
    if not (label and trial.batch_size):
        return
    light = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2] > 0.55
    axes.text(
        x,
        y,
        str(trial.batch_size),
        color=INK if light or not filled else "white",
        fontsize=6.5 if trial.batch_size < 1000 else 5.5,
        ha="center",
        va="center_baseline",
        zorder=5 if trial.is_baseline else 3 if filled else 2,
    )


def _power_limit_colour(trial: TrialSummary, norm: Normalize | None) -> tuple[float, float, float, float]:
    """The colour of a trial's power limit (red, green, blue, alpha); grey where it is not known."""
    if norm is None or not math.isfinite(trial.power_limit_w):
        return to_rgba(GREY)
    red, green, blue, alpha = colormaps[POWER_LIMIT_COLOURS](float(norm(trial.power_limit_w)))
    return red, green, blue, alpha


def label_best_and_baseline(
    axes: Axes,
    positions: Sequence[tuple[float, float]],
    trials: Sequence[TrialSummary],
    best: TrialSummary | None,
) -> None:
    """Write "best" and "baseline" below their markers; ``positions`` are those of ``trials``."""
    for trial, spot in zip(trials, positions, strict=True):
        names = ["best"] * (trial is best) + ["baseline"] * trial.is_baseline
        if not names:
            continue
        name = ", ".join(names)
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


def add_colour_bar(
    figure: Figure, axes: Axes, trials: Sequence[TrialSummary], norm: Normalize | None
) -> None:
    """Which colour is which power limit; the limits that occur are its ticks. None without ``norm``."""
    if norm is None:
        return
    limits_w = sorted({round(t.power_limit_w) for t in trials if math.isfinite(t.power_limit_w)})
    bar = figure.colorbar(ScalarMappable(norm, POWER_LIMIT_COLOURS), ax=axes, pad=0.02, aspect=30)
    bar.set_label("power limit (W)", color=INK)
    if len(limits_w) <= 12:
        bar.set_ticks(limits_w, labels=[f"{limit_w:g}" for limit_w in limits_w])
    bar.ax.tick_params(colors=INK, length=0)
    bar.outline.set_visible(False)


def add_legend(axes: Axes, trials: Sequence[TrialSummary], *, front: bool) -> None:
    """The meaning of the markers that occur among ``trials``; ``front``: and of the Pareto front's line."""

    def entry(label: str, **style: Any) -> Line2D:  # noqa: ANN401 — as many types as styles
        return Line2D([], [], linestyle="none", markersize=8, label=label, **style)

    entries = []
    if any(trial.target_reached for trial in trials):
        entries.append(entry("reached the target", marker="o", markerfacecolor=GREY, markeredgecolor="white"))
    if any(not trial.target_reached for trial in trials):
        entries.append(
            entry("did not, or was stopped", marker="o", markerfacecolor="white", markeredgecolor=GREY)
        )
    if any(trial.is_baseline for trial in trials):
        entries.append(entry("baseline", marker="D", markerfacecolor=GREY, markeredgecolor=RED))
    if front:
        entries.append(Line2D([], [], color=INK, alpha=0.6, linewidth=1.4, label="Pareto front"))
    axes.legend(handles=entries, frameon=False, loc="best", fontsize=9, labelcolor=INK)
