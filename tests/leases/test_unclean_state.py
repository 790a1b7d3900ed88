"""What a node may look like when we come: folders of others, journals of others, of no sense, of no board."""

import dataclasses
import json

import hypothesis.strategies as st
import pytest
from examples import examples
from hypothesis import HealthCheck, given

from zeus_ray.cli import main as cli
from zeus_ray.errors import BadInput
from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases import doctor
from zeus_ray.leases import watchdog as guard
from zeus_ray.leases.doctor import Health
from zeus_ray.leases.journal import VERSION, Journal, JournalRecord, OtherVersion
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.recovery import restore_all
from zeus_ray.leases.watchdog import Watchdog

NOBODY = HolderProcess(trial_id="dead", pid=2**22 - 1, started_s=-1.0)


def leave_behind(node, state_dir, index=0):
    """A board at 150 W, found at 270 W, whose every process is dead. Returns its journal."""
    NvmlGpu(node.uuids[index]).set_power_limit_w(270)
    keeper = LeaseManager(NvmlGpu(node.uuids[index]), sample_every_s=None, guarded=False)
    keeper.acquire(NOBODY, 150)
    keeper._claims._custody.leave()
    journal = Journal(state_dir, node.uuids[index])
    journal.write(dataclasses.replace(journal.read(), keeper=NOBODY))
    return journal


def change(journal, **values):
    journal.path.write_text(json.dumps({**json.loads(journal.path.read_text()), **values}))


def test_a_folder_that_others_can_write_to_is_not_believed(make_node, state_dir, tmp_path):
    node = make_node()
    leave_behind(node, state_dir)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (state_dir / f"{guard.NAME}.pid").symlink_to(precious)  # as somebody would who prepared the folder
    state_dir.chmod(0o777)
    writes = node.boards[0].writes
    (said,) = restore_all()
    assert (said.done, said.failed) == (False, True)
    assert "can be written by others" in said.said
    assert "written by others" in " ".join(doctor.examine().problems)
    with pytest.raises(PermissionError, match="written by others"):
        guard.watch(state_dir)
    assert cli.main(["restore", "--watch"]) == 2
    assert cli.main(["restore"]) == 1
    assert (precious.read_text(), node.boards[0].writes, node.limits_w) == ("mine", writes, [150])


def test_another_versions_journal_is_left_to_that_version(make_node, state_dir, monkeypatch):
    node = make_node("V100,V100")
    theirs, _ours = leave_behind(node, state_dir), leave_behind(node, state_dir, 1)
    change(theirs, version=VERSION + 1, entries="whatever that version means by it")
    before = theirs.path.read_text()
    monkeypatch.setattr(guard, "GIVE_UP_AFTER", 2)
    watching = Watchdog(state_dir)
    assert [watching.look() for _ in range(5)] == [True, True, True, False, False]
    assert (node.limits_w, theirs.path.read_text()) == ([150, 270], before)
    said = {one.uuid: one for one in restore_all()}
    assert f"journal version is {VERSION + 1}" in said[node.uuids[0]].said
    lease = LeaseManager(NvmlGpu(node.uuids[0]), sample_every_s=None, guarded=False).acquire(
        HolderProcess.current("new")
    )
    assert not lease.may_set
    assert "of the version that wrote it" in lease.why_not
    report = doctor.examine()
    assert (report.health, report.boards[0].may_set) == (Health.LIMITED, None)
    assert "of the version that wrote it" in report.boards[0].problems[0]
    assert (node.limits_w, theirs.path.read_text()) == ([150, 270], before)


def test_a_board_that_vanished_is_said_and_keeps_nobody_from_leaving(make_node, state_dir, monkeypatch):
    node = make_node("V100,V100")
    leave_behind(node, state_dir, 1)
    gone = leave_behind(node, state_dir)
    change(gone, uuid="GPU-gone")
    gone.path.rename(state_dir / "GPU-gone.json")
    monkeypatch.setattr(guard, "GIVE_UP_AFTER", 2)
    monkeypatch.setattr(guard, "LINGER_S", 0.05)
    monkeypatch.setattr(guard, "LOOK_EVERY_S", 0.01)
    for name in ("GPU-gone", node.uuids[1]):
        assert (state_dir / f"{name}.json").exists()
    guard.watch(state_dir)  # ends, though the journal stays
    assert (node.limits_w[1], [path.stem for path in state_dir.glob("*.json")]) == (270, ["GPU-gone"])
    (said,) = restore_all()
    assert f"delete {state_dir / 'GPU-gone.json'}" in said.said
    assert "GPU-gone.json" in " ".join(doctor.examine().problems)


