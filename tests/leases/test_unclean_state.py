"""Journals of other users, of other versions, damaged ones, and ones of GPUs that are gone."""

import json
import os

import hypothesis.strategies as st
import pytest
from examples import examples
from hypothesis import HealthCheck, given
from lease_helpers import leave_behind, manager_of, this_process

from zeus_ray.cli import main as cli
from zeus_ray.errors import BadInput
from zeus_ray.leases import doctor, restore_attempts
from zeus_ray.leases.doctor import Health
from zeus_ray.leases.journal_and_lock_of_one_gpu import Journal
from zeus_ray.leases.journal_record import JOURNAL_VERSION, OtherVersion, parse_record
from zeus_ray.leases.recovery import restore_all
from zeus_ray.leases.watchdog import Watchdog, run_watchdog
from zeus_ray.leases.watchdog_start_and_status import WATCHDOG_NAME


def change(journal, **values):
    record = {**json.loads(journal.path.read_text()), **values}
    del record["sha256"]
    journal.path.write_text(json.dumps(record))


def test_journals_that_others_can_write_to_are_not_used(make_node, state_dir, tmp_path):
    node = make_node()
    leave_behind(node, state_dir)
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (state_dir / f"{WATCHDOG_NAME}.pid").symlink_to(precious)  # as an attacker would prepare it
    state_dir.chmod(0o777)
    writes = node.gpus[0].writes
    (outcome,) = restore_all()
    assert (outcome.done, outcome.failed) == (False, True)
    assert "can be written by others" in outcome.message
    assert "written by others" in " ".join(doctor.examine().problems)
    with pytest.raises(PermissionError, match="written by others"):
        run_watchdog(state_dir)
    assert cli.main(["restore", "--watch"]) == 2
    assert cli.main(["restore"]) == 1
    assert (precious.read_text(), node.gpus[0].writes, node.limits_w) == ("mine", writes, [150])


def test_a_journal_of_another_version_is_left_to_that_version(make_node, state_dir):
    node = make_node("V100,V100")
    theirs, _ = leave_behind(node, state_dir), leave_behind(node, state_dir, 1)
    change(theirs, version=JOURNAL_VERSION + 1, entries="in another format")
    before = theirs.path.read_text()
    watchdog = Watchdog(state_dir)
    assert [watchdog.check() for _ in range(3)] == [
        False,
        False,
        False,
    ]  # the other version's watchdog does it
    assert (node.limits_w, theirs.path.read_text()) == ([150, 270], before)
    outcomes = {outcome.uuid: outcome for outcome in restore_all()}
    assert f"journal version is {JOURNAL_VERSION + 1}" in outcomes[node.uuids[0]].message
    lease = manager_of(node).acquire(this_process("new"))
    assert not lease.may_set
    assert "of the version that wrote it" in lease.why_not
    report = doctor.examine()
    assert (report.health, report.gpus[0].may_set) == (Health.LIMITED, None)
    assert "of the version that wrote it" in report.gpus[0].problems[0]
    assert (node.limits_w, theirs.path.read_text()) == ([150, 270], before)


def test_the_journal_of_a_gpu_that_is_gone_is_kept_and_reported(make_node, state_dir):
    node = make_node("V100,V100")
    leave_behind(node, state_dir, 1)
    gone = leave_behind(node, state_dir)
    change(gone, uuid="GPU-gone")
    gone.path.rename(state_dir / "GPU-gone.json")
    gone.copy_path.unlink()
    watchdog = Watchdog(state_dir)
    assert watchdog.check() is True
    assert (node.limits_w[1], [path.stem for path in state_dir.glob("*.json")]) == (270, ["GPU-gone"])
    (outcome,) = restore_all()
    assert f"delete {state_dir / 'GPU-gone.json'}" in outcome.message
    problems = " ".join(doctor.examine().problems)
    assert "GPU-gone is still to be restored" in problems
    assert "not on this node any more?" in problems


@pytest.mark.slow
def test_the_watchdog_never_gives_up(make_node, state_dir, monkeypatch):
    monkeypatch.setattr(restore_attempts, "RETRY_S", 0.0)
    monkeypatch.setattr(restore_attempts, "RETRY_SLOWLY_S", 0.0)
    node = make_node()
    leave_behind(node, state_dir)
    node.gpus[0].lost = 1
    watchdog = Watchdog(state_dir)
    assert all(watchdog.check() for _ in range(100))
    node.gpus[0].lost = 0
    assert (watchdog.check(), node.limits_w) == (False, [270])


def test_an_original_limit_that_is_out_of_range_now(make_node, state_dir):
    """As after a driver update with another range: the other GPUs are restored all the same."""
    node = make_node("V100,V100")
    change(leave_behind(node, state_dir), original_limit_w=900.0)
    leave_behind(node, state_dir, 1)
    watchdog = Watchdog(state_dir)
    assert watchdog.check() is True
    assert node.limits_w == [150, 270]
    outcome = next(outcome for outcome in restore_all() if not outcome.done)
    assert "100 to 300 W" in outcome.message
    lease = manager_of(node).acquire(this_process("new"))
    assert "could not be restored" in lease.why_not


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


