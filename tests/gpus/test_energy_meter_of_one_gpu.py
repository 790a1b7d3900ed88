"""Measured energy against the true energy of the C library, on a clock that the test moves."""

import random

import pytest
from lease_helpers import manager_of, this_process

from zeus_ray.gpus.energy.energy_meter_of_one_gpu import EnergyMeter
from zeus_ray.gpus.nvml import NvmlGpu

Draw = random.Random  # noqa: S311 — random numbers for trying, not for secrets
SLOW = {"refresh_ms": 100, "latency_us": 200}


@pytest.fixture
def metered(make_node):
    def make(card="V100", **knobs):
        node = make_node(card, **knobs)
        node.stop_clock()
        node.advance(Draw(card).random())  # some phase of the counter
        meter = EnergyMeter(NvmlGpu(node.uuids[0], clock=node.now_s), pause=node.advance)
        meter.learn(meter.watch())
        return node, meter

    return make


def spend(node, meter, seconds, step_s=0.25):
    """Let time pass as in an actor: sample, and watch the counter."""
    while seconds > 1e-9:
        node.advance(min(step_s, seconds))
        seconds -= step_s
        meter.learn(meter.watch())
        meter.sample(meter._gpu.power_w())


def window(node, meter, seconds, busy=None):
    """(measured, true, stated error bound) of a window (J)."""
    begin, true_j = meter.read(), node.true_energy_j()
    (busy or spend)(node, meter, seconds)
    end = meter.read()
    return end.energy_j - begin.energy_j, node.true_energy_j() - true_j, begin.err_j + end.err_j


def naive_error(node, gpu, seconds):
    begin_j, true_j = gpu.energy_j(), node.true_energy_j()
    node.advance(seconds)
    spent_j = node.true_energy_j() - true_j
    return abs(gpu.energy_j() - begin_j - spent_j) / spent_j


def test_windows_of_two_seconds_are_within_one_percent(metered):
    node, meter = metered(**SLOW)
    node.load(1)
    draw, errors = Draw(1), []
    for _ in range(100):
        spend(node, meter, draw.uniform(0, 0.5))
        measured_j, true_j, err_j = window(node, meter, draw.uniform(2, 3))
        assert abs(measured_j - true_j) <= err_j
        errors.append(abs(measured_j - true_j) / true_j)
    assert max(errors) < 0.01
    naive = sorted(naive_error(node, meter._gpu, draw.uniform(2, 3)) for _ in range(100))
    assert naive[50] > 5 * sorted(errors)[50]  # by the interpolation


def test_short_windows_are_within_their_own_bound(metered):
    node, meter = metered(**SLOW)
    draw = Draw(2)
    for _ in range(200):
        node.load(draw.random())
        spend(node, meter, draw.uniform(0, 0.5))
        measured_j, true_j, err_j = window(node, meter, draw.uniform(0.01, 0.5))
        assert abs(measured_j - true_j) <= err_j


def test_a_process_that_waits_for_a_processor_measures_within_the_bound(metered):
    """It may wait between reading the clock and the counter, for longer than a period of the counter."""
    node, meter = metered(**SLOW)
    node.load(1)
    draw, read = Draw(7), meter._gpu.energy_j

    def late():
        if draw.random() < 0.3:
            node.advance(draw.uniform(0, 0.25))
        return read()

    meter._gpu.energy_j = late
    for _ in range(200):
        before, begin = (node.now_s(), node.true_energy_j()), meter.read()
        power_w = (node.true_energy_j() - before[1]) / max(1e-9, node.now_s() - before[0])
        begin_j = before[1] + power_w * (begin.at_s - before[0])  # the true energy at the time of the reading
        spend(node, meter, draw.uniform(0.5, 3))
        before, end = (node.now_s(), node.true_energy_j()), meter.read()
        power_w = (node.true_energy_j() - before[1]) / max(1e-9, node.now_s() - before[0])
        true_j = before[1] + power_w * (end.at_s - before[0]) - begin_j
        assert abs(end.energy_j - begin.energy_j - true_j) <= begin.err_j + end.err_j + 1e-6


def test_jumps_of_the_load_are_within_the_bound(metered):
    node, meter = metered(**SLOW)
    draw = Draw(3)

    def jumpy(node, meter, seconds):
        while seconds > 0:
            node.load(draw.choice([0, 0.5, 1]))
            step_s = draw.uniform(0.01, 0.4)
            spend(node, meter, step_s)
            seconds -= step_s

    for _ in range(40):
        measured_j, true_j, err_j = window(node, meter, 2, jumpy)
        assert abs(measured_j - true_j) <= err_j


def test_a_continuous_counter_is_not_interpolated(metered):
    node, meter = metered()
    node.load(1)
    measured_j, true_j, err_j = window(node, meter, 0.5)
    assert measured_j == pytest.approx(true_j, abs=0.01)
    assert err_j == 0


def test_power_is_integrated_without_a_counter(metered):
    node, meter = metered(no_energy=1)
    draw = Draw(4)
    assert meter.integrates
    for _ in range(20):
        node.load(draw.random())
        meter.read()
        measured_j, true_j, _ = window(node, meter, draw.uniform(2, 5))
        assert measured_j == pytest.approx(true_j, rel=0.01)


