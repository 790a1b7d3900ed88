"""Clean ends of processes, at any moment and in any order."""

import random
import signal
import time

from scenario import WANTED_W, close_input, kinds_in

from zeus_ray.leases.recovery import restore_all


def trial_killed(scenario):
    trial = scenario.start("trial")
    scenario.start("manage", WANTED_W, "trial", trial.pid, trial.first[1])
    assert scenario.gpu.limit_w == WANTED_W
    scenario.kill(trial)
    return scenario.seconds_until_restored()


def driver_killed(scenario):
    scenario.kill(scenario.start("train", WANTED_W))
    assert scenario.gpu.limit_w == WANTED_W
    return scenario.seconds_until_restored()


def driver_terminated(scenario):
    scenario.kill(scenario.start("train", WANTED_W), signal.SIGTERM)
    return scenario.seconds_until_restored()


def driver_interrupted(scenario):
    process = scenario.start("train", WANTED_W)
    process.send_signal(signal.SIGINT)
    return scenario.seconds_until_restored()


def driver_ends(scenario):
    process = scenario.start("train", WANTED_W)
    close_input(process)
    return scenario.seconds_until_restored()


def killed_while_setting(scenario):
    scenario.gpu.latency_us = 2000
    process = scenario.start("train", WANTED_W, 200, 120)
    time.sleep(random.uniform(0, 0.2))  # noqa: S311 — at any moment between two writes
    scenario.kill(process)
    scenario.gpu.latency_us = 0
    return scenario.seconds_until_restored()


def manager_killed_trial_runs(scenario):
    """The next manager adopts the lease and its energy; the trial continues."""
    trial = scenario.start("trial")
    role = ("manage", WANTED_W, "trial", trial.pid, trial.first[1])
    manager = scenario.start(*role)
    scenario.node.load(1)
    *_, (_, energy_j) = _readings_until(manager, time.monotonic() + 0.5)
    scenario.kill(manager)
    manager = scenario.start(*role)
    assert scenario.gpu.limit_w == WANTED_W, "the limit of a running trial was restored"
    assert float(manager.first[2]) >= energy_j > 0, "energy was lost"
    scenario.kill(trial)
    return scenario.seconds_until_restored()


def manager_and_trial_killed(scenario):
    trial = scenario.start("trial")
    manager = scenario.start("manage", WANTED_W, "trial", trial.pid, trial.first[1])
    scenario.kill(manager)
    scenario.kill(trial)
    return scenario.seconds_until_restored()


def watchdog_killed_then_trial(scenario):
    trial = scenario.start("trial")
    scenario.start("manage", WANTED_W, "trial", trial.pid, trial.first[1])
    scenario.kill_watchdog()
    scenario.kill(trial)
    return scenario.seconds_until_restored()


def all_killed_then_another_run_starts(scenario):
    process = scenario.start("train", WANTED_W)
    scenario.kill_watchdog()
    scenario.kill(process)
    assert scenario.gpu.limit_w == WANTED_W, "the limit was restored too early"
    start_s = time.monotonic()
    following = scenario.start("train", 200)
    close_input(following)
    scenario.seconds_until_restored()
    return time.monotonic() - start_s


def all_killed_then_zeus_ray_restore(scenario):
    process = scenario.start("train", WANTED_W)
    scenario.kill_watchdog()
    scenario.kill(process)
    with scenario.here():
        start_s = time.monotonic()
        (outcome,) = restore_all(scenario.state)
    assert outcome.done, outcome
    return scenario.seconds_until_restored() + time.monotonic() - start_s


def disk_full(scenario):
    process = scenario.start("full", WANTED_W)
    assert process.first == ["refused", "NoPermission"], process.first
    process.wait()
    return scenario.seconds_until_restored()


def two_drivers(scenario):
    first = scenario.start("train", WANTED_W)
    second = scenario.start("train", 200)
    assert second.first[1] == "False", second.first
    assert scenario.gpu.limit_w == WANTED_W
    scenario.kill(second)
    assert scenario.gpu.limit_w == WANTED_W, "the second process changed the limit of the first"
    scenario.kill(first)
    return scenario.seconds_until_restored()


def gpu_refuses_now_and_then(scenario):
    process = scenario.start("train", WANTED_W)
    scenario.kill(process)
    scenario.gpu.refuse_sets = 6
    return scenario.seconds_until_restored()


def clock_jumps(scenario):
    """A day back and a year forward, for the whole node: only ended processes count as ended."""
    scenario.env |= scenario.clock.env
    trial = scenario.start("trial")
    manager = scenario.start("manage", WANTED_W, "trial", trial.pid, trial.first[1])
    scenario.node.load(1)
    for jump_s in (-86_400, 366 * 86_400):
        scenario.clock.jump(jump_s)
        (shown_s,) = scenario.start("clock").first
        off_s = float(shown_s) - time.time()
        assert abs(off_s - scenario.clock.off_s) < 60, f"the clock of the processes did not jump: {off_s}"
        readings = _readings_until(manager, time.monotonic() + 1.2)  # the watchdog checks twice meanwhile
        (start_s, start_j), (_, end_j), (end_s, _) = readings[0], *readings[-2:]
        drawn_j = 1.5 * WANTED_W * (end_s - start_s)
        assert start_j <= end_j <= start_j + drawn_j, "the jump changed the energy"
        assert scenario.gpu.limit_w == WANTED_W, "the limit of a running trial was restored"
    scenario.kill(manager)
    scenario.clock.jump(-86_400)
    scenario.kill(trial)
    return scenario.seconds_until_restored()


def _readings_until(manager, until_s):
    """The readings (time.monotonic(), energy_j) of a lease manager until the first one after ``until_s``."""
    readings = [(0.0, 0.0)]
    while readings[-1][0] <= until_s:
        kind, at_s, energy_j = manager.stdout.readline().split()
        assert kind == "reading"
        readings.append((float(at_s), float(energy_j)))
    return readings[1:]


KINDS = kinds_in(globals())
