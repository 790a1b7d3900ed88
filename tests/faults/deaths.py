"""Every kind of death, on real processes over the pretended library. Shared by the tests and the long run.

Each kind gets a fresh scene with a limit that was found at 270 W, kills, and returns the seconds until
the limit is back. It raises AssertionError where anything else went wrong.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from fake_nvml.boards import Clock

from zeus_ray.leases import watchdog as guard
from zeus_ray.leases.recovery import restore_all

ROLES = Path(__file__).with_name("roles.py")
FOUND_W, WANTED_W = 270.0, 150.0
WITHIN_S = 10.0


class Scene:
    """One node with one board, and the processes on it."""

    def __init__(self, library, folder, **knobs):
        self.library = library
        self.node = library.node(folder, name=folder.name, cards="V100", **knobs)
        self.board = self.node.boards[0]
        self.board.limit_mw = int(FOUND_W * 1000)
        self.state = folder / "state"
        self.clock = Clock(library, folder)
        self.env = {**os.environ, **self.node.env, "ZEUS_RAY_STATE_DIR": str(self.state)}
        self._started = []

    def start(self, role, *words, before=()):
        """Start a role; returns it with what it said first."""
        process = subprocess.Popen(
            [*before, sys.executable, str(ROLES), role, self.board.uuid, *map(str, words)],
            env=self.env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._started.append(process)
        process.first = process.stdout.readline().split()
        return process

    def kill(self, process, how=signal.SIGKILL):
        process.send_signal(how)
        process.wait(WITHIN_S)

    def kill_guard(self):
        holder = guard.running(self.state)
        assert holder is not None, "no guard runs"
        os.kill(holder.pid, signal.SIGKILL)
        wait_until(lambda: not holder.alive())

    def seconds_until_back(self):
        began_s = time.monotonic()
        wait_until(lambda: self.board.limit_w == FOUND_W)
        return time.monotonic() - began_s

    def close(self):
        for process in self._started:
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()
        holder = guard.running(self.state)
        if holder is not None:
            os.kill(holder.pid, signal.SIGKILL)


def wait_until(true, within_s=WITHIN_S):
    until_s = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < until_s, f"not within {within_s:g} s"
        time.sleep(0.01)


def trial_killed(scene):
    trial = scene.start("live")
    scene.start("keep", WANTED_W, "trial", trial.pid, trial.first[1])
    assert scene.board.limit_w == WANTED_W
    scene.kill(trial)
    return scene.seconds_until_back()


def driver_killed(scene):
    scene.kill(scene.start("train", WANTED_W))
    assert scene.board.limit_w == WANTED_W
    return scene.seconds_until_back()


def driver_terminated(scene):
    scene.kill(scene.start("train", WANTED_W), signal.SIGTERM)
    return scene.seconds_until_back()


def driver_interrupted(scene):
    process = scene.start("train", WANTED_W)
    process.send_signal(signal.SIGINT)
    return scene.seconds_until_back()


def driver_ends(scene):
    process = scene.start("train", WANTED_W)
    process.stdin.close()
    process.stdin = open(os.devnull)  # noqa: PTH123, SIM115 — closed with the rest
    return scene.seconds_until_back()


def killed_while_setting(scene):
    scene.board.latency_us = 2000
    process = scene.start("train", WANTED_W, 200, 120)
    time.sleep(random.uniform(0, 0.2))  # noqa: S311 — anywhere between two writes
    scene.kill(process)
    scene.board.latency_us = 0
    return scene.seconds_until_back()


def actor_killed_trial_lives(scene):
    """The next actor takes the lease over, energy and all; the trial notices nothing."""
    trial = scene.start("live")
    words = ("keep", WANTED_W, "trial", trial.pid, trial.first[1])
    actor = scene.start(*words)
    scene.node.load(1)
    before = energies(actor, 5)
    scene.kill(actor)
    actor = scene.start(*words)
    assert scene.board.limit_w == WANTED_W, "the limit of a living trial was taken"
    assert float(actor.first[2]) >= before[-1] > 0, "joules were lost"
    scene.kill(trial)
    return scene.seconds_until_back()


def actor_and_trial_killed(scene):
    trial = scene.start("live")
    actor = scene.start("keep", WANTED_W, "trial", trial.pid, trial.first[1])
    scene.kill(actor)
    scene.kill(trial)
    return scene.seconds_until_back()


def guard_killed_then_trial(scene):
    trial = scene.start("live")
    scene.start("keep", WANTED_W, "trial", trial.pid, trial.first[1])
    scene.kill_guard()
    scene.kill(trial)
    return scene.seconds_until_back()


def all_killed_then_anything_starts(scene):
    process = scene.start("train", WANTED_W)
    scene.kill_guard()
    scene.kill(process)
    assert scene.board.limit_w == WANTED_W, "who gave it back?"
    began_s = time.monotonic()
    following = scene.start("train", 200)
    following.stdin.close()
    following.stdin = open(os.devnull)  # noqa: PTH123, SIM115 — closed with the rest
    scene.seconds_until_back()
    return time.monotonic() - began_s


def all_killed_then_restored_by_hand(scene):
    process = scene.start("train", WANTED_W)
    scene.kill_guard()
    scene.kill(process)
    before = {name: os.environ.get(name) for name in scene.node.env}
    os.environ.update(scene.node.env)
    try:
        began_s = time.monotonic()
        (said,) = restore_all(scene.state)
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
    assert said.done, said
    return scene.seconds_until_back() + time.monotonic() - began_s


def disk_full(scene):
    process = scene.start("full", WANTED_W)
    assert process.first == ["refused", "NoPermission"], process.first
    process.wait()
    return scene.seconds_until_back()


def two_drivers(scene):
    first = scene.start("train", WANTED_W)
    second = scene.start("train", 200)
    assert second.first[1] == "False", second.first
    assert scene.board.limit_w == WANTED_W
    scene.kill(second)
    assert scene.board.limit_w == WANTED_W, "the second took the first one's limit"
    scene.kill(first)
    return scene.seconds_until_back()


def board_refuses_now_and_then(scene):
    process = scene.start("train", WANTED_W)
    scene.kill(process)
    scene.board.refuse_sets = 6
    return scene.seconds_until_back()


def clock_jumps(scene):
    """A day back and a year on, for all of the node: nobody is taken for dead, nor the dead for alive."""
    scene.env |= scene.clock.env
    trial = scene.start("live")
    actor = scene.start("keep", WANTED_W, "trial", trial.pid, trial.first[1])
    scene.node.load(1)
    for jump_s in (-86_400, 366 * 86_400):
        scene.clock.jump(jump_s)
        (said_s,) = scene.start("clock").first
        off_s = float(said_s) - time.time()
        assert abs(off_s - scene.clock.off_s) < 60, (
            f"the clock did not jump for those who were to see it: {off_s}"
        )
        began_s, before = time.monotonic(), energies(actor, 1)
        joules = energies(actor, 12)  # the guard looks twice meanwhile
        drawn_j = 1.5 * WANTED_W * (time.monotonic() - began_s)
        assert before[0] <= joules[0] <= joules[-1] <= before[0] + drawn_j, "the jump cost joules"
        assert scene.board.limit_w == WANTED_W, "the limit of a living trial was taken"
    scene.kill(actor)
    scene.clock.jump(-86_400)
    scene.kill(trial)
    return scene.seconds_until_back()


def energies(actor, count):
    lines = (actor.stdout.readline().split() for _ in range(count))
    return [float(joules) for word, joules in lines if word == "energy"]


KINDS = (
    trial_killed,
    driver_killed,
    driver_terminated,
    driver_interrupted,
    driver_ends,
    killed_while_setting,
    actor_killed_trial_lives,
    actor_and_trial_killed,
    guard_killed_then_trial,
    all_killed_then_anything_starts,
    all_killed_then_restored_by_hand,
    disk_full,
    two_drivers,
    board_refuses_now_and_then,
    clock_jumps,
)
