"""The trials of a search as rows of ``zeus_emissions.csv``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from zeus_ray.records import MeasuredBy
from zeus_ray.reporting.emissions_csv import EmissionsRow
from zeus_ray.reporting.search_report import SearchReport

NOT_MEASURED = (MeasuredBy.SIMULATED, MeasuredBy.REPLAY)


def emissions_of_search(result: Any, report: SearchReport) -> list[EmissionsRow]:  # noqa: ANN401 — of Ray Tune
    """A row for each trial, over all its attempts.

    Args:
        result: of the search, as ``tune.run`` returns it.
        report: its report.
    """
    ended_at_s = {trial.trial_id: (trial.last_result or {}).get("timestamp") for trial in result.trials}
    goal = report.savings.goal
    return [
        EmissionsRow(
            ended_at_s=float(ended_at_s.get(trial.trial_id) or time.time()),
            project=Path(result.experiment_path).name,
            run_id=trial.trial_id,
            time_s=trial.time_s,
            energy_j=trial.energy_j,
            carbon_g=trial.carbon_g,
            gpu=trial.gpu,
            batch_size=float(trial.batch_size),
            power_limit_w=trial.power_limit_w,
            target_reached=str(trial.target_reached).lower(),
            signal=goal.signal if goal is not None else "",
            simulated=trial.measured_by in NOT_MEASURED,
        )
        for trial in report.trials
    ]
