"""A run that may set no limit reports what one would have saved."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import NO_GPU, leased, plan, reported, train

from zeus_ray.records import PowerProfile
from zeus_ray.search import power_limit as power
from zeus_ray.search.power_limit import advise
from zeus_ray.training.training_run import TrainingRun


@pytest.fixture
def observed(manager):
    """A GPU whose limit may not be set."""
    group = leased(manager, control="off")
    yield group
    group.release()


def recorded(size=100, gpu="simulated V100"):
    points = ((250.0, 200.0, 10.0), (150.0, 140.0, 11.0), (100.0, 95.0, 20.0))
    return PowerProfile(batch_size=size, gpu=gpu, max_power_w=250.0, points=points)


def test_a_recorded_profile_says_what_a_limit_would_have_saved(observed):
    known = dataclasses.replace(plan(power_limit_w=150.0), profiles=(recorded(),))
    run = TrainingRun(known, observed)
    train(run, 2)
    report = reported(run)
    saving = 1 - 140.0 * 11 / (200.0 * 10)
    assert report.power_limit_w == 250.0
    assert f"150 W instead of 250 W would have taken {saving:.1%}".replace("%", " %") in report.advice
    assert "10.0 % more time" in report.advice


@pytest.mark.parametrize("profiles", [(), (recorded(size=64),), (recorded(gpu="A100"),)])
def test_without_a_profile_of_this_batch_size_and_gpu_the_report_says_what_is_missing(observed, profiles):
    run = TrainingRun(dataclasses.replace(plan(), profiles=profiles), observed)
    assert "no power profile of batch size 100 on simulated V100" in reported(run).advice


def test_a_run_that_sets_its_limit_or_has_no_gpu_needs_no_advice(group):
    assert reported(TrainingRun(plan(), group)).advice == ""
    assert reported(TrainingRun(plan(), NO_GPU)).advice == ""


@given(
    points=st.lists(
        st.tuples(st.floats(50, 400), st.floats(1, 400), st.floats(0.1, 100)),
        min_size=1,
        max_size=6,
        unique_by=lambda p: p[0],
    ),
    in_force_w=st.floats(20, 500),
    eta=st.floats(0, 1),
)
def test_the_advised_limit_never_costs_more_than_the_one_in_force(points, in_force_w, eta):
    profile = PowerProfile(batch_size=1, gpu="V100", max_power_w=400.0, points=tuple(points))
    found = advise(profile, in_force_w, eta=eta, max_power_w=400.0, gpus=1)
    assert found.limit_w in [w for w, _power_w, _time_s in points]

    def costs(limit_w):
        return power.epoch_cost(profile, limit_w, eta, max_power_w=400.0)

    if found.against_w in [w for w, _power_w, _time_s in points]:
        assert costs(found.limit_w) <= costs(found.against_w) * (1 + 1e-9)
