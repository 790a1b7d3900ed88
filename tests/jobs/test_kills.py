"""Processes killed with -9, and many that append at once: every finished run counts once."""

import itertools
import random
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from jobs import job

from zeus_ray.store.event_log import open_job_log
from zeus_ray.store.events import RunAsked, RunEnded, RunLost

pytestmark = pytest.mark.processes
NIGHTLY = Path(__file__).parent / "nightly.py"


def start(history, runs, pause_s=0.0):
    return subprocess.Popen(
        [sys.executable, str(NIGHTLY), str(history), str(runs), str(pause_s)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def said(lines, word):
    whole = [line.split() for line in lines if line.endswith("\n")]  # the last word may be cut off
    return [words[1] for words in whole if words[0] == word]


def counts(history):
    """How often each run was asked for, ended and lost."""
    events = [logged.event for logged in open_job_log(history, "nightly").read()]
    kinds = (RunAsked, RunEnded, RunLost)
    return {kind: Counter(e.run_id for e in events if isinstance(e, kind)) for kind in kinds}


def test_thirty_runs_killed_at_random_points_are_in_the_log_once(tmp_path):
    chance = random.Random(5)  # noqa: S311 — noise, no secret
    ended, began, kills = [], [], 0
    while len(ended) < 30:
        process = start(tmp_path, 30 - len(ended), pause_s=0.01)
        lines = list(itertools.islice(process.stdout, chance.randint(1, 10)))
        timer = threading.Timer(chance.uniform(0.0, 0.1), process.kill)
        timer.start()
        lines += process.stdout.readlines()
        timer.cancel()
        kills += process.wait() == -9
        process.stdout.close()
        ended += said(lines, "ended")
        began += said(lines, "began")
    job(tmp_path).ask()  # the next run, which gives up those that were killed
    found = counts(tmp_path)
    assert kills >= 3
    assert set(ended) <= set(found[RunEnded])
    assert set(began) <= set(found[RunAsked])
    assert all(count == 1 for kind in found.values() for count in kind.values())
    assert not found[RunEnded].keys() & found[RunLost].keys()
    # Every run has ended or was given up, except the one that was just asked for.
    assert len(found[RunAsked]) == len(found[RunEnded]) + len(found[RunLost]) + 1
    assert len(found[RunLost]) <= kills
    left = [run for run in job(tmp_path).summary().runs if run.end is None]
    assert len(left) == 1


def test_ten_processes_at_once_lose_no_run(tmp_path):
    processes = [start(tmp_path, 3) for _ in range(10)]
    lines = [
        line
        for process in processes
        for line in process.communicate(timeout=120)[0].splitlines(keepends=True)
    ]
    assert [process.returncode for process in processes] == [0] * 10
    found = counts(tmp_path)
    assert sorted(said(lines, "ended")) == sorted(found[RunEnded])
    assert len(found[RunEnded]) == 30
    assert found[RunAsked] == found[RunEnded] == Counter(dict.fromkeys(found[RunEnded], 1))
    assert not found[RunLost]
    assert len(list((tmp_path / "nightly").glob("*-outcome-*.json"))) == 30
    assert job(tmp_path).search().pending == ()
