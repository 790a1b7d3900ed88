import math

import pytest

from zeus_ray.errors import BadInput
from zeus_ray.training.online_limit.load_change_detector import ChangeTest
from zeus_ray.training.online_limit.steps_to_rank_window import StepRecorder, outliers

STEADY = [0.1] * 20


@pytest.mark.parametrize(
    ("times", "marked"),
    [
        (STEADY, 0),
        ([*STEADY, 5.0], 1),  # a checkpoint
        ([*STEADY, 0.16, 0.3], 2),  # garbage collection
        ([*STEADY, 0.14], 0),  # ordinary scatter
        ([0.1, 0.1, 0.1, 0.3] * 5, 0),  # every fourth step is a long one: that is the load
        ([0.1, 0.1, 9.0], 1),
    ],
)
def test_only_rare_slow_steps_are_outliers(times, marked):
    assert sum(outliers(times)) == marked


def recorded(times, watts, *, every=5, interrupt_at=None):
    recorder, energy = StepRecorder(units=2.0), 100.0
    recorder.begin(energy)
    for number, (time_s, power_w) in enumerate(zip(times, watts, strict=True), 1):
        recorder.step(time_s)
        energy += time_s * power_w
        if number == interrupt_at:
            recorder.interrupt()
        if number % every == 0:
            recorder.mark(energy)
    return recorder.finish(energy, settling_s=1.0, settling_units=4.0)


def test_a_window_has_seconds_per_unit_power_and_totals():
    window = recorded(STEADY, [200.0] * 20)
    assert window.unit_s == pytest.approx(0.05)
    assert window.power_w == pytest.approx(200)
    assert (window.units, window.wall_s, window.clean) == pytest.approx((44, 3.0, 1))


def test_a_checkpoint_is_left_out_of_time_and_power():
    window = recorded([*STEADY[:7], 6.0, *STEADY[8:]], [200.0] * 7 + [50.0] + [200.0] * 12)
    assert window.unit_s == pytest.approx(0.05)
    assert window.power_w == pytest.approx(200)
    assert window.clean < 0.5


def test_power_around_an_interruption_does_not_count():
    watts = [200.0] * 5 + [80.0] * 5 + [200.0] * 10
    assert recorded(STEADY, watts, interrupt_at=6).power_w == pytest.approx(200)


def test_outliers_in_every_stretch_leave_the_power_of_all():
    """Fast steps of which each hundredth is held up: the energy is known all the same."""
    window = recorded(([0.01] * 9 + [0.1]) * 10, [200.0] * 100, every=10)
    assert window.power_w == pytest.approx(200)
    assert window.unit_s == pytest.approx(0.005)
    assert window.clean == pytest.approx(0.9 / 1.9)


def test_unknown_energy_leaves_the_time():
    window = recorded(STEADY, [math.nan] * 20)
    assert math.isnan(window.power_w)
    assert (window.unit_s, window.clean) == pytest.approx((0.05, 1))


def test_a_window_without_steps_says_nothing():
    window = StepRecorder().finish()
    assert math.isnan(window.unit_s)
    assert window.clean == 0


def test_steps_of_different_sizes_are_counted_by_their_units():
    recorder = StepRecorder()
    for tokens in (100, 200, 300, 200):
        recorder.sized_step(tokens / 1000, tokens)
    window = recorder.finish()
    assert window.unit_s == pytest.approx(0.001)
    assert window.units == 800


def test_a_step_without_work_is_refused():
    with pytest.raises(BadInput, match="more than 0"):
        StepRecorder(units=0)


@pytest.mark.parametrize(
    ("deviations", "change"),
    [
        ([0.005, -0.005] * 50, 0),
        ([0.009] * 200, 0),  # within the slack
        ([0.0, 0.3, 0.0, 0.0], 0),  # one disturbed block
        ([0.0, 0.1, 0.1], 0.1),
        ([0.0, -0.2, -0.2], -0.2),
        ([math.nan] * 5, 0),
    ],
)
def test_a_change_needs_more_than_one_block(deviations, change):
    test = ChangeTest()
    found = [test.update(d, 0.005, slack=0.01, threshold=5) for d in deviations]
    assert max(found, key=abs) == pytest.approx(change)
