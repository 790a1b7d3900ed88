"""Files of strange sizes and rights, locks that others keep, and processes that are killed at bad moments."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time

from scenario import (
    STOPPED,
    WANTED_W,
    close_input,
    journal_of,
    kinds_in,
    say,
    train_to_the_end,
    wait_for_look,
    wait_until,
    watchdogs_of,
)

from zeus_ray.leases.ended_lease_usage import ENDED_FILE, ended_lease
from zeus_ray.store.event_log import EventLog
from zeus_ray.store.events import RunEnded


def _locked_by_another_user(scenario):
    """A process that has the lock of all users as soon as it is free."""
    (lock,) = (scenario.folder / "locks").glob("*.lock")
    return scenario.start("locks", lock)


def another_user_takes_the_lock_of_a_killed_run(scenario):
    """Whoever can read the lock of all users can lock it, and keep it: nothing is restored later for that."""
    process = scenario.start("train", WANTED_W)
    other = _locked_by_another_user(scenario)
    scenario.kill(process)
    assert other.stdout.readline() == "locked\n"
    return scenario.seconds_until_restored()


def another_user_takes_the_lock_when_all_are_killed(scenario):
    """The next run may set no limit, and sees to a watchdog that restores the one that was left behind."""
    process = scenario.start("train", WANTED_W)
    other = _locked_by_another_user(scenario)
    scenario.kill_watchdog()
    scenario.kill(process)
    assert other.stdout.readline() == "locked\n"
    following = scenario.start("train", 200)
    assert following.first[1] == "False", following.first
    return scenario.seconds_until_restored()


def forged_notes_by_the_thousand(scenario):
    """A run starts in time, and restores its limit."""
    for number in range(5000):
        note = scenario.folder / "locks" / f"zeus-ray-{scenario.gpu.uuid}.1234-{number:x}.note"
        note.write_text('{"uid": 1234}')
    start_s = time.monotonic()
    process = scenario.start("train", WANTED_W)
    assert process.first[1] == "True", process.first
    assert time.monotonic() - start_s < 15
    scenario.kill(process)
    return scenario.seconds_until_restored()


def restorer_killed_again_and_again(scenario):
    """As when memory is short: the process in which the watchdog restores is killed at any moment."""
    process = scenario.start("train", WANTED_W)
    watchdogs = set(watchdogs_of(scenario))
    scenario.gpu.latency_us = 20_000
    scenario.kill(process)
    killed = 0
    while killed < 3:
        for pid in set(watchdogs_of(scenario)) - watchdogs:
            time.sleep(random.uniform(0, 0.1))  # noqa: S311 — in the middle of it
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            killed += 1
        if not journal_of(scenario).exists():
            break
    scenario.gpu.latency_us = 0
    seconds = scenario.seconds_until_restored()
    wait_until(lambda: not journal_of(scenario).exists())
    return seconds


def killed_run_is_a_zombie(scenario):
    """Its parent does not ask how it ended."""
    process = scenario.start("train", WANTED_W)
    process.send_signal(signal.SIGKILL)
    return scenario.seconds_until_restored()


def journal_is_huge(scenario):
    """It was filled by a program that knows nothing of it; its copy counts."""
    process = scenario.start("train", WANTED_W)
    process.send_signal(STOPPED)
    with journal_of(scenario).path.open("r+b") as file:
        file.truncate(random.choice([1 << 21, 1 << 36]))  # noqa: S311
    scenario.kill(process)
    return scenario.seconds_until_restored()


def journal_cannot_be_changed(scenario):
    """Not even by root: what was set is restored all the same, and the next run is at least measured."""
    process = scenario.start("train", WANTED_W)
    path = journal_of(scenario).path
    process.send_signal(STOPPED)
    _immutable(path, "+i")
    try:
        scenario.kill(process)
        seconds = scenario.seconds_until_restored()
        following = scenario.start("trains", 200, env={"CUDA_VISIBLE_DEVICES": "0"})
        energies_j = train_to_the_end(following)
        assert 0 < energies_j[0] < energies_j[-1], energies_j
    finally:
        _immutable(path, "-i")
    return seconds + scenario.seconds_until_restored()


def _immutable(path, how):
    if not os.geteuid() and shutil.which("chattr"):
        subprocess.run(["chattr", how, path], check=False, capture_output=True)


def journal_copied_under_another_name(scenario):
    """By a backup. It restores nothing under a later run, and nothing after it."""
    first = scenario.start("train", WANTED_W)
    path = journal_of(scenario).path
    path.with_name(f"backup-{path.name}").write_bytes(path.read_bytes())
    scenario.kill(first)
    second = scenario.start("train", WANTED_W)
    assert second.first[1] == "True", second.first
    for _ in range(3):
        wait_for_look(scenario)
        assert scenario.gpu.limit_w == WANTED_W, "the limit of a living run was restored"
    scenario.kill(second)
    return scenario.seconds_until_restored()


def locale_knows_no_umlauts(scenario):
    """Nor any encoding but ASCII: a trial's name and a folder have some."""
    scenario.state = scenario.folder / "größe"
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    scenario.env |= {"ZEUS_RAY_STATE_DIR": str(scenario.state), **plain}
    trial = scenario.start("trial")
    manager = scenario.start("manage", WANTED_W, "Größe ∞", trial.pid, trial.first[1])
    scenario.kill(manager)
    scenario.kill(trial)
    return scenario.seconds_until_restored()


