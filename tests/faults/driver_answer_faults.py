"""A driver that hangs before any GPU is known, answers wrongly, or sets something else than it was told."""

import math
import os
import random
import time

from scenario import (
    ORIGINAL_W,
    WANTED_W,
    Scenario,
    close_input,
    journal_of,
    kinds_in,
    say,
    train_to_the_end,
    wait_until,
)

from zeus_ray.leases import doctor

CALLS_OF_A_LEASE = ("GetPowerManagementLimit", "GetEnforcedPowerLimit", "GetPersistenceMode",
                    "GetTotalEnergyConsumption", "GetPowerUsage", "SetPowerManagementLimit")  # fmt: skip


def _trains(scenario, visible=0, env=(), **options):
    env = {"CUDA_VISIBLE_DEVICES": str(visible), **dict(env)}
    process = scenario.start("trains", WANTED_W, env=env, **options)
    return train_to_the_end(process)


def driver_hangs_before_training(scenario):
    """At its very first call, or when it counts the GPUs: the run is not measured."""
    call = random.choice(["hang_init", "hang_count"])  # noqa: S311
    setattr(scenario.node.state, call, 1)
    energies_j = _trains(scenario)
    assert all(map(math.isnan, energies_j)), energies_j
    assert scenario.node.attempts == 0
    setattr(scenario.node.state, call, 0)
    return scenario.seconds_until_restored()


def driver_hangs_during_training(scenario):
    """A GPU that is open goes on; nothing that is asked anew is waited for."""
    process = scenario.start("trains", WANTED_W, env={"CUDA_VISIBLE_DEVICES": "0"})
    assert process.stdout.readline().split()[0] == "reported"
    scenario.node.state.hang_init = 1
    process.stdin.write("\n")
    process.stdin.flush()
    train_to_the_end(process)
    scenario.node.state.hang_init = 0
    return scenario.seconds_until_restored()


def doctor_examines_a_node_whose_driver_hangs(scenario):
    process = scenario.start("train", WANTED_W)
    scenario.node.state.hang_count = 1
    start_s = time.monotonic()
    shown = scenario.run_doctor()
    assert time.monotonic() - start_s < 25
    assert "does not answer" in shown, shown
    scenario.node.state.hang_count = 0
    scenario.kill(process)
    return scenario.seconds_until_restored()


def one_call_hangs_before_training(scenario):
    scenario.gpu.hang_name = f"nvmlDevice{random.choice(CALLS_OF_A_LEASE)}".encode()  # noqa: S311
    _trains(scenario)
    scenario.gpu.hang_name = b""
    return scenario.seconds_until_restored()


def limit_is_read_wrong_now_and_then(scenario):
    """A driver gives a wrong answer once: that is nobody's limit."""
    process = scenario.start("steps", WANTED_W, 200)
    for _ in range(3):
        scenario.gpu.wrong_mw = random.choice([0, 42, 100_000, 2**32 - 1])  # noqa: S311
        scenario.gpu.wrong_reads = 1
        wait_until(lambda: scenario.gpu.wrong_reads == 0)
        time.sleep(0.2)  # now and then, and not several times in a row
    assert say(process) == ["set"]
    close_input(process)
    assert process.stdout.readline().split() == ["released", "False"]
    return scenario.seconds_until_restored()


def limit_is_read_wrong_at_a_restore(scenario):
    process = scenario.start("train", WANTED_W)
    scenario.gpu.wrong_mw = random.choice([0, 42, 100_000, 270_000, 2**32 - 1])  # noqa: S311
    os.kill(process.pid, 19)
    scenario.gpu.wrong_reads = 1
    scenario.kill(process)
    return scenario.seconds_until_restored()


def limit_is_read_wrong_as_a_lease_begins(scenario):
    """What was read once is not taken for the original limit."""
    scenario.gpu.wrong_mw = random.choice([100_000, 200_000])  # noqa: S311
    scenario.gpu.wrong_reads = 1
    scenario.kill(scenario.start("train", WANTED_W))
    return scenario.seconds_until_restored()


