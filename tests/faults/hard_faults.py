"""Faults that are no clean end of a process: stopped, hung, lying, damaged, twice, and other people.

As in process_faults.py each kind gets a new scenario, and returns the seconds until the limit is restored.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import time
from pathlib import Path

from process_faults import ORIGINAL_W, WANTED_W, wait_until

import zeus_ray
from zeus_ray.leases import doctor
from zeus_ray.leases.ended_lease_usage import ended_lease
from zeus_ray.leases.journal import Journal
from zeus_ray.leases.journal_record import write_record
from zeus_ray.leases.recovery import restore_all
from zeus_ray.leases.watchdog_start import WATCHDOG_NAME, running_watchdog

STOPPED, GOES_ON = signal.SIGSTOP, signal.SIGCONT


def journal_of(scenario, gpu=None):
    return Journal(scenario.state, (gpu or scenario.gpu).uuid)


def new_watchdog(scenario, before):
    """Wait until another watchdog than ``before`` answers."""
    wait_until(lambda: (found := running_watchdog(scenario.state)) and found.pid != before.pid)


def say(process, line=""):
    """Tell a process a line; what it answers."""
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return process.stdout.readline().split()


# --- writes ------------------------------------------------------------------------------------------


def restore_has_no_effect(scenario):
    scenario.kill(scenario.start("train", WANTED_W))
    scenario.gpu.ignore_sets = 6
    return scenario.seconds_until_restored()


def release_has_no_effect(scenario):
    """The run ends, its driver says OK to the original limit, and does nothing: the journal stays."""
    process = scenario.start("steps", WANTED_W)
    scenario.gpu.ignore_sets = 6
    process.stdin.close()
    process.wait()
    process.stdin = open(os.devnull)  # noqa: PTH123, SIM115 — closed with the rest
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
    process.stdin.close()
    assert process.stdout.readline().split() == ["released", "True"]
    process.wait()
    process.stdin = open(os.devnull)  # noqa: PTH123, SIM115 — closed with the rest
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


# --- stopped and hung --------------------------------------------------------------------------------


def watchdog_stopped(scenario):
    process = scenario.start("train", WANTED_W)
    watchdog = running_watchdog(scenario.state)
    os.kill(watchdog.pid, STOPPED)
    new_watchdog(scenario, watchdog)
    scenario.kill(process)
    return scenario.seconds_until_restored()


def stopped_watchdog_goes_on(scenario):
    """It sees that another one has taken its place, and ends."""
    process = scenario.start("train", WANTED_W)
    watchdog = running_watchdog(scenario.state)
    os.kill(watchdog.pid, STOPPED)
    new_watchdog(scenario, watchdog)
    os.kill(watchdog.pid, GOES_ON)
    wait_until(lambda: not watchdog.alive())
    scenario.kill(process)
    return scenario.seconds_until_restored()


def watchdog_killed_then_driver_later(scenario):
    process = scenario.start("train", WANTED_W)
    watchdog = running_watchdog(scenario.state)
    scenario.kill_watchdog()
    new_watchdog(scenario, watchdog)
    scenario.kill(process)
    return scenario.seconds_until_restored()


def watchdog_and_managers_killed_twice(scenario):
    """The next manager adopts the lease, sees to a watchdog, and is killed, too."""
    trial = scenario.start("trial")
    role = ("manage", WANTED_W, "trial", trial.pid, trial.first[1])
    manager = scenario.start(*role)
    watchdog = running_watchdog(scenario.state)
    scenario.kill_watchdog()
    scenario.kill(manager)
    manager = scenario.start(*role)
    new_watchdog(scenario, watchdog)
    scenario.kill(manager)
    scenario.kill(trial)
    return scenario.seconds_until_restored()


def manager_stopped_then_trial_killed(scenario):
    trial = scenario.start("trial")
    manager = scenario.start("manage", WANTED_W, "trial", trial.pid, trial.first[1])
    manager.send_signal(STOPPED)
    scenario.kill(trial)
    seconds = scenario.seconds_until_restored()
    manager.send_signal(GOES_ON)
    wait_until(lambda: not journal_of(scenario).exists())
    return seconds


def another_gpu_hangs(scenario):
    other = scenario.node.gpus[1]
    first, second = scenario.start("train", WANTED_W, gpu=other), scenario.start("train", WANTED_W)
    other.hang_name = random.choice([b"*", b"nvmlDeviceSetPowerManagementLimit"])  # noqa: S311
    scenario.kill(first)
    scenario.kill(second)
    seconds = scenario.seconds_until_restored()
    assert other.limit_w == WANTED_W
    other.hang_name = b""
    scenario.seconds_until_restored(other)
    return seconds


def gpu_hangs_during_training(scenario):
    """The run goes on, unmeasured; its limit comes back once the GPU answers."""
    process = scenario.start("trains", WANTED_W, env={"CUDA_VISIBLE_DEVICES": "0"})
    assert process.stdout.readline().split()[0] == "reported"
    scenario.gpu.hang_name = b"*"
    start_s = time.monotonic()
    assert say(process)[0] == "reported"
    assert say(process)[0] == "reported"
    assert time.monotonic() - start_s < 25, "the run was delayed more than once"
    process.stdin.write("\n")
    process.stdin.flush()
    assert process.stdout.readline() == "trained\n"
    process.wait()
    scenario.gpu.hang_name = b""
    return scenario.seconds_until_restored()


def gpu_hangs_before_training(scenario):
    scenario.gpu.hang_name = b"*"
    process = scenario.start("trains", WANTED_W, env={"CUDA_VISIBLE_DEVICES": scenario.node.gpus[1].uuid})
    assert process.stdout.readline().split()[0] == "reported"
    assert scenario.node.gpus[1].limit_w == WANTED_W
    scenario.kill(process)
    return scenario.seconds_until_restored(scenario.node.gpus[1])


def package_deleted(scenario):
    """As when the folder of a runtime environment goes."""
    place = scenario.folder / "environment"
    shutil.copytree(Path(zeus_ray.__file__).parent, place / "zeus_ray")
    process = scenario.start("train", WANTED_W, env={"PYTHONPATH": str(place)})
    shutil.rmtree(place)
    scenario.kill(process)
    return scenario.seconds_until_restored()


# --- the state folder --------------------------------------------------------------------------------


def folder_deleted(scenario):
    process = scenario.start("train", WANTED_W)
    shutil.rmtree(scenario.state)
    wait_until(journal_of(scenario).path.exists)
    scenario.kill(process)
    return scenario.seconds_until_restored()


def folder_deleted_and_driver_killed(scenario):
    process = scenario.start("train", WANTED_W)
    time.sleep(1)  # the watchdog looks twice a second
    os.kill(process.pid, STOPPED)
    shutil.rmtree(scenario.state)
    scenario.kill(process)
    return scenario.seconds_until_restored()


def _damaged(damage):
    def kind(scenario):
        process = scenario.start("train", WANTED_W)
        os.kill(process.pid, STOPPED)  # or it writes the journal again
        path = journal_of(scenario).path
        text = path.read_bytes()
        damage(path, text)
        scenario.kill(process)
        return scenario.seconds_until_restored()

    return kind


def _flip(path, text):
    at = random.randrange(len(text))  # noqa: S311 — any bit
    path.write_bytes(text[:at] + bytes([text[at] ^ 1 << random.randrange(7)]) + text[at + 1 :])  # noqa: S311


def _to_pipe(path, _text):
    path.unlink()
    os.mkfifo(path)


def _to_folder(path, _text):
    path.unlink()
    path.mkdir()


def _newer(path, text):
    path.write_text(json.dumps({**json.loads(text), "sha256": None, "of_a_later_version": [1]}))


journal_truncated = _damaged(lambda path, text: path.write_bytes(text[: random.randrange(len(text))]))  # noqa: S311
journal_emptied = _damaged(lambda path, _text: path.write_bytes(b""))
journal_bit_flipped = _damaged(_flip)
journal_is_a_pipe = _damaged(_to_pipe)
journal_is_a_folder = _damaged(_to_folder)
journal_deleted = _damaged(lambda path, _text: path.unlink())
journal_copy_deleted = _damaged(lambda path, _text: path.with_name(path.name + ".copy").unlink())
journal_has_unknown_fields = _damaged(_newer)
journal_is_a_link = _damaged(lambda path, _text: (path.unlink(), path.symlink_to("/dev/zero")))
watchdog_files_are_folders = _damaged(
    lambda path, _text: [
        (shutil.rmtree(p) if p.is_dir() else p.unlink(missing_ok=True), p.mkdir())
        for p in (path.with_name(f"{WATCHDOG_NAME}.{end}") for end in ("status", "log", "pid.draft"))
    ]
)


def lock_deleted_then_second_driver(scenario):
    first = scenario.start("train", WANTED_W)
    for path in [*scenario.state.glob("*.lock"), *(scenario.folder / "locks").glob("*.lock")]:
        path.unlink()
    second = scenario.start("train", 200)
    assert second.first[1] == "False", second.first
    assert scenario.gpu.limit_w == WANTED_W
    scenario.kill(second)
    assert scenario.gpu.limit_w == WANTED_W
    scenario.kill(first)
    return scenario.seconds_until_restored()


def relative_state_folder(scenario):
    process = scenario.start(
        "train", WANTED_W, env={"ZEUS_RAY_STATE_DIR": scenario.state.name}, cwd=scenario.folder
    )
    scenario.kill(process)
    return scenario.seconds_until_restored()


def machine_restarted(scenario):
    """Its fresh limit equals the last one of zeus-ray: it stays."""
    scenario.env |= scenario.clock.env
    process = scenario.start("train", WANTED_W)
    scenario.kill_watchdog()
    scenario.kill(process)
    scenario.clock.reboot()
    scenario.expected_w = WANTED_W
    following = scenario.start("train", 200)
    scenario.kill(following, signal.SIGINT)
    assert scenario.gpu.limit_w == WANTED_W
    return 0.0


def lock_files_are_pipes(scenario):
    scenario.state.mkdir(mode=0o700)
    for name in (f"{WATCHDOG_NAME}.lock", journal_of(scenario).path.name + ".lock"):
        os.mkfifo(scenario.state / name)
    scenario.kill(scenario.start("train", WANTED_W))
    return scenario.seconds_until_restored()


def folder_opened_to_others(scenario):
    """A folder that others can write to is not trusted; the living manager restores its own limit."""
    process = scenario.start("train", WANTED_W)
    scenario.state.chmod(0o777)
    process.send_signal(signal.SIGINT)
    return scenario.seconds_until_restored()


# --- other people ------------------------------------------------------------------------------------


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


# --- energy ------------------------------------------------------------------------------------------


def _counter(lie, source):
    def kind(scenario):
        scenario.gpu.refresh_ms = 100
        scenario.node.load(1)
        process = scenario.start("meter")
        before_begin_j = scenario.node.true_energy_j()
        begin_j = float(say(process)[0])
        after_begin_j = scenario.node.true_energy_j()
        time.sleep(1.5)
        lie(scenario.node)
        time.sleep(1.5)
        before_end_j = scenario.node.true_energy_j()
        end_j, err_j, used = say(process)
        after_end_j = scenario.node.true_energy_j()
        measured_j = float(end_j) - begin_j  # at some moment between the two true ones, at each end
        least_j, most_j = before_end_j - after_begin_j, after_end_j - before_begin_j
        bound_j = max(float(err_j), 0.01 * least_j)
        assert least_j - bound_j <= measured_j <= most_j + bound_j, (measured_j, least_j, most_j, err_j)
        assert source in ("", used), used
        scenario.kill(process)
        return scenario.seconds_until_restored()

    return kind


counter_is_reset = _counter(lambda node: node.reload_driver(), "power-integral")
counter_jumps_back_a_joule = _counter(lambda node: node.jump_counter(-1), "")
counter_jumps_back_a_kilojoule = _counter(lambda node: node.jump_counter(-1e3), "power-integral")
counter_jumps_ahead_a_megajoule = _counter(lambda node: node.jump_counter(1e6), "power-integral")
counter_jumps_ahead_a_kilojoule = _counter(lambda node: node.jump_counter(1e3), "power-integral")
counter_is_sound = _counter(lambda _node: None, "counter")


def trial_and_manager_die_together(scenario):
    """What they had used is kept for the next attempt, but for the last second."""
    scenario.node.load(1)
    before_j = scenario.node.true_energy_j()
    process = scenario.start("meter")
    ready_j = scenario.node.true_energy_j()
    time.sleep(4)
    scenario.kill(process)
    true_j = scenario.node.true_energy_j() - ready_j
    seconds = scenario.seconds_until_restored()
    wait_until(lambda: ended_lease(scenario.state, process.first[1]) is not None)
    kept = ended_lease(scenario.state, process.first[1])
    most_j = true_j + ready_j - before_j
    assert 0.55 * true_j <= kept.energy_j <= most_j, (kept.energy_j, true_j, most_j)
    return seconds


def one_second_of_disk_full(scenario):
    """The limit of a run whose disk fills up after it was set comes back."""
    process = scenario.start("train", WANTED_W)
    record = journal_of(scenario).read()
    assert write_record(record)
    with contextlib.suppress(OSError):
        (scenario.state / f"{scenario.gpu.uuid}.json.draft").mkdir()
    scenario.kill(process)
    return scenario.seconds_until_restored()


def named(kinds):
    """Give the kinds that were made by a function the names of their variables."""
    for name, kind in kinds:
        kind.__name__ = name
    return tuple(kind for _, kind in kinds)


KINDS = named(
    [
        (name, kind)
        for name, kind in list(globals().items())
        if callable(kind)
        and getattr(kind, "__module__", "") == __name__
        and not name.startswith("_")
        and name not in ("named", "say", "new_watchdog", "journal_of")
    ]
)
assert ORIGINAL_W > WANTED_W
