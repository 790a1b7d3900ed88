"""A lease takes a board as it is and gives it back so, whatever happens between."""

import dataclasses
import subprocess
import sys
import time

import psutil
import pytest

from zeus_ray.errors import BadInput, DeviceLost, LeaseRefused, NoPermission, NotSupported
from zeus_ray.gpus.nvml import NvmlGpu
from zeus_ray.leases.journal import Journal
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.training.gpu_group import GpuGroup, LeasedGpu


def keeper_of(node, index=0, **options):
    clock = {"clock": node.now_s} if node.state.manual_clock else {}
    pause = {"pause": node.advance} if node.state.manual_clock else {}
    return LeaseManager(
        NvmlGpu(node.uuids[index], **clock), sample_every_s=None, guarded=False, **pause, **options
    )


def me(trial="trial"):
    return HolderProcess.current(trial)


def test_gives_back_what_was_found_not_the_default(make_node):
    node = make_node("A100")
    NvmlGpu(node.uuids[0]).set_power_limit_w(330)
    keeper = keeper_of(node)
    lease = keeper.acquire(me(), 250)
    assert (lease.found_limit_w, node.limits_w) == (330, [250])
    assert lease.reading.power_limit_w == 250
    keeper.release(lease.lease_id)
    assert node.limits_w == [330]
    assert keeper.idle


def test_journals_before_the_first_write(make_node, state_dir):
    node = make_node()

    class Watched(NvmlGpu):
        def set_power_limit_w(self, limit_w):
            record = Journal(state_dir, self.uuid).read()
            seen.append((limit_w, record and (record.found_limit_w, record.ours)))
            super().set_power_limit_w(limit_w)

    seen = []
    keeper = LeaseManager(Watched(node.uuids[0]), sample_every_s=None, guarded=False)
    keeper.release(keeper.acquire(me(), 150).lease_id)
    # The first write is the limit that is already there: it asks whether we may.
    assert seen == [(300, None), (150, (300, (150,))), (300, (300, (150,)))]
    assert not list(state_dir.glob("*.json"))


def test_journal_is_private(make_node, state_dir):
    keeper = keeper_of(make_node())
    keeper.acquire(me(), 150)
    assert state_dir.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in state_dir.glob("*.json")} == {0o600}


def test_release_again_or_of_nothing_changes_nothing(make_node):
    node = make_node()
    keeper = keeper_of(node)
    first = keeper.acquire(me("a"), 150)
    ended = keeper.release(first.lease_id)
    second = keeper.acquire(me("b"), 200)
    assert keeper.release(first.lease_id) == ended == keeper.read(first.lease_id)
    keeper.release("nobody")
    assert node.limits_w == [200]
    keeper.release(second.lease_id)


def test_equal_limits_join_and_a_different_one_is_refused(make_node):
    node = make_node()
    keeper = keeper_of(node)
    first = keeper.acquire(me("first"), 150)
    assert not first.reading.shared
    second = keeper.acquire(me("second"), 150)
    with pytest.raises(LeaseRefused, match=r"200 W.*first.*150 W"):
        keeper.acquire(me("third"), 200)
    assert keeper.read(first.lease_id).shared
    assert second.reading.shared
    keeper.release(first.lease_id)
    assert node.limits_w == [150]
    assert keeper.read(second.lease_id).shared  # its energy was not its own
    keeper.release(second.lease_id)
    assert node.limits_w == [300]


def test_one_that_only_measures_does_not_keep_the_limit(make_node):
    node = make_node()
    keeper = keeper_of(node)
    sets, measures = keeper.acquire(me("a"), 150), keeper.acquire(me("b"))
    keeper.release(sets.lease_id)
    assert node.limits_w == [300]
    keeper.release(measures.lease_id)


def test_exclusive_refuses_and_is_refused(make_node):
    keeper = keeper_of(make_node())
    lease = keeper.acquire(me("alone"), exclusive=True)
    for exclusive in (True, False):
        with pytest.raises(LeaseRefused, match="alone"):
            keeper.acquire(me("b"), exclusive=exclusive)
    keeper.release(lease.lease_id)
    keeper.acquire(me("b"))
    with pytest.raises(LeaseRefused, match="held by b"):
        keeper.acquire(me("c"), exclusive=True)


@pytest.mark.parametrize(("node_says", "lease_says"), [("off", "auto"), ("auto", "off"), (None, "off")])
def test_off_writes_nothing_at_all(make_node, node_says, lease_says):
    node = make_node()
    keeper = keeper_of(node, control=node_says)
    lease = keeper.acquire(me(), control=lease_says)
    assert not lease.may_set
    assert "ZEUS_RAY_POWER_CONTROL" in lease.why_not
    with pytest.raises(NoPermission):
        keeper.set_limit(lease.lease_id, 200)
    keeper.release(lease.lease_id)
    keeper.close()
    assert node.attempts == 0


