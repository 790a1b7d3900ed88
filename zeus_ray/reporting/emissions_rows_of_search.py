"""The trials of a search as rows of ``zeus_emissions.csv``."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zeus_ray.records import NAN, VIRTUAL_ENERGY
from zeus_ray.reporting.emissions_csv import EmissionsRow
from zeus_ray.reporting.runs_that_shared_cpus import overlap_another
from zeus_ray.reporting.show import SearchReport
from zeus_ray.reporting.trials_from_result import TrialSummary


def emissions_of_search(result: Any, report: SearchReport) -> list[EmissionsRow]:  # noqa: ANN401 — of Ray Tune
    """A row for each trial, over all its attempts; CPUs only of trials that ran while no other one did.

    Args:
        result: of the search, as ``tune.run`` returns it.
        report: its report.
    """
    last = {trial.trial_id: trial.last_result or {} for trial in result.trials}
    ended_at_s = {name: float(found.get("timestamp") or time.time()) for name, found in last.items()}
    spans = [
        (_began_at_s(trial, last[trial.trial_id], ended_at_s[trial.trial_id]), ended_at_s[trial.trial_id])
        for trial in report.trials
    ]
    goal = report.savings.goal
    return [
        EmissionsRow(
            ended_at_s=ended_at_s[trial.trial_id],
            project=Path(result.experiment_path).name,
            run_id=trial.trial_id,
            time_s=trial.time_s,
            energy_j=trial.energy_j,
            cpu_energy_j=NAN if overlapping else trial.cpu_energy_j,
            dram_energy_j=NAN if overlapping else trial.dram_energy_j,
            carbon_g=trial.carbon_g,
            gpu=trial.gpu,
            batch_size=float(trial.batch_size),
            power_limit_w=trial.power_limit_w,
            target_reached=str(trial.target_reached).lower(),
            signal=goal.signal if goal is not None else "",
            simulated=trial.measured_by in VIRTUAL_ENERGY,
        )
        for trial, overlapping in zip(report.trials, overlap_another(spans), strict=True)
    ]


def _began_at_s(trial: TrialSummary, last: Mapping[str, Any], ended_at_s: float) -> float:
    """-inf after several attempts: there may have been any time between them."""
    return ended_at_s - float(last.get("time_total_s", math.inf)) if trial.attempt == 1 else -math.inf
