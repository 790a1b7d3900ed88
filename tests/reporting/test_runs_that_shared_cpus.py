"""Which runs overlapped in time, and whose CPUs are therefore left out of ``zeus_emissions.csv``."""

import dataclasses
import math
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from zeus_ray.jobs.emissions_rows_of_job import emissions_of_job
from zeus_ray.jobs.job_summary import JobSummary, LoggedRun
from zeus_ray.records import Knobs, Measurement, Outcome, Target, TrialReport
from zeus_ray.reporting.emissions_rows_of_search import emissions_of_search
from zeus_ray.reporting.runs_that_shared_cpus import CLOCK_STEP_S, overlap_another
from zeus_ray.reporting.show import SearchReport
from zeus_ray.store.events import ProcessInfo, RunAsked, RunEnded


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(2, 9)), max_size=8))
def test_a_run_is_alone_if_no_other_one_was_under_way_in_any_of_its_seconds(runs):
    spans = [(float(begin), float(begin + length)) for begin, length in runs]
    seconds = [set(range(begin, begin + length)) for begin, length in runs]
    for index, found in enumerate(overlap_another(spans)):
        common = [len(seconds[index] & seconds[n]) for n in range(len(runs)) if n != index]
        assert found == any(shared > CLOCK_STEP_S for shared in common)


def cpu_cells(rows):
    return [row.cells()["cpu_energy"] for row in rows]


def test_trials_that_ran_at_the_same_time_have_no_energy_of_cpus(trial, tmp_path):
    ends = {"t32": (100, 100), "t64": (200, 100), "t128": (250, 120)}
    trials = tuple(
        dataclasses.replace(trial(size, 3.6e6, 100.0), cpu_energy_j=1.8e6, dram_energy_j=0.9e6)
        for size in (32, 64, 128)
    )
    last = [
        SimpleNamespace(trial_id=name, last_result={"timestamp": end, "time_total_s": took})
        for name, (end, took) in ends.items()
    ]
    result = SimpleNamespace(trials=last, experiment_path=str(tmp_path))
    rows = emissions_of_search(result, SearchReport(trials))
    assert cpu_cells(rows) == ["0.5", "", ""]
    assert [row.cells()["ram_energy"] for row in rows] == ["0.25", "", ""]
    again = (dataclasses.replace(trials[0], attempt=2), *trials[1:])  # began at any time before
    assert cpu_cells(emissions_of_search(result, SearchReport(again))) == ["0.5", "", ""]
    again = (trials[0], dataclasses.replace(trials[1], attempt=2), trials[2])
    assert cpu_cells(emissions_of_search(result, SearchReport(again))) == ["", "", ""]


def test_runs_of_a_job_likewise():
    def run(number, asked_at_s, time_s):
        knobs = Knobs(run_id=str(number), batch_size=32)
        used = Measurement(energy_j=1.0, time_s=time_s)
        outcome = Outcome(knobs=knobs, reached=True, epochs=1.0, measurement=used)
        report = TrialReport(time_s=time_s, energy_j=1.0, cpu_energy_j=3.6e6, dram_energy_j=7.2e6)
        end = RunEnded(outcome=outcome, target=Target("accuracy", 0.9), curve=(), report=report)
        process = ProcessInfo(machine="m", pid=1, started_s=0.0)
        asked = RunAsked(knobs=knobs, process=process, default_batch_size=32)
        return LoggedRun(asked_at_s=asked_at_s, asked=asked, end=end)

    runs = (run(0, 0.0, 100.0), run(1, 1000.0, 100.0), run(2, 1050.0, 10.0), run(3, 5000.0, math.nan))
    summary = JobSummary(job="nightly", runs=runs, default_batch_size=32, default_j={})
    assert cpu_cells(emissions_of_job(summary)) == ["1.0", "", "", "1.0"]
    ram = [row.cells()["ram_energy"] for row in emissions_of_job(summary)]
    assert ram == ["2.0", "", "", "2.0"]