def test_off_in_the_environment_and_nonsense_there(make_node, monkeypatch):
    node = make_node()
    monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "off")
    assert not keeper_of(node).acquire(me()).may_set
    monkeypatch.setenv("ZEUS_RAY_POWER_CONTROL", "maybe")
    with pytest.raises(BadInput, match=r"'maybe'.*auto or off"):
        keeper_of(node)


@pytest.mark.processes
def test_off_does_not_even_give_back_what_the_dead_left(make_node, dead_holder):
    node = make_node()
    keeper_of(node).acquire(dead_holder, 150)
    node.boards[0].writes = 0
    lease = keeper_of(node).acquire(me(), control="off")
    assert (node.attempts, node.limits_w) == (0, [150])
    assert not lease.may_set


@pytest.fixture
def dead_holder():
    """A trial whose process is gone; the lock of whoever leased for it is let go with its LeaseManager."""
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    started_s = HolderProcess.current("x").started_s
    holder = HolderProcess(trial_id="dead", pid=process.pid, started_s=started_s)
    process.communicate(b"\n")
    return holder


def test_reaps_the_lease_of_a_dead_process(make_node, dead_holder):
    node = make_node()
    keeper = keeper_of(node)
    lease = keeper.acquire(dead_holder, 150)
    assert keeper.reap() == [lease.lease_id]
    assert node.limits_w == [300]


def test_a_pid_used_again_is_another_process():
    holder = me()
    assert holder.alive()
    assert not dataclasses.replace(holder, started_s=holder.started_s - 1).alive()


def test_without_rights_it_measures_and_says_so(make_node):
    node = make_node(no_permission=1)
    keeper = keeper_of(node)
    lease = keeper.acquire(me())
    assert not lease.may_set
    assert "Permission" in lease.why_not
    node.load(1)
    assert keeper.read(lease.lease_id).energy_j >= 0
    with pytest.raises(NoPermission):
        keeper.set_limit(lease.lease_id, 200)


def test_a_slice_measures_and_sets_nothing(make_node):
    node = make_node("A100", mig=1)
    lease = keeper_of(node).acquire(me())
    assert "MIG" in lease.why_not
    assert node.attempts == 0


def test_out_of_range_names_the_range_and_leaves_no_lease(make_node):
    node = make_node()
    keeper = keeper_of(node)
    with pytest.raises(BadInput, match="100 to 300 W"):
        keeper.acquire(me(), 50)
    assert keeper.idle
    assert node.limits_w == [300]


def test_set_refused_now_and_then_is_tried_again(make_node):
    node = make_node()
    keeper = keeper_of(node)
    lease = keeper.acquire(me())
    node.boards[0].refuse_sets = 2
    assert keeper.set_limit(lease.lease_id, 150).power_limit_w == 150
    node.boards[0].refuse_sets = 2
    keeper.release(lease.lease_id)
    assert node.limits_w == [300]


def test_set_that_fails_for_good_gives_back_what_was_found(make_node):
    node = make_node()
    keeper = keeper_of(node)
    lease = keeper.acquire(me(), 150)
    node.boards[0].refuse_sets = 4  # as often as one set is tried
    with pytest.raises(Exception, match="Unknown"):
        keeper.set_limit(lease.lease_id, 200)
    assert node.limits_w == [300]
    keeper.release(lease.lease_id)


def test_what_somebody_else_set_meanwhile_is_theirs(make_node):
    node = make_node()
    keeper = keeper_of(node)
    lease = keeper.acquire(me(), 150)
    NvmlGpu(node.uuids[0]).set_power_limit_w(222)
    keeper.release(lease.lease_id)
    assert node.limits_w == [222]


def test_a_board_lost_in_mid_run_fails_its_lease_and_owes_its_limit(make_node):
    node = make_node()
    keeper = keeper_of(node)
    lease = keeper.acquire(me(), 150)
    node.boards[0].lost = 1
    with pytest.raises(DeviceLost):
        keeper.read(lease.lease_id)
    with pytest.raises(DeviceLost):
        keeper.release(lease.lease_id)
    node.boards[0].lost = 0
    again = keeper_of(node).acquire(me("next"))
    assert (again.found_limit_w, node.limits_w) == (300, [300])


