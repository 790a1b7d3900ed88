"""The NVML board through the real binding and a C library, where hardware behaves and where it does not."""

import pytest

from zeus_ray.errors import BadInput, DeviceError, DeviceLost, NoDevice, NoPermission, NotSupported
from zeus_ray.gpus import discovery as discover
from zeus_ray.gpus.nvml import NvmlGpu, driver_version
from zeus_ray.records import MeasuredBy


def test_reads_what_the_board_says(make_node):
    node = make_node("A100")
    board = NvmlGpu(node.uuids[0])
    assert board.name == "NVIDIA A100-SXM4-40GB"
    assert (board.range.min_w, board.range.max_w, board.range.default_w) == (100, 400, 400)
    assert board.power_limit_w() == board.enforced_limit_w() == 400
    assert board.power_w() == 62
    assert board.measured_by is MeasuredBy.COUNTER
    assert driver_version() == "580.00.fake"


def test_a_limit_outside_the_range_is_never_written(make_node):
    node = make_node("H100")
    board = NvmlGpu(node.uuids[0])
    for limit_w in (199, 701, float("nan"), float("inf"), -1):
        with pytest.raises(BadInput, match="200 to 700 W"):
            board.set_power_limit_w(limit_w)
    assert node.attempts == 0


def test_the_enforced_limit_may_be_lower(make_node):
    board = NvmlGpu(make_node("A100", enforced_cap_w=300).uuids[0])
    board.set_power_limit_w(350)
    assert (board.power_limit_w(), board.enforced_limit_w()) == (350, 300)


def test_without_rights_reading_works_and_setting_says_so(make_node):
    node = make_node(no_permission=1)
    board = NvmlGpu(node.uuids[0])
    assert board.energy_j() > 0
    with pytest.raises(NoPermission, match="setting 200 W"):
        board.set_power_limit_w(200)


def test_without_a_counter_power_is_integrated(make_node):
    board = NvmlGpu(make_node(no_energy=1).uuids[0])
    assert board.measured_by is MeasuredBy.POWER_INTEGRAL
    with pytest.raises(NotSupported):
        board.energy_j()


def test_a_lost_board_says_lost_and_is_left_out_of_the_list(make_node):
    node = make_node("V100,A100")
    board = NvmlGpu(node.uuids[0])
    node.boards[0].lost = 1
    for ask in (board.power_w, board.energy_j, board.power_limit_w, board.enforced_limit_w):
        with pytest.raises(DeviceLost):
            ask()
    assert [other.uuid for other in discover.open_boards()] == node.uuids[1:]


def test_a_read_that_times_out_passes(make_node):
    node = make_node()
    board = NvmlGpu(node.uuids[0])
    node.boards[0].refuse_reads = 1
    with pytest.raises(DeviceError, match="Timeout") as caught:
        board.power_w()
    assert not isinstance(caught.value, DeviceLost)
    assert board.power_w() == 32


def test_a_board_cut_into_slices_takes_no_limit(make_node):
    node = make_node("A100", mig=1)
    board = NvmlGpu(node.uuids[0])
    assert board.mig
    with pytest.raises(NotSupported, match="MIG"):
        board.set_power_limit_w(200)
    assert node.attempts == 0


def test_no_such_board_and_no_driver(make_node, monkeypatch):
    make_node()
    with pytest.raises(NoDevice):
        NvmlGpu("GPU-nobody")
    monkeypatch.delenv("FAKE_NVML_STATE")
    with pytest.raises(NoDevice, match=r"nothing will be measured.*ZEUS_RAY_GPU=simulated"):
        discover.open_boards("nvml")
