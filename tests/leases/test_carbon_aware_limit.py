"""A keeper whose limit follows the grid by itself: once an interval, never unasked."""

import math

import pytest

from zeus_ray.gpus.card_models import card
from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.gpus.simulated import SimulatedGpu
from zeus_ray.leases.carbon_aware_limit import CarbonAwareLeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.records import EmissionsConfig, PowerProfile, to_json

HOUR_S = 3600.0
BEGAN_S = 1_640_995_200.0  # 2022
PROFILE = PowerProfile(
    batch_size=256,
    gpu="simulated V100",
    max_power_w=250,
    points=((250, 240, 10.0), (200, 190, 10.8), (150, 143, 12.5), (100, 95, 18.0)),
)


class Wall:
    """A clock in our hands."""

    def __init__(self):
        self.now_s = BEGAN_S

    def __call__(self):
        return self.now_s


@pytest.fixture
def wall():
    return Wall()


@pytest.fixture
def chaser(wall):
    return CarbonAwareLeaseManager(SimulatedGpu(card("V100")), wall=wall, guarded=False)


@pytest.fixture
def grid(tmp_path):
    """A clean hour, a dirty one, and so on for a day."""
    rows = [f"2022-01-01T{h:02}:00Z,{800 if h % 2 else 50}" for h in range(24)]
    path = tmp_path / "grid.csv"
    path.write_text("\n".join(["timestamp,carbon_intensity", *rows]))
    return f"csv:{path}"


def lease_of(chaser, footprint, **options):
    return chaser.acquire(HolderProcess.current("trial"), emissions=to_json(footprint), **options).lease_id


def test_the_limit_follows_the_grid_once_an_interval(chaser, wall, grid):
    lease_id = lease_of(chaser, EmissionsConfig(signal=grid, eta=0.8, every_s=HOUR_S))
    clean_w = chaser.follow(lease_id, to_json(PROFILE)).power_limit_w
    wall.now_s += 0.9 * HOUR_S
    chaser.look()
    assert chaser.read(lease_id).power_limit_w == clean_w
    limits = []
    for _ in range(4):
        wall.now_s += HOUR_S
        chaser.look()
        chaser.look()
        limits.append(chaser.read(lease_id).power_limit_w)
    dirty_w = limits[0]
    assert dirty_w < clean_w
    assert limits == [dirty_w, clean_w, dirty_w, clean_w]
    assert chaser.release(lease_id).power_limit_w == clean_w
    chaser.look()
    assert chaser._gpu.enforced_limit_w() == 250  # as it was found


def test_a_fast_clock_is_the_grids_only(chaser, wall, grid):
    footprint = EmissionsConfig(signal=grid, eta=0.8, every_s=HOUR_S, clock=(BEGAN_S, BEGAN_S, HOUR_S))
    lease_id = lease_of(chaser, footprint)
    clean_w = chaser.follow(lease_id, to_json(PROFILE)).power_limit_w
    wall.now_s += 1.0  # an hour on the grid
    chaser.look()
    assert chaser.read(lease_id).power_limit_w < clean_w


def test_the_next_keeper_follows_on(make_node, wall, grid):
    node = make_node()

    def next_one():
        return CarbonAwareLeaseManager(NvmlGpu(node.uuids[0]), wall=wall, guarded=False, sample_every_s=None)

    dead = next_one()
    lease_id = lease_of(dead, EmissionsConfig(signal=grid, eta=0.8, every_s=HOUR_S))
    clean_w = dead.follow(lease_id, to_json(PROFILE)).power_limit_w
    dead._claims._custody._journal.unlock()  # as the kernel does when its process dies
    chaser = next_one()
    wall.now_s += HOUR_S
    chaser.look()
    assert chaser.read(lease_id).power_limit_w < clean_w
    chaser.release(lease_id)
    assert node.limits_w == [300]


def test_grams_are_the_integral_of_intensity_and_power(chaser, wall, grid):
    lease_id = lease_of(chaser, EmissionsConfig(signal=grid))
    for _ in range(4):
        wall.now_s += HOUR_S
        chaser.load(lease_id, HOUR_S)
    reading = chaser.read(lease_id)
    kwh = reading.energy_j / 3.6e6
    assert reading.carbon_g == pytest.approx(kwh * (50 + 800) / 2)


def test_nobody_follows_unasked(chaser, wall, grid):
    lease_id = lease_of(chaser, EmissionsConfig(signal=grid, eta=None))
    assert chaser.follow(lease_id, to_json(PROFILE)).power_limit_w == 250
    wall.now_s += 5 * HOUR_S
    chaser.look()
    assert chaser.read(lease_id).power_limit_w == 250


def test_power_control_off_holds_here_too(chaser, wall, grid):
    lease_id = lease_of(chaser, EmissionsConfig(signal=grid, eta=1.0), control="off")
    assert chaser.follow(lease_id, to_json(PROFILE)).power_limit_w == 250
    wall.now_s += 5 * HOUR_S
    chaser.load(lease_id, HOUR_S)
    assert chaser.read(lease_id).power_limit_w == 250
    assert chaser.read(lease_id).carbon_g > 0  # it is measured all the same


@pytest.mark.parametrize("signal", ["csv:/no/such/file", "nothing:1"])
def test_a_signal_that_cannot_be_opened_stops_nothing(chaser, signal):
    lease_id = lease_of(chaser, EmissionsConfig(signal=signal, eta=1.0))
    reading = chaser.follow(lease_id, to_json(PROFILE))
    assert reading.power_limit_w == 250
    assert math.isnan(reading.carbon_g)


def test_a_board_held_by_another_at_its_limit_is_left_alone(chaser, grid):
    first = chaser.acquire(HolderProcess.current("other"), 250).lease_id
    lease_id = lease_of(chaser, EmissionsConfig(signal=grid, eta=1.0))
    assert chaser.follow(lease_id, to_json(PROFILE)).power_limit_w == 250
    chaser.release(first)
