"""A new GPU vendor is one file and one line in the registry."""

import ast
import importlib

import pytest
from lease_helpers import ENDED, crash, this_process
from sources import FILES, tree

from zeus_ray.gpus import discovery
from zeus_ray.gpus.registry import GPU_SOURCES, load_source
from zeus_ray.leases import doctor
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.leases.recovery import restore_all

VENDOR_FILE = '''
"""GPUs of a vendor with two cards at 300 W, which draw what their limit allows."""

from zeus_ray.errors import NoDevice
from zeus_ray.gpus.protocol import GpuSource, LimitRange
from zeus_ray.records import MeasuredBy

DRIVER = {"now_s": 0.0, "limit_w": {"DUMMY-0": 300.0, "DUMMY-1": 300.0}, "energy_j": 0.0}


def advance(seconds):
    DRIVER["now_s"] += seconds
    DRIVER["energy_j"] += seconds * DRIVER["limit_w"]["DUMMY-1"]


class DummyGpu:
    name, measured_by = "Dummy 300", MeasuredBy.COUNTER
    range = LimitRange(min_w=100, max_w=300, default_w=300)
    source, partitioned, limit_setter = "dummy", False, "the dummy driver"

    def __init__(self, uuid):
        self.uuid = uuid

    def power_limit_w(self):
        return DRIVER["limit_w"][self.uuid]

    enforced_limit_w = power_w = power_limit_w

    def set_power_limit_w(self, limit_w):
        DRIVER["limit_w"][self.uuid] = self.range.check(limit_w)

    def energy_j(self):
        return DRIVER["energy_j"]

    def now_s(self):
        return DRIVER["now_s"]

    def persistent(self):
        return True

    def close(self):
        pass


class DummySource(GpuSource):
    visible_variable = "DUMMY_VISIBLE_DEVICES"

    def __init__(self, options):
        pass

    def count(self):
        return 2

    def uuid(self, index):
        return f"DUMMY-{index}"

    def open(self, uuid):
        if uuid not in DRIVER["limit_w"]:
            raise NoDevice(f"no GPU {uuid}")
        return DummyGpu(uuid)

    def driver_version(self):
        return "1.0"
'''


@pytest.fixture
def vendor(tmp_path, monkeypatch):
    """The vendor's file, and its line in the registry."""
    (tmp_path / "dummy_vendor.py").write_text(VENDOR_FILE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(GPU_SOURCES, "dummy", "dummy_vendor:DummySource")
    monkeypatch.setenv("ZEUS_RAY_GPU", "dummy")
    return importlib.reload(importlib.import_module("dummy_vendor"))


def manager_of_visible_gpu(vendor):
    source = discovery.gpu_source()
    (gpu,) = discovery.visible_gpus(source, {"DUMMY_VISIBLE_DEVICES": "1"}, discovery.open_gpus(source))
    return LeaseManager(gpu, sample_every_s=None, pause=vendor.advance, watchdog=False)


def test_a_lease_sets_measures_and_restores(vendor):
    manager = manager_of_visible_gpu(vendor)
    lease = manager.acquire(this_process(), 200)
    assert (lease.gpu, lease.uuid, lease.virtual, lease.original_limit_w) == (
        "Dummy 300", "DUMMY-1", False, 300,
    )  # fmt: skip
    vendor.advance(10)
    reading = manager.release(lease.lease_id)
    assert (reading.time_s, reading.energy_j) == (pytest.approx(10), pytest.approx(2000))
    assert vendor.DRIVER["limit_w"] == {"DUMMY-0": 300, "DUMMY-1": 300}


def test_a_limit_is_restored_after_a_crash(vendor):
    manager = manager_of_visible_gpu(vendor)
    manager.acquire(ENDED, 200)
    crash(manager)
    (outcome,) = restore_all(force=True)
    assert (outcome.done, vendor.DRIVER["limit_w"]["DUMMY-1"]) == (True, 300)


@pytest.mark.usefixtures("vendor")
def test_doctor_examines_it():
    report = doctor.examine()
    assert (report.source, report.driver, report.health) == ("dummy", "1.0", doctor.Health.OK)
    assert [(gpu.uuid, gpu.limit_setter) for gpu in report.gpus] == [
        ("DUMMY-0", "the dummy driver"),
        ("DUMMY-1", "the dummy driver"),
    ]


@pytest.mark.parametrize("name", GPU_SOURCES)
def test_each_line_of_the_registry_names_a_source(name, tmp_path):
    assert load_source(f"replay:{tmp_path}" if name == "replay" else name)


def test_no_other_code_distinguishes_sources_by_name():
    for path in FILES:
        if not any(f'"{name}"' in path.read_text() for name in GPU_SOURCES):
            continue
        for node in ast.walk(tree(path)):
            operands = (node.left, *node.comparators) if isinstance(node, ast.Compare) else ()
            assert not {getattr(operand, "value", None) for operand in operands} & set(GPU_SOURCES), path
