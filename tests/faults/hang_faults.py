"""Processes that are stopped, and GPUs that hang."""

import os
import random
import shutil
from pathlib import Path

from scenario import GOES_ON, STOPPED, WANTED_W, journal_of, kinds_in, new_watchdog, wait_until

import zeus_ray
from zeus_ray.leases.watchdog_start import running_watchdog


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


KINDS = kinds_in(globals())
