"""Leases of one GPU: its limit is set, shared, and restored to the original one, whatever happens between."""

import dataclasses
import subprocess
import sys
import time

import psutil
import pytest
from lease_helpers import crash, manager_of, this_process

from zeus_ray.errors import BadInput, DeviceLost, LeaseRefused, NoPermission, NotSupported
from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases.journal_and_lock_of_one_gpu import Journal
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.leases.write_limit_and_read_back import SET_LIMIT_ATTEMPTS
from zeus_ray.training.leased_gpu_group import GpuGroup, LeasedGpu


def test_restores_the_original_limit_not_the_default(make_node):
    node = make_node("A100")
    NvmlGpu(node.uuids[0]).set_power_limit_w(330)
    manager = manager_of(node)
    lease = manager.acquire(this_process(), 250)
    assert (lease.original_limit_w, node.limits_w) == (330, [250])
    assert lease.reading.power_limit_w == 250
    manager.release(lease.lease_id)
    assert node.limits_w == [330]
    assert manager.idle


def test_journals_before_the_first_write(make_node, state_dir):
    node = make_node()

    class RecordingGpu(NvmlGpu):
        def set_power_limit_w(self, limit_w):
            record = Journal(state_dir, self.uuid).read()
            seen.append((limit_w, record and (record.original_limit_w, record.our_limits_w)))
            super().set_power_limit_w(limit_w)

    seen = []
    manager = LeaseManager(RecordingGpu(node.uuids[0]), sample_every_s=None, watchdog=False)
    manager.release(manager.acquire(this_process(), 150).lease_id)
    # The first write is the limit that is already set: it finds out whether limits can be set.
    assert seen == [(300, None), (150, (300, (150,))), (300, (300, (150,)))]
    assert not list(state_dir.glob("*.json"))


def test_journal_is_private(make_node, state_dir):
    manager = manager_of(make_node())
    manager.acquire(this_process(), 150)
    assert state_dir.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in state_dir.glob("*.json")} == {0o600}


def test_releasing_twice_or_an_unknown_lease_changes_nothing(make_node):
    node = make_node()
    manager = manager_of(node)
    first = manager.acquire(this_process("a"), 150)
    ended = manager.release(first.lease_id)
    second = manager.acquire(this_process("b"), 200)
    assert manager.release(first.lease_id) == ended == manager.read(first.lease_id)
    manager.release("unknown")
    assert node.limits_w == [200]
    manager.release(second.lease_id)


def test_equal_limits_are_shared_and_a_different_one_is_refused(make_node):
    node = make_node()
    manager = manager_of(node)
    first = manager.acquire(this_process("first"), 150)
    assert not first.reading.shared
    second = manager.acquire(this_process("second"), 150)
    with pytest.raises(LeaseRefused, match=r"200 W.*first.*150 W"):
        manager.acquire(this_process("third"), 200)
    assert manager.read(first.lease_id).shared
    assert second.reading.shared
    manager.release(first.lease_id)
    assert node.limits_w == [150]
    assert manager.read(second.lease_id).shared  # part of its energy was the other lease's
    manager.release(second.lease_id)
    assert node.limits_w == [300]


def test_a_lease_that_only_measures_does_not_keep_the_limit(make_node):
    node = make_node()
    manager = manager_of(node)
    sets, measures = manager.acquire(this_process("a"), 150), manager.acquire(this_process("b"))
    manager.release(sets.lease_id)
    assert node.limits_w == [300]
    manager.release(measures.lease_id)


def test_an_exclusive_lease_refuses_and_is_refused(make_node):
    manager = manager_of(make_node())
    lease = manager.acquire(this_process("alone"), exclusive=True)
    for exclusive in (True, False):
        with pytest.raises(LeaseRefused, match="exclusive"):
            manager.acquire(this_process("b"), exclusive=exclusive)
    manager.release(lease.lease_id)
    manager.acquire(this_process("b"))
    with pytest.raises(LeaseRefused, match="leased by b"):
        manager.acquire(this_process("c"), exclusive=True)


@pytest.mark.parametrize(("of_node", "of_lease"), [("off", "auto"), ("auto", "off"), (None, "off")])
def test_power_control_off_writes_nothing(make_node, of_node, of_lease):
    node = make_node()
    manager = manager_of(node, control=of_node)
    lease = manager.acquire(this_process(), control=of_lease)
    assert not lease.may_set
    assert "ZEUS_RAY_POWER_CONTROL" in lease.why_not
    with pytest.raises(NoPermission):
        manager.set_limit(lease.lease_id, 200)
    manager.release(lease.lease_id)
    manager.close()
    assert node.attempts == 0


