"""Carbon-aware limits: they follow the signal once an interval, only for leases that ask for it."""

import math

import pytest
from lease_helpers import crash, manager_of, this_process

from zeus_ray.gpus.simulated_gpu import SimulatedGpu
from zeus_ray.gpus.simulated_power_and_time import card
from zeus_ray.leases.carbon_aware_lease_manager import CarbonAwareLeaseManager
from zeus_ray.records import EmissionsConfig, PowerProfile, to_json

HOUR_S = 3600.0
START_S = 1_640_995_200.0  # 2022
PROFILE = PowerProfile(
    batch_size=256,
    gpu="simulated V100",
    max_power_w=250,
    points=((250, 240, 10.0), (200, 190, 10.8), (150, 143, 12.5), (100, 95, 18.0)),
)


class Wall:
    """A wall clock that the test sets."""

    def __init__(self):
        self.now_s = START_S

    def __call__(self):
        return self.now_s


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def manager(wall):
    return CarbonAwareLeaseManager(SimulatedGpu(card("V100")), wall=wall, watchdog=False)


@pytest.fixture
def grid(tmp_path):
    """A signal that alternates between low and high every hour of a day."""
    rows = [f"2022-01-01T{h:02}:00Z,{800 if h % 2 else 50}" for h in range(24)]
    path = tmp_path / "grid.csv"
    path.write_text("\n".join(["timestamp,carbon_intensity", *rows]))
    return f"csv:{path}"


def lease_of(manager, emissions, **options):
    return manager.acquire(this_process("trial"), emissions=to_json(emissions), **options).lease_id


def test_the_limit_follows_the_signal_once_an_interval(manager, wall, grid):
    lease_id = lease_of(manager, EmissionsConfig(signal=grid, eta=0.8, every_s=HOUR_S))
    clean_w = manager.follow(lease_id, to_json(PROFILE)).power_limit_w
    wall.now_s += 0.9 * HOUR_S
    manager.look()
    assert manager.read(lease_id).power_limit_w == clean_w
    limits = []
    for _ in range(4):
        wall.now_s += HOUR_S
        manager.look()
        manager.look()
        limits.append(manager.read(lease_id).power_limit_w)
    dirty_w = limits[0]
    assert dirty_w < clean_w
    assert limits == [dirty_w, clean_w, dirty_w, clean_w]
    assert manager.release(lease_id).power_limit_w == clean_w
    manager.look()
    assert manager._gpu.enforced_limit_w() == 250  # the original limit


def test_the_signals_clock_can_run_faster(manager, wall, grid):
    emissions = EmissionsConfig(signal=grid, eta=0.8, every_s=HOUR_S, clock=(START_S, START_S, HOUR_S))
    lease_id = lease_of(manager, emissions)
    clean_w = manager.follow(lease_id, to_json(PROFILE)).power_limit_w
    wall.now_s += 1.0  # an hour in the signal
    manager.look()
    assert manager.read(lease_id).power_limit_w < clean_w


def test_the_next_manager_follows_the_signal_as_well(make_node, wall, grid):
    node = make_node()

    def new_manager():
        return manager_of(node, kind=CarbonAwareLeaseManager, wall=wall)

    first = new_manager()
    lease_id = lease_of(first, EmissionsConfig(signal=grid, eta=0.8, every_s=HOUR_S))
    clean_w = first.follow(lease_id, to_json(PROFILE)).power_limit_w
    crash(first)
    second = new_manager()
    wall.now_s += HOUR_S
    second.look()
    assert second.read(lease_id).power_limit_w < clean_w
    second.release(lease_id)
    assert node.limits_w == [300]


def test_grams_are_the_integral_of_intensity_and_power(manager, wall, grid):
    lease_id = lease_of(manager, EmissionsConfig(signal=grid))
    for _ in range(4):
        wall.now_s += HOUR_S
        manager.load(lease_id, HOUR_S)
    reading = manager.read(lease_id)
    kwh = reading.energy_j / 3.6e6
    assert reading.carbon_g == pytest.approx(kwh * (50 + 800) / 2)


def test_without_eta_the_limit_does_not_follow(manager, wall, grid):
    lease_id = lease_of(manager, EmissionsConfig(signal=grid, eta=None))
    assert manager.follow(lease_id, to_json(PROFILE)).power_limit_w == 250
    wall.now_s += 5 * HOUR_S
    manager.look()
    assert manager.read(lease_id).power_limit_w == 250


def test_power_control_off_sets_no_carbon_aware_limit(manager, wall, grid):
    lease_id = lease_of(manager, EmissionsConfig(signal=grid, eta=1.0), control="off")
    assert manager.follow(lease_id, to_json(PROFILE)).power_limit_w == 250
    wall.now_s += 5 * HOUR_S
    manager.load(lease_id, HOUR_S)
    assert manager.read(lease_id).power_limit_w == 250
    assert manager.read(lease_id).carbon_g > 0


@pytest.mark.parametrize("signal", ["csv:/no/such/file", "nothing:1"])
def test_a_signal_that_cannot_be_opened_changes_no_limit(manager, signal):
    lease_id = lease_of(manager, EmissionsConfig(signal=signal, eta=1.0))
    reading = manager.follow(lease_id, to_json(PROFILE))
    assert reading.power_limit_w == 250
    assert math.isnan(reading.carbon_g)


def test_a_gpu_at_the_limit_of_another_lease_is_left_alone(manager, grid):
    first = manager.acquire(this_process("other"), 250).lease_id
    lease_id = lease_of(manager, EmissionsConfig(signal=grid, eta=1.0))
    assert manager.follow(lease_id, to_json(PROFILE)).power_limit_w == 250
    manager.release(first)
