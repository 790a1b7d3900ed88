"""What doctor finds, and that looking changes nothing."""

import json

import pytest

from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases import doctor
from zeus_ray.leases.doctor import Health
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess


def test_all_is_well(make_node):
    node = make_node("A100,H100")
    report = doctor.examine()
    assert (report.health, report.driver, report.problems) == (Health.OK, "580.00.fake", ())
    assert [board.name for board in report.boards] == ["NVIDIA A100-SXM4-40GB", "NVIDIA H100 80GB HBM3"]
    assert [(board.may_set, board.way) for board in report.boards] == [(True, "NVML")] * 2
    assert report.boards[1].min_w == 200
    assert node.limits_w == [400, 700]
    assert json.loads(json.dumps(report.to_dict()))["health"] == "ok"


@pytest.mark.parametrize(
    ("knobs", "says"),
    [
        ({"no_permission": 1}, "root or SYS_ADMIN"),
        ({"no_energy": 1}, "no energy counter"),
        ({"mig": 1}, "MIG"),
        ({"no_persistence": 1}, "nvidia-smi -pm 1"),
        ({"enforced_cap_w": 200}, "200 W is in force"),
    ],
)
def test_what_is_limited_says_so(make_node, knobs, says):
    make_node(**knobs)
    report = doctor.examine()
    assert report.health is Health.LIMITED
    assert says in " ".join(report.boards[0].problems)


def test_off_is_obeyed_by_doctor_too(make_node, monkeypatch):
    node = make_node()
    monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "off")
    report = doctor.examine()
    assert (report.health, report.boards[0].may_set, node.attempts) == (Health.LIMITED, None, 0)


def test_a_setting_that_makes_no_sense_is_read_as_off(make_node, monkeypatch):
    node = make_node()
    monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "sometimes")
    report = doctor.examine()
    assert "'sometimes'" in report.problems[0]
    assert node.attempts == 0


def test_a_board_that_is_held_is_left_alone(make_node):
    node = make_node()
    LeaseManager(NvmlGpu(node.uuids[0]), sample_every_s=None, guarded=False).acquire(
        HolderProcess.current("mine"), 150
    )
    writes = node.boards[0].writes
    report = doctor.examine()
    assert "mine" in report.boards[0].held_by
    assert (report.boards[0].may_set, node.boards[0].writes) == (None, writes)


def test_no_driver_is_broken_and_a_lost_board_is_named(make_node, monkeypatch):
    node = make_node("V100,V100")
    node.boards[0].lost = 1
    report = doctor.examine()
    assert [board.uuid for board in report.boards] == node.uuids[1:]
    assert (report.health, report.problems[0][:6]) == (Health.LIMITED, "1 GPU(")
    monkeypatch.delenv("FAKE_NVML_STATE")
    report = doctor.examine()
    assert (report.health, report.driver) == (Health.BROKEN, "none")
    assert "no GPU here" in report.problems[0]


def test_simulated_says_so(monkeypatch):
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:A100")
    report = doctor.examine()
    assert report.health is Health.LIMITED
    assert "not from a GPU" in report.problems[0]


def test_rays_subreaper_is_named(make_node, monkeypatch):
    make_node()
    monkeypatch.setenv("RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper", "true")
    report = doctor.examine()
    assert "run the guard as a service" in report.problems[0]
