"""The runs of a recurring job as rows of ``zeus_emissions.csv``."""

from __future__ import annotations

import math

from zeus_ray.jobs.job_summary import JobSummary
from zeus_ray.reporting.emissions_csv import EmissionsRow
from zeus_ray.reporting.emissions_of_search import NOT_MEASURED


def emissions_of_job(summary: JobSummary) -> list[EmissionsRow]:
    """A row for each run that has ended, also those that were stopped or failed."""
    return [
        EmissionsRow(
            ended_at_s=run.asked_at_s + (0.0 if math.isnan(run.report.time_s) else run.report.time_s),
            project=summary.job,
            run_id=run.knobs.run_id,
            time_s=run.report.time_s,
            energy_j=run.report.energy_j,
            carbon_g=run.report.carbon_g,
            gpu=run.report.gpu,
            batch_size=float(run.knobs.batch_size),
            power_limit_w=run.report.power_limit_w,
            target_reached=str(run.reached).lower(),
            simulated=run.report.measured_by in NOT_MEASURED,
        )
        for run in summary.runs
        if run.outcome is not None
    ]
