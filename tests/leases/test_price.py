"""Emissions and price of a lease's energy: by the time of use, shared equally, continued after a restart."""

import math

import pytest
from lease_helpers import crash, manager_of, this_process

from zeus_ray.records import EmissionsConfig, from_json, to_json

HOUR_S = 3600.0
STEP_S = 300.0


def config(factor, **options):
    return to_json(EmissionsConfig(signal=str(factor), **options))


def falling_each_hour(emissions, energy_j, from_s, to_s):
    """The nth hour costs 1/n grams (or money) per joule, times the number that is the signal."""
    factor = float(from_json(EmissionsConfig, emissions).signal)
    return factor * energy_j / (1 + (from_s + to_s) / 2 // HOUR_S)


def pricing_manager(node, start_s):
    return manager_of(node, price=falling_each_hour, wall=lambda: node.now_s() - start_s)


@pytest.fixture
def node(make_node):
    node = make_node("V100")
    node.stop_clock()
    return node


def work(node, manager, hours, share):
    """Draw power, sampled as by the sampling thread. Returns the energy (J)."""
    before_j = node.true_energy_j()
    node.load(share)
    for _ in range(round(hours * HOUR_S / STEP_S)):
        node.advance(STEP_S)
        manager.sample()
    return node.true_energy_j() - before_j


@pytest.mark.slow
def test_energy_is_priced_when_it_is_drawn(node):
    manager = pricing_manager(node, node.now_s())
    lease = manager.acquire(this_process("trial"), emissions=config(2))
    first_j = work(node, manager, 1, 1.0)
    second_j = work(node, manager, 1, 0.3)
    assert second_j < first_j / 2
    last = manager.release(lease.lease_id)
    assert last.carbon_g == pytest.approx(2 * (first_j + second_j / 2), rel=5e-3)
    assert last.energy_j == pytest.approx(first_j + second_j, rel=5e-3)


def test_two_leases_pay_half_each(node):
    manager = pricing_manager(node, node.now_s())
    one, two = (manager.acquire(this_process(name), emissions=config(1)) for name in ("a", "b"))
    energy_j = work(node, manager, 1, 1.0)
    for lease in (one, two):
        assert manager.read(lease.lease_id).carbon_g == pytest.approx(energy_j / 2, rel=5e-3)


def test_without_emissions_the_reading_has_neither(node):
    manager = pricing_manager(node, node.now_s())
    lease = manager.acquire(this_process("trial"))
    reading = manager.read(lease.lease_id)
    assert math.isnan(reading.carbon_g)
    assert math.isnan(reading.price)


def test_a_price_is_never_reported_as_grams(node):
    manager = pricing_manager(node, node.now_s())
    lease = manager.acquire(this_process(), emissions=config(2, unit="EUR/kWh"))
    energy_j = work(node, manager, 1, 1.0)
    reading = manager.release(lease.lease_id)
    assert math.isnan(reading.carbon_g)
    assert reading.price == pytest.approx(2 * energy_j, rel=5e-3)


@pytest.mark.slow
@pytest.mark.parametrize("control", ["auto", "off"])
def test_the_next_manager_continues_the_amount(node, control):
    start_s = node.now_s()
    manager = pricing_manager(node, start_s)
    lease = manager.acquire(this_process("trial"), control=control, emissions=config(1))
    first_j = work(node, manager, 1, 1.0)
    crash(manager)
    manager = pricing_manager(node, start_s)
    second_j = work(node, manager, 1, 1.0)
    assert manager.release(lease.lease_id).carbon_g == pytest.approx(first_j + second_j / 2, rel=5e-3)
