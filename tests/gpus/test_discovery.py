"""Which boards are meant: every way to name them ends in the right UUID."""

import subprocess
import sys

import pytest

from zeus_ray.errors import BadInput, NoDevice
from zeus_ray.gpus import discovery as discover

NAMES = [
    # CUDA_VISIBLE_DEVICES, CUDA's order of NVML's boards, indices of the boards meant
    (None, "0,1,2,3", [0, 1, 2, 3]),
    ("", "0,1,2,3", []),
    ("-1", "0,1,2,3", []),
    ("NoDevFiles", "0,1,2,3", []),
    ("3", "0,1,2,3", [3]),
    ("2,0", "0,1,2,3", [2, 0]),
    ("2, 0", "0,1,2,3", [2, 0]),
    ("0", "2,0,1,3", [2]),
    ("1,0", "2,0,1,3", [0, 2]),
    ("0", "", [0]),  # no CUDA to ask: NVML's order
]


@pytest.mark.parametrize(("value", "cuda_order", "meant"), NAMES)
def test_cuda_visible_devices(make_node, monkeypatch, value, cuda_order, meant):
    node = make_node("V100,V100,A100,H100")
    if cuda_order:
        monkeypatch.setenv("FAKE_CUDA_ORDER", cuda_order)
    env = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    boards = discover.open_boards("nvml")
    assert discover.visible_uuids(env, boards) == [node.uuids[i] for i in meant]
    assert [board.uuid for board in discover.visible(env, boards)] == [node.uuids[i] for i in meant]


def test_by_uuid_prefix_and_slice(make_node):
    node = make_node("V100,A100", mig=1)
    boards = discover.open_boards("nvml")
    first, second = node.uuids
    assert discover.resolve([second, first], boards) == [second, first]
    assert discover.resolve([second[:-1] + second[-1]], boards) == [second]
    assert discover.resolve([node.boards[1].mig_uuid], boards) == [second]
    assert discover.resolve([f"MIG-{first}/1/0"], boards) == [first]
    assert discover.resolve(["1", second], boards) == [second]  # each once


@pytest.mark.parametrize("name", ["7", "GPU-", "GPU-nobody", "MIG-nobody", "", "first"])
def test_a_name_that_is_none_or_several_is_refused(make_node, name):
    boards = discover.open_boards("nvml") if make_node("V100,V100") else []
    with pytest.raises(BadInput, match=r"(none|several) of the boards here: GPU-"):
        discover.resolve([name], boards)


@pytest.mark.parametrize("source", ["", "nvml:", "cuda", "replay", "replay:", "NVML", "sim"])
def test_sources_that_are_none(source):
    if source == "":
        assert discover.gpu_source({"ZEUS_RAY_GPU": ""}) == "nvml"
        return
    if source == "nvml:":
        source = "nvml:V100"
    with pytest.raises(BadInput, match="allowed: nvml, simulated"):
        discover.gpu_source({"ZEUS_RAY_GPU": source})


def test_the_strictest_wins():
    assert discover.strictest("auto", "auto") == "auto"
    assert discover.strictest("auto", "off", "auto") == "off"
    assert discover.power_control({}) == "auto"
    with pytest.raises(BadInput, match=r"'on'.*auto or off"):
        discover.power_control({"ZEUS_RAY_POWER_CONTROL": "on"})


def test_a_board_that_is_not_there():
    with pytest.raises(NoDevice, match="SIM-V100-0"):
        discover.open_board("simulated", "GPU-1")


@pytest.mark.processes
def test_discovery_needs_no_driver_and_loads_none():
    code = "import sys, zeus_ray.gpus.discovery, zeus_ray.leases.manager; print('pynvml' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
