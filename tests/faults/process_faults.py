"""Every kind of fault without Ray, on real processes over the simulated NVML: for tests and bench_faults.py.

Each kind gets a new scenario with an original limit of 270 W, kills processes, and returns the seconds
until the limit is restored. It raises AssertionError where anything else went wrong.
"""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
from fake_nvml.library import Clock

from zeus_ray.leases.recovery import restore_all
from zeus_ray.leases.watchdog_start import running_watchdog

ROLES = Path(__file__).with_name("roles.py")
ORIGINAL_W, WANTED_W = 270.0, 150.0
RESTORED_WITHIN_S = 10.0


class Scenario:
    """One node with one GPU, and the processes on it."""

    def __init__(self, library, folder, cards="V100,V100", **knobs):
        self.library = library
        self.folder = folder
        self.node = library.node(folder, name=folder.name, cards=cards, **knobs)
        self.gpu = self.node.gpus[0]
        for gpu in self.node.gpus:
            gpu.limit_mw = int(ORIGINAL_W * 1000)
        self.expected_w = ORIGINAL_W
        self.state = folder / "state"
        self.clock = Clock(library, folder)
        locks = folder / "locks"
        locks.mkdir()
        locks.chmod(0o1777)
        ours = {"ZEUS_RAY_STATE_DIR": str(self.state), "ZEUS_RAY_LOCK_DIR": str(locks)}
        self.env = {**os.environ, **self.node.env, **ours}
        self._started = []

    def start(self, role, *arguments, prefix=(), gpu=None, env=(), cwd=None):
        """Start a process of roles.py. Its first line of output, split, is the attribute ``first``."""
        process = subprocess.Popen(
            [*prefix, sys.executable, str(ROLES), role, (gpu or self.gpu).uuid, *map(str, arguments)],
            env={**self.env, **dict(env)}, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._started.append(process)
        process.first = process.stdout.readline().split()
        return process

    def kill(self, process, number=signal.SIGKILL):
        process.send_signal(number)
        process.wait(RESTORED_WITHIN_S)

    def kill_watchdog(self):
        watchdog = running_watchdog(self.state)
        assert watchdog is not None, "no watchdog runs"
        os.kill(watchdog.pid, signal.SIGKILL)
        wait_until(lambda: not watchdog.alive())

    def seconds_until_restored(self, gpu=None):
        start_s = time.monotonic()
        wait_until(lambda: (gpu or self.gpu).limit_w == ORIGINAL_W)
        return time.monotonic() - start_s

    @contextlib.contextmanager
    def here(self):
        """This process is on the node meanwhile."""
        names = (*self.node.env, "ZEUS_RAY_STATE_DIR", "ZEUS_RAY_LOCK_DIR")
        before = {name: os.environ.get(name) for name in names}
        os.environ.update({name: self.env[name] for name in names})
        try:
            yield
        finally:
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})

    def close(self):
        for gpu in self.node.gpus:
            gpu.hang_name = b""
        for process in self._started:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        for process in psutil.process_iter(["cmdline"]):
            if str(self.folder) in (process.info["cmdline"] or ()) or str(self.state) in (
                process.info["cmdline"] or ()
            ):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()


def wait_until(condition, within_s=RESTORED_WITHIN_S):
    until_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < until_s, f"not within {within_s:g} s"
        time.sleep(0.01)


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
    process.stdin.close()
    process.stdin = open(os.devnull)  # noqa: PTH123, SIM115 — closed with the rest
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
    *_, (_, energy_j) = readings_until(manager, time.monotonic() + 0.5)
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
    following.stdin.close()
    following.stdin = open(os.devnull)  # noqa: PTH123, SIM115 — closed with the rest
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
        readings = readings_until(manager, time.monotonic() + 1.2)  # the watchdog checks twice meanwhile
        (start_s, start_j), (_, end_j), (end_s, _) = readings[0], *readings[-2:]
        drawn_j = 1.5 * WANTED_W * (end_s - start_s)
        assert start_j <= end_j <= start_j + drawn_j, "the jump changed the energy"
        assert scenario.gpu.limit_w == WANTED_W, "the limit of a running trial was restored"
    scenario.kill(manager)
    scenario.clock.jump(-86_400)
    scenario.kill(trial)
    return scenario.seconds_until_restored()


def readings_until(manager, until_s):
    """The readings (time.monotonic(), energy_j) of a lease manager until the first one after ``until_s``."""
    readings = [(0.0, 0.0)]
    while readings[-1][0] <= until_s:
        kind, at_s, energy_j = manager.stdout.readline().split()
        assert kind == "reading"
        readings.append((float(at_s), float(energy_j)))
    return readings[1:]


KINDS = (
    trial_killed,
    driver_killed,
    driver_terminated,
    driver_interrupted,
    driver_ends,
    killed_while_setting,
    manager_killed_trial_runs,
    manager_and_trial_killed,
    watchdog_killed_then_trial,
    all_killed_then_another_run_starts,
    all_killed_then_zeus_ray_restore,
    disk_full,
    two_drivers,
    gpu_refuses_now_and_then,
    clock_jumps,
)
