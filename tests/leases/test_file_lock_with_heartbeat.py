"""Locks that end with their process, that no child inherits, and whose files may be deleted."""

import os
import threading

import pytest

from zeus_ray.leases.file_lock_with_heartbeat import FileLock, answers, heartbeat_age_s
from zeus_ray.leases.process import HolderProcess, is_proven, proof_of_process


@pytest.fixture
def path(tmp_path):
    return tmp_path / "lock"


def test_one_holder_at_a_time(path):
    first, second = FileLock(path), FileLock(path)
    assert first.acquire()
    assert not second.acquire(0.02)
    first.release()
    assert second.acquire()
    assert (first.locked, second.intact()) == (False, True)


def test_a_deleted_or_replaced_file_is_noticed(path):
    first, second = FileLock(path), FileLock(path)
    first.acquire()
    path.unlink()
    assert not first.intact()
    second.acquire()
    assert (first.locked, first.intact(), second.intact()) == (True, False, True)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_what_is_no_file_neither_blocks_nor_locks(path, make):
    make(path)
    with pytest.raises(OSError, match="lock"):
        FileLock(path).acquire()


def test_a_link_is_not_followed(path, tmp_path):
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="lock"):
        FileLock(path).acquire()
    assert not (tmp_path / "elsewhere").exists()


def test_the_heartbeat_is_on_the_monotonic_clock(path):
    assert heartbeat_age_s(path) == float("inf")
    lock = FileLock(path)
    lock.acquire()
    assert answers(path)
    os.utime(path, ns=(0, 0))
    assert not answers(path)
    lock.beat()
    assert heartbeat_age_s(path) < 3
    os.utime(path)  # the wall clock, as after a restart of the machine
    assert not answers(path)


def test_a_process_proves_that_it_speaks_for_itself():
    me = HolderProcess.current("me")
    with proof_of_process() as word:
        assert is_proven(me, word)
        assert not is_proven(me, "another")
        assert not is_proven(HolderProcess(trial_id="init", pid=1, started_s=0.0), word)
    assert threading.active_count() >= 1
