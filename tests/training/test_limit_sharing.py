import pytest

from zeus_ray.training.online_limit.pipeline_stage_limits import StageCurve, share_limits

LIMITS = (300.0, 250.0, 200.0, 150.0)
SLOWS = (1.0, 1.04, 1.12, 1.3)
POWER = (280.0, 240.0, 190.0, 145.0)


def stage(busy_s, gpus=1):
    busy = tuple(busy_s * s for s in SLOWS)
    return StageCurve(gpus=gpus, busy_s=busy, power_w=POWER, step_s=SLOWS)


@pytest.mark.parametrize(
    ("busy", "eta", "chosen"),
    [
        ((1.0, 1.0), 0.0, (300, 300)),  # equal stages, time alone
        ((1.0, 0.7), 0.0, (300, 150)),  # the light stage slows down as far as it may
        ((0.85, 1.0), 0.0, (200, 300)),
        ((1.0, 1.0), 1.0, (150, 150)),  # energy alone
    ],
)
def test_the_slowest_stage_keeps_its_speed(busy, eta, chosen):
    best = share_limits([stage(b) for b in busy], LIMITS, eta=eta, max_power_w=300)
    assert tuple(LIMITS[k] for k in best) == chosen


def test_a_power_budget_goes_to_the_slowest_stage():
    best = share_limits([stage(1.0), stage(0.7)], LIMITS, eta=0, max_power_w=300, power_budget_w=400)
    assert tuple(LIMITS[k] for k in best) == (250, 150)


def test_no_combination_within_the_budget():
    assert share_limits([stage(1.0)] * 2, LIMITS, eta=0, max_power_w=300, power_budget_w=299) is None


def test_a_slow_down_bound_holds():
    best = share_limits([stage(1.0), stage(0.9)], LIMITS, eta=1, max_power_w=300, max_unit_s=1.05)
    assert max(SLOWS[best[0]], 0.9 * SLOWS[best[1]]) <= 1.05
