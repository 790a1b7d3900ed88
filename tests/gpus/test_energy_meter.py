"""Joules against the library's own truth, on a clock that only the test moves."""

import random

import pytest

from zeus_ray.gpus.energy.energy_meter import EnergyMeter
from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess

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
    """Let time pass as an actor does: sampling, and watching the counter now and then."""
    while seconds > 1e-9:
        node.advance(min(step_s, seconds))
        seconds -= step_s
        meter.learn(meter.watch())
        meter.sample(meter._gpu.power_w())


def window(node, meter, seconds, busy=None):
    """(measured, true, stated error bound) of a window, in joules."""
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
    assert naive[50] > 5 * sorted(errors)[50]  # it is the interpolation that does it


def test_short_windows_are_within_their_own_bound(metered):
    node, meter = metered(**SLOW)
    draw = Draw(2)
    for _ in range(200):
        node.load(draw.random())
        spend(node, meter, draw.uniform(0, 0.5))
        measured_j, true_j, err_j = window(node, meter, draw.uniform(0.01, 0.5))
        assert abs(measured_j - true_j) <= err_j


def test_a_load_that_jumps_is_within_the_bound(metered):
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


def test_a_counter_without_steps_is_taken_as_it_is(metered):
    node, meter = metered()
    node.load(1)
    measured_j, true_j, err_j = window(node, meter, 0.5)
    assert measured_j == pytest.approx(true_j, abs=0.01)
    assert err_j == 0


def test_power_is_integrated_where_there_is_no_counter(metered):
    node, meter = metered(no_energy=1)
    draw = Draw(4)
    assert meter.integrates
    for _ in range(20):
        node.load(draw.random())
        meter.read()
        measured_j, true_j, _ = window(node, meter, draw.uniform(2, 5))
        assert measured_j == pytest.approx(true_j, rel=0.01)


def test_a_load_that_changes_between_samples_is_within_the_integrals_bound(metered):
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


def test_a_counter_that_stands_still_is_replaced_by_power(metered):
    node, meter = metered(**SLOW)
    node.load(1)
    node.boards[0].stuck = 1
    measured_j, true_j, _ = window(node, meter, 10)
    assert measured_j == pytest.approx(true_j, rel=0.03)
    node.boards[0].stuck = 0
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


def test_power_that_times_out_costs_no_joule(metered):
    node, meter = metered(**SLOW)
    node.load(1)
    spend(node, meter, 10)
    node.boards[0].refuse_reads = 3
    measured_j, true_j, _ = window(node, meter, 2, lambda node, _meter, seconds: node.advance(seconds))
    assert measured_j == pytest.approx(true_j, rel=0.02)


def test_a_shared_board_is_shared_out(make_node):
    node = make_node()
    node.stop_clock()
    node.load(1)
    gpu = NvmlGpu(node.uuids[0], clock=node.now_s)
    keeper = LeaseManager(gpu, sample_every_s=None, guarded=False, pause=node.advance)
    begin_j = node.true_energy_j()
    first = keeper.acquire(HolderProcess.current("first")).lease_id
    node.advance(10)
    second = keeper.acquire(HolderProcess.current("second")).lease_id
    node.advance(10)
    ended = keeper.release(first)
    node.advance(10)
    last = keeper.release(second)
    assert ended.energy_j == pytest.approx(285 * 15, rel=0.01)
    assert last.energy_j == pytest.approx(285 * 15, rel=0.01)
    assert ended.energy_j + last.energy_j <= (node.true_energy_j() - begin_j) * (1 + 1e-6)


def test_windows_nest_and_overlap(make_node):
    """Two readings of one lease are a window; any number may be open at once."""
    node = make_node()
    node.stop_clock()
    node.load(1)
    keeper = LeaseManager(
        NvmlGpu(node.uuids[0], clock=node.now_s), sample_every_s=None, guarded=False, pause=node.advance
    )
    lease_id = keeper.acquire(HolderProcess.current("trial")).lease_id
    edges = []
    for _ in range(4):
        node.advance(5)
        edges.append(keeper.read(lease_id).energy_j)
    a, b, c, d = edges
    assert c - a == pytest.approx(d - b, rel=1e-3)
    assert d - a == pytest.approx((b - a) + (c - b) + (d - c))


def test_a_meter_goes_on_where_another_stood(metered):
    node, meter = metered(**SLOW)
    node.load(1)
    spend(node, meter, 5)
    for reload_driver in (False, True, False):
        mark, true_j = meter.read(), node.true_energy_j()
        if reload_driver:
            node.reload_driver()
            node.advance(1)
        meter = EnergyMeter(meter._gpu, pause=node.advance)  # the next tick has not come yet
        meter.learn(meter.watch())
        meter.resume(mark)
        spend(node, meter, 5)
        spent_j = meter.read().energy_j - mark.energy_j
        assert spent_j == pytest.approx(node.true_energy_j() - true_j, rel=0.01)
