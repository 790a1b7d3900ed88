"""A state folder that is damaged, deleted or replaced."""

import json
import os
import random
import shutil
import signal
import time

from damaged_files import to_folder, to_pipe
from scenario import (
    STOPPED,
    WANTED_W,
    journal_of,
    kinds_in,
    wait_for_look,
    wait_until,
)

from zeus_ray.leases.watchdog_start_and_status import WATCHDOG_NAME


def _delete(folder):
    """Delete it at once: processes write into it meanwhile."""
    folder.rename(folder.with_name("deleted"))
    shutil.rmtree(folder.with_name("deleted"), ignore_errors=True)


def folder_deleted(scenario):
    process = scenario.start("train", WANTED_W)
    _delete(scenario.state)
    wait_until(journal_of(scenario).path.exists)
    scenario.kill(process)
    return scenario.seconds_until_restored()


def folder_deleted_and_driver_killed(scenario):
    process = scenario.start("train", WANTED_W)
    wait_for_look(scenario)
    os.kill(process.pid, STOPPED)
    _delete(scenario.state)
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


def _newer(path, text):
    path.write_text(json.dumps({**json.loads(text), "sha256": None, "of_a_later_version": [1]}))


journal_truncated = _damaged(lambda path, text: path.write_bytes(text[: random.randrange(len(text))]))  # noqa: S311
journal_emptied = _damaged(lambda path, _text: path.write_bytes(b""))
journal_bit_flipped = _damaged(_flip)
journal_is_a_pipe = _damaged(to_pipe)
journal_is_a_folder = _damaged(to_folder)
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


def journal_of_a_newer_version(scenario):
    """An older watchdog leaves it alone: it neither moves it away nor restores anything."""
    scenario.start("train", WANTED_W, gpu=scenario.node.gpus[1])  # so that a watchdog runs on
    path = journal_of(scenario).path
    process = scenario.start("train", WANTED_W)
    process.send_signal(STOPPED)
    content = json.loads(path.read_text())
    newer = json.dumps({**content, "sha256": None, "version": content["version"] + 1, "more": [1]})
    for file in (path, path.with_name(path.name + ".copy")):
        file.write_text(newer)
    scenario.kill(process)
    time.sleep(3)
    assert path.read_text() == newer, "a journal of a newer version was changed"
    assert scenario.gpu.limit_w == WANTED_W, "it was restored by an older version"
    for file in (path, path.with_name(path.name + ".copy")):
        file.write_text(json.dumps({**content, "sha256": None}))
    return scenario.seconds_until_restored()


def state_folder_has_a_strange_name(scenario):
    names = ["with space", "ünï\u2028côdé", "-rf", "$HOME;x", "x" * 200, "new\nline", "%s{0}"]
    scenario.state = scenario.folder / random.choice(names)  # noqa: S311
    scenario.env["ZEUS_RAY_STATE_DIR"] = str(scenario.state)
    scenario.kill(scenario.start("train", WANTED_W))
    return scenario.seconds_until_restored()


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


KINDS = kinds_in(globals())
