"""A training run goes on, whatever is wrong around it: it neither fails, nor hangs, nor becomes slow.

In each kind a run of three epochs trains to its end, in time.
"""

import json
import math
import os
import random
import resource
import time

import psutil
from scenario import (
    GOES_ON,
    ORIGINAL_W,
    OTHER_UID,
    STOPPED,
    WANTED_W,
    kinds_in,
    train_to_the_end,
    wait_until,
)

from zeus_ray.leases import doctor
from zeus_ray.leases.watchdog_start_and_status import running_watchdog


def _start(scenario, *arguments, visible=0, env=(), **options):
    """Start a run on the GPU that CUDA_VISIBLE_DEVICES names."""
    env = {"CUDA_VISIBLE_DEVICES": str(visible), **dict(env)}
    return scenario.start("trains", WANTED_W, *arguments, env=env, **options)


def _go_on(process):
    process.stdin.write("\n")
    process.stdin.flush()


def _first_epoch(process):
    """The energy that the first epoch reported (J)."""
    word, energy_j = process.stdout.readline().split()
    assert word == "reported", word
    return float(energy_j)


def _train_on(process):
    """After its first epoch, the run trains to its end."""
    _go_on(process)
    return train_to_the_end(process)


def _end(scenario, process):
    """After its first epoch, the run ends by itself; the seconds until the limit is restored then."""
    _train_on(process)
    return scenario.seconds_until_restored()


def _trains(scenario, *arguments, **options):
    train_to_the_end(_start(scenario, *arguments, **options))
    return scenario.seconds_until_restored()


def _writes(scenario):
    return sum(gpu.writes for gpu in scenario.node.gpus)


def _measured_only(scenario, *, tries=0, **options):
    """A run that may set no limit, and is measured. It ``tries`` the limit that is set already."""
    before = _writes(scenario)
    process = _start(scenario, **options)
    first_j = _first_epoch(process)
    assert scenario.gpu.limit_w == ORIGINAL_W, "a limit was set without a journal"
    energies_j = [first_j, *_train_on(process)]
    assert 0 < energies_j[0] < energies_j[-1], energies_j
    assert _writes(scenario) - before == tries, "a limit was set without a journal"
    return scenario.seconds_until_restored()


# --- the state folder ----------------------------------------------------------------------------------


def state_folder_is_a_file(scenario):
    scenario.state.write_text("no folder")
    return _measured_only(scenario)


def state_folder_cannot_be_made(scenario):
    return _measured_only(scenario, env={"ZEUS_RAY_STATE_DIR": "/proc/no/such/folder"})


def state_folder_is_a_link(scenario):
    (scenario.folder / "elsewhere").mkdir(mode=0o700)
    scenario.state.symlink_to(scenario.folder / "elsewhere")
    return _measured_only(scenario)


def state_folder_is_of_another_user(scenario):
    if os.geteuid():
        return _measured_only(scenario, env={"ZEUS_RAY_STATE_DIR": "/root"})
    scenario.state.mkdir(mode=0o700)
    os.chown(scenario.state, OTHER_UID, OTHER_UID)
    return _measured_only(scenario)


def state_folder_is_open_to_others(scenario):
    scenario.state.mkdir()
    scenario.state.chmod(0o777)
    return _measured_only(scenario)


def state_folder_is_full_of_pipes(scenario):
    scenario.put_pipes()
    return _trains(scenario)


def disk_is_full_from_the_start(scenario):
    return _measured_only(scenario, tries=1, prefix=("sh", "-c", 'ulimit -f 0; exec "$@"', "sh"))


def disk_fills_up_during_training(scenario):
    process = _start(scenario)
    _first_epoch(process)
    scenario.fill_disk(process)
    time.sleep(1.5)  # the manager and the watchdog write once a second
    return _end(scenario, process)


def permissions_of_new_files_are_strange(scenario):
    return _trains(scenario, prefix=("sh", "-c", 'umask 0777; exec "$@"', "sh"))


def state_folder_path_is_too_long(scenario):
    return _measured_only(scenario, env={"ZEUS_RAY_STATE_DIR": str(scenario.folder / ("x" * 300))})


# --- the process itself -----------------------------------------------------------------------------------


def working_folder_is_deleted(scenario):
    folder = scenario.folder / "working"
    folder.mkdir()
    return _trains(scenario, cwd=folder, prefix=("sh", "-c", f'rmdir "{folder}"; exec "$@"', "sh"))


