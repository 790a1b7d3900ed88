"""Chase's rule: the higher the intensity, the lower the limit."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeus_ray.carbon.planning.chase import Chase, interpolate_profile
from zeus_ray.errors import BadInput
from zeus_ray.records import PowerProfile

PROFILE = PowerProfile(
    batch_size=32,
    gpu="V100",
    max_power_w=250,
    points=((250, 240, 10.0), (200, 190, 10.6), (150, 143, 12.0), (100, 95, 17.0)),
)


def rate(limit_w, intensity, eta):
    """The published fraction, computed independently."""
    power_w = np.interp(limit_w, [100, 150, 200, 250], [95, 143, 190, 240])
    time_s = np.interp(limit_w, [100, 150, 200, 250], [17.0, 12.0, 10.6, 10.0])
    return (eta * power_w * intensity + (1 - eta) * 250 * 800) * time_s


@settings(deadline=None)
@given(intensity=st.floats(0, 800), eta=st.floats(0, 1))
def test_the_limit_is_the_best_of_all_steps_of_5_w(intensity, eta):
    chosen = Chase(eta=eta).limit_w(PROFILE, intensity, 800)
    cheapest = min(rate(w, intensity, eta) for w in range(100, 251, 5))
    assert chosen % 5 == 0
    assert rate(chosen, intensity, eta) <= cheapest * (1 + 1e-9)


@settings(deadline=None)
@given(a=st.floats(0, 800), b=st.floats(0, 800), eta=st.floats(0, 1))
def test_a_higher_intensity_never_raises_the_limit(a, b, eta):
    low, high = sorted((a, b))
    rule = Chase(eta=eta)
    assert rule.limit_w(PROFILE, high, 800) <= rule.limit_w(PROFILE, low, 800)


def test_with_time_alone_the_limit_is_the_fastest():
    assert Chase(eta=0).limit_w(PROFILE, 500, 800) == 250


def test_with_carbon_alone_the_intensity_does_not_matter():
    assert Chase(eta=1).limit_w(PROFILE, 10, 800) == Chase(eta=1).limit_w(PROFILE, 790, 800)


def test_an_unknown_intensity_counts_as_the_highest():
    rule = Chase(eta=0.7)
    assert rule.limit_w(PROFILE, math.nan, 800) == rule.limit_w(PROFILE, 800, 800)
    assert rule.limit_w(PROFILE, math.nan, math.nan) == rule.limit_w(PROFILE, 1, 1)


def test_the_interpolation_stays_within_the_measured_limits():
    limits_w, power_w, speed = interpolate_profile(PROFILE, 60)
    assert limits_w == pytest.approx([100, 160, 220])
    assert power_w[0] == 95
    assert speed[0] == pytest.approx(1 / 17)


@pytest.mark.parametrize("wrong", [{"eta": 2}, {"eta": math.nan}, {"step_w": 0}, {"every_s": -1}])
def test_impossible_arguments_are_refused(wrong):
    with pytest.raises(BadInput):
        Chase(**wrong)


def test_a_profile_without_points_is_refused():
    empty = PowerProfile(batch_size=1, gpu="", max_power_w=250, points=((200, math.nan, 1.0),))
    with pytest.raises(BadInput, match="no usable point"):
        Chase().limit_w(empty, 1, 1)