def parts_of_a_record(version=JOURNAL_VERSION):
    """A record as JSON values, and the parts that it nests."""
    holder = {"trial_id": "t", "pid": 2**22 - 1, "started_s": 1.0}
    charged_to = {"at_s": 0.0, "energy_j": 0.0, "err_j": 0.0, "count_j": 0.0, "offset_j": 0.0}
    entry = {"lease_id": "l", "holder": holder, "control": "auto", "limit_w": 150.0, "start_s": 0.0}
    entry |= {"start_err_j": 0.0, "energy_j": 0.0, "charged_to": charged_to, "shared": False}
    record = {"uuid": "GPU-0", "source": "nvml", "original_limit_w": 270.0, "original_enforced_w": 270.0}
    record |= {"persistent": True, "our_limits_w": [150.0], "manager": holder, "entries": [entry]}
    record |= {"boot_id": "b", "version": version}
    return record, entry, holder, charged_to


@examples(60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_journal_is_readable_or_bad_input(data):
    record, *nested = parts_of_a_record()
    assert parse_record(json.dumps(record)).our_limits_w == (150.0,)
    damaged = data.draw(st.sampled_from([record, *nested]))
    damaged[data.draw(st.sampled_from(sorted(damaged)))] = data.draw(JUNK)
    try:
        read = parse_record(json.dumps(record))
    except BadInput:
        return
    assert read.live() == ()
    assert read.manager_alive() is False
    assert all(abs(limit_w) < float("inf") for limit_w in (read.original_limit_w, *read.our_limits_w))


def test_a_newer_record_with_unknown_fields_is_read_and_not_touched(make_node, state_dir):
    node = make_node()
    record, entry, holder, _ = parts_of_a_record(JOURNAL_VERSION + 1)
    record |= {"uuid": node.uuids[0], "of_a_later_version": {"any": "thing"}}
    entry["of_a_later_version"] = [1, 2]
    state_dir.mkdir(mode=0o700)
    path = Journal(state_dir, node.uuids[0]).path
    path.write_text(json.dumps(record))
    assert parse_record(path.read_bytes()).held_by() == f"process {holder['pid']}, for t"
    (outcome,) = restore_all()
    assert (outcome.done, outcome.failed) == (False, True)
    assert f"journal version is {JOURNAL_VERSION + 1}" in outcome.message
    assert not manager_of(node).acquire(this_process()).may_set
    assert json.loads(path.read_text()) == record
    assert node.attempts == 0


def test_a_newer_record_tells_who_holds_the_gpu(make_node, state_dir):
    node = make_node()
    manager_of(node).acquire(this_process("runs"), 150)
    change(Journal(state_dir, node.uuids[0]), version=JOURNAL_VERSION + 1, of_a_later_version=1)
    assert "for runs" in doctor.examine().gpus[0].held_by
    (outcome,) = restore_all()
    assert "trial runs" in outcome.message


@pytest.mark.parametrize("field", ["version", "boot_id", "uuid"])
def test_a_record_without_a_field_is_bad_input(field):
    record, *_ = parts_of_a_record()
    del record[field]
    with pytest.raises(BadInput):
        parse_record(json.dumps(record))


@pytest.mark.slow
@pytest.mark.parametrize("junk", [b"\xff\xfe", b"[" * 100_000, b"", b"NaN", b'{"version": 1e999}'])
def test_unreadable_files_do_not_stop_the_watchdog(make_node, state_dir, junk):
    node = make_node()
    leave_behind(node, state_dir)
    (state_dir / "GPU-junk.json").write_bytes(junk)
    (state_dir / "GPU-folder.json").mkdir()
    os.mkfifo(state_dir / "GPU-pipe.json")
    (state_dir / "GPU-link.json").symlink_to(state_dir / "GPU-link.json")
    assert Watchdog(state_dir).check() is False
    assert node.limits_w == [270]
    assert (state_dir / "GPU-junk.unreadable").read_bytes() == junk
    problems = " ".join(doctor.examine().problems)
    assert all(f"GPU-{name}.unreadable" in problems for name in ("junk", "folder", "pipe", "link"))


def test_a_watchdog_without_a_pid_file_restores(make_node, state_dir):
    node = make_node()
    leave_behind(node, state_dir)
    (state_dir / f"{WATCHDOG_NAME}.pid").mkdir()  # as on a full disk, it cannot be written
    watchdog = Watchdog(state_dir)
    watchdog.write_pid()
    watchdog.check()
    watchdog.remove_pid()
    assert node.limits_w == [270]


def test_each_version_has_its_own_watchdog():
    with pytest.raises(OtherVersion):
        parse_record(json.dumps({"version": JOURNAL_VERSION + 1}))
    assert str(JOURNAL_VERSION) in WATCHDOG_NAME