def test_power_control_of_the_environment(make_node, monkeypatch):
    node = make_node()
    monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "off")
    assert not manager_of(node).acquire(this_process()).may_set
    monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "maybe")
    with pytest.raises(BadInput, match=r"'maybe'.*auto or off"):
        manager_of(node)


@pytest.mark.processes
def test_power_control_off_does_not_restore_what_was_left_behind(make_node, ended_holder):
    node = make_node()
    manager_of(node).acquire(ended_holder, 150)
    node.gpus[0].writes = 0
    lease = manager_of(node).acquire(this_process(), control="off")
    assert (node.attempts, node.limits_w) == (0, [150])
    assert not lease.may_set


@pytest.fixture
def ended_holder():
    """A trial whose process has ended."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started_s = HolderProcess.current("x").started_s
    holder = HolderProcess(trial_id="ended", pid=process.pid, started_s=started_s)
    process.communicate(b"\n")
    return holder


def test_reaps_the_lease_of_an_ended_process(make_node, ended_holder):
    node = make_node()
    manager = manager_of(node)
    lease = manager.acquire(ended_holder, 150)
    assert manager.reap() == [lease.lease_id]
    assert node.limits_w == [300]


def test_a_reused_pid_is_another_process():
    holder = this_process()
    assert holder.alive()
    assert not dataclasses.replace(holder, started_s=holder.started_s - 1).alive()


def test_without_permission_it_only_measures(make_node):
    node = make_node(no_permission=1)
    manager = manager_of(node)
    lease = manager.acquire(this_process())
    assert not lease.may_set
    assert "Permission" in lease.why_not
    node.load(1)
    assert manager.read(lease.lease_id).energy_j >= 0
    with pytest.raises(NoPermission):
        manager.set_limit(lease.lease_id, 200)


def test_a_partitioned_gpu_is_measured_and_takes_no_limit(make_node):
    node = make_node("A100", mig=1)
    lease = manager_of(node).acquire(this_process())
    assert "MIG" in lease.why_not
    assert node.attempts == 0


def test_a_limit_out_of_range_names_the_range_and_leaves_no_lease(make_node):
    node = make_node()
    manager = manager_of(node)
    with pytest.raises(BadInput, match="100 to 300 W"):
        manager.acquire(this_process(), 50)
    assert manager.idle
    assert node.limits_w == [300]


def test_a_set_that_fails_now_and_then_is_retried(make_node):
    node = make_node()
    manager = manager_of(node)
    lease = manager.acquire(this_process())
    node.gpus[0].refuse_sets = 2
    assert manager.set_limit(lease.lease_id, 150).power_limit_w == 150
    node.gpus[0].refuse_sets = 2
    manager.release(lease.lease_id)
    assert node.limits_w == [300]


def test_a_set_that_fails_for_good_restores_the_original_limit(make_node):
    node = make_node()
    manager = manager_of(node)
    lease = manager.acquire(this_process(), 150)
    node.gpus[0].refuse_sets = SET_LIMIT_ATTEMPTS
    with pytest.raises(Exception, match="Unknown"):
        manager.set_limit(lease.lease_id, 200)
    assert node.limits_w == [300]
    manager.release(lease.lease_id)


def test_a_limit_set_by_someone_else_is_left_alone(make_node):
    node = make_node()
    manager = manager_of(node)
    lease = manager.acquire(this_process(), 150)
    NvmlGpu(node.uuids[0]).set_power_limit_w(222)
    manager.release(lease.lease_id)
    assert node.limits_w == [222]


def test_a_gpu_lost_during_a_lease_keeps_its_journal(make_node):
    node = make_node()
    manager = manager_of(node)
    lease = manager.acquire(this_process(), 150)
    node.gpus[0].lost = 1
    with pytest.raises(DeviceLost):
        manager.read(lease.lease_id)
    with pytest.raises(DeviceLost):
        manager.release(lease.lease_id)
    node.gpus[0].lost = 0
    again = manager_of(node).acquire(this_process("next"))
    assert (again.original_limit_w, node.limits_w) == (300, [300])


def test_a_counter_reset_loses_no_energy(make_node):
    node = make_node()
    node.stop_clock()
    node.load(1)
    manager = manager_of(node)
    lease = manager.acquire(this_process())
    node.advance(10)
    before = manager.read(lease.lease_id)
    node.reload_driver()
    node.advance(10)
    after = manager.read(lease.lease_id)
    assert after.energy_j == pytest.approx(2 * before.energy_j, rel=1e-3)


def test_energy_and_time_count_from_the_start_of_the_lease(make_node):
    node = make_node()
    node.stop_clock()
    node.load(1)
    node.advance(100)
    manager = manager_of(node)
    lease = manager.acquire(this_process(), 200)
    node.advance(10)
    reading = manager.read(lease.lease_id)
    assert reading.time_s == pytest.approx(10)
    assert reading.energy_j == pytest.approx(2000, rel=1e-3)


def test_the_power_trace_has_power_and_the_limit_in_force(make_node):
    node = make_node()
    node.stop_clock()
    node.load(1)
    manager = manager_of(node)
    lease = manager.acquire(this_process(), 200)
    for _ in range(3):
        node.advance(1)
        manager.sample()
    points = manager.power_trace(lease.lease_id)
    assert points[-1] == (pytest.approx(3, abs=0.01), 200, 200)
    assert points[0][1:] == (285, 300)  # just before it was set


@pytest.mark.processes
def test_a_second_process_on_a_gpu_only_measures(make_node, state_dir):
    node = make_node()
    manager = manager_of(node)
    manager.acquire(this_process("mine"), 150)
    second = """
