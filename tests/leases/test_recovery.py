"""Giving back by the journals alone."""

import dataclasses

import pytest

from zeus_ray.errors import BadInput, DeviceError
from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases import journal as journals
from zeus_ray.leases.journal import Journal, JournalRecord
from zeus_ray.leases.limit_owner import TRIES
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.recovery import restore_all
from zeus_ray.leases.watchdog import Watchdog

NOBODY = HolderProcess(trial_id="dead", pid=2**22 - 1, started_s=-1.0)


@pytest.fixture
def left(make_node, state_dir):
    """A board at 150 W whose every process is dead, and its journal."""
    node = make_node()
    NvmlGpu(node.uuids[0]).set_power_limit_w(270)
    keeper = LeaseManager(NvmlGpu(node.uuids[0]), sample_every_s=None, guarded=False)
    keeper.acquire(dataclasses.replace(NOBODY), 150)
    keeper._claims._custody.leave()
    journal = Journal(state_dir, node.uuids[0])
    journal.write(dataclasses.replace(journal.read(), keeper=NOBODY))
    node.boards[0].writes = 0
    return node


def test_by_hand(left):
    (said,) = restore_all()
    assert (said.done, said.said, left.limits_w) == (True, "back at 270 W", [270])
    assert restore_all() == []


def test_by_the_guard(left, state_dir):
    assert Watchdog(state_dir).look() is False
    assert left.limits_w == [270]


def test_what_a_living_trial_holds_is_left_unless_forced(left, state_dir):
    journal = Journal(state_dir, left.uuids[0])
    record = journal.read()
    entry = dataclasses.replace(record.entries[0], holder=HolderProcess.current("alive"))
    journal.write(dataclasses.replace(record, entries=(entry,)))
    (said,) = restore_all()
    assert (said.done, left.limits_w) == (False, [150])
    assert "alive" in said.said
    (said,) = restore_all(force=True)
    assert (said.done, left.limits_w) == (True, [270])


def test_before_a_restart_of_the_machine_everyone_is_dead(left, state_dir):
    journal = Journal(state_dir, left.uuids[0])
    record = journal.read()
    entry = dataclasses.replace(record.entries[0], holder=HolderProcess.current("same pid, by chance"))
    journal.write(dataclasses.replace(record, entries=(entry,), boot_id="before"))
    restore_all()
    assert left.limits_w == [270]


def test_off_gives_nothing_back_not_even_the_guard_does(left, state_dir, monkeypatch):
    monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "off")
    for force in (False, True):
        (said,) = restore_all(force=force)
        assert (said.done, said.said) == (False, "power control is off")
    assert Watchdog(state_dir).look() is True
    assert (left.attempts, left.limits_w) == (0, [150])


def test_what_an_operator_set_since_is_kept(left):
    NvmlGpu(left.uuids[0]).set_power_limit_w(222)
    (said,) = restore_all()
    assert (said.done, said.said, left.limits_w) == (True, "nothing to give back", [222])


def test_a_board_that_refuses_is_tried_again(left, state_dir):
    left.boards[0].refuse_sets = TRIES
    guard = Watchdog(state_dir)
    assert guard.look() is True
    assert left.limits_w == [150]
    assert guard.look() is False
    assert left.limits_w == [270]


def test_what_a_living_keeper_gave_up_on_is_the_guards(make_node, state_dir):
    node = make_node()
    keeper = LeaseManager(NvmlGpu(node.uuids[0]), sample_every_s=None, guarded=False)
    lease = keeper.acquire(HolderProcess.current("trial"), 150)
    node.boards[0].refuse_sets = TRIES
    with pytest.raises(DeviceError):
        keeper.release(lease.lease_id)
    assert node.limits_w == [150]
    Watchdog(state_dir).look()
    assert node.limits_w == [300]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99}', "null", '{"version": 1, "entries": 5}'])
def test_a_file_that_is_no_journal_is_said_to_be_none(text):
    with pytest.raises(BadInput):
        JournalRecord.from_json(text)


def test_a_journal_comes_back_as_it_was(left, state_dir):
    record = Journal(state_dir, left.uuids[0]).read()
    assert JournalRecord.from_json(record.to_json()) == record


def test_a_folder_of_others_is_refused(make_node, state_dir):
    state_dir.mkdir(mode=0o777)
    state_dir.chmod(0o777)
    node = make_node()
    lease = LeaseManager(NvmlGpu(node.uuids[0]), sample_every_s=None, guarded=False).acquire(
        HolderProcess.current("trial")
    )
    assert "written by others" in lease.why_not
    assert node.attempts == 0


def test_where_journals_are_kept(tmp_path):
    assert journals.state_dir({"ZEUS_RAY_STATE_DIR": str(tmp_path)}) == tmp_path
    assert str(journals.state_dir({})).startswith("/var/tmp/zeus-ray-")  # noqa: S108 — its name is the point
