"""Names of GPUs: each way to name one ends in the right UUID."""

import subprocess
import sys

import pytest

from zeus_ray.errors import BadInput, DeviceLost, NoDevice
from zeus_ray.gpus import discovery

NAMES = [
    # CUDA_VISIBLE_DEVICES, NVML's indices in CUDA's order, NVML's indices of the visible GPUs
    (None, "0,1,2,3", [0, 1, 2, 3]),
    ("", "0,1,2,3", []),
    ("-1", "0,1,2,3", []),
    ("NoDevFiles", "0,1,2,3", []),
    ("1,-1,0", "0,1,2,3", [1]),
    (" -2 ,0", "0,1,2,3", []),
    ("3,,0", "0,1,2,3", [3]),
    ("2,0,NoDevFiles,1", "0,1,2,3", [2, 0]),
    ("3", "0,1,2,3", [3]),
    ("2,0", "0,1,2,3", [2, 0]),
    ("2, 0", "0,1,2,3", [2, 0]),
    ("0", "2,0,1,3", [2]),
    ("1,0", "2,0,1,3", [0, 2]),
    ("0", "", [0]),  # without CUDA, NVML's order
]


@pytest.mark.slow
@pytest.mark.parametrize(("value", "cuda_order", "visible"), NAMES)
def test_cuda_visible_devices(make_node, monkeypatch, value, cuda_order, visible):
    node = make_node("V100,V100,A100,H100")
    if cuda_order:
        monkeypatch.setenv("FAKE_CUDA_ORDER", cuda_order)
    env = {} if value is None else {"CUDA_VISIBLE_DEVICES": value}
    gpus = discovery.open_gpus("nvml")
    assert [gpu.uuid for gpu in discovery.visible_gpus("nvml", env, gpus)] == [node.uuids[i] for i in visible]


def test_by_uuid_prefix_and_slice(make_node):
    node = make_node("V100,A100", mig=1)
    gpus = discovery.open_gpus("nvml")
    first, second = node.uuids
    assert discovery.resolve_uuids("nvml", [second, first], gpus) == [second, first]
    assert discovery.resolve_uuids("nvml", [second[:-1] + second[-1]], gpus) == [second]
    assert discovery.resolve_uuids("nvml", [node.gpus[1].mig_uuid], gpus) == [second]
    assert discovery.resolve_uuids("nvml", [f"MIG-{first}/1/0"], gpus) == [first]
    assert discovery.resolve_uuids("nvml", ["1", second], gpus) == [second]  # each once


@pytest.mark.parametrize("name", ["7", "GPU-", "GPU-unknown", "MIG-unknown", "", "first"])
def test_a_name_that_fits_no_gpu_or_several_is_refused(make_node, name):
    gpus = discovery.open_gpus("nvml") if make_node("V100,V100") else []
    with pytest.raises(BadInput, match=r"(none|several) of the GPUs here: GPU-"):
        discovery.resolve_uuids("nvml", [name], gpus)


@pytest.mark.parametrize("cuda_order", ["", "0,1,2"])
def test_a_gpu_that_does_not_answer_keeps_its_place(make_node, monkeypatch, cuda_order):
    node = make_node("V100,V100,V100")
    if cuda_order:
        monkeypatch.setenv("FAKE_CUDA_ORDER", cuda_order)
    node.gpus[0].lost = 1
    gpus = discovery.open_gpus("nvml")
    assert [gpu.uuid for gpu in gpus] == node.uuids[1:]
    second = {"CUDA_VISIBLE_DEVICES": "1"}
    assert [gpu.uuid for gpu in discovery.visible_gpus("nvml", second, gpus)] == [node.uuids[1]]
    assert discovery.resolve_uuids("nvml", [node.uuids[2]], gpus) == [node.uuids[2]]
    for name in ("0", node.uuids[0]):
        with pytest.raises(DeviceLost, match="does not answer"):
            discovery.visible_gpus("nvml", {"CUDA_VISIBLE_DEVICES": name}, gpus)
    with pytest.raises(DeviceLost, match="does not answer"):
        discovery.visible_gpus("nvml", {}, gpus, 1)


def test_only_the_gpus_that_are_needed_must_answer(make_node):
    node = make_node("V100,V100")
    node.gpus[1].lost = 1
    gpus = discovery.open_gpus("nvml")
    assert [gpu.uuid for gpu in discovery.visible_gpus("nvml", {}, gpus, 1)] == [node.uuids[0]]


def test_nvml_is_the_default_source():
    assert discovery.gpu_source({}) == discovery.gpu_source({"ZEUS_RAY_GPU": ""}) == "nvml"


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("cuda", "nvml, simulated, replay"),
        ("NVML", "nvml, simulated, replay"),
        ("nvml:V100", "nvml, without options"),
        ("replay", "replay:DIR"),
        ("replay:", "replay:DIR"),
        ("simulated:RTX", "V100, A40, A100, H100"),
    ],
)
def test_an_invalid_source_lists_what_is_allowed(source, allowed):
    with pytest.raises(BadInput, match=f"allowed: {allowed}"):
        discovery.gpu_source({"ZEUS_RAY_GPU": source})


def test_the_strictest_control_wins():
    assert discovery.strictest("auto", "auto") == "auto"
    assert discovery.strictest("auto", "off", "auto") == "off"
    assert discovery.power_control({}) == "auto"
    with pytest.raises(BadInput, match=r"'on'.*auto or off"):
        discovery.power_control({"ZEUS_RAY_POWER_CONTROL": "on"})


def test_a_uuid_of_another_source():
    with pytest.raises(NoDevice, match="SIM-V100-0"):
        discovery.open_gpu("simulated", "GPU-1")


@pytest.mark.processes
def test_discovery_imports_no_driver():
    modules = "zeus_ray.gpus.discovery, zeus_ray.leases.lease_manager_of_one_gpu"
    code = f"import sys, {modules}; print('pynvml' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
