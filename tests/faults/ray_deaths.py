"""The kinds of death that need a Ray: as deaths.py, with a driver, a raylet, workers and the actor."""

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import moved
import psutil
from deaths import FOUND_W, WANTED_W, Scene, wait_until

from zeus_ray.store.event_log import EventLog
from zeus_ray.store.events import RunEnded

HERE = Path(__file__).parent
START_S = 90.0
"""What a Ray, a search and a job may take to get going on a busy machine: nothing is promised about that."""
SUBREAPER = {"RAY_kill_child_processes_on_worker_exit_with_raylet_subreaper": "true"}


class RayScene(Scene):
    """A node with one board, and a Ray on it."""

    def __init__(self, library, folder, **knobs):
        super().__init__(library, folder, **knobs)
        self.folder = folder
        self.driver = None
        self.who = {}

    def start_ray(self, *limits_w, env=None, driver="ray_driver.py"):
        self.driver = subprocess.Popen(
            [sys.executable, str(HERE / driver), str(self.folder), *map(str, limits_w or (WANTED_W,))],
            env={**self.env, **(env or {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._started.append(self.driver)
        self.who = json.loads(next(line for line in self.driver.stdout if line.startswith("{")))
        return self

    def strike(self, *names):
        for name in names:
            os.kill(self.who[name], signal.SIGKILL)

    def strike_all(self):
        """Everything of this Ray at once, the driver too."""
        self.driver.send_signal(signal.SIGSTOP)  # it must not clean up meanwhile
        for pid in [*self.who.get("everyone", ()), self.driver.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.driver.wait()

    def energies(self):
        path = self.folder / "energy"
        return [float(line) for line in path.read_text().split()] if path.exists() else []

    def told(self):
        """The runs whose outcome a search was told, in order."""
        events = [logged.event for logged in EventLog.open(self.folder / "history").read()]
        return [event.run_id for event in events if isinstance(event, RunEnded)]

    def end(self):
        """Let the trial end by itself."""
        (self.folder / "stop").touch()
        self.wait_for_end()

    def wait_for_end(self):
        """Until the driver says so; how its Ray goes then is not the question."""
        said = [self.driver.stdout.readline()]  # Ray says things there, too
        while said[-1] and said[-1] != "ended\n":
            said.append(self.driver.stdout.readline())
        assert said[-1], f"the driver did not end well: {said}"
        return said

    def close(self):
        if self.driver is not None and self.driver.poll() is None:
            self.strike_all()
        super().close()


def trial_killed_under_ray(scene):
    scene.start_ray().strike("trial")
    return scene.seconds_until_back()


def actor_killed_under_ray(scene):
    """Ray starts it again, it takes the lease over, and the trial goes on counting."""
    scene.start_ray()
    scene.node.load(1)
    before = len(scene.energies())
    scene.strike("actor")
    wait_until(lambda: len(scene.energies()) > before + 10)
    assert scene.board.limit_w == WANTED_W, "the limit of a living trial was taken"
    joules = scene.energies()
    assert all(a <= b for a, b in itertools.pairwise(joules)), "joules were lost"
    scene.end()
    return scene.seconds_until_back()


def actor_killed_while_setting(scene):
    scene.start_ray(WANTED_W, 200, 120)
    scene.board.latency_us = 5000
    time.sleep(0.3)
    before = len(scene.energies())
    scene.strike("actor")
    wait_until(lambda: len(scene.energies()) > before + 3)
    scene.end()
    scene.board.latency_us = 0
    return scene.seconds_until_back()


def actor_then_trial_killed_under_ray(scene):
    scene.start_ray().strike("actor", "trial")
    return scene.seconds_until_back()


def driver_killed_under_ray(scene):
    scene.start_ray()
    scene.kill(scene.driver)
    return scene.seconds_until_back()


def raylet_killed(scene):
    scene.start_ray().strike("raylet")
    return scene.seconds_until_back()


def all_of_ray_killed(scene):
    scene.start_ray().strike_all()
    return scene.seconds_until_back()


def all_of_ray_killed_with_subreaper(scene):
    """Even the guard may die then: the next start of anything of ours gives back."""
    scene.start_ray(env=SUBREAPER).strike_all()
    following = scene.start("train", WANTED_W)
    scene.kill(following, signal.SIGINT)
    return scene.seconds_until_back()


def train_job_stopped_early(scene):
    """The workers of a Ray Train job are killed when Tune stops their trial: no ``finally`` runs."""
    scene.start_ray(driver="train_driver.py")
    wait_until(lambda: scene.board.limit_w == WANTED_W, START_S)
    wait_until((scene.folder / "stopped").exists, START_S)
    seconds = scene.seconds_until_back()
    assert not (scene.folder / "finally").exists(), "the worker was not killed: this is no fault"
    scene.end()
    return seconds


def paused_resumed_elsewhere_then_killed(scene):
    """On a cluster of two nodes; the trial's joules are those of all three attempts."""
    nodes = {name: scene.library.node(scene.folder, name) for name in "ab"}
    for node in nodes.values():
        node.load(moved.LOAD)
        node.boards[0].limit_mw = int(FOUND_W * 1000)
    homes = {
        name: {**node.env, "ZEUS_RAY_STATE_DIR": str(scene.folder / name)} for name, node in nodes.items()
    }
    watch = moved.Watch(nodes)
    scene.start_ray(WANTED_W, *map(json.dumps, homes.values()), driver="moved_driver.py")
    scene.wait_for_end()
    result = json.loads((scene.folder / "result").read_text())
    return moved.judge(scene.folder, watch.end(), result, limit_w=WANTED_W, found_w=FOUND_W)


def search_killed_and_restored(scene):
    """The driver and all of its Ray die in the midst of a search: no outcome it was told is lost."""
    scene.start_ray("start", driver="search_driver.py")
    wait_until(lambda: len(scene.told()) >= 2 and scene.board.limit_w != FOUND_W, START_S)
    scene.who["everyone"] = [
        process.pid for process in psutil.Process(scene.driver.pid).children(recursive=True)
    ]
    scene.strike_all()
    seconds = scene.seconds_until_back()
    before = scene.told()
    scene.start_ray("restore", driver="search_driver.py")
    assert "errors 0\n" in scene.wait_for_end()
    after = scene.told()
    assert after[: len(before)] == before, f"outcomes were lost: {before}, then {after}"
    assert len(after) == len(set(after)) > len(before), f"outcomes count twice: {after}"
    return seconds


KINDS = (
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
