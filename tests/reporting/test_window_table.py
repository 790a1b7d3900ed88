"""Named windows in reports: added up by name, in the terminal and on the pages."""

import dataclasses
import math

import pytest

from zeus_ray.jobs.job_summary import JobSummary, LoggedRun
from zeus_ray.records import Knobs, Measurement, Outcome, Target, TrialReport
from zeus_ray.records.window_usage import ReportedWindow, WindowUsage, windows_from_json, windows_to_json
from zeus_ray.reporting.show import SearchReport, show
from zeus_ray.reporting.window_table import html_window_table, sum_windows
from zeus_ray.store.events import ProcessInfo, RunAsked, RunEnded

FORWARD = WindowUsage(energy_j=3000.0, time_s=30.0, count=10)
LOAD = WindowUsage(energy_j=500.0, time_s=40.0, count=10)
STORED = windows_to_json({"load": LOAD, "forward": FORWARD}, run_energy_j=4000.0)
BOTH = windows_from_json(STORED)


def test_windows_are_added_up_by_name_and_the_largest_is_first():
    only = {"load": ReportedWindow(energy_j=1500.0, time_s=5.0, count=1, run_energy_j=4000.0)}
    sums = sum_windows([BOTH, {}, only])
    assert sums.runs == 2
    assert sums.rows() == [
        ("forward", "10", "3.00 kJ", "30.0 s", "75.0 %"),
        ("load", "11", "2.00 kJ", "45.0 s", "25.0 %"),
    ]


def test_what_was_not_measured_is_unknown_and_last():
    strange = ReportedWindow(energy_j=math.nan, time_s=5.0, count=1)
    rows = sum_windows([{"<b>": strange, **BOTH}]).rows()
    assert rows[-1] == ("<b>", "1", "–", "5.00 s", "–")
    assert "<b>" not in html_window_table(sum_windows([{"<b>": strange}]))


def test_a_report_of_a_search_shows_them(search):
    result = [("a", {"batch_size": 8}, TrialReport(energy_j=4000.0, windows=STORED).to_result())]
    assert show(result).trials[0].windows == BOTH
    assert "Share of energy" not in str(SearchReport(tuple(search)))
    report = SearchReport((dataclasses.replace(search[0], windows=BOTH), *search[1:]))
    text = str(report)
    assert "Named windows of 1 run" in text
    assert "75.0 %" in text
    assert "75.0 %" in html_window_table(report.windows)


def test_a_report_of_a_job_shows_them(capsys):
    from rich.console import Console

    knobs = Knobs(run_id="0", batch_size=32)
    outcome = Outcome(
        knobs=knobs, reached=True, epochs=1.0, measurement=Measurement(energy_j=4000.0, time_s=80.0)
    )
    end = RunEnded(
        outcome=outcome, target=Target("accuracy", 0.9), curve=(), report=TrialReport(windows=STORED)
    )
    asked = RunAsked(
        knobs=knobs, process=ProcessInfo(machine="m", pid=1, started_s=0.0), default_batch_size=32
    )
    run = LoggedRun(asked_at_s=0.0, asked=asked, end=end)
    Console(width=140).print(JobSummary(job="nightly", runs=(run,), default_batch_size=32, default_j={}))
    assert "forward" in capsys.readouterr().out


@pytest.mark.pictures
def test_a_notebook_shows_them(search):
    page = SearchReport((dataclasses.replace(search[0], windows=BOTH), *search[1:]))._repr_html_()
    assert "75.0 %" in page
