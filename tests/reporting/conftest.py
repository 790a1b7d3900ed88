"""Trials of an invented search."""

import math

import pytest

from zeus_ray.reporting.trials_from_result import TrialSummary


def make(batch_size, energy_j, time_s, *, reached=True, limit_w=150.0, **fields):
    cost = fields.pop("cost", energy_j)
    return TrialSummary(
        **{
            "trial_id": f"t{batch_size}",
            "batch_size": batch_size,
            "power_limit_w": limit_w,
            "epochs": 12.5,
            "metric": 0.97,
            "metric_name": "accuracy",
            "energy_j": energy_j,
            "time_s": time_s,
            "cost": cost,
            "cost_to_target": cost if reached else math.nan,
            "average_power_w": energy_j / time_s,
            "target_reached": reached,
            "stop_reason": "target reached" if reached else "cost cap",
            "gpu": "simulated V100",
            "measured_by": "simulated",
            **fields,
        }
    )


@pytest.fixture
def trial():
    return make


@pytest.fixture
def search():
    return [
        make(1024, 9_000, 300, reached=False, limit_w=175.0),
        make(32, 40_000, 600, is_baseline=True, limit_w=250.0),
        make(64, 30_000, 480, limit_w=125.0),
        make(128, 36_000, 450),
    ]