def test_a_counter_that_starts_again_loses_nothing_read(make_node):
    node = make_node()
    node.stop_clock()
    node.load(1)
    keeper = keeper_of(node)
    lease = keeper.acquire(me())
    node.advance(10)
    before = keeper.read(lease.lease_id)
    node.reload_driver()
    node.advance(10)
    after = keeper.read(lease.lease_id)
    assert after.energy_j == pytest.approx(2 * before.energy_j, rel=1e-3)


def test_energy_and_time_count_from_the_lease_on(make_node):
    node = make_node()
    node.stop_clock()
    node.load(1)
    node.advance(100)
    keeper = keeper_of(node)
    lease = keeper.acquire(me(), 200)
    node.advance(10)
    reading = keeper.read(lease.lease_id)
    assert reading.time_s == pytest.approx(10)
    assert reading.energy_j == pytest.approx(2000, rel=1e-3)


def test_timeline_has_power_and_the_limit_in_force(make_node):
    node = make_node()
    node.stop_clock()
    node.load(1)
    keeper = keeper_of(node)
    lease = keeper.acquire(me(), 200)
    for _ in range(3):
        node.advance(1)
        keeper.sample()
    points = keeper.power_trace(lease.lease_id)
    assert points[-1] == (pytest.approx(3, abs=0.01), 200, 200)
    assert points[0][1:] == (285, 300)  # just before it was set


@pytest.mark.processes
def test_two_processes_on_one_board(make_node, state_dir):
    node = make_node()
    keeper = keeper_of(node)
    keeper.acquire(me("mine"), 150)
    second = """
import sys
from zeus_ray.leases.manager import LeaseManager
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
def test_a_killed_keeper_is_followed_by_the_next(make_node, state_dir):
    node = make_node()
    first = """
import os, sys
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.gpus.nvml import NvmlGpu
LeaseManager(NvmlGpu(sys.argv[1]), guarded=False).acquire(HolderProcess.current("killed"), 150)
os.kill(os.getpid(), 9)
"""
    env = {**node.env, "ZEUS_RAY_STATE_DIR": str(state_dir)}
    subprocess.run([sys.executable, "-c", first, node.uuids[0]], env=env, check=False)
    assert node.limits_w == [150]
    lease = keeper_of(node).acquire(me("next"))
    assert (node.limits_w, lease.found_limit_w) == ([300], 300)


@pytest.mark.processes
def test_a_new_keeper_adopts_the_lease_of_a_living_trial(make_node, state_dir):
    node = make_node()
    node.stop_clock()
    node.load(1)
    mine = me("lives on")
    first = f"""
