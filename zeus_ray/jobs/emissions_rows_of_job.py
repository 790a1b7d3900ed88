"""The runs of a recurring job as rows of ``zeus_emissions.csv``."""

from __future__ import annotations

import math

from zeus_ray.jobs.job_summary import JobSummary, LoggedRun
from zeus_ray.records import NAN, VIRTUAL_ENERGY
from zeus_ray.reporting.emissions_csv import EmissionsRow
from zeus_ray.reporting.runs_that_shared_cpus import overlap_another


def emissions_of_job(summary: JobSummary) -> list[EmissionsRow]:
    """A row for each run that has ended, also those that were stopped or failed.

    CPUs count only in runs that took place while no other one of the job did.
    """
    runs = [run for run in summary.runs if run.outcome is not None]
    spans = [(run.asked_at_s, _ended_at_s(run)) for run in runs]
    return [
        EmissionsRow(
            ended_at_s=_ended_at_s(run),
            project=summary.job,
            run_id=run.knobs.run_id,
            time_s=run.report.time_s,
            energy_j=run.report.energy_j,
            cpu_energy_j=NAN if overlapping else run.report.cpu_energy_j,
            dram_energy_j=NAN if overlapping else run.report.dram_energy_j,
            carbon_g=run.report.carbon_g,
            gpu=run.report.gpu,
            batch_size=float(run.knobs.batch_size),
            power_limit_w=run.report.power_limit_w,
            target_reached=str(run.reached).lower(),
            simulated=run.report.measured_by in VIRTUAL_ENERGY,
        )
        for run, overlapping in zip(runs, overlap_another(spans), strict=True)
    ]


def _ended_at_s(run: LoggedRun) -> float:
    return run.asked_at_s + (0.0 if math.isnan(run.report.time_s) else run.report.time_s)