def test_a_journal_given_up_and_written_anew_is_guarded_again(make_node, state_dir, monkeypatch):
    node = make_node()
    journal = leave_behind(node, state_dir)
    monkeypatch.setattr(guard, "GIVE_UP_AFTER", 1)
    node.boards[0].lost = 1
    watching = Watchdog(state_dir)
    assert [watching.look() for _ in range(3)] == [True, True, False]
    node.boards[0].lost = 0
    assert (watching.look(), node.limits_w) == (False, [150])  # left to its journal
    journal.write(journal.read())  # as the next trial on this board does
    watching.look()
    assert node.limits_w == [270]


def test_a_limit_found_that_the_board_no_longer_allows(make_node, state_dir):
    """As after a driver that came with another range: the other boards are given back all the same."""
    node = make_node("V100,V100")
    change(leave_behind(node, state_dir), found_limit_w=900.0)
    leave_behind(node, state_dir, 1)
    watching = Watchdog(state_dir)
    assert watching.look() is True
    assert node.limits_w == [150, 270]
    said = next(one for one in restore_all() if not one.done)
    assert "100 to 300 W" in said.said
    lease = LeaseManager(NvmlGpu(node.uuids[0]), sample_every_s=None, guarded=False).acquire(
        HolderProcess.current("new")
    )
    assert "left behind could not be given back" in lease.why_not


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_journal_is_one_or_is_bad_input(data):
    holder = {"trial_id": "t", "pid": 2**22 - 1, "started_s": 1.0}
    mark = {"at_s": 0.0, "energy_j": 0.0, "err_j": 0.0, "count_j": 0.0, "offset_j": 0.0}
    entry = {"lease_id": "l", "holder": holder, "control": "auto", "limit_w": 150.0, "origin_s": 0.0}
    entry |= {"spent_j": 0.0, "err_j": 0.0, "mark": mark, "shared": False}
    record = {"uuid": "GPU-0", "found_limit_w": 270.0, "found_enforced_w": 270.0, "persistent": True}
    record |= {"ours": [150.0], "keeper": holder, "entries": [entry], "boot_id": "b", "version": VERSION}
    assert JournalRecord.from_json(json.dumps(record)).ours == (150.0,)
    damaged = data.draw(st.sampled_from([record, entry, holder, mark]))
    damaged[data.draw(st.sampled_from(sorted(damaged)))] = data.draw(JUNK)
    try:
        read = JournalRecord.from_json(json.dumps(record))
    except BadInput:
        return
    assert read.live() == ()
    assert read.keeper_alive() is False
    assert all(abs(limit_w) < float("inf") for limit_w in (read.found_limit_w, *read.ours))


@pytest.mark.parametrize("junk", [b"\xff\xfe", b"[" * 100_000, b"", b"NaN", b'{"version": 1e999}'])
def test_whatever_lies_in_the_folder_the_others_are_given_back(make_node, state_dir, junk):
    node = make_node()
    leave_behind(node, state_dir)
    (state_dir / "GPU-junk.json").write_bytes(junk)
    (state_dir / "GPU-folder.json").mkdir()
    assert Watchdog(state_dir).look() is True  # the folder will not go away
    assert node.limits_w == [270]
    assert (state_dir / "GPU-junk.unreadable").read_bytes() == junk


def test_a_guard_that_cannot_say_so_guards(make_node, state_dir):
    node = make_node()
    leave_behind(node, state_dir)
    (state_dir / f"{guard.NAME}.pid").mkdir()  # as a full disk: it cannot be written
    one = Watchdog(state_dir)
    one.say_so()
    one.look()
    one.unsay()
    assert node.limits_w == [270]


def test_versions_have_their_own_guards():
    with pytest.raises(OtherVersion):
        JournalRecord.from_json(json.dumps({"version": VERSION + 1}))
    assert str(VERSION) in guard.NAME
