"""Trial summaries from tuples, from objects shaped like Ray Tune's, and from its real results."""

import math
import subprocess
import sys
from types import SimpleNamespace

import pytest

from zeus_ray.errors import BadInput
from zeus_ray.records import Knobs, Plan, Target, TrialReport
from zeus_ray.reporting.trials_from_result import summaries


def config(run_id="1", batch_size=64, **others):
    plan = Plan(
        knobs=Knobs(run_id=run_id, batch_size=batch_size, power_limit_w=150.0), target=Target("acc", 0.9)
    )
    return {"batch_size": batch_size, "zeus": plan.to_config(), **others}


def result(cost=10.0, *, reached=True, batch_size=64, **fields):
    report = TrialReport(
        batch_size=batch_size,
        energy_j=100.0,
        time_s=10.0,
        cost=cost,
        cost_to_target=cost if reached else math.nan,
        target_reached=reached,
        power_limit_w=149.0,
        measured_by="simulated",
        **fields,
    )
    return {"acc": 0.91, "loss": 0.2, "trial_id": f"t-{cost:g}", **report.to_result()}


def test_tuples_are_ranked_by_cost_to_target_and_failures_come_last():
    found = summaries(
        [
            ("stopped", config(), result(1.0, reached=False, stop_reason="cost cap")),
            ("expensive", config(), result(30.0)),
            ("failed", config(batch_size=512), None),
            ("cheap", config("baseline", lr=0.1), result(20.0, gpu="simulated V100", attempt=2)),
        ]
    )
    assert [t.trial_id for t in found] == ["cheap", "expensive", "stopped", "failed"]
    first, last = found[0], found[-1]
    assert (first.batch_size, first.power_limit_w, first.metric, first.metric_name) == (
        64,
        149.0,
        0.91,
        "acc",
    )
    assert (first.is_baseline, first.hyperparameters, first.gpu, first.attempt) == (
        True,
        {"lr": 0.1},
        "simulated V100",
        2,
    )
    assert (last.batch_size, last.power_limit_w, last.stop_reason) == (512, 150.0, "error")
    assert math.isnan(last.energy_j)
    assert not last.target_reached


def test_another_metric_and_a_metric_that_is_no_number():
    assert summaries([("a", config(), result())], metric="loss")[0].metric == 0.2
    assert math.isnan(summaries([("a", config(), {"acc": "high"})])[0].metric)


def test_a_trial_without_a_session_is_unknown_but_for_its_config():
    trial = summaries([("a", {"batch_size": 8}, {"acc": 0.5})])[0]
    assert (trial.batch_size, trial.measured_by, trial.is_baseline) == (8, "none", False)
    assert math.isnan(trial.time_s)


def test_objects_shaped_like_those_of_ray_tune():
    trials = [SimpleNamespace(trial_id="a", config=config(), last_result=result(), status="ERROR")]
    analysis = SimpleNamespace(trials=trials, default_metric="loss")
    assert (summaries(analysis)[0].stop_reason, summaries(analysis)[0].metric) == ("error", 0.2)
    grid = [
        SimpleNamespace(metrics=result(2.0), config=config(), error=None, path="/x/a"),
        SimpleNamespace(metrics=None, config=None, error=ValueError(), path="/x/b"),
    ]
    assert [(t.trial_id, t.stop_reason) for t in summaries(grid)] == [("t-2", ""), ("b", "error")]


@pytest.mark.parametrize("wrong", [7, None, ["text"], [("a", {})], "text"])
def test_another_type_is_refused(wrong):
    with pytest.raises(BadInput, match="cannot show"):
        summaries(wrong)


@pytest.mark.processes
def test_importing_the_report_imports_nothing_heavy():
    code = (
        "import sys, zeus_ray.reporting.show; "
        "print([name for name in ('ray', 'torch', 'pynvml', 'matplotlib', 'rich') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
