"""One contract for the GPUs of every source: NVML (through the C library), simulated, replayed."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from zeus_ray.errors import BadInput
from zeus_ray.gpus import discovery
from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.gpus.protocol import Gpu, PhysicalGpu
from zeus_ray.gpus.virtual_gpu_base import VirtualGpu
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.leases.process import HolderProcess

TRACE = """dataset,network,batch_size,optimizer,power_limit,time_per_epoch,average_power
cifar100,shufflenetv2,128,adadelta,100,60,95
cifar100,shufflenetv2,128,adadelta,175,40,160
cifar100,shufflenetv2,128,adadelta,250,30,230
"""


@dataclasses.dataclass
class LoadedGpu:
    """A GPU, and how to put full load on it for some seconds of its clock."""

    gpu: Any
    work: Callable[[float], None]


@pytest.fixture(params=["nvml", "simulated", "replay"])
def loaded(request, make_node, tmp_path):
    if request.param == "nvml":
        node = make_node("V100")
        node.stop_clock()
        node.load(1)
        return LoadedGpu(NvmlGpu(node.uuids[0], clock=node.now_s), node.advance)
    source = "simulated:V100"
    if request.param == "replay":
        (tmp_path / "trace").mkdir()
        (tmp_path / "trace" / "summary_power_v100.csv").write_text(TRACE)
        source = f"replay:{tmp_path / 'trace'}"
    gpu = discovery.open_gpu(source, discovery.virtual_uuid(source, 0))
    return LoadedGpu(gpu, gpu.load)


def test_has_a_uuid_a_name_and_a_range(loaded):
    assert isinstance(loaded.gpu, Gpu)
    assert isinstance(loaded.gpu, VirtualGpu) is not isinstance(loaded.gpu, PhysicalGpu)
    assert loaded.gpu.uuid
    assert loaded.gpu.name
    limits = loaded.gpu.range
    assert 0 < limits.min_w <= limits.default_w <= limits.max_w


def test_a_limit_set_is_read_back(loaded):
    limits = loaded.gpu.range
    for limit_w in (limits.min_w, (limits.min_w + limits.max_w) / 2, limits.max_w):
        loaded.gpu.set_power_limit_w(limit_w)
        assert loaded.gpu.power_limit_w() == pytest.approx(limit_w, abs=0.5)
        assert loaded.gpu.enforced_limit_w() <= limit_w + 0.5


def test_a_limit_outside_the_range_changes_nothing(loaded):
    limits, before_w = loaded.gpu.range, loaded.gpu.power_limit_w()
    for limit_w in (limits.min_w - 1, limits.max_w + 1, float("nan"), -limits.max_w):
        with pytest.raises(BadInput, match="range"):
            loaded.gpu.set_power_limit_w(limit_w)
    assert loaded.gpu.power_limit_w() == before_w


def test_work_takes_time_and_energy(loaded):
    begin_s, begin_j = loaded.gpu.now_s(), loaded.gpu.energy_j()
    loaded.work(10)
    spent_s, spent_j = loaded.gpu.now_s() - begin_s, loaded.gpu.energy_j() - begin_j
    assert spent_s > 0
    assert 0 < spent_j / spent_s <= loaded.gpu.range.max_w * 1.2
    assert loaded.gpu.power_w() > 0


def test_a_lower_limit_draws_less(loaded):
    drawn_w = []
    for limit_w in (loaded.gpu.range.max_w, loaded.gpu.range.min_w):
        loaded.gpu.set_power_limit_w(limit_w)
        begin_s, begin_j = loaded.gpu.now_s(), loaded.gpu.energy_j()
        loaded.work(10)
        drawn_w.append((loaded.gpu.energy_j() - begin_j) / (loaded.gpu.now_s() - begin_s))
    assert drawn_w[1] < drawn_w[0]


def test_virtual_gpus_train(loaded):
    if not isinstance(loaded.gpu, VirtualGpu):
        assert discovery.is_virtual("nvml") is False
        return
    sample_s = loaded.gpu.time_per_sample_s(128)
    begin_s = loaded.gpu.now_s()
    loaded.gpu.train(1280, 128)
    assert loaded.gpu.now_s() - begin_s == pytest.approx(1280 * sample_s, rel=0.05)
    assert loaded.gpu.energy_j() > 0


def test_a_lease_restores_the_limit_and_closing_changes_nothing(loaded):
    original_w, wanted_w = loaded.gpu.power_limit_w(), loaded.gpu.range.min_w
    manager = LeaseManager(loaded.gpu, sample_every_s=None, watchdog=False, pause=loaded.work)
    lease = manager.acquire(HolderProcess.current("trial"), wanted_w)
    assert lease.may_set
    assert lease.virtual is isinstance(loaded.gpu, VirtualGpu)
    assert lease.reading.power_limit_w == pytest.approx(wanted_w, abs=0.5)
    loaded.work(10)
    reading = manager.read(lease.lease_id)
    assert reading.energy_j > 0
    assert reading.time_s > 0
    manager.release(lease.lease_id)
    assert loaded.gpu.power_limit_w() == original_w
    loaded.gpu.set_power_limit_w(wanted_w)
    loaded.gpu.close()
