"""A history, or the file of an attempt, that is damaged, cut or on a full disk: no told outcome is lost."""

import json
import random
import resource
import shutil
import time

from damaged_files import to_folder, to_pipe
from scenario import kinds_in, say

from zeus_ray.store.event_log import EventLog, _sealed
from zeus_ray.store.events import RunEnded
from zeus_ray.store.storage import LocalFolder
from zeus_ray.training.usage_of_earlier_attempts import AttemptLog, AttemptUsage


def _told(scenario):
    """The runs whose outcome is in the history."""
    events = [logged.event for logged in EventLog.open(_folder(scenario)).read()]
    return [event.run_id for event in events if isinstance(event, RunEnded)]


def _folder(scenario):
    (folder,) = (path for path in (scenario.folder / "history").iterdir() if path.is_dir())
    return folder


def _start(scenario):
    return scenario.start("job", scenario.folder / "history", env={"CUDA_VISIBLE_DEVICES": "0"})


def _train(process):
    """Let the job train once. Returns the id of the run whose outcome it has told."""
    assert say(process) == ["trained"]
    word, run_id = say(process)
    assert word == "told", word
    return run_id


def _damaged(damage):
    """Three runs are told, the file of the second is damaged; this process and the next one go on."""

    def kind(scenario):
        process = _start(scenario)
        before = [_train(process) for _ in range(3)]
        (path,) = _folder(scenario).glob(f"*-outcome-{before[1]}.json")
        damage(path, path.read_text())
        before.append(_train(process))
        scenario.kill(process)
        before.append(_train(_start(scenario)))
        told = _told(scenario)
        assert [run for run in told if run != before[1]] == [run for run in before if run != before[1]], told
        assert len(before) == len(set(before)), before
        return scenario.seconds_until_restored()

    return kind


def _to_device(path, _text):
    path.unlink()
    path.symlink_to("/dev/zero")


def _with_wrong_body(path, text):
    """Its checksum is right."""
    content = json.loads(text)
    del content["sha256"]
    content["event"] = random.choice(  # noqa: S311
        [{}, [], None, {"outcome": {"knobs": 7}}, {**content["event"], "outcome": {}}]
    )
    path.write_text(_sealed(content))


outcome_is_cut = _damaged(lambda path, text: path.write_text(text[: random.randrange(len(text))]))  # noqa: S311
outcome_is_emptied = _damaged(lambda path, _text: path.write_text(""))
outcome_has_a_wrong_body = _damaged(_with_wrong_body)
outcome_is_a_pipe = _damaged(to_pipe)
outcome_is_a_folder = _damaged(to_folder)
outcome_is_a_device = _damaged(_to_device)
outcome_is_deleted = _damaged(lambda path, _text: path.unlink())


def job_killed_at_any_moment(scenario):
    """What was told before is in the history, and the next process goes on from it."""
    process = _start(scenario)
    told = [_train(process)]
    process.stdin.write("\n\n")
    process.stdin.flush()
    time.sleep(random.uniform(0, 0.6))  # noqa: S311 — at any moment of the next run
    scenario.kill(process)
    told += [words[1] for words in map(str.split, process.stdout) if words[0] == "told"]
    following = _train(_start(scenario))
    found = _told(scenario)
    assert set(told) < set(found), (told, found)
    assert found[-1] == following
    return scenario.seconds_until_restored()


def disk_full_when_the_outcome_is_told(scenario):
    """It is logged with all it says, and stored once there is space again."""
    process = _start(scenario)
    told = [_train(process)]
    assert say(process) == ["trained"]
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
    told.append(say(process)[1])
    assert _told(scenario) == told[:1]
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    told.append(_train(process))
    assert _told(scenario) == told
    return scenario.seconds_until_restored()


def history_deleted_during_a_run(scenario):
    process = _start(scenario)
    _train(process)
    assert say(process) == ["trained"]
    shutil.rmtree(_folder(scenario))
    assert say(process)[0] in ("told", "HistoryError")
    told = _train(process)
    assert told in _told(scenario)
    return scenario.seconds_until_restored()


def file_of_an_attempt_is_damaged(scenario):
    """The next attempt begins, with a number of its own and with what the others used."""
    folder = LocalFolder(scenario.folder / "trial")
    for _ in range(3):
        usage = AttemptUsage(energy_j=100.0, time_s=10.0)
        AttemptLog.open(folder).write(usage, samples=10, gpu="V100", profile=None)
    damaged = random.choice(folder.names())  # noqa: S311
    path = folder.path / damaged
    text = path.read_text()
    random.choice(  # noqa: S311
        [
            lambda: path.write_text(""),
            lambda: path.write_text(text[: random.randrange(len(text))]),  # noqa: S311
            lambda: path.write_text('{"attempt": "one"}'),
            lambda: path.write_text("[[[[" * 5000),
            lambda: path.write_bytes(b"\xff\xfe"),
            lambda: to_pipe(path, text),
            lambda: to_folder(path, text),
            lambda: _to_device(path, text),
        ]
    )()
    following = AttemptLog.open(folder)
    assert following.attempt == 4
    assert following.before.energy_j == 200.0, following.before
    following.write(AttemptUsage(energy_j=1.0, time_s=1.0), samples=1, gpu="V100", profile=None)
    assert AttemptLog.open(folder).before.energy_j == 201.0
    return scenario.seconds_until_restored()


KINDS = kinds_in(globals())
