"""The driver is killed with -9, or interrupted: no told outcome is lost, and none counts twice."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytestmark = pytest.mark.ray
DRIVER = Path(__file__).parent / "crash_driver.py"


def start(mode, folder):
    env = {**os.environ, "ZEUS_RAY_GPU": "simulated:V100", "XDG_STATE_HOME": str(folder)}
    return subprocess.Popen(
        [sys.executable, str(DRIVER), mode, str(folder)], env=env, stdout=subprocess.PIPE, text=True
    )


def told(folder):
    path = folder / "history.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["outcome"]["knobs"]["run_id"] for line in lines if '"outcome"' in line]


def wait_for(driver, folder, outcomes, deadline_s=90):
    """Until that many outcomes are told."""
    deadline = time.monotonic() + deadline_s
    while len(told(folder)) < outcomes:
        assert driver.poll() is None, "the driver ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)


def end_cluster(children):
    """The driver's Ray does not outlive it by much; what is left is ended by pid."""
    for child in children:
        try:
            child.kill()
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(children, timeout=20)


def test_a_driver_killed_with_9_loses_no_outcome_and_counts_none_twice(tmp_path):
    driver = start("start", tmp_path)
    wait_for(driver, tmp_path, 3)
    children = psutil.Process(driver.pid).children(recursive=True)
    driver.send_signal(signal.SIGKILL)
    driver.stdout.close()
    driver.wait()
    end_cluster(children)
    before = told(tmp_path)

    again = start("restore", tmp_path)
    output, _ = again.communicate(timeout=180)
    assert again.returncode == 0
    assert "ERRORS 0" in output
    after = told(tmp_path)
    assert after[: len(before)] == before
    assert len(after) == len(set(after)) >= 7


def test_ctrl_c_ends_the_search_in_order(tmp_path):
    driver = start("start", tmp_path)
    wait_for(driver, tmp_path, 1)
    driver.send_signal(signal.SIGINT)
    output, _ = driver.communicate(timeout=60)
    assert "RAN" in output
    assert driver.returncode == 0
