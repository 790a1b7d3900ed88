"""Other users and other state folders on the node."""

import os

from scenario import WANTED_W, kinds_in

from zeus_ray.leases.recovery import restore_all


def second_folder(scenario):
    first = scenario.start("train", WANTED_W)
    second = scenario.start("train", 200, env={"ZEUS_RAY_STATE_DIR": str(scenario.folder / "other")})
    assert second.first[1] == "False", second.first
    scenario.kill(first)
    seconds = scenario.seconds_until_restored()
    scenario.kill(second)
    return seconds


def second_folder_after_all_are_killed(scenario):
    """It does not take the limit that was left behind for the original one."""
    process = scenario.start("train", WANTED_W)
    scenario.kill_watchdog()
    scenario.kill(process)
    second = scenario.start("train", 200, env={"ZEUS_RAY_STATE_DIR": str(scenario.folder / "other")})
    assert second.first[1] == "False", second.first
    scenario.kill(second)
    assert scenario.gpu.limit_w == WANTED_W
    with scenario.here():
        restore_all(scenario.state)
    return scenario.seconds_until_restored()


def forged_notes_and_locks(scenario):
    """What other users can create in a shared folder neither blocks nor breaks a run."""
    locks = scenario.folder / "locks"
    os.mkfifo(locks / f"zeus-ray-{scenario.gpu.uuid}.1234-abc.note")
    (locks / f"zeus-ray-{scenario.gpu.uuid}.1234-abd.note").symlink_to("/dev/zero")
    (locks / f"zeus-ray-{scenario.gpu.uuid}.1234-abe.note").write_bytes(b"\xff" * 9000)
    scenario.kill(scenario.start("train", WANTED_W))
    return scenario.seconds_until_restored()


def lock_folder_is_missing(scenario):
    process = scenario.start("train", WANTED_W, env={"ZEUS_RAY_LOCK_DIR": str(scenario.folder / "missing")})
    assert process.first[1] == "False", process.first
    scenario.kill(process)
    return scenario.seconds_until_restored()


KINDS = kinds_in(globals())
