"""The mean day, and how the latest error fades."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeus_ray.carbon.series import Series
from zeus_ray.carbon.usual import Usual

DAY = 100 + 50 * np.sin(2 * np.pi * np.arange(24) / 24)


def days(*factors, step_s=3600.0):
    return Series(0.0, step_s, np.concatenate([DAY * f for f in factors]))


def test_equal_days_go_on_for_ever():
    ahead = Usual().forecast(days(1, 1, 1), 48 * 3600.0)
    assert ahead.start_s == 3 * 86400
    assert ahead.values == pytest.approx(np.tile(DAY, 2))


def test_only_the_last_days_count():
    assert Usual(days=2).forecast(days(9, 1, 1), 24 * 3600.0).values == pytest.approx(DAY)


def test_an_error_fades():
    history = days(1, 1)
    history.values[-1] += 10  # against a mean day that is 5 higher for it
    ahead = Usual(fades_s=3600.0).forecast(history, 24 * 3600.0).values
    assert ahead[:3] - DAY[:3] == pytest.approx(5 * np.exp([-1.0, -2.0, -3.0]))
    assert ahead[23] == pytest.approx(DAY[23] + 5)  # the mean day remembers


def test_its_doubt_is_how_far_days_differ():
    doubt = Usual().doubt(days(0.9, 1.1), 30 * 3600.0)
    assert doubt.spread.start_s == 2 * 86400
    assert doubt.spread.values == pytest.approx(0.1 * np.tile(DAY, 2)[:30])
    assert not Usual().doubt(Series(0.0, 3600.0, np.ones(5)), 7200.0).spread.values.any()


def test_less_than_a_day_is_persistence():
    assert Usual().forecast(Series(0.0, 3600.0, np.array([1.0, 2, 3])), 7200.0).values == pytest.approx(
        [3, 3]
    )


@settings(deadline=None)
@given(
    values=st.lists(st.one_of(st.just(math.nan), st.floats(0, 1000)), max_size=120),
    step_s=st.sampled_from([1800.0, 3600.0, 7000.0, 90_000.0]),
)
def test_any_history_gives_numbers_if_anything_is_known(values, step_s):
    history = Series(5.0, step_s, np.array(values, dtype=float))
    ahead = Usual().forecast(history, 36 * 3600.0)
    assert ahead.start_s == history.end_s
    assert len(ahead) >= 36 * 3600.0 / step_s
    assert np.isfinite(ahead.values).all() == (not all(math.isnan(v) for v in values))
