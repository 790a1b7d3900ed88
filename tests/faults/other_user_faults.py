"""Other users and other state folders on the node."""

import os
import random
import shutil
import stat
from pathlib import Path

from scenario import AS_OTHER_USER, OTHER_UID, WANTED_W, kinds_in

from zeus_ray.leases.recovery import restore_all
from zeus_ray.leases.watchdog_start_and_status import running_watchdog


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


def tokens_of_the_run_are_not_passed_on(scenario):
    """The watchdog outlives the run, and its environment can be read for as long."""
    secret = "of-a-provider"  # noqa: S105
    process = scenario.start(
        "train", WANTED_W, env={"ELECTRICITYMAPS_API_TOKEN": secret, "ZEUSD_TOKEN": secret}
    )
    watchdog = running_watchdog(scenario.state)
    for file in ("environ", "cmdline"):
        assert secret not in Path(f"/proc/{watchdog.pid}/{file}").read_text()
    for path in filter(Path.is_file, scenario.state.rglob("*")):
        assert secret not in path.read_text(), path
    scenario.kill(process)
    return scenario.seconds_until_restored()


def many_runs_start_at_once(scenario):
    """On one GPU: one of them sets its limit, and the GPU's limit before all is restored."""
    runs = [scenario.begin("train", limit_w) for limit_w in (100, 125, 150, 175, 200)]
    for run in runs:
        run.first = run.stdout.readline().split()
    setting = [run for run in runs if run.first[1] == "True"]
    assert len(setting) == 1, [run.first for run in runs]
    for run in runs:
        run.kill()
    return scenario.seconds_until_restored()


def two_users_with_folders_of_their_own(scenario):
    """As root and as another user, both with the right to set: the second one only measures."""
    if os.geteuid() or not shutil.which("setpriv"):
        return second_folder(scenario)
    for parent in (scenario.folder, *scenario.folder.parents[:2]):
        parent.chmod(stat.S_IMODE(parent.stat().st_mode) | 0o055)  # one of them may be /tmp
    state = scenario.folder / "of-the-other-user"
    state.mkdir(mode=0o700)
    os.chown(state, OTHER_UID, OTHER_UID)
    (scenario.folder / f"{scenario.folder.name}.gpus").chmod(0o666)
    theirs = {"ZEUS_RAY_STATE_DIR": str(state), "PYTHONDONTWRITEBYTECODE": "1"}
    first, second = random.sample([{}, {"env": theirs, "prefix": AS_OTHER_USER}], 2)
    holds = scenario.start("train", WANTED_W, **first)
    assert holds.first[1] == "True", holds.first
    measures = scenario.start("train", 200, **second)
    assert measures.first[1] == "False", measures.first
    assert scenario.gpu.limit_w == WANTED_W
    scenario.kill(measures)
    assert scenario.gpu.limit_w == WANTED_W
    scenario.kill(holds)
    return scenario.seconds_until_restored()


KINDS = kinds_in(globals())
