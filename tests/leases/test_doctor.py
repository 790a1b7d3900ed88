"""What ``doctor`` reports, and that it changes nothing."""

import json

import pytest
from lease_helpers import leave_behind, manager_of, this_process

from zeus_ray.leases import doctor
from zeus_ray.leases.doctor import Health
from zeus_ray.leases.recovery import restore_all
from zeus_ray.leases.watchdog import Watchdog
from zeus_ray.records import to_plain


def test_a_node_without_problems(make_node):
    node = make_node("A100,H100")
    report = doctor.examine()
    assert (report.health, report.driver, report.problems) == (Health.OK, "580.00.fake", ())
    assert [gpu.name for gpu in report.gpus] == ["NVIDIA A100-SXM4-40GB", "NVIDIA H100 80GB HBM3"]
    assert [(gpu.may_set, gpu.limit_setter) for gpu in report.gpus] == [(True, "NVML")] * 2
    assert report.gpus[1].min_w == 200
    assert node.limits_w == [400, 700]
    assert json.loads(json.dumps(to_plain(report)))["health"] == "ok"


@pytest.mark.parametrize(
    ("knobs", "problem"),
    [
        ({"no_permission": 1}, "root or SYS_ADMIN"),
        ({"no_energy": 1}, "no energy counter"),
        ({"mig": 1}, "MIG"),
        ({"no_persistence": 1}, "nvidia-smi -pm 1"),
        ({"enforced_cap_w": 200}, "200 W is in force"),
    ],
)
def test_each_limitation_is_reported(make_node, knobs, problem):
    make_node(**knobs)
    report = doctor.examine()
    assert report.health is Health.LIMITED
    assert problem in " ".join(report.gpus[0].problems)


def test_what_the_watchdog_could_not_restore_is_a_problem_until_it_is_restored(make_node, state_dir):
    node = make_node()
    leave_behind(node, state_dir)
    node.gpus[0].lost = 1
    Watchdog(state_dir).check()
    node.gpus[0].lost = 0
    assert "still to be restored; the watchdog tries again" in " ".join(doctor.examine().problems)
    assert restore_all()[0].done  # before the watchdog looks again
    assert doctor.examine().problems == ()


def test_power_control_off_means_that_doctor_writes_nothing(make_node, monkeypatch):
    node = make_node()
    monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "off")
    report = doctor.examine()
    assert (report.health, report.gpus[0].may_set, node.attempts) == (Health.LIMITED, None, 0)


def test_an_invalid_power_control_counts_as_off(make_node, monkeypatch):
    node = make_node()
    monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "sometimes")
    report = doctor.examine()
    assert "'sometimes'" in report.problems[0]
    assert node.attempts == 0


def test_a_held_gpu_is_left_alone(make_node):
    node = make_node()
    manager_of(node).acquire(this_process("mine"), 150)
    writes = node.gpus[0].writes
    report = doctor.examine()
    assert "mine" in report.gpus[0].held_by
    assert (report.gpus[0].may_set, node.gpus[0].writes) == (None, writes)


def test_lost_gpus_are_counted_and_no_driver_is_broken(make_node, monkeypatch):
    node = make_node("V100,V100")
    node.gpus[0].lost = 1
    report = doctor.examine()
    assert [gpu.uuid for gpu in report.gpus] == node.uuids[1:]
    assert (report.health, report.problems[0][:6]) == (Health.LIMITED, "1 GPU(")
    monkeypatch.delenv("FAKE_NVML_STATE")
    report = doctor.examine()
    assert (report.health, report.driver) == (Health.BROKEN, "none")
    assert "no GPU here" in report.problems[0]


def test_simulated_gpus_are_named_as_such(monkeypatch):
    monkeypatch.setenv("ZEUS_RAY_GPU", "simulated:A100")
    report = doctor.examine()
    assert report.health is Health.LIMITED
    assert "not from a GPU" in report.problems[0]


def test_rays_subreaper_is_a_problem(make_node, monkeypatch):
    make_node()
    monkeypatch.setenv("RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper", "true")
    report = doctor.examine()
    assert "run the watchdog as a service" in report.problems[0]
