"""The table of trials: its columns, and the table as rich and as HTML."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zeus_ray.quantity_format import UNKNOWN, cost_scale, energy_scale, three_digits, time_scale
from zeus_ray.records import StopReason, Target
from zeus_ray.reporting.trials_from_result import TrialSummary

if TYPE_CHECKING:
    from rich.table import Table

NOT_STOPPED = "ended by itself"
EXPLAINED = {
    StopReason.NOT_WORTH_IT: (
        "stopped before the target: to finish was expected to cost more than it would save in later trainings"
    ),
    StopReason.COST_CAP: "stopped before the target: it had cost what a trial may cost",
    StopReason.PROFILED: "stopped once its power limits were measured, as more was not worth its cost",
    StopReason.MAX_EPOCHS: "the target was not reached in as many epochs as a training may take",
    StopReason.OUT_OF_MEMORY: "the batch size does not fit into the memory of the GPU",
}
CELL_STYLE = "padding:3px 10px;white-space:nowrap;"


@dataclass(frozen=True)
class TrialColumn:
    """A heading with its unit, and what a trial has in this column."""

    heading: str
    cell: Callable[[TrialSummary], str]
    right: bool = True


def trial_columns(trials: Sequence[TrialSummary], hyperparameters: Sequence[str] = ()) -> list[TrialColumn]:
    """The columns of the table, in units that suit these trials.

    Args:
        trials: what the table will show.
        hyperparameters: further ones to show, such as ``["lr"]``.
    """
    joules = energy_scale([trial.energy_j for trial in trials])
    costs = cost_scale([trial.measured_cost for trial in trials])
    times = time_scale([trial.time_s for trial in trials])
    metrics = {trial.metric_name for trial in trials if trial.metric_name}
    cost = TrialColumn(f"Cost\n{costs.unit}", lambda trial: costs.text(trial.measured_cost))
    one_quantity = {trial.goal.eta for trial in trials if trial.goal} <= {0.0, 1.0}
    counts_both = not one_quantity or not any(trial.goal for trial in trials)
    return [
        TrialColumn("Batch\nsize", _batch_size),
        TrialColumn("Limit\nW", lambda trial: _decimals(trial.power_limit_w, 0)),
        *(TrialColumn(name, _hyperparameter(name)) for name in hyperparameters),
        TrialColumn(f"Energy\n{joules.unit}", lambda trial: joules.text(trial.energy_j)),
        TrialColumn(f"Time\n{times.unit}", lambda trial: times.text(trial.time_s)),
        *([cost] if counts_both else []),
        *_emissions_columns(trials),
        TrialColumn("Epochs", lambda trial: _decimals(trial.epochs, 1)),
        TrialColumn("Power\nW", lambda trial: _decimals(trial.average_power_w, 0)),
        TrialColumn(metrics.pop() if len(metrics) == 1 else "Metric", _metric),
        TrialColumn("Why it ended", _end_reason, right=False),
    ]


def _emissions_columns(trials: Sequence[TrialSummary]) -> list[TrialColumn]:
    """What each trial emitted, or what its energy cost, where that is known of any."""
    columns = []
    if any(math.isfinite(trial.carbon_g) for trial in trials):
        columns.append(TrialColumn("CO2e\ng", lambda trial: three_digits(trial.carbon_g)))
    if any(math.isfinite(trial.price) for trial in trials):
        units = {trial.goal.unit.partition("/")[0] for trial in trials if trial.goal and trial.goal.unit}
        unit = units.pop() if len(units) == 1 else ""
        columns.append(TrialColumn(f"Price\n{unit}", lambda trial: f"{trial.price:.3g}"))
    return columns


def table_notes(trials: Sequence[TrialSummary]) -> list[str]:
    """What the reasons in the last column mean, but those that say it themselves; what rows do not tell."""
    reasons = {trial.stop_reason for trial in trials}
    notes = [f"{reason}: {text}." for reason, text in EXPLAINED.items() if reason.value in reasons]
    sizes = [trial.batch_size for trial in trials if trial.target_reached]
    if 1 < len(set(sizes)) < len(sizes):
        notes.append(
            "Each row is one run; the answer's changes go by the mean epochs of a batch size's runs."
        )
    return notes


def trial_table(
    trials: Sequence[TrialSummary],
    *,
    hyperparameters: Sequence[str] = (),
    best: TrialSummary | None = None,
    title: str = "",
) -> Table:
    """A rich table; the cheapest trial to the target is first, those that did not reach it are last.

    Args:
        trials: its rows.
        hyperparameters: further ones to show.
        best: the row of the answer, which says so, and is green.
        title: above it.
    """
    from rich import box  # noqa: PLC0415 — rich is imported only to display
    from rich.markup import escape  # noqa: PLC0415 — likewise
    from rich.table import Table  # noqa: PLC0415 — likewise

    ranked = sorted(trials, key=lambda trial: trial.rank)
    columns = trial_columns(ranked, hyperparameters)
    table = Table(
        title=escape(title) or None,
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        padding=(0, 1, 0, 0),  # the whole table fits 80 columns
        pad_edge=False,
    )
    for column in columns:
        table.add_column(
            escape(column.heading), justify="right" if column.right else "left", no_wrap=column.right
        )
    for trial in ranked:
        table.add_row(*map(escape, _cells(trial, columns, best)), style=_row_style(trial, best))
    return table


def html_trial_table(
    trials: Sequence[TrialSummary], hyperparameters: Sequence[str] = (), best: TrialSummary | None = None
) -> str:
    """The same table in HTML, for a notebook."""
    ranked = sorted(trials, key=lambda trial: trial.rank)
    columns = trial_columns(ranked, hyperparameters)
    head = "".join(_html_cell("th", column, column.heading) for column in columns)
    rows = []
    for trial in ranked:
        texts = _cells(trial, columns, best)
        cells = "".join(_html_cell("td", *pair) for pair in zip(columns, texts, strict=True))
        rows.append(f'<tr class="{_html_class(trial, best)}" style="{_html_style(trial, best)}">{cells}</tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _html_cell(tag: str, column: TrialColumn, text: str) -> str:
    align = "right" if column.right else "left"
    scope = ' scope="col"' if tag == "th" else ""
    shown = html.escape(text.replace("\n", " "))
    return f'<{tag}{scope} style="{CELL_STYLE}text-align:{align}">{shown}</{tag}>'


def _cells(trial: TrialSummary, columns: Sequence[TrialColumn], best: TrialSummary | None) -> tuple[str, ...]:
    """The texts of a row; without colours, too, it says which one is the answer."""
    first, *others = (column.cell(trial) for column in columns)
    if trial is best:
        first = f"baseline,\nanswer {trial.batch_size}" if trial.is_baseline else f"answer {first}"
    return first, *others


def _html_style(trial: TrialSummary, best: TrialSummary | None) -> str:
    if trial is best:
        return "font-weight:bold;background:rgba(42,125,63,0.18)"
    if trial.is_baseline:
        return "font-weight:bold"
    return "" if trial.target_reached else "opacity:0.75"


def _html_class(trial: TrialSummary, best: TrialSummary | None) -> str:
    """For a page with a style of its own."""
    if trial is best:
        return "answer"
    return "baseline" if trial.is_baseline else "" if trial.target_reached else "stopped"


def _row_style(trial: TrialSummary, best: TrialSummary | None) -> str:
    if trial is best:
        return "bold green"
    if trial.is_baseline:
        return "bold yellow"
    return "" if trial.target_reached else "dim"


def _batch_size(trial: TrialSummary) -> str:
    size = str(trial.batch_size) if trial.batch_size else UNKNOWN
    return f"baseline {size}" if trial.is_baseline else size


def _metric(trial: TrialSummary) -> str:
    """With the digits that show on which side of the target it is."""
    target = trial.goal.target if trial.goal and trial.goal.target else Target(trial.metric_name)
    return target.text(trial.metric) if math.isfinite(trial.metric) else UNKNOWN


def _end_reason(trial: TrialSummary) -> str:
    reasons = [trial.stop_reason or NOT_STOPPED]
    if trial.target_reached and trial.stop_reason != StopReason.TARGET_REACHED:
        reasons.insert(0, StopReason.TARGET_REACHED.value)
    if trial.shared:
        reasons.append("GPU shared")
    if trial.attempt > 1:
        reasons.append(f"attempt {trial.attempt}")
    return ", ".join(reasons)


def _hyperparameter(name: str) -> Callable[[TrialSummary], str]:
    def cell(trial: TrialSummary) -> str:
        value: Any = trial.hyperparameters.get(name, UNKNOWN)
        return f"{value:.4g}" if isinstance(value, float) else str(value)

    return cell


def _decimals(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else three_digits(value)
