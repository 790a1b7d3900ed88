"""Processes that are stopped, and GPUs that hang."""

import os
import random
import shutil
import time
from pathlib import Path

from scenario import GOES_ON, STOPPED, WANTED_W, journal_of, kinds_in, new_watchdog, wait_until

import zeus_ray
from zeus_ray.leases.watchdog_start_and_status import running_watchdog


def watchdog_stopped(scenario):
    process = scenario.start("train", WANTED_W)
    watchdog = running_watchdog(scenario.state)
    os.kill(watchdog.pid, STOPPED)
    new_watchdog(scenario, watchdog)
    scenario.kill(process)
    return scenario.seconds_until_restored()


def stopped_watchdog_goes_on(scenario):
    """It sees that another one has taken its place, and ends."""
    process = scenario.start("train", WANTED_W)
    watchdog = running_watchdog(scenario.state)
    os.kill(watchdog.pid, STOPPED)
    new_watchdog(scenario, watchdog)
    os.kill(watchdog.pid, GOES_ON)
    wait_until(lambda: not watchdog.alive())
    scenario.kill(process)
    return scenario.seconds_until_restored()


def watchdog_killed_then_driver_later(scenario):
    process = scenario.start("train", WANTED_W)
    watchdog = running_watchdog(scenario.state)
    scenario.kill_watchdog()
    new_watchdog(scenario, watchdog)
    scenario.kill(process)
    return scenario.seconds_until_restored()


def watchdog_and_managers_killed_twice(scenario):
    """The next manager adopts the lease, sees to a watchdog, and is killed, too."""
    trial = scenario.start("trial")
    role = ("manage", WANTED_W, "trial", trial.pid, trial.first[1])
    manager = scenario.start(*role)
    watchdog = running_watchdog(scenario.state)
    scenario.kill_watchdog()
    scenario.kill(manager)
    manager = scenario.start(*role)
    new_watchdog(scenario, watchdog)
    scenario.kill(manager)
    scenario.kill(trial)
    return scenario.seconds_until_restored()


def manager_stopped_then_trial_killed(scenario):
    trial = scenario.start("trial")
    manager = scenario.start("manage", WANTED_W, "trial", trial.pid, trial.first[1])
    manager.send_signal(STOPPED)
    scenario.kill(trial)
    seconds = scenario.seconds_until_restored()
    manager.send_signal(GOES_ON)
    wait_until(lambda: not journal_of(scenario).exists())
    return seconds


def another_gpu_hangs(scenario):
    other = scenario.node.gpus[1]
    first, second = scenario.start("train", WANTED_W, gpu=other), scenario.start("train", WANTED_W)
    other.hang_name = random.choice([b"*", b"nvmlDeviceSetPowerManagementLimit"])  # noqa: S311
    scenario.kill(first)
    scenario.kill(second)
    seconds = scenario.seconds_until_restored()
    assert other.limit_w == WANTED_W
    other.hang_name = b""
    scenario.seconds_until_restored(other)
    return seconds


def package_deleted(scenario):
    """As when the folder of a runtime environment goes."""
    place = scenario.folder / "environment"
    shutil.copytree(Path(zeus_ray.__file__).parent, place / "zeus_ray")
    process = scenario.start("train", WANTED_W, env={"PYTHONPATH": str(place)})
    shutil.rmtree(place)
    scenario.kill(process)
    return scenario.seconds_until_restored()


def watchdog_stopped_then_another_run_starts(scenario):
    """A newcomer does not take a stopped watchdog for one that works."""
    first = scenario.start("train", WANTED_W)
    first.send_signal(STOPPED)
    watchdog = running_watchdog(scenario.state)
    os.kill(watchdog.pid, STOPPED)
    scenario.start("train", WANTED_W, gpu=scenario.node.gpus[1])
    new_watchdog(scenario, watchdog)
    scenario.kill(first)
    return scenario.seconds_until_restored()


def run_stopped_and_continued(scenario):
    """As by Ctrl-Z and ``fg``: it is alive, so its limit stays."""
    process = scenario.start("train", WANTED_W)
    process.send_signal(STOPPED)
    time.sleep(random.uniform(4, 6))  # noqa: S311 — longer than a heartbeat may take
    assert scenario.gpu.limit_w == WANTED_W, "the limit of a living run was restored"
    process.send_signal(GOES_ON)
    time.sleep(1)
    assert scenario.gpu.limit_w == WANTED_W, "the limit of a living run was restored"
    scenario.kill(process)
    return scenario.seconds_until_restored()


def all_gpus_at_once(scenario):
    """Runs on both GPUs and the watchdog are killed together, and the next run on one of them begins."""
    other = scenario.node.gpus[1]
    runs = [scenario.start("train", WANTED_W, gpu=gpu) for gpu in scenario.node.gpus]
    scenario.kill_watchdog()
    for run in runs:
        run.kill()
    following = scenario.start("train", 200, gpu=other)
    assert following.first[1] == "True", following.first
    scenario.kill(following)
    scenario.seconds_until_restored(other)
    return scenario.seconds_until_restored()


def watchdog_killed_twice(scenario):
    """The second one as soon as it answers."""
    process = scenario.start("train", WANTED_W)
    for _ in range(2):
        watchdog = running_watchdog(scenario.state)
        scenario.kill_watchdog()
        new_watchdog(scenario, watchdog)
    scenario.kill(process)
    return scenario.seconds_until_restored()


KINDS = kinds_in(globals())
