"""The runs of an event log as trials of a report."""

from __future__ import annotations

import math
from collections.abc import Iterable

from zeus_ray.records import BASELINE, NAN, TrialReport
from zeus_ray.records.window_usage import windows_from_json
from zeus_ray.reporting.trials_from_result import TrialSummary
from zeus_ray.store.event_log import LoggedEvent
from zeus_ray.store.events import RunEnded


def trials_from_log(events: Iterable[LoggedEvent]) -> list[TrialSummary]:
    """One trial per run that has ended, oldest first."""
    return [trial_of_run(logged.event) for logged in events if isinstance(logged.event, RunEnded)]


def trial_of_run(ended: RunEnded) -> TrialSummary:
    """A run that has ended, as a trial."""
    outcome, report = ended.outcome, ended.report
    return TrialSummary(
        trial_id=ended.run_id,
        batch_size=outcome.knobs.batch_size,
        power_limit_w=_limit_w(ended, report),
        epochs=outcome.epochs,
        metric=outcome.metric,
        best_metric=outcome.metric,
        metric_name=ended.target.metric,
        energy_j=report.energy_j,
        energy_j_err=report.energy_j_err,
        carbon_g=report.carbon_g,
        price=report.price,
        time_s=report.time_s,
        cost=report.cost,
        cost_to_target=report.cost_to_target if outcome.reached else NAN,
        average_power_w=report.average_power_w,
        cpu_energy_j=report.cpu_energy_j,
        dram_energy_j=report.dram_energy_j,
        target_reached=outcome.reached,
        stop_reason=outcome.stop.value if outcome.stop else report.stop_reason,
        gpu=outcome.gpu,
        measured_by=report.measured_by,
        shared=outcome.shared,
        attempt=report.attempt,
        lr=report.lr,
        lr_rule=report.lr_rule,
        advice=report.advice,
        windows=windows_from_json(report.windows),
        is_baseline=ended.run_id == BASELINE,
    )


def _limit_w(ended: RunEnded, report: TrialReport) -> float:
    """The limit at the end; else the one that was asked for."""
    asked_w = ended.outcome.knobs.power_limit_w
    if math.isfinite(report.power_limit_w) or asked_w is None:
        return report.power_limit_w
    return asked_w
