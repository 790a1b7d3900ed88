"""Restoring limits from the journals alone."""

import dataclasses
import os

import pytest
from lease_helpers import leave_behind, manager_of, this_process

from zeus_ray.errors import BadInput, DeviceError
from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases import restore_attempts
from zeus_ray.leases.journal_and_lock_of_one_gpu import Journal
from zeus_ray.leases.journal_record import parse_record
from zeus_ray.leases.recovery import restore_all
from zeus_ray.leases.state_dir import state_dir as find_state_dir
from zeus_ray.leases.watchdog import Watchdog
from zeus_ray.leases.write_limit_and_read_back import SET_LIMIT_ATTEMPTS
from zeus_ray.records import to_json


@pytest.fixture
def node(make_node, state_dir):
    """A node whose GPU is left behind at 150 W; its original limit is 270 W."""
    node = make_node()
    leave_behind(node, state_dir)
    node.gpus[0].writes = 0
    return node


def test_by_restore_all(node):
    (outcome,) = restore_all()
    assert (outcome.done, outcome.message, node.limits_w) == (True, "back at 270 W", [270])
    assert restore_all() == []


def test_by_the_watchdog(node, state_dir):
    assert Watchdog(state_dir).check() is False
    assert node.limits_w == [270]


def test_what_a_living_trial_holds_is_left_unless_forced(node, state_dir):
    journal = Journal(state_dir, node.uuids[0])
    record = journal.read()
    entry = dataclasses.replace(record.entries[0], holder=this_process("runs"))
    journal.write(dataclasses.replace(record, entries=(entry,)))
    (outcome,) = restore_all()
    assert (outcome.done, node.limits_w) == (False, [150])
    assert "runs" in outcome.message
    (outcome,) = restore_all(force=True)
    assert (outcome.done, node.limits_w) == (True, [270])


def test_a_journal_of_before_a_reboot_restores_nothing(node, state_dir):
    """The limit of now is a fresh one that happens to equal the last one of zeus-ray."""
    journal = Journal(state_dir, node.uuids[0])
    record = journal.read()
    entry = dataclasses.replace(record.entries[0], holder=this_process("has the same pid by chance"))
    journal.write(dataclasses.replace(record, entries=(entry,), boot_id="before"))
    (outcome,) = restore_all()
    assert (outcome.done, node.limits_w) == (True, [150])
    assert "restarted" in outcome.message
    assert restore_all() == []


def test_a_manager_restores_nothing_of_before_a_reboot(node, state_dir):
    journal = Journal(state_dir, node.uuids[0])
    journal.write(dataclasses.replace(journal.read(), boot_id="before"))
    lease = manager_of(node).acquire(this_process(), 200)
    assert (lease.original_limit_w, node.limits_w) == (150, [200])


def test_power_control_off_restores_nothing(node, state_dir, monkeypatch):
    monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "off")
    for force in (False, True):
        (outcome,) = restore_all(force=force)
        assert (outcome.done, outcome.message) == (False, "power control is off")
    assert Watchdog(state_dir).check() is True
    assert (node.attempts, node.limits_w) == (0, [150])


def test_a_limit_that_an_operator_has_set_is_kept(node):
    NvmlGpu(node.uuids[0]).set_power_limit_w(222)
    (outcome,) = restore_all()
    assert (outcome.done, outcome.message, node.limits_w) == (True, "nothing to restore", [222])


def test_the_watchdog_retries_a_gpu_that_refuses(node, state_dir, monkeypatch):
    monkeypatch.setattr(restore_attempts, "RETRY_S", 0.0)
    node.gpus[0].refuse_sets = SET_LIMIT_ATTEMPTS
    watchdog = Watchdog(state_dir)
    assert watchdog.check() is True
    assert node.limits_w == [150]
    assert watchdog.check() is False
    assert node.limits_w == [270]


def test_the_watchdog_restores_what_a_running_manager_could_not(make_node, state_dir):
    node = make_node()
    manager = manager_of(node)
    lease = manager.acquire(this_process(), 150)
    node.gpus[0].refuse_sets = SET_LIMIT_ATTEMPTS
    with pytest.raises(DeviceError):
        manager.release(lease.lease_id)
    assert node.limits_w == [150]
    Watchdog(state_dir).check()
    assert node.limits_w == [300]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99}', "null", '{"version": 1, "entries": 5}'])
def test_a_file_that_is_no_journal_is_bad_input(text):
    with pytest.raises(BadInput):
        parse_record(text)


def test_a_record_survives_json(node, state_dir):
    record = Journal(state_dir, node.uuids[0]).read()
    assert parse_record(to_json(record)) == record


def test_a_folder_that_others_can_write_to_is_not_used(make_node, state_dir):
    state_dir.mkdir(mode=0o777)
    state_dir.chmod(0o777)
    node = make_node()
    lease = manager_of(node).acquire(this_process())
    assert "written by others" in lease.why_not
    assert node.attempts == 0


def test_the_default_state_dir(tmp_path, monkeypatch):
    assert find_state_dir({"ZEUS_RAY_STATE_DIR": str(tmp_path)}) == tmp_path
    default = "/var/tmp/zeus-ray-1000"  # noqa: S108 — its name is the point
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert str(find_state_dir({})) == default
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert str(find_state_dir({})) == "/var/lib/zeus-ray"


def test_a_relative_state_dir_is_the_same_folder_for_the_watchdog(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = find_state_dir({"ZEUS_RAY_STATE_DIR": "state-of-a-test"})
    monkeypatch.chdir("/")
    assert first == find_state_dir({"ZEUS_RAY_STATE_DIR": "state-of-a-test"}) == tmp_path / "state-of-a-test"
