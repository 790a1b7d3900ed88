"""Learning rates scaled from one batch size to another, and raised gradually."""

import math
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runs import NO_GPU, plan, reported

from zeus_ray.errors import BadInput
from zeus_ray.records import Knobs, Plan
from zeus_ray.training import lr_scaling_and_warm_up
from zeus_ray.training.training_run import TrainingRun


def run_of(batch_size):
    return TrainingRun(Plan(knobs=Knobs(run_id="", batch_size=batch_size), default_batch_size=64), NO_GPU)


@pytest.mark.parametrize(("rule", "lr"), [("linear", 0.4), ("sqrt", 0.2), ("none", 0.1)])
def test_learning_rates_scale_by_a_named_rule(rule, lr):
    assert run_of(256).scale_lr(0.1, rule) == pytest.approx(lr)


def test_a_rule_may_be_a_function_of_the_ratio_and_the_report_carries_its_name():
    def cautious(ratio):
        return ratio**0.25

    run = run_of(1024)
    assert reported(run).lr_rule == ""
    assert run.scale_lr(0.1, cautious) == pytest.approx(0.2)
    report = reported(run)
    assert (report.lr, report.lr_rule) == (pytest.approx(0.2), "cautious")


@pytest.mark.parametrize(
    ("lr", "rule", "words"),
    [
        (0.1, "cubic", "linear"),
        (0.0, "linear", "above 0"),
        (math.nan, "sqrt", "nan"),
        (0.1, lambda _ratio: -1.0, "-1.0"),
    ],
)
def test_an_impossible_rate_or_rule_is_refused_with_what_is_allowed(lr, rule, words):
    with pytest.raises(BadInput, match=words):
        TrainingRun(plan(), NO_GPU).scale_lr(lr, rule)


@given(
    ratio=st.floats(0.01, 100), steps=st.integers(1, 1000), rule=st.sampled_from(["linear", "sqrt", "none"])
)
def test_a_warm_up_rises_from_the_base_rate_to_the_scaled_one(ratio, steps, rule):
    scaled = lr_scaling_and_warm_up.scaled(0.1, ratio, rule)
    warm_up = pickle.loads(pickle.dumps(lr_scaling_and_warm_up.warm_up(scaled, steps)))  # noqa: S301 — our own
    factors = [warm_up(step) for step in (0, steps // 2, steps - 1, 10 * steps)]
    assert factors == sorted(factors)
    assert factors[2] == pytest.approx(1)
    assert factors[3] == pytest.approx(1)
    assert min(0.1, scaled.lr) - 1e-9 <= scaled.lr * factors[0] <= scaled.lr + 1e-9


def test_a_warm_up_takes_at_least_one_step():
    with pytest.raises(BadInput, match="0 steps"):
        TrainingRun(plan(), NO_GPU).warm_up(0)
