"""Processes that fork, become another program, are in a container, or get many signals."""

import os
import random
import shutil
import signal
import time

from scenario import ORIGINAL_W, WANTED_W, close_input, kinds_in, say, train_to_the_end, wait_until

from zeus_ray.leases.watchdog_start_and_status import running_watchdog

IN_A_CONTAINER = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
"""Its processes have pids of their own, and see no others."""


def _container():
    return IN_A_CONTAINER if not os.geteuid() and shutil.which("unshare") else ()


def child_forked_by_a_library_outlives_its_parent(scenario):
    """It has the parent's locks, unseen by Python, and never uses them."""
    scenario.kill(scenario.start("forks", WANTED_W, "outlives-unseen"))
    return scenario.seconds_until_restored()


def run_becomes_another_program(scenario):
    """It has the run's pid and start time, and is no run."""
    process = scenario.start("becomes", WANTED_W)
    process.stdin.write("\n")
    process.stdin.flush()
    return scenario.seconds_until_restored()


def run_in_a_container(scenario):
    """It shares the state folder with the node, where its pid means nothing."""
    start_s = time.monotonic()
    scenario.start("train", WANTED_W, gpu=scenario.node.gpus[1])
    outside, started_s = running_watchdog(scenario.state), time.monotonic()
    process = scenario.start("train", WANTED_W, prefix=_container())
    assert process.first[1] == "True", process.first
    longer_s = time.monotonic() - started_s - (started_s - start_s)
    assert longer_s < 3, "it waited for a watchdog of its own"
    assert scenario.gpu.limit_w == WANTED_W
    time.sleep(4)  # longer than a heartbeat may take
    assert scenario.gpu.limit_w == WANTED_W, "the limit of a living run was restored"
    assert running_watchdog(scenario.state) == outside
    scenario.kill(process)
    return scenario.seconds_until_restored()


def container_killed_with_its_watchdog(scenario):
    """Both are gone at once; a run outside sees to another watchdog."""
    process = scenario.start("train", WANTED_W, prefix=_container())
    outside = scenario.start("train", WANTED_W, gpu=scenario.node.gpus[1])
    assert outside.first[1] == "True", outside.first
    scenario.kill(process)
    if not _container():
        scenario.kill_watchdog()
    wait_until(lambda: scenario.gpu.limit_w == ORIGINAL_W, 20)  # it is looked for every ten seconds
    return scenario.seconds_until_restored()


def terminated_many_times(scenario):
    process = scenario.start("train", WANTED_W)
    signals = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]
    for _ in range(20):
        process.send_signal(random.choice(signals))  # noqa: S311
        time.sleep(random.uniform(0, 0.01))  # noqa: S311
    process.wait()
    return scenario.seconds_until_restored()


def watchdog_terminated_many_times(scenario):
    """As by a shutdown script that knows no better; the next run starts another one."""
    first = scenario.start("train", WANTED_W)
    watchdog = running_watchdog(scenario.state)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        if watchdog.alive():
            os.kill(watchdog.pid, number)
    wait_until(lambda: not watchdog.alive())
    scenario.start("train", WANTED_W, gpu=scenario.node.gpus[1])
    assert running_watchdog(scenario.state) is not None
    scenario.kill(first)
    return scenario.seconds_until_restored()


def everything_killed_in_one_go(scenario):
    """The run, its child and the watchdog; the next start restores, whichever GPU it is for."""
    processes = [scenario.start("forks", WANTED_W, "outlives")]
    watchdog = running_watchdog(scenario.state)
    for pid in (watchdog.pid, *(process.pid for process in processes)):
        os.kill(pid, signal.SIGKILL)
    processes[0].wait()
    scenario.start("train", WANTED_W, gpu=scenario.node.gpus[1])  # ends when it has set its limit
    return scenario.seconds_until_restored()


def run_and_node_stopped_for_a_while(scenario):
    """As when a virtual machine is paused: everything goes on afterwards."""
    process = scenario.start("steps", WANTED_W, 200)
    watchdog = running_watchdog(scenario.state)
    for pid in (process.pid, watchdog.pid):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(random.uniform(3.5, 5))  # noqa: S311 — longer than a heartbeat may take
    for pid in random.sample([process.pid, watchdog.pid], 2):
        os.kill(pid, signal.SIGCONT)
    assert say(process) == ["set"]
    assert scenario.gpu.limit_w == 200, "the limit of a living run was restored"
    time.sleep(1)
    assert scenario.gpu.limit_w == 200, "the limit of a living run was restored"
    scenario.kill(process)
    return scenario.seconds_until_restored()


def input_and_errors_are_closed(scenario):
    """The first files that such a process opens are its streams."""
    prefix = ("sh", "-c", 'exec "$@" 0<&- 2>&-', "sh")
    process = scenario.begin("trains", WANTED_W, env={"CUDA_VISIBLE_DEVICES": "0"}, prefix=prefix)
    assert process.stdout.readline().split() == ["ready"]
    wait_until(lambda: process.poll() is not None)
    return scenario.seconds_until_restored()


KINDS = kinds_in(globals())
_ = (close_input, train_to_the_end)
