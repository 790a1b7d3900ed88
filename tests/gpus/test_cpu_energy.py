"""RAPL counters, as the kernel shows them: real files in a folder of the test."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from power_zones import zone

from zeus_ray.gpus.energy.cpu_energy import CpuEnergyMeter


def test_packages_are_summed_and_memory_is_told_apart(tmp_path):
    first = zone(tmp_path, "intel-rapl:0", "package-0", 100)
    second = zone(tmp_path, "intel-rapl:1", "package-1", 200)
    core = zone(tmp_path, "intel-rapl:0:0", "core", 0)
    memory = zone(tmp_path, "intel-rapl:0:1", "dram", 7)
    psys, twice = (
        zone(tmp_path, "intel-rapl:2", "psys", 0),
        zone(tmp_path, "intel-rapl-mmio:0", "package-0", 0),
    )
    meter = CpuEnergyMeter(tmp_path)
    for file, value in (
        (first, 600_100),
        (second, 300_200),
        (core, 9),
        (memory, 50_007),
        (psys, 9),
        (twice, 9),
    ):
        file.write_text(str(value))
    assert meter.read().cpu_energy_j == pytest.approx(0.9)
    assert meter.read().dram_energy_j == pytest.approx(0.05)


@given(st.lists(st.integers(0, 999), min_size=1, max_size=20))
def test_a_counter_that_wraps_is_continued(tmp_path_factory, steps):
    root = tmp_path_factory.mktemp("powercap")
    file = zone(root, "intel-rapl:0", "package-0", 0, range_uj=999)
    meter = CpuEnergyMeter(root)
    total = 0
    for step in steps:
        total += step
        file.write_text(str(total % 1000))
        assert meter.read().cpu_energy_j == pytest.approx(total * 1e-6)


def test_what_cannot_be_read_is_nan(tmp_path):
    assert math.isnan(CpuEnergyMeter(tmp_path / "none").read().cpu_energy_j)
    zone(tmp_path, "intel-rapl:0", "package-0", "no number")
    assert math.isnan(CpuEnergyMeter(tmp_path).read().cpu_energy_j)


def test_one_counter_that_cannot_be_read_makes_its_kind_unknown(tmp_path):
    zone(tmp_path, "intel-rapl:0", "package-0", 0)
    zone(tmp_path, "intel-rapl:1", "package-1", "no number")
    zone(tmp_path, "intel-rapl:0:0", "dram", 0)
    drawn = CpuEnergyMeter(tmp_path).read()
    assert math.isnan(drawn.cpu_energy_j)
    assert drawn.dram_energy_j == 0


def test_memory_without_a_counter_is_unknown_and_the_packages_are_known(tmp_path):
    file = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    meter = CpuEnergyMeter(tmp_path)
    file.write_text("500000")
    assert meter.read().cpu_energy_j == pytest.approx(0.5)
    assert math.isnan(meter.read().dram_energy_j)
    zone(tmp_path, "intel-rapl:0:0", "dram", "no number")
    assert math.isnan(CpuEnergyMeter(tmp_path).read().dram_energy_j)


def test_a_counter_that_fails_later_makes_its_sum_unknown(tmp_path):
    file = zone(tmp_path, "intel-rapl:0", "package-0", 0)
    memory = zone(tmp_path, "intel-rapl:0:0", "dram", 0)
    meter = CpuEnergyMeter(tmp_path)
    file.unlink()
    memory.write_text("10")
    assert math.isnan(meter.read().cpu_energy_j)
    file.write_text("5")  # what it drew meanwhile is not known
    assert math.isnan(meter.read().cpu_energy_j)
    assert meter.read().dram_energy_j == pytest.approx(10e-6)
