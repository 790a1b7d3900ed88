"""``TrialReporter`` in a real terminal, with real Ray: what a person sees, and what Ctrl-C leaves."""

import os
import pty
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytestmark = [pytest.mark.ray, pytest.mark.processes]

DRIVER = """
import ray
from ray import tune
import zeus_ray as zeus

def train(config):
    with zeus.session(config) as run:
        for epoch in range(1, {epochs}):
            for _batch in run.steps([None] * 100):
                pass
            run.report({{"accuracy": 1 - 0.8**epoch}})
            {each}

ray.init("local", include_dashboard=False, num_cpus=2, log_to_driver=False, logging_level="ERROR")
searcher = zeus.ZeusSearcher(target=zeus.Target("accuracy", 0.9), default_batch_size=64)
tune.run(train, config={{"batch_size": tune.choice([32, 64, 128])}}, search_alg=searcher,
    scheduler=zeus.EnergyScheduler(searcher), num_samples=3, resources_per_trial=zeus.resources(),
    callbacks=[zeus.TrialReporter()], verbose=0, storage_path={folder!r})
ray.shutdown()
"""


def in_terminal(tmp_path, code, until=None):
    """What a driver writes to a terminal of 80 columns; ``until``: text at which Ctrl-C is pressed."""
    script = Path(tmp_path) / "driver.py"
    script.write_text(textwrap.dedent(code))
    ours, theirs = pty.openpty()
    env = {
        **os.environ,
        "ZEUS_RAY_GPU": "simulated:V100",
        "COLUMNS": "80",
        "TERM": "xterm",
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path),
    }
    process = subprocess.Popen(
        [sys.executable, script], stdin=theirs, stdout=theirs, stderr=theirs, env=env, start_new_session=True
    )
    os.close(theirs)
    shown = b""
    try:
        while True:
            try:
                more = os.read(ours, 65536)
            except OSError:  # the driver has ended
                break
            if not more:
                break
            shown += more
            if until is not None and until in shown:
                process.send_signal(signal.SIGINT)
                until = None
        process.wait(timeout=60)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return shown.decode()


def test_a_search_on_ray_in_a_real_terminal(tmp_path):
    shown = in_terminal(tmp_path, DRIVER.format(epochs=31, each="", folder=str(tmp_path)))
    assert "SIMULATED" in shown
    assert "0 running, 3 ended" in shown
    assert "\x1b[1A" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")


def test_ctrl_c_leaves_the_terminal_sane(tmp_path):
    wait = "import time; time.sleep(0.2)"
    code = DRIVER.format(epochs=100_000, each=wait, folder=str(tmp_path)).replace(
        '"accuracy", 0.9', '"accuracy", 2.0'
    )
    shown = in_terminal(tmp_path, code, until=b" kJ")
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
    assert "energy so far" in shown[-2500:]
