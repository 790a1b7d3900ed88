"""The published rule: dirtier grid, lower limit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeus_ray.carbon.planning.chase import Chase, curve
from zeus_ray.errors import BadInput
from zeus_ray.records import PowerProfile

PROFILE = PowerProfile(
    batch_size=32,
    gpu="V100",
    max_power_w=250,
    points=((250, 240, 10.0), (200, 190, 10.6), (150, 143, 12.0), (100, 95, 17.0)),
)


def rate(limit_w, intensity, eta):
    """The published fraction, by hand."""
    power_w = np.interp(limit_w, [100, 150, 200, 250], [95, 143, 190, 240])
    time_s = np.interp(limit_w, [100, 150, 200, 250], [17.0, 12.0, 10.6, 10.0])
    return (eta * power_w * intensity + (1 - eta) * 250 * 800) * time_s


@settings(deadline=None)
@given(intensity=st.floats(0, 800), eta=st.floats(0, 1))
def test_it_is_the_cheapest_of_all_steps_of_five_watts(intensity, eta):
    chosen = Chase(eta=eta).limit_w(PROFILE, intensity, 800)
    cheapest = min(rate(w, intensity, eta) for w in range(100, 251, 5))
    assert chosen % 5 == 0
    assert rate(chosen, intensity, eta) <= cheapest * (1 + 1e-9)


@settings(deadline=None)
@given(a=st.floats(0, 800), b=st.floats(0, 800), eta=st.floats(0, 1))
def test_a_dirtier_grid_never_raises_the_limit(a, b, eta):
    clean, dirty = sorted((a, b))
    rule = Chase(eta=eta)
    assert rule.limit_w(PROFILE, dirty, 800) <= rule.limit_w(PROFILE, clean, 800)


def test_time_alone_runs_at_the_fastest_limit():
    assert Chase(eta=0).limit_w(PROFILE, 500, 800) == 250


def test_carbon_alone_does_not_look_at_the_grid():
    assert Chase(eta=1).limit_w(PROFILE, 10, 800) == Chase(eta=1).limit_w(PROFILE, 790, 800)


def test_an_unknown_intensity_is_the_dirtiest():
    rule = Chase(eta=0.7)
    assert rule.limit_w(PROFILE, math.nan, 800) == rule.limit_w(PROFILE, 800, 800)
    assert rule.limit_w(PROFILE, math.nan, math.nan) == rule.limit_w(PROFILE, 1, 1)


def test_the_curve_stays_within_what_was_measured():
    limits_w, power_w, speed = curve(PROFILE, 60)
    assert limits_w == pytest.approx([100, 160, 220])
    assert power_w[0] == 95
    assert speed[0] == pytest.approx(1 / 17)


@pytest.mark.parametrize("wrong", [{"eta": 2}, {"eta": math.nan}, {"step_w": 0}, {"every_s": -1}])
def test_what_cannot_be_followed_is_refused(wrong):
    with pytest.raises(BadInput):
        Chase(**wrong)


def test_a_profile_without_points_is_refused():
    empty = PowerProfile(batch_size=1, gpu="", max_power_w=250, points=((200, math.nan, 1.0),))
    with pytest.raises(BadInput, match="no usable point"):
        Chase().limit_w(empty, 1, 1)
