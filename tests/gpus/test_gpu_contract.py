"""One contract for every board: NVML's (through the C library), simulated, replayed."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from zeus_ray.errors import BadInput
from zeus_ray.gpus import discovery as discover
from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.gpus.protocol import Gpu, VirtualGpu
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess

TRACE = """dataset,network,batch_size,optimizer,power_limit,time_per_epoch,average_power
cifar100,shufflenetv2,128,adadelta,100,60,95
cifar100,shufflenetv2,128,adadelta,175,40,160
cifar100,shufflenetv2,128,adadelta,250,30,230
"""


@dataclasses.dataclass
class Bench:
    """A board, and full load on it for some seconds of its own clock."""

    gpu: Any
    work: Callable[[float], None]


@pytest.fixture(params=["nvml", "simulated", "replay"])
def bench(request, make_node, tmp_path):
    if request.param == "nvml":
        node = make_node("V100")
        node.stop_clock()
        node.load(1)
        return Bench(NvmlGpu(node.uuids[0], clock=node.now_s), node.advance)
    pytest.importorskip(f"zeus_ray.gpus.{request.param}")
    source = "simulated:V100"
    if request.param == "replay":
        (tmp_path / "trace").mkdir()
        (tmp_path / "trace" / "summary_power_v100.csv").write_text(TRACE)
        source = f"replay:{tmp_path / 'trace'}"
    gpu = discover.open_board(source, discover.virtual_uuid(source, 0))
    return Bench(gpu, gpu.load)


def test_says_who_it_is(bench):
    assert isinstance(bench.gpu, Gpu)
    assert bench.gpu.uuid
    assert bench.gpu.name
    limits = bench.gpu.range
    assert 0 < limits.min_w <= limits.default_w <= limits.max_w


def test_a_limit_set_is_read_back(bench):
    limits = bench.gpu.range
    for limit_w in (limits.min_w, (limits.min_w + limits.max_w) / 2, limits.max_w):
        bench.gpu.set_power_limit_w(limit_w)
        assert bench.gpu.power_limit_w() == pytest.approx(limit_w, abs=0.5)
        assert bench.gpu.enforced_limit_w() <= limit_w + 0.5


def test_outside_its_range_nothing_changes(bench):
    limits, before_w = bench.gpu.range, bench.gpu.power_limit_w()
    for limit_w in (limits.min_w - 1, limits.max_w + 1, float("nan"), -limits.max_w):
        with pytest.raises(BadInput, match="range"):
            bench.gpu.set_power_limit_w(limit_w)
    assert bench.gpu.power_limit_w() == before_w


def test_time_and_energy_go_with_work(bench):
    begin_s, begin_j = bench.gpu.now_s(), bench.gpu.energy_j()
    bench.work(10)
    spent_s, spent_j = bench.gpu.now_s() - begin_s, bench.gpu.energy_j() - begin_j
    assert spent_s > 0
    assert 0 < spent_j / spent_s <= bench.gpu.range.max_w * 1.2
    assert bench.gpu.power_w() > 0


def test_a_lower_limit_draws_less(bench):
    drawn_w = []
    for limit_w in (bench.gpu.range.max_w, bench.gpu.range.min_w):
        bench.gpu.set_power_limit_w(limit_w)
        begin_s, begin_j = bench.gpu.now_s(), bench.gpu.energy_j()
        bench.work(10)
        drawn_w.append((bench.gpu.energy_j() - begin_j) / (bench.gpu.now_s() - begin_s))
    assert drawn_w[1] < drawn_w[0]


def test_virtual_boards_train(bench):
    if not isinstance(bench.gpu, VirtualGpu):
        assert discover.is_virtual("nvml") is False
        return
    each_s = bench.gpu.time_per_sample_s(128)
    begin_s = bench.gpu.now_s()
    bench.gpu.train(1280, 128)
    assert bench.gpu.now_s() - begin_s == pytest.approx(1280 * each_s, rel=0.05)
    assert bench.gpu.energy_j() > 0


def test_a_lease_gives_back_and_closing_changes_nothing(bench):
    found_w, wanted_w = bench.gpu.power_limit_w(), bench.gpu.range.min_w
    keeper = LeaseManager(bench.gpu, sample_every_s=None, guarded=False, pause=bench.work)
    lease = keeper.acquire(HolderProcess.current("trial"), wanted_w)
    assert lease.may_set
    assert lease.virtual is isinstance(bench.gpu, VirtualGpu)
    assert lease.reading.power_limit_w == pytest.approx(wanted_w, abs=0.5)
    bench.work(10)
    reading = keeper.read(lease.lease_id)
    assert reading.energy_j > 0
    assert reading.time_s > 0
    keeper.release(lease.lease_id)
    assert bench.gpu.power_limit_w() == found_w
    bench.gpu.set_power_limit_w(wanted_w)
    bench.gpu.close()
