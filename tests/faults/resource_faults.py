"""Processes that run out of files or memory, and file systems that run out of inodes or become read-only."""

import contextlib
import os
import resource
import subprocess
import time

from scenario import ORIGINAL_W, WANTED_W, kinds_in, train_to_the_end

from zeus_ray.leases.watchdog_start_and_status import running_watchdog

UNLIMITED = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)


@contextlib.contextmanager
def _limited(pid, limit, soft):
    before = resource.prlimit(pid, limit)
    resource.prlimit(pid, limit, (soft, before[1]))
    yield
    with contextlib.suppress(ProcessLookupError):  # without memory it may have ended
        resource.prlimit(pid, limit, before)


@contextlib.contextmanager
def _file_system(folder, options):
    """The folder is a file system of its own meanwhile; as another user than root, an ordinary one."""
    folder.mkdir(mode=0o700, exist_ok=True)
    root = not os.geteuid()
    if root:
        options = f"mode=0700,{options}"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
    try:
        yield
    finally:
        if root:
            subprocess.run(["umount", "--lazy", folder], check=True)


def _remount(scenario, how):
    if not os.geteuid():
        subprocess.run(["mount", "-o", f"remount,{how}", scenario.state], check=True)


def watchdog_can_open_no_file_for_a_while(scenario):
    process = scenario.start("train", WANTED_W)
    with _limited(running_watchdog(scenario.state).pid, resource.RLIMIT_NOFILE, 3):
        time.sleep(1)
        assert scenario.gpu.limit_w == WANTED_W, "the limit of a living run was restored"
        scenario.kill(process)
        time.sleep(1)
    return scenario.seconds_until_restored()


def watchdog_gets_no_memory_for_a_while(scenario):
    """It goes on afterwards; where it has ended of that, the next start restores."""
    process = scenario.start("train", WANTED_W)
    watchdog = running_watchdog(scenario.state)
    with _limited(watchdog.pid, resource.RLIMIT_AS, 1):
        time.sleep(1)
        scenario.kill(process)
        time.sleep(1)
    if not watchdog.alive():
        scenario.start("train", WANTED_W, gpu=scenario.node.gpus[1])
    return scenario.seconds_until_restored()


def manager_can_open_no_file_for_a_while(scenario):
    """Under Ray the actor may have opened all files that it may: its trials still run."""
    trial = scenario.start("trial")
    manager = scenario.start("manage", WANTED_W, "trial", trial.pid, trial.first[1])
    with _limited(manager.pid, resource.RLIMIT_NOFILE, 3):
        time.sleep(1.5)
        assert scenario.gpu.limit_w == WANTED_W, "the limit of a living trial was restored"
    assert manager.poll() is None, "the manager ended"
    scenario.kill(trial)
    return scenario.seconds_until_restored()


def _trains_measured(scenario):
    """A run trains to its end, and its energy is measured."""
    energies_j = train_to_the_end(scenario.start("trains", WANTED_W, env={"CUDA_VISIBLE_DEVICES": "0"}))
    assert 0 < energies_j[0] < energies_j[-1], energies_j
    return scenario.seconds_until_restored()


def _use_up_inodes(folder):
    with contextlib.suppress(OSError):
        for number in range(1000):
            (folder / f"{number}.other").touch()


def no_inodes_left_before_training(scenario):
    """A run trains, and is at most measured: no journal could be kept."""
    with _file_system(scenario.state, "nr_inodes=40"):
        _use_up_inodes(scenario.state)
        return _trains_measured(scenario)


def no_inodes_left_during_training(scenario):
    with _file_system(scenario.state, "nr_inodes=40"):
        process = scenario.start("train", WANTED_W)
        _use_up_inodes(scenario.state)
        time.sleep(1.5)  # the manager and the watchdog write once a second
        assert process.poll() is None
        scenario.kill(process)
        return scenario.seconds_until_restored()


def no_inodes_left_for_the_lock_of_all_users(scenario):
    locks = scenario.folder / "locks"
    with _file_system(locks, "nr_inodes=20"):
        _use_up_inodes(locks)
        return _trains_measured(scenario)


def folder_becomes_read_only(scenario):
    """As after an error of the disk. The journal stays until it can be deleted, and does no harm."""
    with _file_system(scenario.state, "size=1m"):
        process = scenario.start("train", WANTED_W)
        _remount(scenario, "ro")
        time.sleep(1.5)  # the manager and the watchdog write once a second
        assert process.poll() is None
        assert scenario.gpu.limit_w == WANTED_W
        scenario.kill(process)
        seconds = scenario.seconds_until_restored()
        _remount(scenario, "rw")
        return seconds


def folder_is_read_only_before_training(scenario):
    with _file_system(scenario.state, "size=1m"):
        _remount(scenario, "ro")
        seconds = _trains_measured(scenario)
        assert scenario.gpu.limit_w == ORIGINAL_W
        return seconds


def folder_is_mounted_over(scenario):
    """An empty file system lies over the state folder meanwhile, as when a volume is mounted late."""
    process = scenario.start("train", WANTED_W)
    with _file_system(scenario.state, "size=1m"):
        time.sleep(1.5)
        scenario.kill(process)
        return scenario.seconds_until_restored()


KINDS = kinds_in(globals())
