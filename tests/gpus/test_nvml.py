"""NVML GPUs through the real binding and a simulated C library, with and without hardware faults."""

import pytest

from zeus_ray.errors import BadInput, DeviceError, DeviceLost, NoDevice, NoPermission, NotSupported
from zeus_ray.gpus.discovery import open_gpus
from zeus_ray.gpus.nvml import NvmlGpu, NvmlSource
from zeus_ray.records import MeasuredBy


def test_reads_name_range_limits_and_power(make_node):
    node = make_node("A100")
    gpu = NvmlGpu(node.uuids[0])
    assert gpu.name == "NVIDIA A100-SXM4-40GB"
    assert (gpu.range.min_w, gpu.range.max_w, gpu.range.default_w) == (100, 400, 400)
    assert gpu.power_limit_w() == gpu.enforced_limit_w() == 400
    assert gpu.power_w() == 62
    assert gpu.measured_by is MeasuredBy.COUNTER
    assert NvmlSource().driver_version() == "580.00.fake"


def test_a_limit_outside_the_range_is_never_written(make_node):
    node = make_node("H100")
    gpu = NvmlGpu(node.uuids[0])
    for limit_w in (199, 701, float("nan"), float("inf"), -1):
        with pytest.raises(BadInput, match="200 to 700 W"):
            gpu.set_power_limit_w(limit_w)
    assert node.attempts == 0


def test_the_enforced_limit_may_be_lower(make_node):
    gpu = NvmlGpu(make_node("A100", enforced_cap_w=300).uuids[0])
    gpu.set_power_limit_w(350)
    assert (gpu.power_limit_w(), gpu.enforced_limit_w()) == (350, 300)


def test_without_permission_reading_works_and_setting_does_not(make_node):
    node = make_node(no_permission=1)
    gpu = NvmlGpu(node.uuids[0])
    assert gpu.energy_j() > 0
    with pytest.raises(NoPermission, match="setting 200 W"):
        gpu.set_power_limit_w(200)


def test_without_a_counter_power_is_integrated(make_node):
    gpu = NvmlGpu(make_node(no_energy=1).uuids[0])
    assert gpu.measured_by is MeasuredBy.POWER_INTEGRAL
    with pytest.raises(NotSupported):
        gpu.energy_j()


def test_a_lost_gpu_raises_and_is_not_listed(make_node):
    node = make_node("V100,A100")
    gpu = NvmlGpu(node.uuids[0])
    node.gpus[0].lost = 1
    for method in (gpu.power_w, gpu.energy_j, gpu.power_limit_w, gpu.enforced_limit_w):
        with pytest.raises(DeviceLost):
            method()
    assert [other.uuid for other in open_gpus("nvml")] == node.uuids[1:]


def test_a_read_that_times_out_can_be_repeated(make_node):
    node = make_node()
    gpu = NvmlGpu(node.uuids[0])
    node.gpus[0].refuse_reads = 1
    with pytest.raises(DeviceError, match="Timeout") as caught:
        gpu.power_w()
    assert not isinstance(caught.value, DeviceLost)
    assert gpu.power_w() == 32


def test_a_partitioned_gpu_takes_no_limit(make_node):
    node = make_node("A100", mig=1)
    gpu = NvmlGpu(node.uuids[0])
    assert gpu.partitioned
    with pytest.raises(NotSupported, match="MIG"):
        gpu.set_power_limit_w(200)
    assert node.attempts == 0


def test_an_unknown_uuid_and_no_driver(make_node, monkeypatch):
    make_node()
    with pytest.raises(NoDevice):
        NvmlGpu("GPU-unknown")
    monkeypatch.delenv("FAKE_NVML_STATE")
    with pytest.raises(NoDevice, match=r"nothing will be measured.*ZEUS_RAY_GPU=simulated"):
        open_gpus("nvml")
