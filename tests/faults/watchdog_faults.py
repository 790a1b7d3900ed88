"""A watchdog whose lock, files or folder are lost, or that meets a hung process of its own."""

import json
import os
import shutil
import signal
import time

from scenario import (
    GOES_ON,
    STOPPED,
    WANTED_W,
    journal_of,
    kinds_in,
    new_watchdog,
    wait_for_look,
    wait_until,
    watchdogs_of,
)

from zeus_ray.leases.watchdog_start_and_status import WATCHDOG_NAME, running_watchdog, watchdog_lock


def _killed(scenario, process):
    assert scenario.gpu.limit_w == WANTED_W, "the limit of a living run was restored"
    scenario.kill(process)
    return scenario.seconds_until_restored()


def _watched(scenario):
    """A run whose journal the watchdog has read."""
    process = scenario.start("train", WANTED_W)
    wait_for_look(scenario)
    return process


def _journals(scenario):
    path = journal_of(scenario).path
    return path, path.with_name(path.name + ".copy")


def stopped_watchdog_goes_on_and_its_successor_is_known(scenario):
    """It takes nothing of its successor with it when it ends."""
    process = scenario.start("train", WANTED_W)
    first = running_watchdog(scenario.state)
    os.kill(first.pid, STOPPED)
    new_watchdog(scenario, first)
    second = running_watchdog(scenario.state)
    os.kill(first.pid, GOES_ON)
    wait_until(lambda: not first.alive())
    assert running_watchdog(scenario.state) == second, "the successor's pid file was removed"
    return _killed(scenario, process)


def watchdog_and_its_restorer_stopped(scenario):
    """Stopped in the middle of a restore, with the journal's lock: the next watchdog restores."""
    other = scenario.start("train", WANTED_W, gpu=scenario.node.gpus[1])
    process = scenario.start("train", WANTED_W)
    first = running_watchdog(scenario.state)
    scenario.gpu.hang_name = b"nvmlDeviceSetPowerManagementLimit"
    scenario.kill(process)
    wait_until(lambda: scenario.gpu.hung_calls)
    for pid in watchdogs_of(scenario):
        os.kill(pid, STOPPED)
    scenario.gpu.hang_name = b""
    new_watchdog(scenario, first)
    assert other.poll() is None
    return scenario.seconds_until_restored()


def watchdog_lock_deleted_as_the_run_is_killed(scenario):
    process = scenario.start("train", WANTED_W)
    watchdog_lock(scenario.state).unlink()
    return _killed(scenario, process)


def watchdog_lock_replaced_by_a_folder(scenario):
    process = scenario.start("train", WANTED_W)
    watchdog_lock(scenario.state).unlink()
    watchdog_lock(scenario.state).mkdir()
    return _killed(scenario, process)


def watchdog_lock_touched(scenario):
    """As by a copy or a backup: its time is not the watchdog's any more."""
    process = scenario.start("train", WANTED_W)
    first = running_watchdog(scenario.state)
    for _ in range(100):
        watchdog_lock(scenario.state).touch()
        time.sleep(0.01)
    wait_until(lambda: running_watchdog(scenario.state))
    wait_until(lambda: len(watchdogs_of(scenario)) == 1)
    assert first.alive() or running_watchdog(scenario.state) != first
    return _killed(scenario, process)


def watchdog_pid_file_deleted(scenario):
    """No second watchdog is waited for: the next run starts as fast as ever."""
    process = scenario.start("train", WANTED_W)
    first = running_watchdog(scenario.state)
    os.kill(first.pid, STOPPED)
    (scenario.state / f"{WATCHDOG_NAME}.pid").unlink()
    os.kill(first.pid, GOES_ON)
    wait_until(lambda: running_watchdog(scenario.state) == first)
    return _killed(scenario, process)


def _lost_while_stopped(lose):
    """Both journals are lost, and the run is killed before it can write them again."""

    def kind(scenario):
        process = _watched(scenario)
        process.send_signal(STOPPED)
        for path in _journals(scenario):
            lose(path)
        wait_for_look(scenario)
        return _killed(scenario, process)

    return kind


journals_deleted_while_the_run_is_stopped = _lost_while_stopped(lambda path: path.unlink())
journal_and_copy_damaged = _lost_while_stopped(lambda path: path.write_bytes(b"{"))


def pids_taken_by_another_process(scenario):
    """The pid in the journal is taken again, by a process that has started later."""
    process = scenario.start("train", WANTED_W)
    other = scenario.start("trial")
    process.send_signal(STOPPED)
    for path in _journals(scenario):
        content = json.loads(path.read_text().replace(f'"pid": {process.pid}', f'"pid": {other.pid}'))
        path.write_text(json.dumps({**content, "sha256": None}))
    scenario.kill(process)
    return scenario.seconds_until_restored()


def watchdog_log_is_a_pipe(scenario):
    """Whatever it has to say, it waits for no reader."""
    scenario.state.mkdir(mode=0o700)
    os.mkfifo(scenario.state / f"{WATCHDOG_NAME}.log")
    process = scenario.start("train", WANTED_W)
    scenario.gpu.refuse_sets = 6
    return _killed(scenario, process)


def _moved_away(scenario):
    process = _watched(scenario)
    process.send_signal(STOPPED)
    scenario.state.rename(scenario.folder / "moved")
    return process


def folder_replaced_by_a_file(scenario):
    process = _moved_away(scenario)
    scenario.state.touch()
    time.sleep(1)
    return _killed(scenario, process)


def folder_replaced_by_a_link(scenario):
    process = _moved_away(scenario)
    scenario.state.symlink_to(scenario.folder / "moved")
    time.sleep(1)
    return _killed(scenario, process)


def folder_opened_to_others_and_the_run_killed(scenario):
    """What is in it is not trusted any more, what the watchdog has read before is."""
    process = _watched(scenario)
    scenario.state.chmod(0o777)
    return _killed(scenario, process)


def folder_given_to_another_user(scenario):
    process = _watched(scenario)
    if not os.geteuid():
        os.chown(scenario.state, 65534, 65534)
    return _killed(scenario, process)


def lock_folder_deleted_and_the_run_killed(scenario):
    process = scenario.start("train", WANTED_W)
    process.send_signal(STOPPED)
    shutil.rmtree(scenario.folder / "locks")
    return _killed(scenario, process)


def folder_deleted_after_the_run(scenario):
    """A watchdog that owes nothing ends with its folder, and does not make it again."""
    process = scenario.start("train", WANTED_W)
    watchdog = running_watchdog(scenario.state)
    process.send_signal(signal.SIGINT)
    process.wait()
    seconds = scenario.seconds_until_restored()
    time.sleep(2)  # the watchdog looks twice a second whether the limit was restored
    shutil.rmtree(scenario.state, ignore_errors=True)
    wait_until(lambda: not watchdog.alive())
    assert not scenario.state.exists()
    return seconds


KINDS = kinds_in(globals())