def driver_sets_another_limit(scenario):
    """It says OK, and sets a higher one: that is refused, and taken back."""
    scenario.gpu.lowest_mw = 160_000
    process = scenario.start("refused", WANTED_W)
    assert process.first[0] == "refused", process.first
    return scenario.seconds_until_restored()


def driver_sets_another_limit_later(scenario):
    """Not its first one: it falls back, and the end of the run restores the original one."""
    process = scenario.start("steps", 200, WANTED_W)
    scenario.gpu.lowest_mw = 160_000
    answer = say(process)
    assert answer[0] == "DeviceError", answer
    close_input(process)
    return scenario.seconds_until_restored()


def sets_are_done_and_give_an_error(scenario):
    """As after a timeout: whatever the driver says, the limit is taken back."""
    scenario.gpu.late_errors = random.randint(1, 12)  # noqa: S311 — at the first, at all, or at the restore
    process = scenario.begin("refused", WANTED_W)
    process.wait()
    scenario.gpu.late_errors = 0
    return scenario.seconds_until_restored()


def driver_answers_slowly(scenario):
    """Each call takes so long that the restore as a whole takes longer than that of a GPU which hangs."""
    process = scenario.start("train", WANTED_W)
    scenario.gpu.latency_us = 600_000
    scenario.kill(process)
    return scenario.seconds_until_restored()


def gpu_has_another_uuid_for_a_while(scenario):
    """As when it is replaced, cut into slices, or hidden; the journal waits for it."""
    process = scenario.start("train", WANTED_W)
    uuid = scenario.gpu.uuid_bytes
    scenario.gpu.uuid_bytes = b"GPU-ffffffff-0000-4000-8000-00000000ffff"
    scenario.kill(process)
    time.sleep(2)
    scenario.gpu.uuid_bytes = uuid
    assert journal_of(scenario).exists(), "forgotten before it was restored"
    return scenario.seconds_until_restored()


def uuid_of_another_gpu_is_no_text(scenario):
    scenario.gpu.uuid_bytes = b"GPU-\xff\xfe"
    second = scenario.node.gpus[1]
    energies_j = _trains(scenario, visible=second.uuid, gpu=second)
    assert 0 < energies_j[0] < energies_j[-1], energies_j
    return scenario.seconds_until_restored(second)


def gpu_is_not_listed_any_more(scenario):
    """It has fallen off the bus: the driver counts one GPU fewer, until a rescan."""
    second = scenario.node.gpus[1]
    process = scenario.start("train", WANTED_W, gpu=second)
    scenario.node.state.count = 1
    scenario.kill(process)
    time.sleep(2)
    with scenario.here():
        assert any(
            second_uuid in problem for second_uuid in [second.uuid] for problem in doctor.examine().problems
        )
    scenario.node.state.count = 2
    return scenario.seconds_until_restored(second)


def state_folder_name_is_no_text(scenario):
    """A name that no encoding has: the run trains, with its limit or without."""
    scenario.state = scenario.folder / os.fsdecode(b"\xff\xfe")
    energies_j = _trains(scenario, env={"ZEUS_RAY_STATE_DIR": str(scenario.state)})
    assert 0 < energies_j[0] < energies_j[-1], energies_j
    return scenario.seconds_until_restored()


def trial_has_a_strange_name(scenario):
    """Its name is in the journal: it has to be readable afterwards."""
    names = ["ünï\u2028côdé", "x" * 5000, "a\nb", '"}', "\x1b[31m", os.fsdecode(b"\xff")]
    trial = scenario.start("trial")
    name = random.choice(names)  # noqa: S311
    manager = scenario.start("manage", WANTED_W, name, trial.pid, trial.first[1])
    scenario.kill(manager)
    scenario.kill(trial)
    return scenario.seconds_until_restored()


KINDS = kinds_in(globals())
_ = (ORIGINAL_W, Scenario)
