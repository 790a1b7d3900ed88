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

UNWELL_S = 170.0


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
    process.send_signal(signal.SIGSTOP)  # or it starts another watchdog
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


def zeusd_restores_without_effect(scenario):
    """It says OK to the original limit, and does nothing: the journal stays, and it is tried again."""
    scenario.start_zeusd()
    process = scenario.start("train", WANTED_W)
    assert scenario.gpu.limit_w == WANTED_W
    scenario.zeusd.reply = random.choice([200, 202, 207]), {}  # noqa: S311
    scenario.kill(process)
    time.sleep(3)
    assert scenario.gpu.limit_w == WANTED_W
    assert journal_of(scenario).exists(), "forgotten before it was restored"
    scenario.zeusd.reply = None
    return scenario.seconds_until_restored()


def zeusd_trickles_at_a_restore(scenario):
    """A request has a deadline as a whole; the limit is restored once it answers."""
    scenario.start_zeusd()
    process = scenario.start("train", WANTED_W)
    scenario.zeusd.trickles = True
    scenario.kill(process)
    time.sleep(3)
    scenario.zeusd.trickles = False
    return scenario.seconds_until_restored()


def slices_are_made_during_a_lease(scenario):
    """MIG is turned on meanwhile: the limit of the whole GPU is restored all the same."""
    process = scenario.start("train", WANTED_W)
    scenario.gpu.mig = 1
    scenario.kill(process)
    wait_until(lambda: scenario.gpu.limit_w == scenario.expected_w or journal_of(scenario).exists())
    scenario.gpu.mig = 0
    return scenario.seconds_until_restored()


def range_changes_during_a_lease(scenario):
    """The original limit is outside the GPU's range for a while."""
    process = scenario.start("train", WANTED_W)
    highest_mw, scenario.gpu.max_mw = scenario.gpu.max_mw, 250_000
    scenario.kill(process)
    time.sleep(2)
    assert journal_of(scenario).exists(), "forgotten before it was restored"
    scenario.gpu.max_mw = highest_mw
    return scenario.seconds_until_restored()


def rights_are_lost_during_a_lease(scenario):
    """Writing is refused for a while, as when an administrator takes the right away and gives it back."""
    process = scenario.start("train", WANTED_W)
    scenario.gpu.no_permission = 1
    scenario.kill(process)
    time.sleep(3)
    assert journal_of(scenario).exists(), "forgotten before it was restored"
    scenario.gpu.no_permission = 0
    return scenario.seconds_until_restored()


def gpu_unwell_for_three_minutes(scenario):
    """It is tried again for ever."""
    process = scenario.start("train", WANTED_W)
    process.send_signal(signal.SIGSTOP)
    scenario.gpu.lost = 1
    scenario.kill(process)
    time.sleep(UNWELL_S)
    with scenario.here():
        problems = doctor.examine().problems
    assert any(scenario.gpu.uuid in problem for problem in problems), (problems, scenario.gpu.limit_w)
    scenario.gpu.lost = 0
    return scenario.seconds_until_restored()


LONG_KINDS = (gpu_unwell_for_three_minutes,)
"""Of minutes each; benchmarks/bench_faults.py does them with ``--long``."""
KINDS = tuple(kind for kind in kinds_in(globals()) if kind not in LONG_KINDS)
