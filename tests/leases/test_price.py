"""What a lease's energy cost when it was used: charged evenly, shared, and remembered across a restart."""

import math

import pytest

from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.records import EmissionsConfig, from_json, to_json

HOUR_S = 3600.0


def times(factor, **options):
    return to_json(EmissionsConfig(signal=str(factor), **options))


def cleaner_each_hour(footprint, energy_j, from_s, to_s):
    """The nth hour costs 1/n grams (or money) per joule, times the number that is the signal."""
    return (
        float(from_json(EmissionsConfig, footprint).signal) * energy_j / (1 + (from_s + to_s) / 2 // HOUR_S)
    )


def keeper_of(node, began_s):
    return LeaseManager(
        NvmlGpu(node.uuids[0], clock=node.now_s),
        sample_every_s=None,
        guarded=False,
        pause=node.advance,
        price=cleaner_each_hour,
        wall=lambda: node.now_s() - began_s,
    )


@pytest.fixture
def node(make_node):
    node = make_node("V100")
    node.stop_clock()
    return node


def work(node, keeper, hours, share):
    """Draw power, while the keeper looks now and then as its sampler would. Returns the joules."""
    before_j = node.true_energy_j()
    node.load(share)
    for _ in range(round(hours * HOUR_S / 100)):
        node.advance(100)
        keeper.sample()
    return node.true_energy_j() - before_j


def test_energy_costs_what_it_costs_when_it_is_drawn(node):
    keeper = keeper_of(node, node.now_s())
    lease = keeper.acquire(HolderProcess.current("trial"), emissions=times(2))
    first_j = work(node, keeper, 1, 1.0)
    second_j = work(node, keeper, 1, 0.3)
    assert second_j < first_j / 2
    last = keeper.release(lease.lease_id)
    assert last.carbon_g == pytest.approx(2 * (first_j + second_j / 2), rel=5e-3)
    assert last.energy_j == pytest.approx(first_j + second_j, rel=5e-3)


def test_two_on_a_board_pay_half_each(node):
    keeper = keeper_of(node, node.now_s())
    one, two = (keeper.acquire(HolderProcess.current(name), emissions=times(1)) for name in ("a", "b"))
    joules = work(node, keeper, 1, 1.0)
    for lease in (one, two):
        assert keeper.read(lease.lease_id).carbon_g == pytest.approx(joules / 2, rel=5e-3)


def test_money_is_a_price_and_never_grams(node):
    keeper = keeper_of(node, node.now_s())
    lease = keeper.acquire(HolderProcess.current("trial"), emissions=times(2, unit="EUR/kWh"))
    joules = work(node, keeper, 1, 1.0)
    reading = keeper.release(lease.lease_id)
    assert math.isnan(reading.carbon_g)
    assert reading.price == pytest.approx(2 * joules, rel=5e-3)


def test_without_a_footprint_nothing_is_known(node):
    keeper = keeper_of(node, node.now_s())
    lease = keeper.acquire(HolderProcess.current("trial"))
    assert math.isnan(keeper.read(lease.lease_id).carbon_g)


@pytest.mark.parametrize("control", ["auto", "off"])
def test_a_keeper_after_this_one_goes_on_counting(node, control):
    began_s = node.now_s()
    keeper = keeper_of(node, began_s)
    lease = keeper.acquire(HolderProcess.current("trial"), control=control, emissions=times(1))
    first_j = work(node, keeper, 1, 1.0)
    keeper._claims._custody.leave()  # as if its process were gone: the kernel lets go of its locks
    keeper._claims._notes.leave()
    keeper = keeper_of(node, began_s)
    second_j = work(node, keeper, 1, 1.0)
    assert keeper.release(lease.lease_id).carbon_g == pytest.approx(first_j + second_j / 2, rel=5e-3)
