"""The driver is killed with -9, or interrupted: no outcome is lost, and none counts twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import sweep_driver

from zeus_ray.store.event_log import EventLog
from zeus_ray.store.events import RunEnded

pytestmark = pytest.mark.ray
HERE = Path(__file__).parent


def start(driver, *words, folder):
    env = {**os.environ, "ZEUS_RAY_GPU": "simulated:V100", "XDG_STATE_HOME": str(folder)}
    return subprocess.Popen(
        [sys.executable, str(HERE / driver), *words, str(folder)], env=env, stdout=subprocess.PIPE, text=True
    )


def told(folder):
    """The runs whose outcome is in the event log, in order."""
    events = [logged.event for logged in EventLog.open(folder / "history").read()]
    return [event.run_id for event in events if isinstance(event, RunEnded)]


def heard(folder):
    return [json.loads(line) for line in (folder / "heard.jsonl").read_text().splitlines()]


def wait_until(true, driver, deadline_s=90):
    deadline = time.monotonic() + deadline_s
    while not true():
        assert driver.poll() is None, "the driver ended before it could be killed"
        if time.monotonic() > deadline:
            kill_all(driver)
            pytest.fail(f"not within {deadline_s} s")
        time.sleep(0.05)


def kill_all(driver):
    """The driver, and all of its Ray."""
    children = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(signal.SIGKILL)
    driver.stdout.close()
    driver.wait()
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(children, timeout=20)


def test_a_driver_killed_with_9_loses_no_outcome_and_counts_none_twice(tmp_path):
    driver = start("crash_driver.py", "start", folder=tmp_path)
    wait_until((tmp_path / "killed").exists, driver)
    kill_all(driver)
    before = told(tmp_path)
    assert len(before) == 3

    again = start("crash_driver.py", "restore", folder=tmp_path)
    output, _ = again.communicate(timeout=180)
    assert again.returncode == 0
    assert "ERRORS 0" in output
    after = told(tmp_path)
    assert after[: len(before)] == before
    assert len(after) == len(set(after)) >= 7
    rows = heard(tmp_path)
    second = {row["run"] for row in rows if row["life"] != rows[0]["life"]}
    assert second
    assert not second & set(before)  # what had ended did not run again


def test_ctrl_c_ends_the_search_in_order(tmp_path):
    driver = start("crash_driver.py", "start", folder=tmp_path)
    wait_until(lambda: told(tmp_path), driver)
    driver.send_signal(signal.SIGINT)
    output, _ = driver.communicate(timeout=60)
    assert "RAN" in output
    assert driver.returncode == 0


def test_a_sweep_killed_while_trials_are_paused_goes_on_from_there(tmp_path, ray_local):
    """Tune's own snapshot is ten seconds old at best, in which trials have ended and were paused."""
    from ray import tune

    ray_local.cloudpickle.register_pickle_by_value(sweep_driver)
    driver = start("sweep_driver.py", folder=tmp_path)
    wait_until((tmp_path / "standing.json").exists, driver)
    kill_all(driver)
    before, standing = told(tmp_path), json.loads((tmp_path / "standing.json").read_text())

    again = tune.Tuner.restore(str(tmp_path / "sweep"), sweep_driver.trainable())
    elastic = again._local_tuner._tune_config.scheduler._elastic  # Tune does not give it back
    results = again.fit()
    assert elastic.now_s() < elastic.planner.rules.deadline_s
    assert elastic.planner.schedules[0].reason == "planned"  # it remembers how long trials take
    after = told(tmp_path)
    assert after[: len(before)] == before
    assert len(after) == len(set(after)) == sweep_driver.TRIALS
    assert len(results) == sweep_driver.TRIALS
    for trial, status in standing.items():
        first, second = steps(tmp_path, trial)
        if status == "TERMINATED":
            assert not second  # it does not run again
        elif status == "PAUSED":
            assert second[0] == first[-1] + 1  # from its checkpoint
        else:
            assert second[0] <= first[-1] + 1


def steps(folder, trial):
    """The steps of a trial that the first driver process had results of, and the second."""
    rows = heard(folder)
    lives = [row["life"] == rows[0]["life"] for row in rows]
    return [
        [row["steps"] for row, was in zip(rows, lives, strict=True) if row["trial"] == trial and was == first]
        for first in (True, False)
    ]