import sys
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.gpus.nvml import NvmlGpu
lease = LeaseManager(NvmlGpu(sys.argv[1])).acquire(HolderProcess.current("other"))
print(lease.may_set, lease.why_not)
"""
    env = {**node.env, "ZEUS_RAY_STATE_DIR": str(state_dir)}
    answer = subprocess.run(
        [sys.executable, "-c", second, node.uuids[0]], env=env, capture_output=True, text=True, check=True
    )
    assert answer.stdout.startswith("False")
    assert "mine" in answer.stdout
    assert node.limits_w == [150]


@pytest.mark.processes
def test_the_next_manager_restores_the_limit_of_a_killed_one(make_node, state_dir):
    node = make_node()
    first = """
import os, sys
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.gpus.nvml import NvmlGpu
LeaseManager(NvmlGpu(sys.argv[1]), watchdog=False).acquire(HolderProcess.current("killed"), 150)
os.kill(os.getpid(), 9)
"""
    env = {**node.env, "ZEUS_RAY_STATE_DIR": str(state_dir)}
    subprocess.run([sys.executable, "-c", first, node.uuids[0]], env=env, check=False)
    assert node.limits_w == [150]
    lease = manager_of(node).acquire(this_process("next"))
    assert (node.limits_w, lease.original_limit_w) == ([300], 300)


@pytest.mark.processes
def test_the_next_manager_adopts_the_lease_of_a_running_trial(make_node, state_dir):
    node = make_node()
    node.stop_clock()
    node.load(1)
    mine = this_process("runs on")
    first = f"""
