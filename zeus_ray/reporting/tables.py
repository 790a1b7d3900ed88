"""The table of trials: rich in a terminal, the same cells in a notebook."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from zeus_ray.records import StopReason
from zeus_ray.reporting.trial_summary import TrialSummary
from zeus_ray.units import UNKNOWN, energy_scale, three_digits, time_scale

if TYPE_CHECKING:
    from rich.table import Table

RAN_THROUGH = "ended by itself"


@dataclass(frozen=True)
class Column:
    """A heading with its unit, and the cell of a trial under it."""

    heading: str
    cell: Callable[[TrialSummary], str]
    right: bool = True

    @property
    def in_one_line(self) -> str:
        """The heading, where there is room."""
        return self.heading.replace("\n", " ")


def columns(trials: Sequence[TrialSummary], others: Sequence[str] = ()) -> list[Column]:
    """The columns of the table, in units that suit these trials.

    Args:
        trials: what the table will show.
        others: further hyperparameters to show, such as ``["lr"]``.
    """
    joules = energy_scale([t.energy_j for t in trials])
    costs = energy_scale([t.cost for t in trials])
    times = time_scale([t.time_s for t in trials])
    names = {t.metric_name for t in trials if t.metric_name}
    return [
        Column("Batch\nsize", _batch_size),
        Column("Limit\nW", lambda t: _whole(t.power_limit_w)),
        *(Column(name, _other(name)) for name in others),
        Column("Epochs", lambda t: _plain(t.epochs, 1)),
        Column(f"Energy\n{joules.unit}", lambda t: joules.text(t.energy_j)),
        Column(f"Time\n{times.unit}", lambda t: times.text(t.time_s)),
        Column(f"Cost\n{costs.unit}", lambda t: costs.text(t.cost)),
        Column(names.pop() if len(names) == 1 else "Metric", lambda t: _plain(t.metric, 3)),
        Column("Why it ended", _why, right=False),
    ]


def table(trials: Sequence[TrialSummary], *, others: Sequence[str] = (), title: str = "") -> Table:
    """A rich table, the cheapest to the target first, those that did not reach it last."""
    from rich import box  # noqa: PLC0415 — only what is shown needs rich
    from rich.markup import escape  # noqa: PLC0415 — only what is shown needs rich
    from rich.table import Table  # noqa: PLC0415 — likewise

    ranked = sorted(trials, key=lambda trial: trial.rank)
    shown = columns(ranked, others)
    result = Table(
        title=escape(title) or None,
        title_justify="left",
        header_style="bold",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),  # the whole table fits 80 columns
    )
    for column in shown:
        result.add_column(
            escape(column.heading), justify="right" if column.right else "left", no_wrap=column.right
        )
    best = next((t for t in ranked if t.target_reached and not t.is_baseline), None)
    for trial in ranked:
        result.add_row(*(escape(column.cell(trial)) for column in shown), style=_style(trial, best))
    return result


def _style(trial: TrialSummary, best: TrialSummary | None) -> str:
    if trial.is_baseline:
        return "bold yellow"
    if trial is best:
        return "bold green"
    return "" if trial.target_reached else "dim"


def _batch_size(trial: TrialSummary) -> str:
    size = str(trial.batch_size) if trial.batch_size else UNKNOWN
    return f"baseline {size}" if trial.is_baseline else size


def _why(trial: TrialSummary) -> str:
    notes = [trial.stop_reason or RAN_THROUGH]
    if trial.target_reached and trial.stop_reason != StopReason.TARGET_REACHED:
        notes.insert(0, StopReason.TARGET_REACHED.value)
    if trial.shared:
        notes.append("GPU shared")
    if trial.attempt > 1:
        notes.append(f"attempt {trial.attempt}")
    return ", ".join(notes)


def _other(name: str) -> Callable[[TrialSummary], str]:
    return lambda trial: _any(trial.others.get(name, UNKNOWN))


def _any(value: Any) -> str:  # noqa: ANN401 — hyperparameters are of any type
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _whole(value: float) -> str:
    return UNKNOWN if math.isnan(value) else f"{value:.0f}"


def _plain(value: float, digits: int) -> str:
    return three_digits(value) if not math.isfinite(value) else f"{value:.{digits}f}"
