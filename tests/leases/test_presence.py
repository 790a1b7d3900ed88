"""Two processes on one GPU, outside Ray: both are marked as shared, and say so once."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from lease_helpers import ENDED, manager_of, this_process

from zeus_ray.leases.process import HolderProcess, _start_time_s
from zeus_ray.leases.processes_measuring_the_same_gpu import Presence
from zeus_ray.records import to_json

RUN = """
import sys, zeus_ray as zeus
with zeus.session(batch_size=8, power_limits_w=()) as run:
    list(run.steps([None] * 3))
    print(run.report({})["zeus/shared"], flush=True)
    sys.stdin.readline()
    list(run.steps([None] * 3))
    print(run.report({})["zeus/shared"], flush=True)
"""


def started(node, state_dir, **env):
    everything = {**os.environ, **node.env, "ZEUS_RAY_STATE_DIR": str(state_dir), **env}
    return subprocess.Popen(
        [sys.executable, "-c", RUN],
        env=everything,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.processes
@pytest.mark.parametrize("control", ["auto", "off"])
def test_two_processes_outside_ray_are_both_marked_as_shared(make_node, state_dir, control):
    node = make_node("V100")
    first = started(node, state_dir, ZEUS_RAY_POWER_CONTROL=control)
    assert first.stdout.readline() == "False\n"
    second = started(node, state_dir, ZEUS_RAY_POWER_CONTROL=control)
    assert second.stdout.readline() == "True\n"
    ends = [process.communicate("go\n", timeout=60) for process in (first, second)]
    assert [out for out, _err in ends] == ["True\n", "True\n"]
    assert [err.count("measures GPU-") for _out, err in ends] == [1, 1]
    assert not list(state_dir.glob("*.processes"))


@pytest.mark.processes
def test_a_third_process_changes_nothing_for_the_two_and_is_marked_itself(make_node, state_dir):
    node = make_node("V100")
    processes = [started(node, state_dir)]
    assert processes[0].stdout.readline() == "False\n"
    for _ in range(2):
        processes.append(started(node, state_dir))
        assert processes[-1].stdout.readline() == "True\n"
    ends = [process.communicate("go\n", timeout=60) for process in processes]
    assert [out for out, _err in ends] == ["True\n"] * 3
    assert [err.count("measures GPU-") for _out, err in ends] == [1, 1, 1]


@pytest.mark.processes
def test_processes_on_gpus_of_their_own_are_not_marked(make_node, state_dir):
    node = make_node("V100,V100")
    processes = [started(node, state_dir, CUDA_VISIBLE_DEVICES=str(index)) for index in range(2)]
    assert [process.stdout.readline() for process in processes] == ["False\n"] * 2
    ends = [process.communicate("go\n", timeout=60) for process in processes]
    assert [out for out, _err in ends] == ["False\n"] * 2
    assert not any("measures GPU-" in err for _out, err in ends)


@pytest.fixture
def other(state_dir, make_node):
    """Another process that measures the GPU: this one, under the pid of its parent."""
    node = make_node("V100")
    presence = Presence(Path(state_dir), node.uuids[0])
    parent = psutil.Process(os.getpid()).ppid()
    presence._own = HolderProcess(trial_id="", pid=parent, started_s=_start_time_s(parent))
    presence._file = presence._folder / str(parent)
    presence._mark = presence._file.with_suffix(".shared")
    return node, presence


def test_who_comes_second_marks_the_first(other):
    node, presence = other
    manager = manager_of(node)
    lease = manager.acquire(this_process())
    assert not manager.read(lease.lease_id).shared
    assert presence.enter()
    presence.leave()
    assert manager.release(lease.lease_id).shared  # though the other has gone already
    manager.close()


def test_who_comes_second_is_marked_and_the_next_lease_is_not(other, caplog):
    node, presence = other
    assert not presence.enter()
    manager = manager_of(node)
    lease = manager.acquire(this_process())
    assert lease.reading.shared
    assert presence.met()
    manager.release(lease.lease_id)
    presence.leave()
    lease = manager.acquire(this_process())
    assert not lease.reading.shared
    manager.close()
    assert caplog.text.count("marked as shared") == 2  # one message by each of the two


def test_a_process_that_was_killed_shares_nothing(other):
    node, presence = other
    presence._folder.mkdir(parents=True, mode=0o700)
    (presence._folder / str(ENDED.pid)).write_text(to_json(ENDED))
    (presence._folder / "7").write_text("half a rec")
    manager = manager_of(node)
    assert not manager.acquire(this_process()).reading.shared
    assert not (presence._folder / str(ENDED.pid)).exists()
    manager.close()


def test_a_folder_that_cannot_be_written_is_no_problem(other, state_dir):
    node, presence = other
    Path(state_dir).mkdir(parents=True, exist_ok=True)
    presence._folder.write_text("a file")
    manager = manager_of(node)
    assert not manager.acquire(this_process()).reading.shared
    manager.close()