import os, sys
from zeus_ray.leases.lease_manager_of_one_gpu import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.gpus.nvml import NvmlGpu
holder = HolderProcess(trial_id="runs on", pid={mine.pid}, started_s={mine.started_s})
gpu = NvmlGpu(sys.argv[1], clock=lambda: {node.now_s()})
print(LeaseManager(gpu, pause=lambda s: None, watchdog=False).acquire(holder, 150).lease_id, flush=True)
os.kill(os.getpid(), 9)
"""
    env = {**node.env, "ZEUS_RAY_STATE_DIR": str(state_dir)}
    answer = subprocess.run(
        [sys.executable, "-c", first, node.uuids[0]], env=env, capture_output=True, text=True, check=False
    )
    lease_id = answer.stdout.strip()
    node.advance(10)
    manager = manager_of(node)
    reading = manager.read(lease_id)
    assert (reading.time_s, reading.energy_j) == (pytest.approx(10, abs=0.01), pytest.approx(1500, rel=1e-2))
    assert node.limits_w == [150]
    again = manager.acquire(mine)  # Ray repeats a call that the killed process may not have answered
    assert (again.lease_id, again.reading.shared) == (lease_id, False)
    manager.release(lease_id)
    assert node.limits_w == [300]


def test_without_a_journal_no_limit_is_set(make_node, tmp_path):
    node = make_node()
    blocked = tmp_path / "file"
    blocked.write_text("")
    manager = manager_of(node, state_dir=blocked / "below")
    lease = manager.acquire(this_process())
    assert "journal" in lease.why_not
    assert node.attempts == 0
    manager.release(lease.lease_id)


def test_on_a_full_disk_no_limit_is_set(make_node, monkeypatch):
    node = make_node()
    manager = manager_of(node)
    lease = manager.acquire(this_process())
    writes = node.gpus[0].writes

    def full(*_, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "write", full)
    with pytest.raises(NoPermission, match="No space left"):
        manager.set_limit(lease.lease_id, 150)
    manager.release(lease.lease_id)
    assert (node.gpus[0].writes, node.limits_w) == (writes, [300])


def test_an_unreadable_journal_is_moved_aside(make_node, state_dir):
    node = make_node()
    state_dir.mkdir(mode=0o700)
    path = Journal(state_dir, node.uuids[0]).path
    path.write_text("{")
    manager_of(node).acquire(this_process(), 150)
    assert path.with_suffix(".unreadable").read_text() == "{"


def test_a_real_gpu_does_no_virtual_work(make_node):
    manager = manager_of(make_node())
    lease = manager.acquire(this_process())
    with pytest.raises(NotSupported):
        manager.train(lease.lease_id, 10, 10)


def test_each_gpu_of_a_node_has_its_own_range(make_node):
    node = make_node("T4,H100")
    for index, (below_w, message) in enumerate([(100, "60 to 70 W"), (150, "200 to 700 W")]):
        manager = manager_of(node, index)
        with pytest.raises(BadInput, match=message):
            manager.acquire(this_process(), below_w)
    assert node.attempts == 2  # one each, to find out whether limits can be set


def test_a_group_takes_the_limits_that_all_its_gpus_accept(make_node):
    node = make_node("V100,A100")
    holder = this_process()
    group = GpuGroup([LeasedGpu.local(manager_of(node, index), holder, "auto") for index in range(2)])
    assert (group.range.min_w, group.range.max_w) == (100, 300)
    assert group.set_limit(250).power_limit_w == 250
    with pytest.raises(BadInput, match="100 to 300 W"):
        group.set_limit(350)
    group.release()
    assert node.limits_w == [300, 400]


def test_a_lower_enforced_limit_is_reported_and_not_restored(make_node):
    node = make_node("A100")
    NvmlGpu(node.uuids[0]).set_power_limit_w(380)
    node.gpus[0].enforced_cap_mw = 200_000
    manager = manager_of(node)
    lease = manager.acquire(this_process(), 250)
    assert (lease.original_limit_w, lease.reading.power_limit_w) == (380, 200)
    manager.release(lease.lease_id)
    assert node.limits_w == [380]


def test_a_jump_of_the_wall_clock_ends_no_lease_and_adds_no_time(make_node, monkeypatch):
    node = make_node()
    manager = manager_of(node)
    lease = manager.acquire(this_process(), 150)
    for jump_s in (-1e6, 1e9):
        jumped_s = time.time() + jump_s
        monkeypatch.setattr(time, "time", lambda now=jumped_s: now)
        monkeypatch.setattr(psutil, "boot_time", lambda now=jumped_s: now)
        assert manager.reap() == []
        assert 0 <= manager.read(lease.lease_id).time_s < 60
    manager.release(lease.lease_id)
    assert node.limits_w == [300]


def test_a_leased_gpu_is_sampled_by_a_thread(make_node):
    node = make_node()
    manager = LeaseManager(NvmlGpu(node.uuids[0]), sample_every_s=0.001, watchdog=False)
    lease = manager.acquire(this_process())
    deadline_s = time.monotonic() + 10
    while len(manager.power_trace(lease.lease_id)) < 5:
        assert time.monotonic() < deadline_s
    manager.release(lease.lease_id)
    assert manager.idle


@pytest.mark.parametrize("no_energy", [0, 1])
def test_a_gpu_that_does_not_answer_does_not_end_sampling(make_node, no_energy):
    node = make_node(no_energy=no_energy, refresh_ms=100)
    node.stop_clock()
    manager = manager_of(node)
    lease = manager.acquire(this_process())
    node.advance(20)
    node.gpus[0].lost = 1
    manager.sample()
    node.gpus[0].lost = 0
    node.advance(1)
    manager.sample()
    assert manager.power_trace(lease.lease_id)[-1][0] == pytest.approx(21, abs=0.5)


def test_the_next_manager_adopts_a_lease_that_only_measures(make_node):
    node = make_node()
    node.stop_clock()
    node.load(1)
    first = manager_of(node, control="off")
    lease = first.acquire(this_process())
    crash(first)
    node.advance(10)
    reading = manager_of(node, control="off").read(lease.lease_id)
    assert reading.energy_j == pytest.approx(2850, rel=1e-2)
    assert node.attempts == 0


def test_status_has_the_limit_and_the_energy_of_each_trial(make_node):
    node = make_node()
    node.stop_clock()
    node.load(1)
    manager = manager_of(node)
    manager.acquire(this_process("first"), 150)
    node.advance(10)
    status = manager.status()
    ((trial, energy_j),) = status.energy_j
    assert (status.uuid, status.power_limit_w, trial) == (node.uuids[0], 150, "first")
    assert energy_j == pytest.approx(1500, rel=1e-2)
