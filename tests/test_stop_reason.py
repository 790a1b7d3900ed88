"""The one rule that says why a run ends, for the driver and the trial."""

import math

import pytest

from zeus_ray.objective import stop_reason
from zeus_ray.records import StopReason

LIMITS = {"max_epochs": 10, "cost_cap": 100.0}


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        ({}, None),
        ({"epochs": 9.9, "cost": 99.9}, None),
        ({"epochs": math.nan, "cost": math.nan}, None),
        ({"epochs": 10}, StopReason.MAX_EPOCHS),
        ({"cost": 100.0}, StopReason.COST_CAP),
        ({"cost": 0.0, "cost_cap": 0.0}, StopReason.PROFILED),
        ({"reached": True, "epochs": 10, "cost": 100.0}, StopReason.TARGET_REACHED),
        ({"epochs": 10, "cost": 100.0}, StopReason.MAX_EPOCHS),
        ({"epochs": math.inf, "cost": math.inf, "max_epochs": math.nan, "cost_cap": math.nan}, None),
    ],
)
def test_a_run_ends_at_its_target_its_last_epoch_or_its_cost_cap(run, reason):
    assert stop_reason(**{**LIMITS, **run}) == reason


def test_without_limits_nothing_but_the_target_ends_a_run():
    assert stop_reason(epochs=1e9, cost=1e9) is None
    assert stop_reason(reached=True) == StopReason.TARGET_REACHED