def test_changes_between_samples_are_within_the_bound_of_the_integral(metered):
    node, meter = metered(no_energy=1)
    draw = Draw(5)
    begin, true_j = meter.read(), node.true_energy_j()
    for _ in range(50):
        spend(node, meter, 0.25)
        node.advance(draw.uniform(0, 0.25))
        node.load(draw.random())
        node.advance(draw.uniform(0, 0.25))
        meter.sample(meter._gpu.power_w())
    end = meter.read()
    off_j = abs(end.energy_j - begin.energy_j - (node.true_energy_j() - true_j))
    assert 0 < off_j <= end.err_j


def test_a_stalled_counter_is_replaced_by_the_integral_of_power(metered):
    node, meter = metered(**SLOW)
    node.load(1)
    node.gpus[0].stuck = 1
    measured_j, true_j, _ = window(node, meter, 10)
    assert measured_j == pytest.approx(true_j, rel=0.03)
    node.gpus[0].stuck = 0
    measured_j, true_j, _ = window(node, meter, 10)
    assert measured_j == pytest.approx(true_j, rel=0.03)


def test_energy_never_falls(metered):
    node, meter = metered(**SLOW)
    draw, last_j = Draw(6), 0.0
    for step in range(300):
        node.load(draw.random())
        node.advance(draw.uniform(0, 0.2))
        if step % 50 == 49:
            node.reload_driver()
        now_j = meter.read().energy_j
        assert now_j >= last_j
        last_j = now_j


def test_a_power_reading_that_times_out_loses_no_energy(metered):
    node, meter = metered(**SLOW)
    node.load(1)
    spend(node, meter, 10)
    node.gpus[0].refuse_reads = 3
    measured_j, true_j, _ = window(node, meter, 2, lambda node, _meter, seconds: node.advance(seconds))
    assert measured_j == pytest.approx(true_j, rel=0.02)


def test_the_energy_of_a_shared_gpu_is_divided(make_node):
    node = make_node()
    node.stop_clock()
    node.load(1)
    manager = manager_of(node)
    begin_j = node.true_energy_j()
    first = manager.acquire(this_process("first")).lease_id
    node.advance(10)
    second = manager.acquire(this_process("second")).lease_id
    node.advance(10)
    ended = manager.release(first)
    node.advance(10)
    last = manager.release(second)
    assert ended.energy_j == pytest.approx(285 * 15, rel=0.01)
    assert last.energy_j == pytest.approx(285 * 15, rel=0.01)
    assert ended.energy_j + last.energy_j <= (node.true_energy_j() - begin_j) * (1 + 1e-6)


def test_windows_nest_and_overlap(make_node):
    """A window is two readings of one lease; any number may be open at once."""
    node = make_node()
    node.stop_clock()
    node.load(1)
    manager = manager_of(node)
    lease_id = manager.acquire(this_process("trial")).lease_id
    readings_j = []
    for _ in range(4):
        node.advance(5)
        readings_j.append(manager.read(lease_id).energy_j)
    a, b, c, d = readings_j
    assert c - a == pytest.approx(d - b, rel=1e-3)
    assert d - a == pytest.approx((b - a) + (c - b) + (d - c))


def test_a_meter_continues_from_the_last_reading_of_another(metered):
    node, meter = metered(**SLOW)
    node.load(1)
    spend(node, meter, 5)
    for reload_driver in (False, True, False):
        last, true_j = meter.read(), node.true_energy_j()
        if reload_driver:
            node.reload_driver()
            node.advance(1)
        meter = EnergyMeter(meter._gpu, pause=node.advance)  # before the next update of the counter
        meter.learn(meter.watch())
        meter.resume(last)
        spend(node, meter, 5)
        spent_j = meter.read().energy_j - last.energy_j
        assert spent_j == pytest.approx(node.true_energy_j() - true_j, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("jump_j", [None, -1.0, -1e3, 1e3, 1e6])
def test_a_counter_that_is_reset_or_jumps_is_replaced_within_the_stated_bound(metered, jump_j):
    """At any moment, with a load that changes; ``None``: a reset."""
    node, meter = metered(**SLOW)
    draw = Draw(7)
    spend(node, meter, 2)
    for _ in range(30):
        begin, true_j = meter.read(), node.true_energy_j()
        at = draw.uniform(0, 3)
        for step in range(12):
            node.load(draw.random())
            node.advance(draw.uniform(0.2, 0.3))
            meter.sample(meter._gpu.power_w())
            if at is not None and step * 0.25 > at:
                at = node.reload_driver() if jump_j is None else node.jump_counter(jump_j)
                node.advance(draw.uniform(0, 0.1))
            meter.check_counter()
            meter.learn(meter.watch())
        end, true_j = meter.read(), node.true_energy_j() - true_j
        bound_j = begin.err_j + end.err_j + end.drift_j - begin.drift_j
        assert abs(end.energy_j - begin.energy_j - true_j) <= max(bound_j, 0.01 * true_j)
