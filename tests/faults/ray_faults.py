"""The kinds of fault that need Ray: a driver, a raylet, workers and the GPU actor; see scenario.py."""

import contextlib
import itertools
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import migration_checks
import psutil
from scenario import ORIGINAL_W, WANTED_W, Scenario, wait_until

from zeus_ray.leases.ended_lease_usage import ended_lease
from zeus_ray.store.event_log import EventLog
from zeus_ray.store.events import RunEnded

HERE = Path(__file__).parent
HUNG_TRIAL_ENDS_WITHIN_S = 120.0
STARTED_WITHIN_S = 90.0
"""How long Ray, a search and a job may take to start on a busy machine."""
SUBREAPER = {"RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper": "true"}


class RayScenario(Scenario):
    """A node with one GPU, and Ray on it."""

    def __init__(self, library, folder, **knobs):
        super().__init__(library, folder, **knobs)
        self.folder = folder
        self.driver = None
        self.pids = {}

    def start_ray(self, *limits_w, env=None, driver="ray_driver.py"):
        self.driver = subprocess.Popen(
            [sys.executable, str(HERE / driver), str(self.folder), *map(str, limits_w or (WANTED_W,))],
            env={**self.env, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._started.append(self.driver)
        self.pids = json.loads(next(line for line in self.driver.stdout if line.startswith("{")))
        return self

    def kill_by_name(self, *names):
        for name in names:
            os.kill(self.pids[name], signal.SIGKILL)

    def kill_all(self):
        """Kill every process of this Ray, and the driver."""
        self.driver.send_signal(signal.SIGSTOP)  # so that it does not clean up meanwhile
        for pid in [*self.pids.get("processes", ()), self.driver.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.driver.wait()

    def energies(self):
        path = self.folder / "energy"
        return [float(line) for line in path.read_text().split()] if path.exists() else []

    def told_runs(self):
        """Ids of the runs whose outcome the search was told, in order."""
        events = [logged.event for logged in EventLog.open(self.folder / "history").read()]
        return [event.run_id for event in events if isinstance(event, RunEnded)]

    def end(self):
        """Let the trial end."""
        (self.folder / "stop").touch()
        self.wait_for_end()

    def wait_for_end(self):
        """Wait until the driver prints "ended"; how its Ray ends after that does not matter."""
        lines = [self.driver.stdout.readline()]  # Ray prints there, too
        while lines[-1] and lines[-1] != "ended\n":
            lines.append(self.driver.stdout.readline())
        assert lines[-1], f"the driver did not end: {lines}"
        return lines

    def close(self):
        if self.driver is not None and self.driver.poll() is None:
            self.kill_all()
        super().close()


def trial_killed_under_ray(scenario):
    scenario.start_ray().kill_by_name("trial")
    return scenario.seconds_until_restored()


def actor_killed_under_ray(scenario):
    """Ray restarts it, it adopts the lease, and the trial's energy continues."""
    scenario.start_ray()
    scenario.node.load(1)
    before = len(scenario.energies())
    scenario.kill_by_name("actor")
    wait_until(lambda: len(scenario.energies()) > before + 10)
    assert scenario.gpu.limit_w == WANTED_W, "the limit of a running trial was restored"
    energies_j = scenario.energies()
    assert all(a <= b for a, b in itertools.pairwise(energies_j)), "energy was lost"
    scenario.end()
    return scenario.seconds_until_restored()


def actor_killed_while_setting(scenario):
    scenario.start_ray(WANTED_W, 200, 120)
    scenario.gpu.latency_us = 5000
    time.sleep(0.3)
    before = len(scenario.energies())
    scenario.kill_by_name("actor")
    wait_until(lambda: len(scenario.energies()) > before + 3)
    scenario.end()
    scenario.gpu.latency_us = 0
    return scenario.seconds_until_restored()


def actor_then_trial_killed_under_ray(scenario):
    scenario.start_ray().kill_by_name("actor", "trial")
    return scenario.seconds_until_restored()


def driver_killed_under_ray(scenario):
    scenario.start_ray()
    scenario.kill(scenario.driver)
    return scenario.seconds_until_restored()


def raylet_killed(scenario):
    scenario.start_ray().kill_by_name("raylet")
    return scenario.seconds_until_restored()


def all_of_ray_killed(scenario):
    scenario.start_ray().kill_all()
    return scenario.seconds_until_restored()


def all_of_ray_killed_with_subreaper(scenario):
    """Even the watchdog is killed then: the next run on the node restores the limit."""
    scenario.start_ray(env=SUBREAPER).kill_all()
    following = scenario.start("train", WANTED_W)
    scenario.kill(following, signal.SIGINT)
    return scenario.seconds_until_restored()


def train_job_stopped_early(scenario):
    """Ray Tune kills the workers of a Ray Train job when it stops their trial: no ``finally`` runs."""
    scenario.start_ray(driver="train_driver.py")
    wait_until(lambda: scenario.gpu.limit_w == WANTED_W, STARTED_WITHIN_S)
    wait_until((scenario.folder / "stopped").exists, STARTED_WITHIN_S)
    seconds = scenario.seconds_until_restored()
    assert not (scenario.folder / "finally").exists(), "the worker was not killed, so this tests nothing"
    scenario.end()
    return seconds


def paused_resumed_elsewhere_then_killed(scenario):
    """On a cluster of two nodes; the trial's energy is that of all three attempts."""
    nodes = {name: scenario.library.node(scenario.folder, name) for name in "ab"}
    for node in nodes.values():
        node.load(migration_checks.LOAD)
        node.gpus[0].limit_mw = int(ORIGINAL_W * 1000)
    settings = {
        name: {**node.env, "ZEUS_RAY_STATE_DIR": str(scenario.folder / name)} for name, node in nodes.items()
    }
    watch = migration_checks.LimitWatch(nodes)
    scenario.start_ray(WANTED_W, *map(json.dumps, settings.values()), driver="migration_driver.py")
    scenario.wait_for_end()
    result = json.loads((scenario.folder / "result").read_text())
    return migration_checks.check_migration(
        scenario.folder, watch.end(), result, limit_w=WANTED_W, original_w=ORIGINAL_W
    )


def search_killed_and_restored(scenario):
    """The driver and its Ray are killed during a search: no outcome that the search was told is lost."""
    scenario.start_ray("start", driver="search_driver.py")
    wait_until(
        lambda: len(scenario.told_runs()) >= 2 and scenario.gpu.limit_w != ORIGINAL_W, STARTED_WITHIN_S
    )
    scenario.pids["processes"] = [
        process.pid for process in psutil.Process(scenario.driver.pid).children(recursive=True)
    ]
    scenario.kill_all()
    seconds = scenario.seconds_until_restored()
    before = scenario.told_runs()
    scenario.start_ray("restore", driver="search_driver.py")
    assert "errors 0\n" in scenario.wait_for_end()
    after = scenario.told_runs()
    assert after[: len(before)] == before, f"outcomes were lost: {before}, then {after}"
    assert len(after) == len(set(after)) > len(before), f"outcomes count twice: {after}"
    return seconds


def gpu_hangs_under_ray(scenario):
    """Every call for the GPU hangs from now on: the trial goes on, unmeasured, and ends in time."""
    scenario.start_ray()
    scenario.gpu.hang_name = b"*"
    start_s = time.monotonic()
    wait_until(lambda: any(map(math.isnan, scenario.energies())), HUNG_TRIAL_ENDS_WITHIN_S)
    scenario.end()
    assert time.monotonic() - start_s < HUNG_TRIAL_ENDS_WITHIN_S
    assert scenario.gpu.limit_w == WANTED_W
    scenario.gpu.hang_name = b""
    return scenario.seconds_until_restored()


def gpu_hangs_before_a_trial_under_ray(scenario):
    """The trial trains, unmeasured, and ends in time. Ray itself would wait for a GPU that tells no name."""
    scenario.gpu.hang_name = b"nvmlDeviceGetPowerManagementLimitConstraints"
    scenario.start_ray(driver="short_trial_driver.py")
    _trains_unmeasured(scenario)
    scenario.gpu.hang_name = b""
    return scenario.seconds_until_restored()


def driver_hangs_before_a_trial_under_ray(scenario):
    """At its first call, for every process that asks from now on; Ray itself has asked before."""
    scenario.start_ray(driver="short_trial_driver.py")
    call = random.choice(["hang_init", "hang_count"])  # noqa: S311
    setattr(scenario.node.state, call, 1)
    _trains_unmeasured(scenario)
    setattr(scenario.node.state, call, 0)
    return scenario.seconds_until_restored()


def _trains_unmeasured(scenario):
    scenario.driver.stdin.write("\n")
    scenario.driver.stdin.flush()
    start_s = time.monotonic()
    assert "errors 0\n" in scenario.wait_for_end()
    assert time.monotonic() - start_s < HUNG_TRIAL_ENDS_WITHIN_S
    assert scenario.node.attempts == 0, "a limit was set on another GPU"


def task_without_a_lease_calls_the_actor(scenario):
    """It can neither lease for another process, nor read, set or end a lease, nor learn its id."""
    scenario.start_ray()
    lease_id = (scenario.folder / "lease").read_text()
    before = len(scenario.energies())
    (scenario.folder / "stranger").touch()
    wait_until((scenario.folder / "refused").exists, STARTED_WITHIN_S)
    *refused, released = json.loads((scenario.folder / "refused").read_text())
    assert all(refused), "a call was not refused"
    assert lease_id not in " ".join([*refused, released])
    assert scenario.gpu.limit_w == WANTED_W
    wait_until(lambda: len(scenario.energies()) > before + 5)
    assert not any(map(math.isnan, scenario.energies()))
    scenario.end()
    return scenario.seconds_until_restored()


def actor_and_trial_killed_and_their_energy_kept(scenario):
    """Killed together: what they had used is known to the next attempt, but for the last second."""
    scenario.start_ray()
    scenario.node.load(1)
    time.sleep(4)
    used_j = scenario.energies()[-1]
    lease_id = (scenario.folder / "lease").read_text()
    scenario.kill_by_name("actor", "trial")
    seconds = scenario.seconds_until_restored()
    wait_until(lambda: ended_lease(scenario.state, lease_id) is not None)
    kept_j = ended_lease(scenario.state, lease_id).energy_j
    assert 0.6 * used_j <= kept_j <= 1.5 * used_j, (kept_j, used_j)
    return seconds


KINDS = (
    gpu_hangs_under_ray,
    gpu_hangs_before_a_trial_under_ray,
    driver_hangs_before_a_trial_under_ray,
    task_without_a_lease_calls_the_actor,
    actor_and_trial_killed_and_their_energy_kept,
    trial_killed_under_ray,
    actor_killed_under_ray,
    actor_killed_while_setting,
    actor_then_trial_killed_under_ray,
    driver_killed_under_ray,
    raylet_killed,
    all_of_ray_killed,
    all_of_ray_killed_with_subreaper,
    train_job_stopped_early,
    paused_resumed_elsewhere_then_killed,
    search_killed_and_restored,
)