import os, sys
from zeus_ray.leases.manager import LeaseManager
from zeus_ray.leases.process import HolderProcess
from zeus_ray.gpus.nvml import NvmlGpu
holder = HolderProcess(trial_id="lives on", pid={mine.pid}, started_s={mine.started_s})
board = NvmlGpu(sys.argv[1], clock=lambda: {node.now_s()})
print(LeaseManager(board, pause=lambda s: None, guarded=False).acquire(holder, 150).lease_id, flush=True)
os.kill(os.getpid(), 9)
"""
    env = {**node.env, "ZEUS_RAY_STATE_DIR": str(state_dir)}
    answer = subprocess.run(
        [sys.executable, "-c", first, node.uuids[0]], env=env, capture_output=True, text=True, check=False
    )
    lease_id = answer.stdout.strip()
    node.advance(10)
    keeper = keeper_of(node)
    reading = keeper.read(lease_id)
    assert (reading.time_s, reading.energy_j) == (pytest.approx(10, abs=0.01), pytest.approx(1500, rel=1e-2))
    assert node.limits_w == [150]
    again = keeper.acquire(mine)  # Ray asks again what the killed one may not have answered
    assert (again.lease_id, again.reading.shared) == (lease_id, False)
    keeper.release(lease_id)
    assert node.limits_w == [300]


def test_a_disk_that_takes_no_journal_sets_no_limit(make_node, tmp_path):
    node = make_node()
    blocked = tmp_path / "file"
    blocked.write_text("")
    keeper = keeper_of(node, state_dir=blocked / "below")
    lease = keeper.acquire(me())
    assert "journal" in lease.why_not
    assert node.attempts == 0
    keeper.release(lease.lease_id)


def test_a_disk_that_fills_up_later_sets_no_limit(make_node, monkeypatch):
    node = make_node()
    keeper = keeper_of(node)
    lease = keeper.acquire(me())
    writes = node.boards[0].writes

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Journal, "write", full)
    with pytest.raises(NoPermission, match="No space left"):
        keeper.set_limit(lease.lease_id, 150)
    keeper.release(lease.lease_id)
    assert (node.boards[0].writes, node.limits_w) == (writes, [300])


def test_a_journal_that_is_none_is_put_aside(make_node, state_dir):
    node = make_node()
    state_dir.mkdir(mode=0o700)
    path = Journal(state_dir, node.uuids[0]).path
    path.write_text("{")
    keeper_of(node).acquire(me(), 150)
    assert path.with_suffix(".unreadable").read_text() == "{"


def test_real_boards_do_no_virtual_work(make_node):
    keeper = keeper_of(make_node())
    lease = keeper.acquire(me())
    with pytest.raises(NotSupported):
        keeper.train(lease.lease_id, 10, 10)


def test_boards_of_one_node_have_ranges_of_their_own(make_node):
    node = make_node("T4,H100")
    for index, (below_w, says) in enumerate([(100, "60 to 70 W"), (150, "200 to 700 W")]):
        keeper = keeper_of(node, index)
        with pytest.raises(BadInput, match=says):
            keeper.acquire(me(), below_w)
    assert node.attempts == 2  # one each, to see whether we may


def test_several_cards_take_what_all_accept(make_node):
    node = make_node("V100,A100")
    holder = me()
    boards = GpuGroup([LeasedGpu.local(keeper_of(node, index), holder, "auto") for index in range(2)])
    assert (boards.range.min_w, boards.range.max_w) == (100, 300)
    assert boards.set_limit(250).power_limit_w == 250
    with pytest.raises(BadInput, match="100 to 300 W"):
        boards.set_limit(350)
    boards.release()
    assert node.limits_w == [300, 400]


def test_a_cap_of_the_system_is_reported_and_not_given_back(make_node):
    node = make_node("A100")
    NvmlGpu(node.uuids[0]).set_power_limit_w(380)
    node.boards[0].enforced_cap_mw = 200_000
    keeper = keeper_of(node)
    lease = keeper.acquire(me(), 250)
    assert (lease.found_limit_w, lease.reading.power_limit_w) == (380, 200)
    keeper.release(lease.lease_id)
    assert node.limits_w == [380]


def test_a_clock_that_jumps_ends_no_lease_and_spends_no_time(make_node, monkeypatch):
    node = make_node()
    keeper = keeper_of(node)
    lease = keeper.acquire(me(), 150)
    for jump_s in (-1e6, 1e9):
        jumped_s = time.time() + jump_s
        monkeypatch.setattr(time, "time", lambda now=jumped_s: now)
        monkeypatch.setattr(psutil, "boot_time", lambda now=jumped_s: now)
        assert keeper.reap() == []
        assert 0 <= keeper.read(lease.lease_id).time_s < 60
    keeper.release(lease.lease_id)
    assert node.limits_w == [300]


def test_a_held_board_is_sampled_by_itself(make_node):
    node = make_node()
    keeper = LeaseManager(NvmlGpu(node.uuids[0]), sample_every_s=0.001, guarded=False)
    lease = keeper.acquire(me())
    deadline_s = time.monotonic() + 10
    while len(keeper.power_trace(lease.lease_id)) < 5:
        assert time.monotonic() < deadline_s
    keeper.release(lease.lease_id)
    assert keeper.idle


@pytest.mark.parametrize("no_energy", [0, 1])
def test_a_board_that_does_not_answer_ends_no_sampling(make_node, no_energy):
    node = make_node(no_energy=no_energy, refresh_ms=100)
    node.stop_clock()
    keeper = keeper_of(node)
    lease = keeper.acquire(me())
    node.advance(20)
    node.boards[0].lost = 1
    keeper.sample()
    node.boards[0].lost = 0
    node.advance(1)
    keeper.sample()
    assert keeper.power_trace(lease.lease_id)[-1][0] == pytest.approx(21, abs=0.5)


def test_a_lease_that_only_measures_outlives_its_keeper_too(make_node):
    node = make_node()
    node.stop_clock()
    node.load(1)
    first = keeper_of(node, control="off")
    lease = first.acquire(me())
    first._claims._notes.leave()  # as the kernel does when a process is killed
    node.advance(10)
    reading = keeper_of(node, control="off").read(lease.lease_id)
    assert reading.energy_j == pytest.approx(2850, rel=1e-2)
    assert node.attempts == 0


def test_status_is_what_a_dashboard_shows(make_node):
    node = make_node()
    node.stop_clock()
    node.load(1)
    keeper = keeper_of(node)
    keeper.acquire(me("first"), 150)
    node.advance(10)
    status = keeper.status()
    ((trial, energy_j),) = status.energy_j
    assert (status.uuid, status.power_limit_w, trial) == (node.uuids[0], 150, "first")
    assert energy_j == pytest.approx(1500, rel=1e-2)