def file_of_ended_leases_is_damaged(scenario):
    """What a killed run had used is kept for its next attempt all the same."""
    damage = random.choice(  # noqa: S311
        [
            lambda path: path.mkdir(),
            lambda path: path.write_bytes(b"\xff\x00" * (1 << 21)),
            lambda path: path.write_bytes(b'{"lease_id": "a", "rea'),
            lambda path: path.symlink_to("/dev/zero"),
            os.mkfifo,
        ]
    )
    scenario.node.load(1)
    process = scenario.start("meter")
    time.sleep(1.5)  # the manager writes once a second
    damage(scenario.state / ENDED_FILE)
    scenario.kill(process)
    seconds = scenario.seconds_until_restored()
    wait_until(lambda: ended_lease(scenario.state, process.first[1]) is not None)
    assert ended_lease(scenario.state, process.first[1]).energy_j > 0
    return seconds


def power_is_read_wrong(scenario):
    """Now and then, or each time: the counter is sound, and counts."""
    scenario.gpu.refresh_ms = 100
    scenario.node.load(1)
    scenario.gpu.wrong_power_mw = random.choice([0, 1, 5_000_000, 2**32 - 1])  # noqa: S311
    process = scenario.start("meter")
    before_begin_j = scenario.node.true_energy_j()
    begin_j, begin_err_j, _used = say(process)
    after_begin_j = scenario.node.true_energy_j()
    for _ in range(8):
        scenario.gpu.wrong_powers = random.choice([1, 1, 2, 5])  # noqa: S311
        time.sleep(0.4)
    before_end_j = scenario.node.true_energy_j()
    end_j, err_j, used = say(process)
    after_end_j = scenario.node.true_energy_j()
    measured_j = float(end_j) - float(begin_j)
    least_j, most_j = before_end_j - after_begin_j, after_end_j - before_begin_j
    bound_j = max(float(begin_err_j) + float(err_j), 0.01 * least_j)
    assert least_j - bound_j <= measured_j <= most_j + bound_j, (measured_j, least_j, most_j, bound_j, used)
    assert float(err_j) < 0.5 * least_j, ("a bound that says nothing", err_j, least_j)
    scenario.kill(process)
    return scenario.seconds_until_restored()


def clock_jumps_between_outcomes(scenario):
    """Back and forward: outcomes stay in the order in which they were told."""
    scenario.env |= scenario.clock.env
    history = scenario.folder / "history"
    told = []
    for jump_s in (0, -86_400, 3 * 86_400, -400 * 86_400):
        scenario.clock.jump(jump_s)
        process = scenario.start("job", history, env={"CUDA_VISIBLE_DEVICES": "0"})
        assert say(process) == ["trained"]
        told.append(say(process)[1])
        close_input(process)
        process.wait()
    (folder,) = (path for path in history.iterdir() if path.is_dir())
    events = [logged.event for logged in EventLog.open(folder).read()]
    assert [event.run_id for event in events if isinstance(event, RunEnded)] == told
    return scenario.seconds_until_restored()


KINDS = kinds_in(globals())
