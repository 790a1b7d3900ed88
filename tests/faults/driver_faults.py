"""A driver that lies or refuses, and other writers of the limit."""

import random
import signal
import time

from scenario import (
    WANTED_W,
    close_input,
    journal_of,
    kinds_in,
    say,
    wait_until,
)

from zeus_ray.leases import doctor


def restore_has_no_effect(scenario):
    scenario.kill(scenario.start("train", WANTED_W))
    scenario.gpu.ignore_sets = 6
    return scenario.seconds_until_restored()


def release_has_no_effect(scenario):
    """The run ends, its driver says OK to the original limit, and does nothing: the journal stays."""
    process = scenario.start("steps", WANTED_W)
    scenario.gpu.ignore_sets = 6
    close_input(process)
    process.wait()
    return scenario.seconds_until_restored()


def set_has_no_effect(scenario):
    scenario.gpu.ignore_sets = 1 + 4
    process = scenario.start("refused", WANTED_W)
    assert process.first[0] == "refused", process.first
    return scenario.seconds_until_restored()


def any_call_fails_for_a_while(scenario):
    calls = ["nvmlDeviceGetPowerManagementLimit", "nvmlDeviceSetPowerManagementLimit", "*",
             "nvmlDeviceGetName", "nvmlDeviceGetMigMode", "nvmlDeviceGetTotalEnergyConsumption"]  # fmt: skip
    scenario.kill(scenario.start("train", WANTED_W))
    scenario.gpu.fail_code = random.choice([1, 3, 4, 10, 15, 999])  # noqa: S311 — any error
    scenario.gpu.fail_name = random.choice(calls).encode()  # noqa: S311 — of any call
    scenario.gpu.fail_calls = random.randint(1, 6)  # noqa: S311 — a few times
    return scenario.seconds_until_restored()


def gpu_unwell_for_seconds(scenario):
    scenario.kill(scenario.start("train", WANTED_W))
    scenario.gpu.lost = 1
    time.sleep(5)
    with scenario.here():
        assert any("does not answer" in p or "GPU" in p for p in doctor.examine().problems)
    scenario.gpu.lost = 0
    return scenario.seconds_until_restored()


def driver_of_the_node_is_reloaded(scenario):
    scenario.kill(scenario.start("train", WANTED_W))
    scenario.node.state.dead_driver = 1
    time.sleep(2)
    scenario.node.state.dead_driver = 0
    return scenario.seconds_until_restored()


def forked_child_ends(scenario):
    process = scenario.start("forks", WANTED_W, "ends")
    assert scenario.gpu.limit_w == float(process.first[1]) == WANTED_W, "a child took its parent's limit"
    scenario.kill(process)
    return scenario.seconds_until_restored()


def forked_child_outlives_its_parent(scenario):
    scenario.kill(scenario.start("forks", WANTED_W, "outlives"))
    return scenario.seconds_until_restored()


def operator_sets_a_limit(scenario):
    """It is neither overwritten at the next step nor at the end; what is measured since is marked."""
    process = scenario.start("steps", WANTED_W, 200)
    scenario.gpu.limit_mw = 220_000
    scenario.expected_w = 220.0
    answer = say(process)
    assert answer[0] == "NoPermission", answer
    assert "220" in answer, answer
    close_input(process)
    assert process.stdout.readline().split() == ["released", "True"]
    process.wait()
    assert scenario.gpu.limit_w == scenario.expected_w
    return 0.0


def operator_sets_a_limit_then_all_are_killed(scenario):
    process = scenario.start("train", WANTED_W)
    scenario.gpu.limit_mw = 220_000
    scenario.expected_w = 220.0
    scenario.kill(process)
    wait_until(lambda: not journal_of(scenario).exists())
    assert scenario.gpu.limit_w == scenario.expected_w
    return 0.0


def next_start_is_refused_at_first(scenario):
    process = scenario.start("train", WANTED_W)
    scenario.kill_watchdog()
    scenario.kill(process)
    scenario.gpu.refuse_sets = 6
    scenario.start("trial")
    following = scenario.start("train", 200)
    assert following.first[1] == "False", following.first
    return scenario.seconds_until_restored()


def interrupted_twice_in_a_notebook(scenario):
    scenario.gpu.latency_us = 3000
    process = scenario.start("notebook", WANTED_W, env={"CUDA_VISIBLE_DEVICES": "0"})
    process.send_signal(signal.SIGINT)
    time.sleep(random.uniform(0, 0.05))  # noqa: S311 — in the middle of the release
    process.send_signal(signal.SIGINT)
    scenario.gpu.latency_us = 0
    return scenario.seconds_until_restored()


KINDS = kinds_in(globals())