def standard_error_is_closed(scenario):
    return _trains(scenario, prefix=("sh", "-c", 'exec "$@" 2>&-', "sh"))


def environment_is_nearly_empty(scenario):
    """As under a service manager: no HOME, no USER, no PATH."""
    names = ("HOME", "USER", "LOGNAME", "PATH", "LANG", "TMPDIR")
    return _trains(scenario, prefix=("env", *(f"--unset={name}" for name in names)))


def no_file_can_be_opened_for_a_while(scenario):
    """The process has opened as many files as it may: nothing can be journalled or read from /proc."""
    process = _start(scenario)
    _first_epoch(process)
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (3, before[1]))
    time.sleep(1.5)  # the manager and the watchdog write once a second
    _go_on(process)
    _first_epoch(process)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, before)
    return _end(scenario, process)


def no_process_can_be_started(scenario):
    """No watchdog starts: there is no shell, no Python, where ``sys.executable`` says."""
    env = {"EXECUTABLE": random.choice(["/no/such/python", "", "/dev/null"])}  # noqa: S311
    energies_j = train_to_the_end(_start(scenario, env=env))
    assert 0 < energies_j[0] < energies_j[-1], energies_j
    return scenario.seconds_until_restored()


def memory_is_short(scenario):
    """Few bytes are left of the address space that the process may have."""
    process = _start(scenario)
    _first_epoch(process)
    used = psutil.Process(process.pid).memory_info().vms
    resource.prlimit(process.pid, resource.RLIMIT_AS, (used + 200_000, resource.RLIM_INFINITY))
    time.sleep(1.5)
    resource.prlimit(process.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return _end(scenario, process)


# --- other users and programs ---------------------------------------------------------------------------


def another_user_holds_the_gpu(scenario):
    other = scenario.start("train", 200, env={"ZEUS_RAY_STATE_DIR": str(scenario.folder / "other")})
    assert other.first[1] == "True", other.first
    train_to_the_end(_start(scenario))
    assert scenario.gpu.limit_w == 200
    scenario.kill(other)
    return scenario.seconds_until_restored()


def another_user_sets_a_limit_now_and_then(scenario):
    process = _start(scenario)
    _first_epoch(process)
    scenario.gpu.limit_mw, scenario.expected_w = 220_000, 220.0
    _train_on(process)
    return 0.0


def gpu_lock_is_of_another_user(scenario):
    lock = scenario.folder / "locks" / f"zeus-ray-{scenario.gpu.uuid}.lock"
    os.mkfifo(lock)
    return _measured_only(scenario)


def gpu_lock_is_replaced_during_training(scenario):
    process = _start(scenario)
    _first_epoch(process)
    lock = scenario.folder / "locks" / f"zeus-ray-{scenario.gpu.uuid}.lock"
    lock.unlink()
    os.mkfifo(lock)
    time.sleep(1.5)  # the manager looks once a second
    return _end(scenario, process)


def signal_has_no_end(scenario):
    emissions = {"signal": f"csv:{random.choice(['/dev/zero', '/proc/self/mem', '/etc/shadow'])}"}  # noqa: S311
    return _trains(scenario, json.dumps(emissions))


def job_ignores_its_children(scenario):
    """A job that ignores SIGCHLD, as its launcher did: the watchdog that it starts inherits that."""
    process = _start(scenario, prefix=("sh", "-c", "trap '' CHLD; exec \"$@\"", "sh"))
    _first_epoch(process)
    scenario.kill(process)
    return scenario.seconds_until_restored()


# --- the driver -----------------------------------------------------------------------------------------


def gpu_hangs_during_training(scenario):
    """The run goes on, unmeasured; its limit is restored once the GPU answers."""
    process = _start(scenario)
    _first_epoch(process)
    scenario.gpu.hang_name = b"*"
    start_s = time.monotonic()
    energies_j = _train_on(process)
    assert time.monotonic() - start_s < 40, "the run was delayed again and again"
    assert all(map(math.isnan, energies_j)), energies_j
    with scenario.here():
        assert any(scenario.gpu.uuid in problem for problem in doctor.examine().problems)
    scenario.gpu.hang_name = b""
    return scenario.seconds_until_restored()


def gpu_hangs_before_training(scenario):
    """Its own GPU, before the run begins: the run is not measured."""
    scenario.gpu.hang_name = b"*"
    energies_j = train_to_the_end(_start(scenario))
    assert all(map(math.isnan, energies_j)), energies_j
    assert scenario.node.attempts == 0, "a limit was set on another GPU"
    return scenario.seconds_until_restored()


def gpu_hangs_that_others_use(scenario):
    """CUDA's ordinals stay what they are: the second GPU is the second one."""
    scenario.gpu.hang_name = b"*"
    second = scenario.node.gpus[1]
    process = _start(scenario, visible=random.choice([1, second.uuid]))  # noqa: S311
    _first_epoch(process)
    assert second.limit_w == WANTED_W
    _train_on(process)
    return scenario.seconds_until_restored(second)


def gpu_is_lost_before_training(scenario):
    scenario.gpu.lost = 1
    energies_j = train_to_the_end(_start(scenario))
    assert all(map(math.isnan, energies_j)), energies_j
    assert scenario.node.attempts == 0, "a limit was set on another GPU"
    return scenario.seconds_until_restored()


def another_gpu_is_lost(scenario):
    scenario.gpu.lost = 1
    second = scenario.node.gpus[1]
    process = _start(scenario, visible=random.choice([1, second.uuid]))  # noqa: S311
    _first_epoch(process)
    assert second.limit_w == WANTED_W
    _train_on(process)
    return scenario.seconds_until_restored(second)


def any_call_fails_during_training(scenario):
    """Any error of any call, at any time, but those that mean the loss of the GPU: that fails the trial."""
    process = _start(scenario)
    gpu = scenario.gpu
    for _ in range(2):
        _first_epoch(process)
        gpu.fail_code = random.choice([2, 3, 4, 6, 7, 10, 17, 999, 12345])  # noqa: S311
        gpu.fail_name = b"*"
        gpu.fail_calls = random.randint(1, 40)  # noqa: S311
        _go_on(process)
    train_to_the_end(process)
    gpu.fail_calls = 0
    return scenario.seconds_until_restored()


def any_call_fails_before_training(scenario):
    gpu = scenario.gpu
    gpu.fail_code = random.choice([2, 3, 4, 6, 7, 10, 17, 999, 12345])  # noqa: S311
    gpu.fail_name = b"*"
    gpu.fail_calls = random.randint(1, 40)  # noqa: S311
    return _trains(scenario)


def gpu_has_a_strange_name(scenario):
    names = [b"", b"\xff\xfe Tesla", "Tesla Größe ∞".encode(), b"V100\n\x1b[31m", b"../../etc", b"x" * 63]
    scenario.gpu.name = random.choice(names)  # noqa: S311
    return _trains(scenario)


def list_of_visible_gpus_ends(scenario):
    """``CUDA_VISIBLE_DEVICES=1,-1,0`` is the second GPU alone."""
    process = _start(scenario, visible="1,-1,0")
    _first_epoch(process)
    assert [gpu.limit_w for gpu in scenario.node.gpus] == [scenario.expected_w, WANTED_W]
    _train_on(process)
    return scenario.seconds_until_restored(scenario.node.gpus[1])


# --- a daemon ---------------------------------------------------------------------------------------------


def zeusd_is_not_there(scenario):
    scenario.start_zeusd()
    scenario.zeusd.end()
    return _measured_only(scenario)


def zeusd_never_answers(scenario):
    scenario.start_zeusd(silent=True)
    return _trains(scenario)


def zeusd_trickles(scenario):
    scenario.start_zeusd(trickles=True)
    return _trains(scenario)


def zeusd_says_ok_without_effect(scenario):
    scenario.start_zeusd(reply=(random.choice([200, 202, 207]), {}))  # noqa: S311
    return _trains(scenario)


def zeusd_ends_and_is_started_again(scenario):
    scenario.start_zeusd()
    process = _start(scenario)
    _first_epoch(process)
    assert scenario.gpu.limit_w == WANTED_W
    scenario.zeusd.end()
    _train_on(process)
    with scenario.here():
        wait_until(lambda: any(scenario.gpu.uuid in problem for problem in doctor.examine().problems))
    scenario.start_zeusd()
    return scenario.seconds_until_restored()


def watchdog_stops_and_goes_on_during_training(scenario):
    process = _start(scenario)
    _first_epoch(process)
    watchdog = running_watchdog(scenario.state)
    os.kill(watchdog.pid, STOPPED)
    time.sleep(random.uniform(0, 5))  # noqa: S311
    os.kill(watchdog.pid, GOES_ON)
    return _end(scenario, process)


KINDS = kinds_in(globals())
