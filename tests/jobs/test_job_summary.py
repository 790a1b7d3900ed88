"""What a job's default would have taken, from the records of its runs."""

import dataclasses

import pytest

from zeus_ray.jobs.job_summary import summarize
from zeus_ray.records import Knobs, Outcome, PowerProfile, ProfilePoint, Target, TrialReport
from zeus_ray.store.event_log import LoggedEvent
from zeus_ray.store.events import CurvePoint, ProcessInfo, ProfileMeasured, RunAsked, RunEnded

START_J, EPOCHS = 5000.0, 10
EPOCH_J = {300.0: 1000.0, 200.0: 800.0}
PROFILE = PowerProfile(
    batch_size=64,
    gpu="V100",
    max_power_w=300,
    points=tuple(ProfilePoint(limit_w, limit_w, joules / limit_w) for limit_w, joules in EPOCH_J.items()),
)


def run(run_id, limit_w, *, planned, start_j=START_J):
    """The events of a run at ``limit_w`` that reached the target; ``planned``: it was set from the start."""
    knobs = Knobs(run_id=run_id, batch_size=64, power_limit_w=limit_w if planned else None)
    curve = tuple(
        CurvePoint(n, 0.1 * n, start_j + n * EPOCH_J[limit_w], 1.0 * n) for n in range(1, EPOCHS + 1)
    )
    report = TrialReport(gpu="V100", energy_j=curve[-1].energy_j, power_limit_w=limit_w)
    outcome = Outcome(knobs=knobs, reached=True, epochs=EPOCHS, metric=1.0, gpu="V100")
    process = ProcessInfo(machine="m", pid=1, started_s=0.0)
    return (
        RunAsked(knobs=knobs, process=process, default_batch_size=64),
        RunEnded(outcome=outcome, target=Target("accuracy", 0.9), curve=curve, report=report),
    )


def summary_of(*runs):
    events = [*(event for run in runs for event in run), ProfileMeasured(run_id="a", profile=PROFILE)]
    return summarize([LoggedEvent(number=n, at_s=n, event=e) for n, e in enumerate(events)], "nightly")


@pytest.mark.parametrize("planned", [False, True])
def test_the_start_of_the_process_is_on_both_sides(planned):
    summary = summary_of(run("a", 300.0, planned=planned))
    assert summary.default_would_take_j == pytest.approx(START_J + EPOCHS * EPOCH_J[300.0])
    assert summary.saved_j == pytest.approx(0.0)


def test_a_lower_limit_saves_on_the_epochs_alone():
    summary = summary_of(run("a", 200.0, planned=True))
    assert summary.saved_j == pytest.approx(EPOCHS * (EPOCH_J[300.0] - EPOCH_J[200.0]))


def test_a_run_without_a_curve_has_no_start():
    asked, ended = run("a", 300.0, planned=False)
    summary = summary_of((asked, dataclasses.replace(ended, curve=())))
    assert summary.default_would_take_j == pytest.approx(EPOCHS * EPOCH_J[300.0])
